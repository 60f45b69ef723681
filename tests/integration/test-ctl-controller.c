// SPDX-License-Identifier: Apache-2.0
//
// The real aerostatctl with the real controller: what changes something, what only tells, and what
// a shell completes.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/socket-thread.h"
#include "tests/support/wait.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
#define MAX_WORDS 8

// Runs aerostatctl, the words being separated by blanks; what it wrote to both its outputs.
static int run_ctl(const Rig *rig, const char *line, char **output)
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    g_auto(GStrv) words = g_strsplit(line, " ", MAX_WORDS);
    const char *arguments[MAX_WORDS + 4] = {program, "--socket", rig->socket_path};
    for (int i = 0; words[i]; i++) {
        arguments[3 + i] = words[i];
    }
    g_autofree char *out = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int exit = process_run(arguments, PATIENCE_US, &out, &errors, &error);
    assert_no_error(error);
    *output = g_strconcat(out, errors, NULL);
    return exit;
}

static void assert_runs(const Rig *rig, const char *line, int exit, const char *expected)
{
    g_autofree char *output = NULL;
    int actual = run_ctl(rig, line, &output);
    if (actual != exit || strcmp(output, expected) != 0) {
        fail_msg("%s: exit code %d\n%s", line, actual, output);
    }
}

// --- policy -----------------------------------------------------------------------------------

static void test_a_policy_is_shown_changed_and_set_back(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web1", GIB, "min=256M");
    rig_run(rig, 2 * GIB);
    assert_runs(rig, "policy web1", 0,
                "web1: minimum 256 MiB, maximum 1024 MiB, weight 100, as configured\n");
    assert_runs(
        rig, "policy web1 min=512M max=75% weight=200", 0,
        "web1: minimum 512 MiB, maximum 768 MiB, weight 200, until the configuration is read "
        "again\n");
    assert_runs(
        rig, "policy web1 min=configured", 0,
        "web1: minimum 256 MiB, maximum 768 MiB, weight 200, until the configuration is read "
        "again\n");
    assert_runs(rig, "--json policy web1", 0,
                "{\n  \"name\": \"web1\",\n  \"min\": 268435456,\n  \"max\": 805306368,\n"
                "  \"weight\": 200,\n  \"policy-changed\": true\n}\n");
    assert_runs(rig, "reload", 0, "");
    assert_runs(rig, "policy web1", 0,
                "web1: minimum 256 MiB, maximum 1024 MiB, weight 100, as configured\n");
}

static void test_a_policy_that_makes_no_sense_is_told_to_be_so(void **state)
{
    static const struct {
        const char *line;
        int exit;
        const char *output;
    } wrong[] = {
        {"policy web1 mni=1G", 2,
         "aerostatctl: 'mni=1G' is not min=SIZE, max=SIZE or weight=NUMBER\n"},
        {"policy web1 min", 2, "aerostatctl: 'min' is not min=SIZE, max=SIZE or weight=NUMBER\n"},
        {"policy web1 min=much", 2,
         "aerostatctl: min: 'much' is not a size such as 512M or 4G, or configured\n"},
        {"policy web1 weight=0", 1,
         "aerostatctl: Parameter 'weight' expects a number from 1 to 10000\n"},
        {"policy web1 max=100M", 1,
         "aerostatctl: The minimum of guest 'web1', 256 MiB, would be above its maximum, 100 "
         "MiB\n"},
        {"policy web2 weight=1", 1,
         "aerostatctl: there is no guest 'web2'; did you mean 'web1'?\n"},
    };
    Rig *rig = *state;
    rig_add(rig, "web1", GIB, "min=256M");
    rig_run(rig, 2 * GIB);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_runs(rig, wrong[i].line, wrong[i].exit, wrong[i].output);
    }
}

// --- the read-only socket ---------------------------------------------------------------------

static void test_who_may_only_look_is_told_so(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web1", GIB, NULL);
    rig_run(rig, 2 * GIB);
    g_autofree char *path = g_strconcat(rig->socket_path, "-ro", NULL);
    g_setenv("AEROSTAT_READONLY_SOCKET", path, TRUE);
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    const char *const look[] = {program, "--read-only", "list", "--names", NULL};
    const char *const touch[] = {program, "-r", "mode", "reclaim", NULL};
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    assert_int_equal(process_run(look, PATIENCE_US, &output, NULL, NULL), 0);
    assert_string_equal(output, "web1\n");
    assert_int_equal(process_run(touch, PATIENCE_US, NULL, &errors, NULL), 1);
    assert_string_equal(errors, "aerostatctl: The command set-mode is not allowed on this socket, "
                                "which is read-only\n");
    g_unsetenv("AEROSTAT_READONLY_SOCKET");
}

