// SPDX-License-Identifier: Apache-2.0
//
// A host whose guests are of every kind, all found in the directory: three with an agent, one known
// by its balloon's statistics, one without a balloon, one paused, one to be left alone. And a guest
// started the way contrib/qemu says.
#include "tests/e2e/lab.h"

#include <signal.h>

#define GUEST_BYTES (384 * MIB)
// Of 7 guests: a sixth has to come back, from those that can give.
#define BUDGET_BYTES (6 * GUEST_BYTES)
#define CALM_US (4 * SECOND_US)

enum { ONE, TWO, THREE, STATISTICS, BARE, PAUSED, ALONE, GUESTS };

static const VmOptions options[GUESTS] = {
    [ONE] = {.name = "agent-1"},
    [TWO] = {.name = "agent-2"},
    [THREE] = {.name = "agent-3"},
    [STATISTICS] = {.name = "statistics", .without_agent = true},
    [BARE] = {.name = "bare", .balloon = VM_BALLOON_NO_DEVICE},
    [PAUSED] = {.name = "paused"},
    [ALONE] = {.name = "alone"},
};

static void boot_all(VmLab *lab, Vm *vms[GUESTS])
{
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < GUESTS; i++) {
        VmOptions guest = options[i];
        guest.memory_bytes = GUEST_BYTES;
        vms[i] = vm_lab_add(lab, &guest, &error);
        assert_no_error(error);
    }
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
    vm_stop(vms[PAUSED], &error);
    assert_no_error(error);
    for (int i = 0; i < GUESTS; i++) {
        vm_lab_publish(lab, vms[i], !options[i].without_agent, &error);
        assert_no_error(error);
    }
}

static bool is_in(const json_t *guests, const char *name, const char *member, const char *word)
{
    return strcmp(json_word(lab_find_guest(guests, name), member), word) == 0;
}

static bool everybody_is_known(const json_t *guests, void *context)
{
    (void)context;
    return json_array_size(guests) == GUESTS && is_in(guests, "agent-1", "source", "agent") &&
           is_in(guests, "agent-2", "source", "agent") &&
           is_in(guests, "agent-3", "source", "agent") &&
           is_in(guests, "statistics", "source", "guest-stats") &&
           is_in(guests, "bare", "state", "unmanageable") &&
           is_in(guests, "paused", "state", "paused") &&
           is_in(guests, "alone", "state", "unmanaged");
}

// Of those who can give everybody has given.
static bool all_have_given(const json_t *guests, void *context)
{
    static const char *const givers[] = {"agent-1", "agent-2", "agent-3", "statistics"};
    (void)context;
    for (size_t i = 0; i < G_N_ELEMENTS(givers); i++) {
        const json_t *guest = lab_find_guest(guests, givers[i]);
        if (json_integer_value(json_object_get(guest, "actual")) >= GUEST_BYTES) {
            return false;
        }
    }
    return true;
}

// Waits until the budget is kept and nothing has moved for a while.
static void wait_until_calm(QmpSession *control)
{
    int64_t deadline_us = deadline_after(2 * SETTLE_TIMEOUT_US);
    int64_t since_us = g_get_monotonic_time();
    int64_t last_bytes = 0;
    while (g_get_monotonic_time() - since_us < CALM_US) {
        assert_true(deadline_left_us(deadline_us) > 0);
        int64_t sum_bytes = lab_host_number(control, "sum-actual");
        if (sum_bytes != last_bytes || sum_bytes > lab_host_number(control, "budget")) {
            since_us = g_get_monotonic_time();
        }
        last_bytes = sum_bytes;
        g_usleep(100 * MS_US);
    }
}

static int64_t number(const json_t *guests, const char *name, const char *member)
{
    return json_integer_value(json_object_get(lab_find_guest(guests, name), member));
}

// One line for each guest: what it has, and why.
static void show_plan(const json_t *guests)
{
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        const json_t *reason = json_object_get(guest, "reason");
        print_message("%-11s %-12s %-11s actual %4d target %4d demand %4d MiB bound by %s\n",
                      json_word(guest, "name"), json_word(guest, "state"),
                      json_word(guest, "source"),
                      (int)(json_integer_value(json_object_get(guest, "actual")) / MIB),
                      (int)(json_integer_value(json_object_get(guest, "target")) / MIB),
                      (int)(json_integer_value(json_object_get(reason, "demand")) / MIB),
                      json_word(reason, "bound-by"));
    }
}

