// SPDX-License-Identifier: Apache-2.0
//
// An operator steers real guests with aerostatctl.
#include "tests/e2e/lab.h"

#include <glib/gstdio.h>

#define GUEST_BYTES (1024 * MIB)
#define COMMAND_TIMEOUT_US SETTLE_TIMEOUT_US

// Runs aerostatctl; returns its exit status.
static int ctl(VmLab *lab, char **output, const char *const *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *program = vm_lab_program_path(lab, "aerostatctl");
    g_autofree char *socket = vm_lab_path(lab, "controller.sock");
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    g_ptr_array_add(arguments, program);
    g_ptr_array_add(arguments, (char *)"--socket");
    g_ptr_array_add(arguments, socket);
    for (; *words; words++) {
        g_ptr_array_add(arguments, (char *)*words);
    }
    g_ptr_array_add(arguments, NULL);
    g_autofree char *errors = NULL;
    int status = process_run((const char *const *)arguments->pdata, COMMAND_TIMEOUT_US, output,
                             &errors, &error);
    assert_no_error(error);
    if (status != 0) {
        print_message("aerostatctl: %s\n", errors);
    }
    return status;
}

#define CTL(lab, ...) ctl(lab, NULL, (const char *const[]){__VA_ARGS__, NULL})

static void test_a_guest_is_walked_to_a_target_and_back(void **state)
{
    Vm *alpha;
    lab_boot(*state, &alpha, 1, GUEST_BYTES);
    g_autoptr(QmpSession) control = NULL;
    lab_control(*state, GUEST_BYTES, &control);
    lab_wait_settled(control);
    assert_int_equal(lab_actual(alpha), GUEST_BYTES);

    assert_int_equal(CTL(*state, "target", "alpha", "300M", "--wait"), 0);
    assert_int_equal(lab_actual(alpha), 300 * MIB);
    assert_int_equal(CTL(*state, "target", "alpha", "1G", "--wait"), 0);
    assert_int_equal(lab_actual(alpha), GUEST_BYTES);
}

static void test_a_target_out_of_range_is_refused_and_nothing_moves(void **state)
{
    Vm *alpha;
    lab_boot(*state, &alpha, 1, GUEST_BYTES);
    g_autoptr(QmpSession) control = NULL;
    lab_control(*state, GUEST_BYTES, &control);
    lab_wait_settled(control);
    assert_int_not_equal(CTL(*state, "target", "alpha", "100M", "--wait"), 0);
    assert_int_not_equal(CTL(*state, "target", "alpha", "2G", "--wait"), 0);
    assert_int_equal(lab_actual(alpha), GUEST_BYTES);
}

// Half of what the host does not keep at hand is each one's share, when all have been planned for.
static bool has_about_half(const json_t *guests, void *context)
{
    (void)context;
    json_t *reason = json_object_get(lab_find_guest(guests, "alpha"), "reason");
    int64_t share_bytes = json_integer_value(json_object_get(reason, "fair-share"));
    return share_bytes > 400 * MIB && share_bytes < 600 * MIB;
}

static void test_observe_works_out_targets_and_moves_nothing(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vms[2];
    lab_boot(*state, vms, 2, GUEST_BYTES);
    g_autofree char *config = vm_lab_write_configuration(*state, GUEST_BYTES, NULL, &error);
    assert_no_error(error);
    g_autofree char *folder = g_strconcat(config, ".d", NULL);
    g_autofree char *addition = g_build_filename(folder, "mode.conf", NULL);
    assert_int_equal(g_mkdir(folder, 0700), 0);
    g_file_set_contents(addition, "[controller]\nmode=observe\n", -1, &error);
    assert_no_error(error);
    g_autoptr(QmpSession) control = NULL;
    vm_lab_start_controller(*state, config, &control, &error);
    assert_no_error(error);
    lab_wait_guests(control, all_report_and_rest, NULL);
    lab_wait_guests(control, has_about_half, NULL);
    // What they have is all they started with.
    assert_int_equal(lab_actual(vms[0]), GUEST_BYTES);
    assert_int_equal(lab_actual(vms[1]), GUEST_BYTES);

    assert_int_equal(CTL(*state, "mode", "balance"), 0);
    lab_wait_settled(control);
    assert_true(lab_sum_actual(vms, 2) <= GUEST_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_guest_is_walked_to_a_target_and_back),
        LAB_TEST(test_a_target_out_of_range_is_refused_and_nothing_moves),
        LAB_TEST(test_observe_works_out_targets_and_moves_nothing),
    };
    return run_test_table(tests);
}
