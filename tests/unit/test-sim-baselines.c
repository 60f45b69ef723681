// SPDX-License-Identifier: Apache-2.0
//
// The policies ours is compared with: moves worked out by hand.
#include "tests/test.h"

#include "host-controller/sim/quantity.h"
#include "host-controller/sim/sim-policy.h"

#include <string.h>

#define MAX_GUESTS 3

// Guests of 4 GiB and a policy to decide about them.
typedef struct Rig {
    const SimPolicy *policy;
    void *state;
    size_t count;
    SimObservation guests[MAX_GUESTS];
    int64_t targets[MAX_GUESTS];
    int64_t now_us;
} Rig;

static void set_up(Rig *rig, const SimPolicy *policy, int64_t budget_mib)
{
    SimPolicySettings settings = {.budget_bytes = budget_mib * SIM_MIB};
    *rig = (Rig){.policy = policy, .state = policy->new (&settings, MAX_GUESTS)};
}

// Adds a guest that has `actual_mib`, of which `free_mib` are free.
static void add(Rig *rig, int64_t actual_mib, int64_t free_mib)
{
    rig->guests[rig->count++] = (SimObservation){
        .size_bytes = 4 * SIM_GIB,
        .min_bytes = 512 * SIM_MIB,
        .max_bytes = 4 * SIM_GIB,
        .weight = 100,
        .actual_bytes = actual_mib * SIM_MIB,
        .target_bytes = actual_mib * SIM_MIB,
        .free_bytes = free_mib * SIM_MIB,
        .available_bytes = free_mib * SIM_MIB,
    };
}

static void decide(Rig *rig, int cycles)
{
    for (int i = 0; i < cycles; i++) {
        for (size_t k = 0; k < rig->count; k++) {
            rig->targets[k] = rig->guests[k].target_bytes;
        }
        rig->policy->tick(rig->state, rig->now_us, rig->guests, rig->count, rig->targets);
        rig->now_us += rig->policy->period_us;
    }
}

static void assert_target(const Rig *rig, size_t i, int64_t mib)
{
    assert_int_equal(rig->targets[i] / SIM_MIB, mib);
}

static void static_gives_everyone_its_part_by_size(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_static, 3000);
    add(&rig, 1000, 0);
    add(&rig, 1000, 0);
    rig.guests[1].size_bytes = 2 * SIM_GIB;
    rig.guests[1].max_bytes = 2 * SIM_GIB;
    decide(&rig, 1);
    assert_target(&rig, 0, 2000);
    assert_target(&rig, 1, 1000);
    rig.policy->free(rig.state);
}

// Budget 5,000, so 4,000 are to be used: 3,000 are, both may grow by 100 in a cycle.
static void proportional_grows_by_a_hundred_mib_a_cycle(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_proportional, 5000);
    add(&rig, 1500, 1000);
    add(&rig, 1500, 1000);
    decide(&rig, 1);
    assert_target(&rig, 0, 1600);
    assert_target(&rig, 1, 1600);
    rig.policy->free(rig.state);
}

// 60 MiB are left to grow by: the one short of free memory (a quarter of its min) gets them.
static void proportional_grows_who_is_short_first(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_proportional, 5000);
    add(&rig, 1100, 1000);
    add(&rig, 1100, 100);
    add(&rig, 1740, 1000);
    decide(&rig, 1);
    assert_target(&rig, 0, 1100);
    assert_target(&rig, 1, 1160);
    assert_target(&rig, 2, 1740);
    rig.policy->free(rig.state);
}

// 4,150 are used of 4,000: the one with enough gives the 100 it may, the other one nothing.
static void proportional_shrinks_who_has_enough_first(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_proportional, 5000);
    add(&rig, 2075, 100);
    add(&rig, 2075, 1000);
    decide(&rig, 1);
    assert_target(&rig, 0, 2075);
    assert_target(&rig, 1, 1975);
    rig.policy->free(rig.state);
}

// The same with nobody who has enough: each one's part is 2,000.
static void proportional_shrinks_even_who_is_short(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_proportional, 5000);
    add(&rig, 2075, 100);
    add(&rig, 2075, 100);
    decide(&rig, 1);
    assert_target(&rig, 0, 2000);
    assert_target(&rig, 1, 2000);
    rig.policy->free(rig.state);
}

static void proportional_leaves_small_differences_alone(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_proportional, 5000);
    add(&rig, 1995, 1000);
    add(&rig, 1996, 1000);
    decide(&rig, 1);
    assert_target(&rig, 0, 1995);
    assert_target(&rig, 1, 1996);
    rig.policy->free(rig.state);
}

