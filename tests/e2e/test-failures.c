// SPDX-License-Identifier: Apache-2.0
//
// Each part in turn is killed while the others run. What the others then do, and above all do not.
#include "tests/e2e/lab.h"

#include <signal.h>

#define GUEST_BYTES (512 * MIB)
#define BUDGET_BYTES (3 * GUEST_BYTES / 2)
// Long enough for anything that would move to have moved: a plan is made once a second at least,
// and a guest counts as stale after three.
#define WATCH_US (5 * SECOND_US)

typedef struct Scene {
    VmLab *lab;
    Vm *vms[2];
    Process *controller;
    QmpSession *control;
} Scene;

// Two settled guests, each with less than it was started with.
static void set_scene(Scene *scene, VmLab *lab)
{
    *scene = (Scene){.lab = lab};
    lab_boot(lab, scene->vms, 2, GUEST_BYTES);
    scene->controller = lab_control(lab, BUDGET_BYTES, &scene->control);
    lab_wait_settled(scene->control);
    assert_true(lab_actual(scene->vms[0]) < GUEST_BYTES);
    assert_true(lab_actual(scene->vms[1]) < GUEST_BYTES);
}

// Looks at both guests for a while: neither moves.
static void assert_nothing_moves(const Scene *scene, const int64_t expected_bytes[2])
{
    int64_t deadline_us = deadline_after(WATCH_US);
    while (deadline_left_us(deadline_us) > 0) {
        assert_int_equal(lab_actual(scene->vms[0]), expected_bytes[0]);
        assert_int_equal(lab_actual(scene->vms[1]), expected_bytes[1]);
        g_usleep(20 * MS_US);
    }
}

static bool alpha_is_gone_and_beta_has_all(const json_t *guests, void *context)
{
    (void)context;
    const json_t *beta = lab_find_guest(guests, "beta");
    return strcmp(json_word(lab_find_guest(guests, "alpha"), "state"), "connecting") == 0 &&
           strcmp(json_word(beta, "state"), "settled") == 0 &&
           json_integer_value(json_object_get(beta, "actual")) == GUEST_BYTES;
}

static void test_what_a_killed_guest_had_goes_to_the_others(void **state)
{
    Scene scene;
    set_scene(&scene, *state);
    vm_kill(scene.vms[0]);
    lab_wait_guests(scene.control, alpha_is_gone_and_beta_has_all, NULL);
    assert_true(process_is_running(scene.controller));
    qmp_session_close(scene.control);
}

static bool beta_has_no_agent(const json_t *guests, void *context)
{
    (void)context;
    const char *agent = json_word(lab_find_guest(guests, "beta"), "agent");
    return strcmp(agent, "connected") != 0;
}

static void test_a_guest_whose_agent_is_killed_stays_as_it_is(void **state)
{
    Scene scene;
    set_scene(&scene, *state);
    g_autoptr(GError) error = NULL;
    const int64_t before_bytes[2] = {lab_actual(scene.vms[0]), lab_actual(scene.vms[1])};
    assert_int_equal(
        vm_run(scene.vms[1], "killall -9 aerostat-agent", VM_COMMAND_TIMEOUT_US, NULL, &error), 0);
    lab_wait_guests(scene.control, beta_has_no_agent, NULL);
    assert_nothing_moves(&scene, before_bytes);

    // A new agent is found by itself.
    assert_true(vm_run_in_background(scene.vms[1], "/usr/sbin/aerostat-agent", &error) > 0);
    lab_wait_settled(scene.control);
    qmp_session_close(scene.control);
}

// Ends the controller with a signal, and starts the next one as an upgrade does.
static void replace_controller(Scene *scene, int signal_number, int expected_status,
                               const int64_t before_bytes[2])
{
    g_autoptr(GError) error = NULL;
    process_kill(scene->controller, signal_number);
    assert_int_equal(process_wait(scene->controller, CONTROL_TIMEOUT_US, &error), expected_status);
    qmp_session_close(scene->control);
    assert_nothing_moves(scene, before_bytes);

    scene->controller = lab_control(scene->lab, BUDGET_BYTES, &scene->control);
    lab_wait_settled(scene->control);
    assert_nothing_moves(scene, before_bytes);
}

static void test_no_balloon_is_told_anything_because_a_controller_dies_or_is_replaced(void **state)
{
    Scene scene;
    set_scene(&scene, *state);
    g_autoptr(GError) error = NULL;
    const int64_t before_bytes[2] = {lab_actual(scene.vms[0]), lab_actual(scene.vms[1])};
    for (size_t i = 0; i < 2; i++) {
        vm_trace_targets(scene.vms[i], &error);
        assert_no_error(error);
    }
    replace_controller(&scene, SIGKILL, 128 + SIGKILL, before_bytes);
    replace_controller(&scene, SIGTERM, 0, before_bytes);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(vm_targets_traced(scene.vms[i]), 0);
    }

    // The trace does tell, and the balloons were adopted where they stood.
    g_autoptr(json_t) guests = lab_query(scene.control, "query-guests");
    const json_t *alpha = lab_find_guest(guests, "alpha");
    assert_int_equal(json_integer_value(json_object_get(alpha, "target")), before_bytes[0]);
    vm_set_target(scene.vms[0], before_bytes[0], &error);
    assert_no_error(error);
    assert_int_equal(vm_targets_traced(scene.vms[0]), 1);
    qmp_session_close(scene.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_what_a_killed_guest_had_goes_to_the_others),
        LAB_TEST(test_a_guest_whose_agent_is_killed_stays_as_it_is),
        LAB_TEST(test_no_balloon_is_told_anything_because_a_controller_dies_or_is_replaced),
    };
    return run_test_table(tests);
}
