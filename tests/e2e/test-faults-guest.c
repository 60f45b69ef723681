// SPDX-License-Identifier: Apache-2.0
//
// What happens inside a guest, and to its QEMU: the others and the controller go on.
#include "tests/e2e/fault-scene.h"

#define ALPHA 0
#define BETA 1

// Memory that beta takes and gives back meanwhile, out of what it has: nobody kills it.
#define WORK "load touch 100M --hold 0"

#define PORT_OF_AGENT                                                                              \
    "for port in /sys/class/virtio-ports/*; do"                                                    \
    " if [ $(cat $port/name) = " VM_AGENT_PORT " ]; then port=/dev/${port##*/}; break; fi; done; "

static void set_target(FaultScene *scene, const char *guest, json_t *bytes)
{
    g_autoptr(GError) error = NULL;
    json_decref(qmp_session_execute(scene->control, "set-target",
                                    json_pack("{s:s, s:o}", "name", guest, "bytes", bytes),
                                    CONTROL_TIMEOUT_US, &error));
    assert_no_error(error);
}

static void test_a_qemu_that_hangs_in_a_command_holds_up_nobody(void **state)
{
    FaultScene *scene = *state;
    kill(vm_pid(scene->vms[ALPHA]), SIGSTOP);
    set_target(scene, "alpha", json_integer(300 * MIB));
    fault_wait(scene, (FaultWish){"alpha", "state", "connecting", false});
    fault_run(scene->vms[BETA], WORK);
    // It still holds what it had.
    assert_true(lab_host_number(scene->control, "sum-actual") > FAULT_GUEST_BYTES);
    kill(vm_pid(scene->vms[ALPHA]), SIGCONT);
    fault_wait(scene, (FaultWish){"alpha", "state", "connecting", true});
    set_target(scene, "alpha", json_null());
}

static void test_a_guest_whose_agent_is_stopped_is_not_shrunk(void **state)
{
    FaultScene *scene = *state;
    int64_t before_bytes = lab_actual(scene->vms[ALPHA]);
    fault_run(scene->vms[ALPHA], "kill -STOP $(pidof aerostat-agent)");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", true});
    int64_t deadline_us = deadline_after(fault_pause_us());
    // After half a minute its balloon's statistics stand in for it.
    for (bool replaced = false; !replaced && deadline_left_us(deadline_us) > 0;) {
        fault_run(scene->vms[BETA], WORK);
        int64_t now_bytes = lab_actual(scene->vms[ALPHA]);
        g_autofree char *source = fault_word(scene, ALPHA, "source");
        replaced = strcmp(source, "guest-stats") == 0;
        assert_true(replaced || now_bytes >= before_bytes);
    }
    fault_run(scene->vms[ALPHA], "kill -CONT $(pidof aerostat-agent)");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", false});
}

static void test_rubbish_in_the_agents_place_harms_nobody(void **state)
{
    FaultScene *scene = *state;
    g_autoptr(GError) error = NULL;
    int64_t before_bytes = lab_actual(scene->vms[ALPHA]);
    fault_run(scene->vms[ALPHA], "stop-agent");
    int64_t pid = vm_run_in_background(
        scene->vms[ALPHA], PORT_OF_AGENT "while :; do cat /dev/urandom >$port; done", &error);
    assert_no_error(error);
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", true});
    fault_run(scene->vms[BETA], WORK);
    assert_true(lab_actual(scene->vms[ALPHA]) >= before_bytes);
    g_autofree char *beta = fault_word(scene, BETA, "agent");
    assert_string_equal(beta, "connected");
    vm_end_background(scene->vms[ALPHA], pid, &error);
    assert_no_error(error);
    fault_run(scene->vms[ALPHA], "start-agent");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", false});
}

// Waits until the guest has reported that often more, and wants it to be as it was.
static void assert_goes_on(FaultScene *scene, int reports)
{
    int64_t actual_bytes = lab_actual(scene->vms[ALPHA]);
    int64_t first = -1;
    int64_t sequence = 0;
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    while (first < 0 || sequence < first + reports) {
        g_autoptr(json_t) guests = lab_query(scene->control, "query-guests");
        const json_t *guest = lab_find_guest(guests, "alpha");
        const json_t *report = json_object_get(guest, "report");
        sequence = json_integer_value(json_object_get(report, "sequence"));
        first = first < 0 ? sequence : first;
        assert_string_equal(json_word(guest, "agent"), "connected");
        assert_int_equal(lab_actual(scene->vms[ALPHA]), actual_bytes);
        assert_true(deadline_left_us(deadline_us) > 0);
        g_usleep(20 * MS_US);
    }
}

static void test_a_clock_that_jumps_changes_nothing(void **state)
{
    FaultScene *scene = *state;
    fault_run(scene->vms[ALPHA], "date -s @86400");
    assert_goes_on(scene, 2);
    fault_run(scene->vms[ALPHA], "date -s @4000000000");
    assert_goes_on(scene, 2);
}

static void test_a_guest_that_wants_more_than_it_may_have_kills_its_own(void **state)
{
    FaultScene *scene = *state;
    g_autoptr(GError) error = NULL;
    int status =
        vm_run(scene->vms[ALPHA], "load touch 600M --hold 0", VM_COMMAND_TIMEOUT_US, NULL, &error);
    assert_no_error(error);
    assert_int_not_equal(status, 0);
    assert_true(vm_oom_kills(scene->vms[ALPHA], &error) > 0);
    // Nobody else's, and not the agent.
    assert_int_equal(vm_oom_kills(scene->vms[BETA], &error), 0);
    assert_no_error(error);
    fault_run(scene->vms[ALPHA], "pidof aerostat-agent");
}

static void test_a_balloon_driver_that_goes_and_comes_back_is_taken_as_it_is(void **state)
{
    FaultScene *scene = *state;
    fault_run(scene->vms[ALPHA], "rmmod virtio_balloon");
    fault_run(scene->vms[BETA], WORK);
    fault_run(scene->vms[ALPHA], "insmod /modules/virtio_balloon.ko");
    lab_wait_settled(scene->control);
}

static void test_what_a_guest_had_that_panics_goes_to_the_other(void **state)
{
    FaultScene *scene = *state;
    g_autoptr(GError) error = NULL;
    vm_begin(scene->vms[ALPHA], "echo c >/proc/sysrq-trigger", &error);
    assert_no_error(error);
    fault_wait(scene, (FaultWish){"alpha", "state", "connecting", false});
    vm_wait_actual(scene->vms[BETA], FAULT_GUEST_BYTES, FAULT_GUEST_BYTES, SETTLE_TIMEOUT_US,
                   &error);
    assert_no_error(error);
    assert_false(vm_is_running(scene->vms[ALPHA]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_a_qemu_that_hangs_in_a_command_holds_up_nobody),
        FAULT_TEST(test_a_guest_whose_agent_is_stopped_is_not_shrunk),
        FAULT_TEST(test_rubbish_in_the_agents_place_harms_nobody),
        FAULT_TEST(test_a_clock_that_jumps_changes_nothing),
        FAULT_TEST(test_a_guest_that_wants_more_than_it_may_have_kills_its_own),
        FAULT_TEST(test_a_balloon_driver_that_goes_and_comes_back_is_taken_as_it_is),
        FAULT_TEST(test_what_a_guest_had_that_panics_goes_to_the_other),
    };
    return cmocka_run_group_tests(tests, fault_scene_begin, fault_scene_end);
}
