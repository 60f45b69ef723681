// SPDX-License-Identifier: Apache-2.0
//
// The main job on real guests: memory goes from a guest that has it to one that needs it, while it
// needs it, and is never promised twice.
#include "tests/e2e/lab.h"

#define GUEST_BYTES (1024 * MIB)
#define SPIKE_TIMEOUT_US SETTLE_TIMEOUT_US
// A balloon is let down in batches of 1 MiB.
#define TOLERANCE_BYTES (8 * MIB)

// Runs `command` in the second guest; watches the sum of both through their second monitors until
// it ends. Returns its exit status and the largest sum seen.
static int watch_spike(Vm *vms[2], const char *command, int64_t *largest_sum_bytes)
{
    g_autoptr(GError) error = NULL;
    int status = -1;
    int64_t deadline_us = deadline_after(SPIKE_TIMEOUT_US);
    assert_true(vm_begin(vms[1], command, &error));
    GuestShellResult result;
    while ((result = vm_poll(vms[1], &status, NULL, &error)) == GUEST_SHELL_RUNNING) {
        assert_true(deadline_left_us(deadline_us) > 0);
        int64_t sum_bytes = lab_sum_actual(vms, 2);
        *largest_sum_bytes = MAX(*largest_sum_bytes, sum_bytes);
    }
    assert_no_error(error);
    assert_int_equal(result, GUEST_SHELL_ENDED);
    return status;
}

static void test_a_spike_is_served_by_an_idle_guest_within_the_budget(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vms[2];
    lab_boot(*state, vms, 2, GUEST_BYTES);
    int64_t budget_bytes = 2 * GUEST_BYTES - 700 * MIB;
    g_autoptr(QmpSession) control = NULL;
    lab_control(*state, budget_bytes, &control);
    lab_wait_settled(control);
    int64_t before_bytes = lab_actual(vms[1]);

    // The load ends well when it has touched everything; it is killed if it cannot.
    int64_t largest_sum_bytes = 0;
    int status = watch_spike(vms, "load touch 500M --hold 0", &largest_sum_bytes);
    assert_int_equal(status, 0);
    assert_int_equal(vm_oom_kills(vms[0], &error), 0);
    assert_int_equal(vm_oom_kills(vms[1], &error), 0);
    assert_true(largest_sum_bytes <= budget_bytes + TOLERANCE_BYTES);
    assert_true(lab_actual(vms[1]) > before_bytes);
    print_message("largest sum: %+.1f MiB against the budget\n",
                  (double)(largest_sum_bytes - budget_bytes) / (double)MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_spike_is_served_by_an_idle_guest_within_the_budget),
    };
    return run_test_table(tests);
}