static void test_each_kind_of_guest_gets_what_can_be_known_to_suffice(void **state)
{
    static const char *const whole[] = {"bare", "paused", "alone"};
    VmLab *lab = *state;
    Vm *vms[GUESTS];
    QmpSession *control;
    g_autoptr(GError) error = NULL;
    boot_all(lab, vms);
    g_autofree char *config =
        vm_lab_write_configuration(lab, BUDGET_BYTES, "[guest alo*]\nmanage=no\n", &error);
    assert_no_error(error);
    vm_lab_start_controller(lab, config, &control, &error);
    assert_no_error(error);
    lab_wait_guests(control, everybody_is_known, NULL);
    // One that is known less well has more left, but gives too.
    lab_wait_guests(control, all_have_given, NULL);
    wait_until_calm(control);
    g_autoptr(json_t) guests = lab_query(control, "query-guests");
    show_plan(guests);
    assert_true(all_have_given(guests, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(whole); i++) {
        assert_int_equal(number(guests, whole[i], "actual"), GUEST_BYTES);
    }
    assert_int_equal(lab_actual(vms[ALONE]), GUEST_BYTES);
    qmp_session_close(control);
}

// --- contrib/qemu -----------------------------------------------------------------------------

static bool web_reports(const json_t *guests, void *context)
{
    (void)context;
    return json_array_size(guests) == 1 && is_in(guests, "web1", "source", "agent");
}

static void test_a_guest_started_as_contrib_says_is_found_and_reports(void **state)
{
    VmLab *lab = *state;
    QmpSession *control;
    g_autoptr(GError) error = NULL;
    g_autofree char *config = vm_lab_write_configuration(lab, GUEST_BYTES / 2, NULL, &error);
    assert_no_error(error);
    vm_lab_start_controller(lab, config, &control, &error);
    assert_no_error(error);
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *kernel = g_build_filename(build ? build : "build", "guest/vmlinuz", NULL);
    g_autofree char *initrd = g_build_filename(build ? build : "build", "guest/initrd.gz", NULL);
    g_autofree char *disk = g_strdup_printf("file=%s/guest/usr.squashfs,format=raw,if=virtio,"
                                            "readonly=on",
                                            build ? build : "build");
    g_autofree char *directory = vm_lab_path(lab, "guests");
    g_autofree char *log = vm_lab_path(lab, "web1.log");
    g_setenv("AEROSTAT_DIRECTORY", directory, TRUE);
    const char *const arguments[] = {"contrib/qemu/start-guest.sh",
                                     "web1",
                                     "384M",
                                     "-accel",
                                     vm_lab_accelerator(lab),
                                     "-machine",
                                     "q35",
                                     "-cpu",
                                     "max",
                                     "-nodefaults",
                                     "-display",
                                     "none",
                                     "-kernel",
                                     kernel,
                                     "-initrd",
                                     initrd,
                                     "-drive",
                                     disk,
                                     "-append",
                                     "quiet no_timer_check psi=1 panic=-1",
                                     NULL};
    g_autoptr(Process) qemu =
        process_start(&(ProcessOptions){.arguments = arguments, .log_path = log}, &error);
    assert_no_error(error);
    lab_wait_guests(control, web_reports, NULL);
    wait_until_calm(control);
    process_kill(qemu, SIGTERM);
    assert_true(process_wait(qemu, CONTROL_TIMEOUT_US, &error) >= 0);
    // With QEMU goes its socket, and with that the guest.
    g_autoptr(json_t) guests = NULL;
    int64_t deadline_us = deadline_after(CONTROL_TIMEOUT_US);
    do {
        g_clear_pointer(&guests, json_decref);
        guests = lab_query(control, "query-guests");
        assert_true(deadline_left_us(deadline_us) > 0);
        lab_await_event(control);
    } while (json_array_size(guests) > 0);
    qmp_session_close(control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_each_kind_of_guest_gets_what_can_be_known_to_suffice),
        LAB_TEST(test_a_guest_started_as_contrib_says_is_found_and_reports),
    };
    return run_test_table(tests);
}
