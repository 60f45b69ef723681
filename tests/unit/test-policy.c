// SPDX-License-Identifier: Apache-2.0
//
// The policy on small examples that can be followed by hand; the laws are tested over random states
// in tests/property.
#include "host-controller/policy/policy.h"
#include "tests/test.h"

#define MIB POLICY_MIB
#define SECOND_US INT64_C(1000000)

static PolicyGuest guest_of(int64_t size_mib, int64_t holds_mib, int64_t demand_mib)
{
    return (PolicyGuest){
        .size_bytes = size_mib * MIB,
        .actual_bytes = holds_mib * MIB,
        .target_bytes = holds_mib * MIB,
        .ceiling_bytes = holds_mib * MIB,
        .min_bytes = size_mib * MIB / 4,
        .max_bytes = size_mib * MIB,
        .weight = 1,
        .movable = true,
        .fresh = true,
        .demand = {.committed_bytes = demand_mib * MIB},
    };
}

static int64_t plan_mib(const PolicyGuest *guest)
{
    return guest->plan_bytes / MIB;
}

// --- shares -----------------------------------------------------------------------------------

static void test_a_host_is_short_by_what_the_least_of_all_is_above_its_budget(void **state)
{
    (void)state;
    PolicyGuest guests[] = {guest_of(1024, 600, 100), guest_of(1024, 600, 100)};
    // One can be brought to its min, a quarter; the other is stuck with what it may hold.
    guests[1].movable = false;
    PolicyHost host = {.budget_bytes = 856 * MIB};
    assert_int_equal(policy_shortfall_bytes(&host, guests, 2), 0);
    host.budget_bytes = 800 * MIB;
    assert_int_equal(policy_shortfall_bytes(&host, guests, 2), 56 * MIB);
    // The reserve is larger than the host.
    host.budget_bytes = -MIB;
    assert_int_equal(policy_shortfall_bytes(&host, guests, 2), 856 * MIB);
}

// The example of docs/policy.md.
static void test_the_worked_example_comes_out_as_written(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1344 * MIB};
    PolicyGuest guests[] = {guest_of(1024, 672, 568), guest_of(1024, 672, 118)};
    guests[0].demand.comfort_bytes = guests[1].demand.comfort_bytes = 32 * MIB;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[0].fair_share_bytes, 802 * MIB);
    assert_int_equal(guests[1].fair_share_bytes, 458 * MIB);

    guests[0].demand.committed_bytes = 968 * MIB;
    guests[0].demand.comfort_bytes = 32 * MIB;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[0].fair_share_bytes, 1002 * MIB);
    assert_int_equal(guests[1].fair_share_bytes, 258 * MIB);
}

static void test_everybody_has_its_max_when_the_budget_suffices(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB};
    PolicyGuest guests[] = {guest_of(1024, 300, 100), guest_of(1024, 300, 100)};
    policy_plan(&host, guests, 2);
    assert_int_equal(plan_mib(&guests[0]), 1024);
    assert_int_equal(plan_mib(&guests[1]), 1024);
}

static void test_what_nobody_demands_is_shared_out_unless_it_is_reclaimed(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1500 * MIB};
    PolicyGuest guests[] = {guest_of(1024, 300, 400), guest_of(1024, 300, 300)};
    policy_plan(&host, guests, 2);
    assert_true(guests[0].fair_share_bytes > 600 * MIB);
    assert_int_equal(guests[0].bound, POLICY_BOUND_FAIR_SHARE);
    host.reclaim = true;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[0].fair_share_bytes, 400 * MIB);
    assert_int_equal(guests[1].fair_share_bytes, 300 * MIB);
    assert_int_equal(guests[0].bound, POLICY_BOUND_DEMAND);
}

