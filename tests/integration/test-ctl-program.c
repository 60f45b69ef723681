// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl's command line, as a shell meets it. No controller is needed.
#include "tests/test.h"

#include "tests/support/deadline.h"
#include "tests/support/process.h"

#include <string.h>

#define MAX_ARGUMENTS 8
#define NOWHERE "/nonexistent/aerostat.sock"

typedef struct Run {
    const char *arguments[MAX_ARGUMENTS]; // after the program
    int exit;
    const char *output; // a part of it
    const char *errors; // a part of it
} Run;

static void assert_run(const Run *run)
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    const char *arguments[MAX_ARGUMENTS + 2] = {program};
    memcpy(arguments + 1, run->arguments, sizeof(run->arguments));
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int exit = process_run(arguments, 20 * SECOND_US, &output, &errors, &error);
    assert_no_error(error);
    if (exit != run->exit || !strstr(output, run->output) || !strstr(errors, run->errors)) {
        fail_msg("%s %s: exit code %d\n%s%s", program, run->arguments[0] ? run->arguments[0] : "",
                 exit, output, errors);
    }
}

static void assert_runs(const Run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_run(&runs[i]);
    }
}

static void test_help_and_version_are_given_on_stdout(void **state)
{
    static const Run runs[] = {
        {{"--version"}, 0, "aerostatctl " AEROSTAT_VERSION "\n", ""},
        {{"--help"}, 0, "target GUEST SIZE|auto", ""},
        {{"list", "--help"}, 0, "aerostatctl list", ""},
        {{"target", "--help"}, 0, "--timeout=TIME", ""},
    };
    (void)state;
    assert_runs(runs, G_N_ELEMENTS(runs));
}

static void test_mistakes_on_the_command_line_are_usage_errors(void **state)
{
    static const Run runs[] = {
        {{NULL}, 2, "", "which command?"},
        {{"fly"}, 2, "", "no command 'fly'"},
        {{"--fly"}, 2, "", "--fly"},
        {{"list", "--fly"}, 2, "", "Try 'aerostatctl list --help'"},
        {{"list", "web1"}, 2, "", "usage: aerostatctl list"},
        {{"list", "--wait"}, 2, "", "--wait"},
        {{"show"}, 2, "", "usage: aerostatctl show GUEST"},
        {{"target", "web1"}, 2, "", "usage: aerostatctl target GUEST SIZE|auto"},
        {{"target", "web1", "1G", "--timeout", "5s"}, 2, "", "together with --wait"},
        {{"target", "web1", "1G", "--wait", "--timeout", "5"}, 2, "", "--timeout: '5' is not"},
        {{"target", "web1", "much"}, 2, "", "'much' is not a size"},
        {{"show", "\xff"}, 2, "", "not UTF-8"},
    };
    (void)state;
    assert_runs(runs, G_N_ELEMENTS(runs));
}

static void test_common_options_stand_before_or_after_the_command(void **state)
{
    static const Run runs[] = {
        {{"--socket", NOWHERE, "list"}, 3, "", "no socket " NOWHERE},
        {{"list", "--socket", NOWHERE}, 3, "", "no socket " NOWHERE},
        {{"-s", NOWHERE, "--json", "status"}, 3, "", "no socket " NOWHERE},
        {{"target", "web1", "1G", "-w", "-t", "1s", "-s", NOWHERE}, 3, "", "no socket " NOWHERE},
    };
    (void)state;
    assert_runs(runs, G_N_ELEMENTS(runs));
}

static void test_the_socket_can_be_named_in_the_environment(void **state)
{
    static const Run runs[] = {
        {{"list"}, 3, "", "no socket /from/environment"},
        {{"list", "-s", NOWHERE}, 3, "", "no socket " NOWHERE},
    };
    (void)state;
    g_setenv("AEROSTAT_SOCKET", "/from/environment", TRUE);
    assert_runs(runs, G_N_ELEMENTS(runs));
    g_unsetenv("AEROSTAT_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version_are_given_on_stdout),
        cmocka_unit_test(test_mistakes_on_the_command_line_are_usage_errors),
        cmocka_unit_test(test_common_options_stand_before_or_after_the_command),
        cmocka_unit_test(test_the_socket_can_be_named_in_the_environment),
    };
    return run_test_table(tests);
}
