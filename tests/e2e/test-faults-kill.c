// SPDX-License-Identifier: Apache-2.0
//
// An agent, the controller or a QEMU is killed at a random moment, again and again, while memory
// moves between the guests. Each time everything settles within the budget, and nothing that was
// not killed ends.
//
// The seed is printed; AEROSTAT_SEED=N repeats a run's choices.
#include "tests/e2e/fault-scene.h"

#include "tests/support/random.h"

#define LONGEST_WAIT_US (2 * SECOND_US)
// Takes turns in the guests, so that the kill falls into a hand-over; fits into either's part.
#define LOAD "load touch 150M --hold 1"

typedef enum Victim { VICTIM_AGENT, VICTIM_CONTROLLER, VICTIM_QEMU, VICTIM_COUNT } Victim;

static void kill_victim(FaultScene *scene, Victim victim, Vm *vm)
{
    switch (victim) {
    case VICTIM_AGENT:
        fault_kill_agent(vm);
        break;
    case VICTIM_CONTROLLER:
        fault_end_controller(scene, SIGKILL, 128 + SIGKILL);
        break;
    case VICTIM_QEMU:
    case VICTIM_COUNT:
        vm_kill(vm);
        break;
    }
}

// However slow its guest is, a load ends before the next round's begins.
static void wait_for_end(Vm *vm, int64_t pid)
{
    g_autofree char *command = g_strdup_printf(
        "while kill -0 -%" G_GINT64_FORMAT " 2>/dev/null; do usleep 10000; done", pid);
    fault_run(vm, command);
}

static void test_whoever_is_killed_at_whatever_moment_all_settles_again(void **state)
{
    static const char *const names[VICTIM_COUNT] = {"agent", "controller", "QEMU"};
    FaultScene *scene = *state;
    g_autoptr(GError) error = NULL;
    Random random = random_begin("kills");
    int64_t rounds = fault_setting("AEROSTAT_FAULT_ROUNDS", 6);
    for (int64_t round = 0; round < rounds; round++) {
        Victim victim = (Victim)(round % VICTIM_COUNT);
        size_t which = (size_t)random_between(&random, 0, FAULT_GUESTS - 1);
        // What a guest lost while it was without a controller is none of the others' fault.
        int64_t kills = vm_oom_kills(scene->vms[1 - which], &error);
        assert_no_error(error);
        int64_t load = vm_run_in_background(scene->vms[which], LOAD, &error);
        assert_no_error(error);
        int64_t wait_us = random_between(&random, 0, LONGEST_WAIT_US);
        g_usleep((gulong)wait_us);
        kill_victim(scene, victim, scene->vms[which]);
        assert_true(victim == VICTIM_CONTROLLER || process_is_running(scene->controller));
        assert_true(vm_is_running(scene->vms[1 - which]));
        fault_heal(scene);
        if (victim != VICTIM_QEMU) {
            wait_for_end(scene->vms[which], load);
        }
        assert_int_equal(vm_oom_kills(scene->vms[1 - which], &error), kills);
        print_message("%3" G_GINT64_FORMAT ": %s of %s after %" G_GINT64_FORMAT " ms\n", round + 1,
                      names[victim], vm_name(scene->vms[which]), wait_us / MS_US);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_whoever_is_killed_at_whatever_moment_all_settles_again),
    };
    return cmocka_run_group_tests(tests, fault_scene_begin, fault_scene_end);
}
