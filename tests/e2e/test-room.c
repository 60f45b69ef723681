// SPDX-License-Identifier: Apache-2.0
//
// Room for guests about to start, on a host that is full of idle ones, and a guest made small for a
// snapshot.
#include "tests/e2e/lab.h"

#define GUEST_BYTES (1024 * MIB)
#define BUDGET_BYTES (3 * GUEST_BYTES)
#define ROOM_TIMEOUT "4min"
// A balloon moves in batches of 1 MiB.
#define TOLERANCE_BYTES (8 * MIB)

// The guest's group in the configuration, though its QEMU does not run yet.
static char *group_of(VmLab *lab, const char *name)
{
    return g_strdup_printf("[guest %s]\nqmp=%s/%s.qmp\nagent=%s/%s.agent\n", name,
                           vm_lab_directory(lab), name, vm_lab_directory(lab), name);
}

// Starts `aerostatctl` with up to six words, talking to the lab's controller.
static Process *start_ctl(VmLab *lab, const char *const *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *socket = vm_lab_path(lab, "controller.sock");
    const char *arguments[10] = {"--socket", socket};
    for (size_t i = 0; words[i]; i++) {
        arguments[2 + i] = words[i];
    }
    Process *process = vm_lab_start_program(lab, "aerostatctl", arguments, &error);
    assert_no_error(error);
    return process;
}

static bool five_report(const json_t *guests, void *context)
{
    (void)context;
    size_t reporting = 0;
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        reporting += strcmp(json_word(guest, "agent"), "connected") == 0;
    }
    return reporting == 5;
}

static void test_two_guests_start_at_once_on_a_host_that_is_full(void **state)
{
    static const char *const names[] = {"delta", "epsilon"};
    VmLab *lab = *state;
    g_autoptr(GError) error = NULL;
    Vm *vms[5];
    lab_boot(lab, vms, 3, GUEST_BYTES);
    g_autofree char *delta = group_of(lab, names[0]);
    g_autofree char *epsilon = group_of(lab, names[1]);
    g_autofree char *more = g_strconcat(delta, epsilon, NULL);
    g_autofree char *config = vm_lab_write_configuration(lab, BUDGET_BYTES, more, &error);
    assert_no_error(error);
    g_autoptr(QmpSession) control = NULL;
    vm_lab_start_controller(lab, config, &control, &error);
    assert_no_error(error);
    int64_t started_us = g_get_monotonic_time();
    Process *waits[2];
    for (size_t i = 0; i < 2; i++) {
        const char *const words[] = {"reserve", "1G",        "--name",     names[i],
                                     "--wait",  "--timeout", ROOM_TIMEOUT, NULL};
        waits[i] = start_ctl(lab, words);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(process_wait(waits[i], SETTLE_TIMEOUT_US, &error), 0);
        print_message("room after %.2f s\n",
                      (double)(g_get_monotonic_time() - started_us) / SECOND_US);
    }
    assert_true(lab_sum_actual(vms, 3) + 2 * GUEST_BYTES <= BUDGET_BYTES + TOLERANCE_BYTES);
    for (size_t i = 0; i < 2; i++) {
        vms[3 + i] =
            vm_lab_add(lab, &(VmOptions){.name = names[i], .memory_bytes = GUEST_BYTES}, &error);
        assert_no_error(error);
    }
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
    lab_wait_guests(control, five_report, NULL);
    assert_true(lab_sum_actual(vms, 5) <= BUDGET_BYTES + TOLERANCE_BYTES);
    assert_int_equal(lab_host_number(control, "reserved"), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(vm_oom_kills(vms[i], &error), 0);
    }
    print_message("both run after %.2f s\n",
                  (double)(g_get_monotonic_time() - started_us) / SECOND_US);
}

static void test_a_prepared_guest_is_small_and_still_until_it_is_released(void **state)
{
    VmLab *lab = *state;
    g_autoptr(GError) error = NULL;
    Vm *vm;
    lab_boot(lab, &vm, 1, GUEST_BYTES);
    g_autoptr(QmpSession) control = NULL;
    lab_control(lab, 2 * GUEST_BYTES, &control);
    lab_wait_settled(control);
    assert_int_equal(lab_actual(vm), GUEST_BYTES);
    const char *const words[] = {"prepare", "alpha", NULL};
    assert_int_equal(process_wait(start_ctl(lab, words), SETTLE_TIMEOUT_US, &error), 0);
    int64_t prepared_bytes = lab_actual(vm);
    assert_true(prepared_bytes < GUEST_BYTES / 2);
    g_autoptr(json_t) guests = lab_query(control, "query-guests");
    const json_t *guest = lab_find_guest(guests, "alpha");
    assert_string_equal(json_word(json_object_get(guest, "reason"), "bound-by"), "prepared");
    const char *const release[] = {"release", "alpha", NULL};
    assert_int_equal(process_wait(start_ctl(lab, release), SETTLE_TIMEOUT_US, &error), 0);
    assert_true(vm_wait_actual(vm, GUEST_BYTES, GUEST_BYTES, SETTLE_TIMEOUT_US, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_two_guests_start_at_once_on_a_host_that_is_full),
        LAB_TEST(test_a_prepared_guest_is_small_and_still_until_it_is_released),
    };
    return run_test_table(tests);
}