static void test_what_others_have_in_use_is_not_taken_for_a_burst(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1100 * MIB};
    PolicyGuest guests[] = {guest_of(1024, 680, 645), guest_of(1024, 400, 380)};
    guests[0].demand.headroom_bytes = 32 * MIB;
    guests[1].demand.headroom_bytes = 288 * MIB;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[0].fair_share_bytes, 677 * MIB);
    assert_int_equal(guests[1].fair_share_bytes, 423 * MIB);
    assert_int_equal(guests[1].demand.headroom_bytes, 43 * MIB);

    // Nor for another's headroom: what is left beyond what is in use is shared.
    guests[1].demand.committed_bytes = 415 * MIB;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[0].fair_share_bytes, 665 * MIB);
    assert_int_equal(guests[1].fair_share_bytes, 435 * MIB);
}

// It uses all it has and cannot show what it needs; another claims to use everything.
static void test_a_guest_with_nothing_free_is_given_a_little(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1300 * MIB};
    PolicyGuest guests[] = {guest_of(1024, 900, 900), guest_of(1024, 400, 400)};
    guests[0].demand.headroom_bytes = guests[1].demand.headroom_bytes = 32 * MIB;
    policy_plan(&host, guests, 2);
    assert_int_equal(guests[1].fair_share_bytes, 416 * MIB);
}

// --- the host's pool --------------------------------------------------------------------------

static void test_a_need_within_the_pool_is_met_at_once(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB};
    PolicyGuest guests[] = {guest_of(2048, 512, 500), guest_of(2048, 512, 500),
                            guest_of(2048, 512, 500)};
    policy_plan(&host, guests, 3);
    for (int i = 0; i < 3; i++) {
        guests[i].actual_bytes = guests[i].target_bytes = guests[i].ceiling_bytes =
            guests[i].plan_bytes;
    }
    guests[2].demand.committed_bytes = 1190 * MIB;
    policy_plan(&host, guests, 3);
    assert_true(plan_mib(&guests[2]) >= 1190);
}

static void test_a_need_above_the_pool_is_asked_of_those_who_have_most(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB};
    PolicyGuest guests[] = {guest_of(2048, 1400, 512), guest_of(2048, 700, 600),
                            guest_of(2048, 900, 1400)};
    policy_plan(&host, guests, 3);
    assert_true(plan_mib(&guests[0]) < 1400);
    assert_int_equal(plan_mib(&guests[1]), 700);
    assert_int_equal(plan_mib(&guests[2]), 1100);
}

// The pool has room enough, nobody is due anything: it gives all the same.
static void test_a_guest_far_above_its_share_gives_back(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB};
    PolicyGuest guests[] = {guest_of(2048, 1000, 500), guest_of(2048, 1000, 500),
                            guest_of(2048, 1070, 500)};
    policy_plan(&host, guests, 3);
    assert_int_equal(plan_mib(&guests[0]), 1000);
    assert_int_equal(guests[2].plan_bytes, guests[2].fair_share_bytes);
}

static void test_a_small_surplus_is_left_alone_while_the_pool_is_full(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB};
    PolicyGuest guests[] = {guest_of(2048, 1000, 500), guest_of(2048, 1000, 500),
                            guest_of(2048, 1050, 500)};
    policy_plan(&host, guests, 3);
    assert_int_equal(plan_mib(&guests[2]), 1050);
    assert_int_equal(guests[2].bound, POLICY_BOUND_PLENTY);
}

static void test_a_pool_half_empty_is_filled_again(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB};
    PolicyGuest guests[] = {guest_of(2048, 1036, 500), guest_of(2048, 1036, 500),
                            guest_of(2048, 1036, 500)};
    policy_plan(&host, guests, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(plan_mib(&guests[i]), 1000);
    }
}

static void test_what_is_found_at_the_start_is_left_as_it_is(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 3200 * MIB, .adopting = true};
    PolicyGuest guests[] = {guest_of(2048, 600, 500), guest_of(2048, 1000, 500),
                            guest_of(2048, 1500, 500)};
    policy_plan(&host, guests, 3);
    assert_int_equal(plan_mib(&guests[0]), 600);
    assert_int_equal(plan_mib(&guests[1]), 1000);
    assert_int_equal(plan_mib(&guests[2]), 1500);
}

