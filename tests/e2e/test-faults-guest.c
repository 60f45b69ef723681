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

// Stops alpha's QEMU and has it told a target, which is refused once its last report is too old.
static void hang_in_a_command(FaultScene *scene)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    do {
        assert_true(deadline_left_us(deadline_us) > 0);
        kill(vm_pid(scene->vms[ALPHA]), SIGCONT);
        lab_wait_settled(scene->control);
        kill(vm_pid(scene->vms[ALPHA]), SIGSTOP);
    } while (!lab_try_target(scene->control, "alpha", 300 * MIB));
}

static void release_target(FaultScene *scene, const char *guest)
{
    g_autoptr(GError) error = NULL;
    json_decref(qmp_session_execute(scene->control, "set-target",
                                    json_pack("{s:s, s:n}", "name", guest, "bytes"),
                                    CONTROL_TIMEOUT_US, &error));
    assert_no_error(error);
}

static void test_a_qemu_that_hangs_in_a_command_holds_up_nobody(void **state)
{
    FaultScene *scene = *state;
    hang_in_a_command(scene);
    fault_wait(scene, (FaultWish){"alpha", "state", "connecting", false});
    fault_run(scene->vms[BETA], WORK);
    // It still holds what it had.
    assert_true(lab_host_number(scene->control, "sum-actual") > FAULT_GUEST_BYTES);
    kill(vm_pid(scene->vms[ALPHA]), SIGCONT);
    fault_wait(scene, (FaultWish){"alpha", "state", "connecting", true});
    release_target(scene, "alpha");
}

// Beta works, for which alpha, whose agent reports no more, is not shrunk. Until after half a
// minute its balloon's statistics stand in for it; then false.
static bool work_beside_silent_alpha(FaultScene *scene, int64_t before_bytes)
{
    fault_run(scene->vms[BETA], WORK);
    int64_t now_bytes = lab_actual(scene->vms[ALPHA]);
    g_autofree char *source = fault_word(scene, ALPHA, "source");
    bool silent = strcmp(source, "guest-stats") != 0;
    assert_true(!silent || now_bytes >= before_bytes);
    return silent;
}

static void test_a_guest_whose_agent_is_stopped_is_not_shrunk(void **state)
{
    FaultScene *scene = *state;
    fault_run(scene->vms[ALPHA], "kill -STOP $(pidof aerostat-agent)");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", true});
    int64_t before_bytes = lab_actual(scene->vms[ALPHA]);
    int64_t deadline_us = deadline_after(fault_pause_us());
    while (deadline_left_us(deadline_us) > 0 && work_beside_silent_alpha(scene, before_bytes)) {
    }
    fault_run(scene->vms[ALPHA], "kill -CONT $(pidof aerostat-agent)");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", false});
}

static void test_rubbish_in_the_agents_place_harms_nobody(void **state)
{
    FaultScene *scene = *state;
    g_autoptr(GError) error = NULL;
    fault_run(scene->vms[ALPHA], "stop-agent");
    int64_t pid = vm_run_in_background(
        scene->vms[ALPHA], PORT_OF_AGENT "while :; do cat /dev/urandom >$port; done", &error);
    assert_no_error(error);
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", true});
    work_beside_silent_alpha(scene, lab_actual(scene->vms[ALPHA]));
    fault_wait(scene, (FaultWish){"beta", "agent", "connected", false});
    vm_end_background(scene->vms[ALPHA], pid, &error);
    assert_no_error(error);
    fault_run(scene->vms[ALPHA], "start-agent");
    fault_wait(scene, (FaultWish){"alpha", "agent", "connected", false});
}

// What is provided for because guests have lately grown by as much.
static int64_t burst_bytes(FaultScene *scene)
{
    g_autoptr(json_t) plan = lab_query(scene->control, "query-plan");
    int64_t sum_bytes = 0;
    size_t index;
    json_t *guest;
    json_array_foreach (json_object_get(plan, "guests"), index, guest) {
        const json_t *demand = json_object_get(guest, "demand");
        sum_bytes += json_integer_value(json_object_get(demand, "burst"));
    }
    return sum_bytes;
}

// Waits until nothing is left that would move memory when it is forgotten.
static void wait_until_growth_is_forgotten(FaultScene *scene)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    while (burst_bytes(scene) > 0) {
        assert_true(deadline_left_us(deadline_us) > 0);
        lab_await_event(scene->control);
    }
    lab_wait_settled(scene->control);
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
    wait_until_growth_is_forgotten(scene);
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

static VmConditionResult has_ended(Vm *vm, void *context, GError **error)
{
    (void)context;
    (void)error;
    return vm_is_running(vm) ? VM_CONDITION_NOT_YET : VM_CONDITION_HOLDS;
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
    vm_wait_until(scene->vms[ALPHA], has_ended, NULL, "its end", SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        // First, so that there is little growth to be forgotten.
        FAULT_TEST(test_a_clock_that_jumps_changes_nothing),
        FAULT_TEST(test_a_qemu_that_hangs_in_a_command_holds_up_nobody),
        FAULT_TEST(test_a_guest_whose_agent_is_stopped_is_not_shrunk),
        FAULT_TEST(test_rubbish_in_the_agents_place_harms_nobody),
        FAULT_TEST(test_a_guest_that_wants_more_than_it_may_have_kills_its_own),
        FAULT_TEST(test_a_balloon_driver_that_goes_and_comes_back_is_taken_as_it_is),
        FAULT_TEST(test_what_a_guest_had_that_panics_goes_to_the_other),
    };
    return cmocka_run_group_tests(tests, fault_scene_begin, fault_scene_end);
}