static void test_an_explanation_is_made_of_the_running_plan(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web1", 600 * MIB, NULL);
    rig_run(rig, 2 * GIB);
    json_decref(rig_ask(rig, "set-target",
                        json_pack("{s:s, s:I}", "name", "web1", "bytes", (json_int_t)(700 * MIB))));
    g_autofree char *output = NULL;
    wait_for((g_free(output), run_ctl(rig, "explain web1", &output)) == 0 &&
                 strstr(output, "bound by pinned"),
             PATIENCE_US);
    assert_true(g_str_has_prefix(output, "web1: target 700 MiB: "));
    assert_non_null(strstr(output, "Its target was set by hand, at 700 MiB"));
    assert_runs(rig, "explain web2", 1,
                "aerostatctl: there is no guest 'web2'; did you mean 'web1'?\n");
}

// --- doctor -----------------------------------------------------------------------------------

// The codes that doctor finds, "SUBJECT CODE" a word, in order.
static char *find_codes(const Rig *rig, int expected_exit)
{
    g_autofree char *output = NULL;
    int exit = run_ctl(rig, "--json doctor", &output);
    g_autoptr(json_t) findings = json_loads(output, 0, NULL);
    GString *codes = g_string_new(NULL);
    size_t index;
    json_t *finding;
    json_array_foreach (findings, index, finding) {
        g_string_append_printf(codes, "%s %s;",
                               json_string_value(json_object_get(finding, "subject")),
                               json_string_value(json_object_get(finding, "code")));
    }
    if (exit != expected_exit) {
        fail_msg("exit code %d: %s", exit, output);
    }
    return g_string_free(codes, FALSE);
}

// The fakes live only between two programs, for as long as it takes to answer and to report.
static bool finds(const Rig *rig, const char *expected)
{
    wait_while(200 * MS_US);
    g_autofree char *codes = find_codes(rig, 6);
    return strcmp(codes, expected) == 0;
}

static void test_doctor_finds_what_is_broken_on_a_running_host(void **state)
{
    Rig *rig = *state;
    RigGuest *bare = rig_add(rig, "bare", GIB, NULL);
    RigGuest *gone = rig_add(rig, "gone", GIB, NULL);
    RigGuest *silent = rig_add(rig, "silent", GIB, NULL);
    RigGuest *careless = rig_add(rig, "careless", GIB, NULL);
    RigGuest *unplugged = rig_add(rig, "unplugged", GIB, NULL);
    RigGuest *blind = rig_add(rig, "blind", GIB, NULL);
    rig_add(rig, "well", GIB, NULL);
    fake_qemu_set_device(bare->qemu, false);
    for (guint i = 0; i < rig->guests->len; i++) {
        RigGuest *guest = g_ptr_array_index(rig->guests, i);
        fake_agent_guest(guest->agent)->deflate_on_oom = guest != careless;
        fake_agent_guest(guest->agent)->without_psi = guest == blind;
    }
    rig_add_found(rig, "agentless", GIB);
    rig_run(rig, 8 * GIB);
    fake_qemu_quit(gone->qemu);
    fake_agent_set_silent(silent->agent, true);
    g_clear_pointer(&unplugged->agent, fake_agent_free);
    wait_for(finds(rig, "bare no-balloon;gone qemu-unreachable;silent agent-silent;"
                        "careless no-deflate-on-oom;unplugged no-agent-port;blind no-psi;"
                        "agentless no-agent;"),
             PATIENCE_US);
    json_decref(rig_ask(rig, "quit", NULL));
    wait_for(!process_is_running(rig->controller), PATIENCE_US);
    assert_true(finds(rig, "host no-controller;"));
}

static void say_rubbish(int fd, void *context)
{
    (void)context;
    socket_thread_send(fd, "220 ready\r\n");
}

static void test_doctor_finds_what_is_wrong_with_the_host_itself(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    assert_true(finds(rig, "host no-guests;"));
    RigGuest *large = rig_add(rig, "large", GIB, "min=900M");
    fake_agent_guest(large->agent)->deflate_on_oom = true;
    rig_configure(rig, 512 * MIB, NULL);
    json_decref(rig_ask(rig, "reload", NULL));
    wait_for(rig_had_event(rig, "HOST_OVERCOMMITTED", NULL), PATIENCE_US);
    wait_for(finds(rig, "host overcommitted;"), PATIENCE_US);
    assert_int_equal(rig_stop(rig), 0);
    SocketThread *other = socket_thread_start(rig->socket_path, say_rubbish, NULL);
    bool found = finds(rig, "host no-answer;");
    socket_thread_stop(other);
    assert_true(found);
}