// Not even by what would not be worth a command otherwise.
static void test_a_guest_above_its_max_is_brought_to_it(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 4096 * MIB};
    PolicyGuest guest = guest_of(1024, 606, 100);
    guest.max_bytes = 600 * MIB;
    policy_plan(&host, &guest, 1);
    assert_int_equal(plan_mib(&guest), 600);
    // What is found at the start has time.
    host.adopting = true;
    policy_plan(&host, &guest, 1);
    assert_int_equal(plan_mib(&guest), 606);
}

// --- demand -----------------------------------------------------------------------------------

typedef struct Reporter {
    PolicyHistory history;
    PolicyDemand demand;
    PolicySample sample;
} Reporter;

static void report(Reporter *reporter, int64_t after_us, int64_t committed_mib)
{
    reporter->sample.at_us += after_us;
    reporter->sample.held_bytes = 4096 * MIB;
    reporter->sample.available_bytes = reporter->sample.free_bytes = (4096 - committed_mib) * MIB;
    policy_demand_update(&reporter->history, &reporter->sample, 4096 * MIB, &reporter->demand);
}

static void test_a_burst_is_provided_for_and_forgotten_after_twenty_seconds(void **state)
{
    (void)state;
    Reporter reporter = {0};
    report(&reporter, SECOND_US, 500);
    int64_t calm_bytes = reporter.demand.headroom_bytes;
    report(&reporter, SECOND_US / 10, 600);
    int64_t burst_bytes = reporter.demand.headroom_bytes - calm_bytes;
    // 960 MiB/s (100 MiB less the noise) for a tenth of a second and 400 ms to react.
    assert_in_range(burst_bytes, 479 * MIB, 480 * MIB);
    assert_int_equal(reporter.demand.burst.bytes, burst_bytes);
    assert_int_equal(reporter.demand.burst.lasts_us, SECOND_US / 2);
    assert_in_range(reporter.demand.burst.growth_bytes_per_s, 959 * MIB, 960 * MIB);
    for (int i = 0; i < 9; i++) {
        report(&reporter, SECOND_US, 600);
    }
    assert_int_equal(reporter.demand.headroom_bytes - calm_bytes, burst_bytes);
    for (int i = 0; i < 11; i++) {
        report(&reporter, SECOND_US, 600);
    }
    assert_int_equal(reporter.demand.headroom_bytes, calm_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_is_short_by_what_the_least_of_all_is_above_its_budget),
        cmocka_unit_test(test_the_worked_example_comes_out_as_written),
        cmocka_unit_test(test_everybody_has_its_max_when_the_budget_suffices),
        cmocka_unit_test(test_what_nobody_demands_is_shared_out_unless_it_is_reclaimed),
        cmocka_unit_test(test_what_others_have_in_use_is_not_taken_for_a_burst),
        cmocka_unit_test(test_a_guest_with_nothing_free_is_given_a_little),
        cmocka_unit_test(test_a_need_within_the_pool_is_met_at_once),
        cmocka_unit_test(test_a_need_above_the_pool_is_asked_of_those_who_have_most),
        cmocka_unit_test(test_a_guest_far_above_its_share_gives_back),
        cmocka_unit_test(test_a_small_surplus_is_left_alone_while_the_pool_is_full),
        cmocka_unit_test(test_a_pool_half_empty_is_filled_again),
        cmocka_unit_test(test_what_is_found_at_the_start_is_left_as_it_is),
        cmocka_unit_test(test_a_guest_above_its_max_is_brought_to_it),
        cmocka_unit_test(test_a_burst_is_provided_for_and_forgotten_after_twenty_seconds),
    };
    return run_test_table(tests);
}
