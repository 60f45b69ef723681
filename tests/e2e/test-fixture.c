// SPDX-License-Identifier: Apache-2.0
//
// The fixture itself: what other end-to-end tests rely on.
#include "tests/support/vm-lab.h"

#include "protocol/error.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_US VM_COMMAND_TIMEOUT_US

static int make_lab(void **state)
{
    g_autoptr(GError) error = NULL;
    *state = vm_lab_new(&error);
    if (error) {
        print_error("%s\n", error->message);
    }
    return *state ? 0 : -1;
}

static int free_lab(void **state)
{
    vm_lab_free(*state);
    return 0;
}

// A guest that runs commands.
static Vm *boot(VmLab *lab, const VmOptions *options)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = vm_lab_add(lab, options, &error);
    assert_no_error(error);
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
    return vm;
}

static void test_commands_answer_with_output_and_status(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    assert_int_equal(vm_run(vm, "echo 'it is'; echo up >&2; exit 7", COMMAND_US, &output, &error),
                     7);
    assert_no_error(error);
    assert_string_equal(output, "it is\nup\n");
}

static void test_a_late_answer_is_not_taken_for_the_next(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    // Stopped, it cannot answer in time.
    assert_true(vm_stop(vm, &error));
    int status = vm_run(vm, "echo late; exit 3", 100 * MS_US, NULL, &error);
    assert_int_equal(status, -1);
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "in time");
    g_clear_error(&error);
    assert_true(vm_continue(vm, &error));
    assert_int_equal(vm_run(vm, "echo next", COMMAND_US, &output, &error), 0);
    assert_no_error(error);
    assert_string_equal(output, "next\n");
}

static void test_balloon_follows_the_observer(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_actual_bytes(vm, &error), 512 * MIB);
    assert_true(vm_set_target(vm, 300 * MIB, &error));
    vm_wait_actual(vm, 300 * MIB, 300 * MIB, COMMAND_US, &error);
    assert_no_error(error);
    assert_true(vm_set_target(vm, 512 * MIB, &error));
    vm_wait_actual(vm, 512 * MIB, 512 * MIB, COMMAND_US, &error);
    assert_no_error(error);
}

static void test_balloon_without_a_driver_stays(void **state)
{
    Vm *vm = boot(
        *state, &(VmOptions){.name = "g", .without_agent = true, .balloon = VM_BALLOON_NO_DRIVER});
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_run(vm, "grep -q virtio_balloon /proc/modules", COMMAND_US, NULL, &error),
                     1);
    assert_no_error(error);
}

static void test_background_load_runs_and_is_killed_when_memory_ends(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_oom_kills(vm, &error), 0);
    assert_true(vm_run_in_background(vm, "load touch 600M", &error) > 0);
    // It is killed, and the shell is not.
    int status = vm_run(vm, "until grep -q '^oom_kill [1-9]' /proc/vmstat; do usleep 10000; done",
                        COMMAND_US, NULL, &error);
    assert_no_error(error);
    assert_int_equal(status, 0);
    assert_true(vm_oom_kills(vm, &error) >= 1);
}

static void test_background_commands_can_be_ended(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    int64_t pid = vm_run_in_background(vm, "load touch 20M; echo not reached", &error);
    assert_no_error(error);
    g_autofree char *wait =
        g_strdup_printf("until grep -q 20971520 /tmp/%d.out; do usleep 10000; done", (int)pid);
    assert_int_equal(vm_run(vm, wait, COMMAND_US, NULL, &error), 0);
    assert_true(vm_end_background(vm, pid, &error));
    assert_int_equal(vm_run(vm, "pidof load", COMMAND_US, NULL, &error), 1);
    assert_no_error(error);
}

static void test_zram_is_swap(void **state)
{
    Vm *vm =
        boot(*state, &(VmOptions){.name = "g", .without_agent = true, .zram_bytes = 128 * MIB});
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_run(vm, "grep -q zram /proc/swaps", COMMAND_US, NULL, &error), 0);
    assert_no_error(error);
}

static void test_a_reset_guest_comes_back(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_run(vm, "touch /tmp/before", COMMAND_US, NULL, &error), 0);
    vm_reset(vm, VM_BOOT_TIMEOUT_US, &error);
    assert_no_error(error);
    assert_int_equal(vm_run(vm, "test -e /tmp/before", COMMAND_US, NULL, &error), 1);
    assert_no_error(error);
}

static void test_a_stopped_guest_answers_only_when_continued(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "g", .without_agent = true});
    g_autoptr(GError) error = NULL;
    assert_true(vm_stop(vm, &error));
    assert_int_equal(vm_run(vm, "true", 300 * MS_US, NULL, NULL), -1);
    assert_true(vm_continue(vm, &error));
    assert_int_equal(vm_run(vm, "true", COMMAND_US, NULL, &error), 0);
    assert_no_error(error);
}

