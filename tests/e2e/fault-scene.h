// SPDX-License-Identifier: Apache-2.0
//
// Two real guests under a real controller, to which things happen. The expected outcomes stand in
// docs/testing.md.
//
// One scene serves all tests of a program. Before each one it is made whole: dead guests, agents
// and controllers are started again, and everything has settled.
//
// Environment:
//   AEROSTAT_FAULT_PAUSE_S  for how long a part is stopped (default 3)
//   AEROSTAT_FAULT_ROUNDS   how often one of them is killed (default 6)
#pragma once

#include "tests/e2e/lab.h"

#include <signal.h>

#define FAULT_GUEST_BYTES (512 * MIB)
#define FAULT_BUDGET_BYTES (3 * FAULT_GUEST_BYTES / 2)
#define FAULT_GUESTS 2

typedef struct FaultScene {
    VmLab *lab;
    Vm *vms[FAULT_GUESTS]; // alpha, beta; NULL: to be booted
    Process *controller;
    QmpSession *control;
} FaultScene;

static inline int64_t fault_setting(const char *name, int64_t otherwise)
{
    const char *text = g_getenv(name);
    return text ? g_ascii_strtoll(text, NULL, 10) : otherwise;
}

static inline int64_t fault_pause_us(void)
{
    return fault_setting("AEROSTAT_FAULT_PAUSE_S", 3) * SECOND_US;
}

static inline int fault_scene_end(void **state)
{
    FaultScene *scene = *state;
    qmp_session_close(scene->control);
    vm_lab_free(scene->lab);
    g_free(scene);
    return 0;
}

static inline int fault_scene_begin(void **state)
{
    g_autoptr(GError) error = NULL;
    FaultScene *scene = g_new0(FaultScene, 1);
    *state = scene;
    scene->lab = vm_lab_new(&error);
    if (error) {
        print_error("%s\n", error->message);
    }
    return scene->lab ? 0 : -1;
}

// --- the guests -------------------------------------------------------------------------------

// Boots the guests that are not there.
static inline void fault_boot(FaultScene *scene)
{
    static const char *const names[FAULT_GUESTS] = {"alpha", "beta"};
    g_autoptr(GError) error = NULL;
    for (size_t i = 0; i < FAULT_GUESTS; i++) {
        if (scene->vms[i] && !vm_is_running(scene->vms[i])) {
            vm_lab_remove(scene->lab, scene->vms[i]);
            scene->vms[i] = NULL;
        }
        if (!scene->vms[i]) {
            VmOptions options = {.name = names[i], .memory_bytes = FAULT_GUEST_BYTES};
            scene->vms[i] = vm_lab_add(scene->lab, &options, &error);
            assert_no_error(error);
        }
    }
    vm_lab_wait_ready(scene->lab, &error);
    assert_no_error(error);
}

// Runs a command in a guest that must succeed there.
static inline void fault_run(Vm *vm, const char *command)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    int status = vm_run(vm, command, VM_COMMAND_TIMEOUT_US, &output, &error);
    assert_no_error(error);
    if (status != 0) {
        fail_msg("%s in %s: %d, %s", command, vm_name(vm), status, output);
    }
}

// Kills the agent in a guest and waits for its end, which comes a moment after the signal.
static inline void fault_kill_agent(Vm *vm)
{
    fault_run(vm, "killall -9 aerostat-agent; "
                  "while pidof aerostat-agent >/dev/null; do usleep 10000; done");
}

// --- the controller ---------------------------------------------------------------------------

static inline void fault_start_controller(FaultScene *scene)
{
    g_clear_pointer(&scene->control, qmp_session_close);
    scene->controller = lab_control(scene->lab, FAULT_BUDGET_BYTES, &scene->control);
}

static inline void fault_end_controller(FaultScene *scene, int signal_number, int expected_status)
{
    g_autoptr(GError) error = NULL;
    process_kill(scene->controller, signal_number);
    assert_int_equal(process_wait(scene->controller, CONTROL_TIMEOUT_US, &error), expected_status);
    g_clear_pointer(&scene->control, qmp_session_close);
}

// Everything runs, reports and rests, and the budget is kept.
static inline void fault_heal(FaultScene *scene)
{
    fault_boot(scene);
    for (size_t i = 0; i < FAULT_GUESTS; i++) {
        fault_run(scene->vms[i], "pidof aerostat-agent >/dev/null || start-agent");
    }
    if (!scene->control || !process_is_running(scene->controller)) {
        fault_start_controller(scene);
    }
    lab_wait_settled(scene->control);
    assert_true(lab_sum_actual(scene->vms, FAULT_GUESTS) <= FAULT_BUDGET_BYTES);
}

static inline int fault_scene_heal(void **state)
{
    fault_heal(*state);
    return 0;
}

static inline char *fault_word(FaultScene *scene, size_t guest, const char *name)
{
    g_autoptr(json_t) guests = lab_query(scene->control, "query-guests");
    return g_strdup(json_word(lab_find_guest(guests, vm_name(scene->vms[guest])), name));
}

// What is awaited of one guest: member `name` is, or is not, `word`.
typedef struct FaultWish {
    const char *guest;
    const char *name;
    const char *word;
    bool negated;
} FaultWish;

static inline bool fault_wish_holds(const json_t *guests, void *context)
{
    const FaultWish *wish = context;
    const char *word = json_word(lab_find_guest(guests, wish->guest), wish->name);
    return (strcmp(word, wish->word) == 0) != wish->negated;
}

static inline void fault_wait(FaultScene *scene, FaultWish wish)
{
    lab_wait_guests(scene->control, fault_wish_holds, &wish);
}

#define FAULT_TEST(function) cmocka_unit_test_setup(function, fault_scene_heal)
