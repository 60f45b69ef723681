// SPDX-License-Identifier: Apache-2.0
//
// The real aerostatctl top on a terminal of its own, with a real controller. What a screen looks
// like is tested in tests/unit/test-ctl-top.c; here it is what the terminal and the controller do
// to the program.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#define PATIENCE_US (60 * SECOND_US)
// What xterm is told to leave the full screen, and to show its cursor again.
#define LEAVE_SCREEN "\033[?1049l"
#define SHOW_CURSOR "\033[?25h"

// The program with its terminal.
typedef struct Terminal {
    Rig *rig;
    int fd; // the terminal's other end
    pid_t pid;
    GString *output; // all that was written so far
    struct termios before;
    int status; // of the program, once it has ended
} Terminal;

static void run_top(const Rig *rig)
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C", 1);
    execl(program, program, "--socket", rig->socket_path, "top", NULL);
    _exit(127);
}

static void start_top(Terminal *terminal, Rig *rig, int rows, int columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    int program_fd;
    *terminal = (Terminal){.rig = rig, .output = g_string_new(NULL)};
    assert_int_equal(openpty(&terminal->fd, &program_fd, NULL, NULL, &size), 0);
    // Before there is a program that changes it.
    assert_int_equal(tcgetattr(terminal->fd, &terminal->before), 0);
    terminal->pid = fork();
    assert_true(terminal->pid >= 0);
    if (terminal->pid == 0) {
        close(terminal->fd);
        login_tty(program_fd);
        run_top(rig);
    }
    close(program_fd);
    assert_int_equal(fcntl(terminal->fd, F_SETFL, O_NONBLOCK), 0);
}

static void end_top(Terminal *terminal)
{
    close(terminal->fd);
    g_string_free(terminal->output, TRUE);
}

static void read_output(Terminal *terminal)
{
    char chunk[4096];
    ssize_t count;
    while ((count = read(terminal->fd, chunk, sizeof(chunk))) > 0) {
        g_string_append_len(terminal->output, chunk, count);
    }
}

// Whether `text` has been written since the last call for it; drops all before it.
static bool has_shown(Terminal *terminal, const char *text)
{
    read_output(terminal);
    const char *found = strstr(terminal->output->str, text);
    if (found) {
        g_string_erase(terminal->output, 0, found - terminal->output->str);
    }
    return found;
}

static bool has_ended(Terminal *terminal)
{
    read_output(terminal);
    return waitpid(terminal->pid, &terminal->status, WNOHANG) == terminal->pid;
}

static void assert_ended_cleanly(Terminal *terminal)
{
    struct termios after;
    wait_for(has_ended(terminal), PATIENCE_US);
    read_output(terminal);
    assert_true(WIFEXITED(terminal->status));
    assert_int_equal(WEXITSTATUS(terminal->status), 0);
    assert_non_null(strstr(terminal->output->str, LEAVE_SCREEN));
    assert_non_null(strstr(terminal->output->str, SHOW_CURSOR));
    assert_int_equal(tcgetattr(terminal->fd, &after), 0);
    assert_int_equal(after.c_lflag, terminal->before.c_lflag);
}

static void start_with_guests(Terminal *terminal, Rig *rig)
{
    rig_add(rig, "web1", 600 * MIB, NULL);
    rig_add(rig, "database", 300 * MIB, NULL);
    rig_run(rig, GIB);
    start_top(terminal, rig, 24, 80);
    wait_for(has_shown(terminal, "web1"), PATIENCE_US);
}

static void test_a_signal_ends_it_and_the_terminal_is_as_before(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    Rig *rig = *state;
    rig_add(rig, "web1", 600 * MIB, NULL);
    rig_run(rig, GIB);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        Terminal terminal;
        start_top(&terminal, rig, 24, 80);
        wait_for(has_shown(&terminal, "web1"), PATIENCE_US);
        kill(terminal.pid, signals[i]);
        assert_ended_cleanly(&terminal);
        end_top(&terminal);
    }
}

static void test_a_key_ends_it(void **state)
{
    Terminal terminal;
    start_with_guests(&terminal, *state);
    assert_int_equal(write(terminal.fd, "q", 1), 1);
    assert_ended_cleanly(&terminal);
    end_top(&terminal);
}

static void test_a_controller_that_starts_again_is_found_again(void **state)
{
    Terminal terminal;
    Rig *rig = *state;
    start_with_guests(&terminal, rig);
    rig_kill(rig);
    wait_for(has_shown(&terminal, "the controller is away"), PATIENCE_US);
    rig_start(rig);
    wait_for(has_shown(&terminal, "budget 1024 MiB"), PATIENCE_US);
    assert_int_equal(write(terminal.fd, "q", 1), 1);
    assert_ended_cleanly(&terminal);
    end_top(&terminal);
}

static void test_another_size_of_the_terminal_is_used_at_once(void **state)
{
    Terminal terminal;
    start_with_guests(&terminal, *state);
    struct winsize size = {.ws_row = 50, .ws_col = 160};
    assert_int_equal(ioctl(terminal.fd, TIOCSWINSZ, &size), 0);
    // To the bottom of the larger screen.
    wait_for(has_shown(&terminal, "\033[44"), PATIENCE_US);
    assert_int_equal(write(terminal.fd, "q", 1), 1);
    assert_ended_cleanly(&terminal);
    end_top(&terminal);
}

static void test_without_a_terminal_it_writes_lines_for_programs(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web1", 600 * MIB, NULL);
    rig_run(rig, GIB);
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    g_autofree char *out_path = scratch_path(&rig->scratch, "top.json");
    const char *const bare[] = {program, "--socket", rig->socket_path, "top", NULL};
    const char *const lines[] = {program, "--socket", rig->socket_path, "--json", "top", NULL};
    g_autofree char *errors = NULL;
    assert_int_equal(process_run(bare, PATIENCE_US, NULL, &errors, NULL), 1);
    assert_string_equal(errors,
                        "aerostatctl: top needs a terminal; --json writes lines for programs\n");

    const ProcessOptions options = {
        .arguments = lines, .log_path = rig->log_path, .output_path = out_path};
    g_autoptr(Process) process = process_start(&options, NULL);
    g_autofree char *text = NULL;
    wait_for((g_free(text), g_file_get_contents(out_path, &text, NULL, NULL)) && strchr(text, '\n'),
             PATIENCE_US);
    process_kill(process, SIGTERM);
    assert_int_equal(process_wait(process, PATIENCE_US, NULL), 0);
    *strchr(text, '\n') = '\0';
    g_autoptr(json_t) line = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(line, "guests")), 1);
    assert_non_null(json_object_get(json_object_get(line, "host"), "budget"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_signal_ends_it_and_the_terminal_is_as_before),
        TEST(test_a_key_ends_it),
        TEST(test_a_controller_that_starts_again_is_found_again),
        TEST(test_another_size_of_the_terminal_is_used_at_once),
        TEST(test_without_a_terminal_it_writes_lines_for_programs),
    };
    return run_test_table(tests);
}