// 10 % of the host is free: everyone shrinks by 5 %, but keeps used + 10 % of what it has.
static void mom_shrinks_by_five_percent_and_not_below_use(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_mom, 4000);
    add(&rig, 1600, 1000);
    add(&rig, 2000, 250);
    decide(&rig, 2);
    assert_target(&rig, 0, 1520);
    assert_target(&rig, 1, 1950);
    rig.policy->free(rig.state);
}

// More than 20 % of the host is free: used + 20 %, or 5 % more, whichever is more.
static void mom_grows_everyone_when_the_host_has_room(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_mom, 8000);
    add(&rig, 1000, 900);
    add(&rig, 1000, 50);
    decide(&rig, 2);
    assert_target(&rig, 0, 1050);
    assert_target(&rig, 1, 1150);
    rig.policy->free(rig.state);
}

// Five samples of 1,000 used, then five of 2,000: it believes in 1,500.
static void mom_averages_over_ten_samples(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_mom, 16000);
    add(&rig, 3000, 2000);
    decide(&rig, 5);
    rig.guests[0].free_bytes = 1000 * SIM_MIB;
    decide(&rig, 5);
    assert_target(&rig, 0, 3150);
    rig.guests[0].actual_bytes = 2000 * SIM_MIB;
    rig.guests[0].free_bytes = 0;
    decide(&rig, 4);
    // Now 1 of 1,000 and 9 of 2,000 stand beside each other: 1,900 and 20 % of 2,000.
    assert_target(&rig, 0, 2300);
    rig.policy->free(rig.state);
}

// Use 87 %, error 7 %: P takes 3.5 %, I first 1.75 % and then 3.5 % of 4,096 MiB.
static void pi_takes_by_error_and_integral(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_pi, 4000);
    add(&rig, 3480, 3000);
    decide(&rig, 1);
    assert_target(&rig, 0, 3480 - 216);
    decide(&rig, 1);
    assert_target(&rig, 0, 3480 - 287);
    rig.policy->free(rig.state);
}

static void pi_leaves_what_is_used_until_ninety_percent(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_pi, 4000);
    add(&rig, 1700, 0);
    add(&rig, 1700, 1000);
    decide(&rig, 1);
    assert_target(&rig, 0, 1700);
    // Error 5 %: P takes 2.5 %, I 1.25 % of 4,096 MiB.
    assert_target(&rig, 1, 1700 - 154);
    rig.policy->free(rig.state);

    set_up(&rig, &sim_policy_pi, 4000);
    add(&rig, 3700, 0);
    decide(&rig, 1);
    // Error 12.5 %: P takes 6.25 %, I 3.125 %.
    assert_target(&rig, 0, 3700 - 384);
    rig.policy->free(rig.state);
}

static void pi_does_not_wind_up(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_pi, 4000);
    add(&rig, 3500, 0);
    decide(&rig, 50);
    assert_target(&rig, 0, 3500);
    // The host has room again: at once the guest gets some.
    rig.guests[0].actual_bytes = 2800 * SIM_MIB;
    rig.guests[0].target_bytes = 2800 * SIM_MIB;
    decide(&rig, 1);
    assert_true(rig.targets[0] > 2800 * SIM_MIB);
    rig.policy->free(rig.state);
}

static void the_poller_gives_use_and_equal_headroom(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig, &sim_policy_poller, 4000);
    add(&rig, 2000, 1000);
    add(&rig, 2000, 500);
    decide(&rig, 1);
    assert_target(&rig, 0, 1750);
    assert_target(&rig, 1, 2250);
    rig.policy->free(rig.state);
}

static void policies_are_found_by_name(void **unused)
{
    (void)unused;
    for (size_t i = 0; sim_policies[i]; i++) {
        assert_ptr_equal(sim_policy_find(sim_policies[i]->name), sim_policies[i]);
    }
    assert_null(sim_policy_find("none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_gives_everyone_its_part_by_size),
        cmocka_unit_test(proportional_grows_by_a_hundred_mib_a_cycle),
        cmocka_unit_test(proportional_grows_who_is_short_first),
        cmocka_unit_test(proportional_shrinks_who_has_enough_first),
        cmocka_unit_test(proportional_shrinks_even_who_is_short),
        cmocka_unit_test(proportional_leaves_small_differences_alone),
        cmocka_unit_test(mom_shrinks_by_five_percent_and_not_below_use),
        cmocka_unit_test(mom_grows_everyone_when_the_host_has_room),
        cmocka_unit_test(mom_averages_over_ten_samples),
        cmocka_unit_test(pi_takes_by_error_and_integral),
        cmocka_unit_test(pi_leaves_what_is_used_until_ninety_percent),
        cmocka_unit_test(pi_does_not_wind_up),
        cmocka_unit_test(the_poller_gives_use_and_equal_headroom),
        cmocka_unit_test(policies_are_found_by_name),
    };
    return run_test_table(tests);
}