static void test_doctor_finds_nothing_where_nothing_is_wrong(void **state)
{
    Rig *rig = *state;
    RigGuest *well = rig_add(rig, "well", GIB, NULL);
    fake_agent_guest(well->agent)->deflate_on_oom = true;
    rig_run(rig, 2 * GIB);
    g_autofree char *output = NULL;
    wait_for((wait_while(200 * MS_US), g_free(output), run_ctl(rig, "doctor", &output)) == 0,
             PATIENCE_US);
    assert_string_equal(output, "Nothing is wrong.\n");
}

// --- completion in bash -----------------------------------------------------------------------

// Completes the last of the words (separated by |) and checks what is offered, separated by blanks.
static void assert_completes(const char *words, const char *expected)
{
    static const char script[] = "export PATH=\"$PWD/${AEROSTAT_BUILD:-build}:$PATH\"\n"
                                 ". packaging/completions/aerostatctl.bash\n"
                                 "IFS='|' read -r -a COMP_WORDS <<<\"$0\"\n"
                                 "[ \"${0: -1}\" != '|' ] || COMP_WORDS+=(\"\")\n"
                                 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                                 "_aerostatctl\n"
                                 "echo \"${COMPREPLY[*]}\"\n";
    const char *const arguments[] = {"bash", "-c", script, words, NULL};
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    process_run(arguments, PATIENCE_US, &output, &errors, &error);
    assert_no_error(error);
    g_strchomp(output);
    if (strcmp(output, expected) != 0) {
        fail_msg("%s: '%s', not '%s' %s", words, output, expected, errors);
    }
}

static void test_bash_completes_commands_options_and_guests(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web1", 200 * MIB, NULL);
    rig_add(rig, "web 2", 200 * MIB, NULL);
    rig_add(rig, "database", 200 * MIB, NULL);
    rig_run(rig, 2 * GIB);
    g_autofree char *path = g_strconcat(rig->socket_path, "-ro", NULL);
    g_setenv("AEROSTAT_READONLY_SOCKET", path, TRUE);
    assert_completes("aerostatctl|re", "remove reload reserve release");
    assert_completes("aerostatctl|--json|sta", "status");
    assert_completes("aerostatctl|mode|", "observe balance reclaim");
    assert_completes("aerostatctl|show|", "web1 web\\ 2 database");
    assert_completes("aerostatctl|explain|we", "web1 web\\ 2");
    assert_completes("aerostatctl|target|data", "database");
    assert_completes("aerostatctl|target|web1|", "auto");
    assert_completes("aerostatctl|target|web1|1G|--w", "--wait");
    assert_completes("aerostatctl|policy|web1|m", "min= max=");
    assert_completes("aerostatctl|manage|data", "database");
    assert_completes("aerostatctl|manage|web1|", "yes no auto");
    assert_completes("aerostatctl|reserve|1G|--h", "--help --hold");
    assert_completes("aerostatctl|status|", "");
    g_setenv("AEROSTAT_READONLY_SOCKET", "/nowhere", TRUE);
    assert_completes("aerostatctl|show|", "");
    g_unsetenv("AEROSTAT_READONLY_SOCKET");
}

// Whoever adds a command adds it there, too.
static void test_bash_completes_every_command_there_is(void **state)
{
    (void)state;
    static const char script[] = "\"${AEROSTAT_BUILD:-build}/aerostatctl\" --help |"
                                 "sed -n '/^Commands:/,/^$/s/^  \\([a-z]*\\) .*/\\1/p' | xargs";
    const char *const arguments[] = {"bash", "-c", script, NULL};
    g_autofree char *commands = NULL;
    g_autoptr(GError) error = NULL;
    process_run(arguments, PATIENCE_US, &commands, NULL, &error);
    assert_no_error(error);
    assert_non_null(strstr(commands, "list show"));
    assert_completes("aerostatctl|", g_strchomp(commands));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_policy_is_shown_changed_and_set_back),
        TEST(test_a_policy_that_makes_no_sense_is_told_to_be_so),
        TEST(test_who_may_only_look_is_told_so),
        TEST(test_an_explanation_is_made_of_the_running_plan),
        TEST(test_doctor_finds_what_is_broken_on_a_running_host),
        TEST(test_doctor_finds_what_is_wrong_with_the_host_itself),
        TEST(test_doctor_finds_nothing_where_nothing_is_wrong),
        TEST(test_bash_completes_commands_options_and_guests),
        cmocka_unit_test(test_bash_completes_every_command_there_is),
    };
    return run_test_table(tests);
}
