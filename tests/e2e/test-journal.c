// SPDX-License-Identifier: Apache-2.0
//
// A hand-over between real guests, recorded, and replayed without a difference: reports of real
// kernels, balloons that move when they like.
#include "tests/e2e/lab.h"

#include <glib/gstdio.h>
#include <signal.h>

#define GUEST_BYTES (1024 * MIB)
#define BUDGET_BYTES (2 * GUEST_BYTES - 700 * MIB)
#define SPIKE_TIMEOUT_US SETTLE_TIMEOUT_US
#define REPLAY_TIMEOUT_US (120 * SECOND_US)
#define QUIET_US (10 * SECOND_US)

// Starts the controller with a journal, whose path is returned.
static char *control_with_journal(VmLab *lab, Process **controller, QmpSession **control)
{
    g_autoptr(GError) error = NULL;
    char *path = vm_lab_path(lab, "decisions.jsonl");
    g_autofree char *folder = vm_lab_path(lab, "controller.conf.d");
    g_autofree char *file = g_build_filename(folder, "journal.conf", NULL);
    g_autofree char *text = g_strdup_printf("[controller]\njournal=%s\n", path);
    assert_int_equal(g_mkdir(folder, 0755), 0);
    assert_true(g_file_set_contents(file, text, -1, &error));
    *controller = lab_control(lab, BUDGET_BYTES, control);
    return path;
}

static int64_t file_bytes(const char *path)
{
    GStatBuf info;
    return g_stat(path, &info) == 0 ? info.st_size : 0;
}

// What a replay of the journal finds. New reference.
static json_t *replay(VmLab *lab, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *program = vm_lab_program_path(lab, "aerostat-sim");
    const char *arguments[] = {program, "replay", "--json", path, NULL};
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    int status = process_run(arguments, REPLAY_TIMEOUT_US, &output, &errors, &error);
    assert_no_error(error);
    if (status != 0) {
        fail_msg("exit status %d: %s%s", status, output, errors);
    }
    return json_loads(output, 0, NULL);
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void test_a_hand_over_of_real_guests_replays_without_a_difference(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vms[2];
    lab_boot(*state, vms, 2, GUEST_BYTES);
    Process *controller = NULL;
    g_autoptr(QmpSession) control = NULL;
    g_autofree char *path = control_with_journal(*state, &controller, &control);
    lab_wait_settled(control);
    int64_t before_bytes = file_bytes(path);
    int status = vm_run(vms[1], "load touch 500M --hold 0", SPIKE_TIMEOUT_US, NULL, &error);
    assert_no_error(error);
    assert_int_equal(status, 0);
    lab_wait_settled(control);
    int64_t handed_bytes = file_bytes(path);
    int64_t quiet_until_us = deadline_after(QUIET_US);
    while (deadline_left_us(quiet_until_us) > 0) {
        json_decref(qmp_session_next_event(control, deadline_left_us(quiet_until_us), &error));
        assert_no_error(error);
    }
    process_kill(controller, SIGTERM);
    assert_int_equal(process_wait(controller, CONTROL_TIMEOUT_US, &error), 0);

    g_autoptr(json_t) found = replay(*state, path);
    const json_t *recorded = json_object_get(json_object_get(found, "recorded"), "sum");
    assert_int_equal(number(found, "differences"), 0);
    assert_int_equal(number(found, "damaged-lines"), 0);
    assert_true(number(recorded, "commands") > 0);
    print_message(
        "%d plans, %d skipped, %d commands; %d bytes for the hand-over, %d for %d s after\n",
        (int)number(found, "plans"), (int)number(found, "skipped-plans"),
        (int)number(recorded, "commands"), (int)(handed_bytes - before_bytes),
        (int)(file_bytes(path) - handed_bytes), (int)(QUIET_US / SECOND_US));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_hand_over_of_real_guests_replays_without_a_difference),
    };
    return run_test_table(tests);
}