static void test_a_killed_guest_is_noticed_and_cleaned_up(void **state)
{
    g_autoptr(GError) error = NULL;
    VmLab *lab = *state;
    Vm *vm = boot(lab, &(VmOptions){.name = "g", .without_agent = true});
    pid_t pid = vm_pid(vm);
    kill(pid, SIGKILL);
    assert_int_equal(vm_run(vm, "true", COMMAND_US, NULL, &error), -1);
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "gone");
    vm_kill(vm);
    assert_false(vm_is_running(vm));

    g_autofree char *directory = g_strdup(vm_lab_directory(lab));
    vm_lab_free(lab);
    *state = NULL;
    assert_int_equal(kill(pid, 0), -1);
    assert_int_not_equal(access(directory, F_OK), 0);
}

static void test_a_guest_that_cannot_boot_says_why(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = vm_lab_add(
        *state, &(VmOptions){.name = "g", .kernel_arguments = "rdinit=/nowhere panic=-1"}, &error);
    assert_no_error(error);
    assert_false(vm_wait_ready(vm, COMMAND_US, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "Kernel panic");
}

static void test_a_program_is_run_to_its_end(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    const char *const arguments[] = {"sh", "-c", "echo out; echo err >&2; exit 5", NULL};
    assert_int_equal(process_run(arguments, COMMAND_US, &output, &errors, &error), 5);
    assert_no_error(error);
    assert_string_equal(output, "out\n");
    assert_string_equal(errors, "err\n");
}

static void test_a_program_that_does_not_end_is_given_up_on(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    const char *const arguments[] = {"sleep", "60", NULL};
    assert_int_equal(process_run(arguments, 50 * MS_US, NULL, NULL, &error), -1);
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "sleep");
}

static void test_a_log_is_watched_until_the_text_or_the_end(void **state)
{
    Scratch *scratch = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *log_path = scratch_path(scratch, "log");
    // It says the last word, a little later, when our end of the pipe is closed.
    const char *const arguments[] = {
        "sh", "-c", "sleep 0.1; echo ready; read -r word <&3; sleep 0.1; echo bye", NULL};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    ProcessOptions options = {
        .arguments = arguments, .log_path = log_path, .fds = &ends[0], .fd_count = 1};
    g_autoptr(Process) process = process_start(&options, &error);
    close(ends[0]);
    assert_no_error(error);
    assert_true(process_wait_for_log(process, "ready", COMMAND_US, &error));
    assert_true(process_is_running(process));
    close(ends[1]);
    assert_false(process_wait_for_log(process, "never", COMMAND_US, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "bye");
    assert_int_equal(process_wait(process, COMMAND_US, NULL), 0);
}

static void test_a_child_dies_with_its_parent(void **state)
{
    Scratch *scratch = *state;
    g_autofree char *log_path = scratch_path(scratch, "log");
    const char *const arguments[] = {"sleep", "60", NULL};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        // Our copy of `ends` is inherited by the grandchild, so that its death can be seen.
        Process *process = process_start(
            &(ProcessOptions){
                .arguments = arguments, .log_path = log_path, .fds = &ends[1], .fd_count = 1},
            NULL);
        _exit(process ? 0 : 1);
    }
    close(ends[1]);
    int status;
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(status, 0);
    struct pollfd pollfd = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, COMMAND_US / MS_US), 1);
    close(ends[0]);
}

#define SCRATCH_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, scratch_set_up, scratch_tear_down)
#define LAB_TEST(function) cmocka_unit_test_setup_teardown(function, make_lab, free_lab)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_program_is_run_to_its_end),
        cmocka_unit_test(test_a_program_that_does_not_end_is_given_up_on),
        SCRATCH_TEST(test_a_log_is_watched_until_the_text_or_the_end),
        SCRATCH_TEST(test_a_child_dies_with_its_parent),
        LAB_TEST(test_commands_answer_with_output_and_status),
        LAB_TEST(test_a_late_answer_is_not_taken_for_the_next),
        LAB_TEST(test_balloon_follows_the_observer),
        LAB_TEST(test_balloon_without_a_driver_stays),
        LAB_TEST(test_background_load_runs_and_is_killed_when_memory_ends),
        LAB_TEST(test_background_commands_can_be_ended),
        LAB_TEST(test_zram_is_swap),
        LAB_TEST(test_a_reset_guest_comes_back),
        LAB_TEST(test_a_stopped_guest_answers_only_when_continued),
        LAB_TEST(test_a_killed_guest_is_noticed_and_cleaned_up),
        LAB_TEST(test_a_guest_that_cannot_boot_says_why),
    };
    return run_test_table(tests);
}
