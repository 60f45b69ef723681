// SPDX-License-Identifier: Apache-2.0
//
// Who gets what over random states: the laws of fairness (L4, L5, L10), and that each share is the
// sum of its reasons.
#include "tests/support/random-states.h"
#include "tests/test.h"

// In how many steps a budget is shared out.
#define TIERS 6

static bool takes_part(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh;
}

// What the guest has in use and a little that is free, within its range.
static int64_t used(const PolicyGuest *guest)
{
    int64_t free_bytes = policy_min(guest->demand.headroom_bytes, POLICY_FREE_BYTES);
    int64_t wanted =
        guest->pinned
            ? guest->pinned_bytes
            : policy_clamp(guest->demand.committed_bytes, 0, POLICY_MAX_BYTES) + free_bytes;
    return policy_clamp(wanted, guest->min_bytes, guest->max_bytes);
}

static bool is_cut(const PolicyGuest *guest)
{
    return takes_part(guest) && guest->fair_share_bytes < used(guest);
}

// Who is cut has the highest level of all: nobody else has more above its min by weight, nor more
// than it has in use.
static void check_max_min(Random *random, const RandomState *before, const RandomState *after)
{
    (void)random;
    (void)before;
    int64_t level = -1;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        if (is_cut(guest)) {
            int64_t above_min = guest->fair_share_bytes - guest->min_bytes;
            assert_true(above_min % guest->weight == 0);
            assert_true(level < 0 || above_min / guest->weight == level);
            level = above_min / guest->weight;
        }
    }
    for (size_t i = 0; i < after->count && level >= 0; i++) {
        const PolicyGuest *guest = &after->guests[i];
        assert_true(!takes_part(guest) ||
                    (guest->fair_share_bytes - guest->min_bytes <= level * guest->weight &&
                     guest->fair_share_bytes <= used(guest)));
    }
}

static void law_4_under_scarcity_the_shares_are_weighted_max_min_fair(void **unused)
{
    (void)unused;
    random_states_check(__func__, check_max_min);
}

// Plans the state once more with one guest claiming more.
static const RandomState *plan_with_a_claim(Random *random, const RandomState *before,
                                            size_t claimant)
{
    static RandomState state;
    random_state_copy(&state, before);
    PolicyDemand *demand = &state.guests[claimant].demand;
    demand->committed_bytes =
        policy_clamp(demand->committed_bytes, 0, POLICY_MAX_BYTES) + random_size(random, 0, 44);
    policy_plan(&state.host, state.guests, state.count);
    return &state;
}

static void check_no_gain(Random *random, const RandomState *before, const RandomState *after)
{
    size_t claimant = (size_t)random_between(random, 0, (int64_t)after->count - 1);
    if (is_cut(&after->guests[claimant])) {
        const RandomState *claimed = plan_with_a_claim(random, before, claimant);
        assert_true(claimed->guests[claimant].fair_share_bytes ==
                    after->guests[claimant].fair_share_bytes);
    }
}

static void law_4_a_guest_that_is_cut_gains_nothing_by_claiming_more(void **unused)
{
    (void)unused;
    random_states_check(__func__, check_no_gain);
}

static void check_monotone(Random *random, const RandomState *before, const RandomState *after)
{
    size_t claimant = (size_t)random_between(random, 0, (int64_t)after->count - 1);
    const RandomState *claimed = plan_with_a_claim(random, before, claimant);
    for (size_t i = 0; i < after->count; i++) {
        int64_t share = after->guests[i].fair_share_bytes;
        int64_t claimed_share = claimed->guests[i].fair_share_bytes;
        // A level is a whole number of bytes by weight: below that nothing is told apart.
        int64_t grain = after->guests[i].weight * TIERS;
        assert_true(i == claimant ? claimed_share >= share - grain
                                  : claimed_share <= share + grain);
    }
    // While memory comes back it is handed out in slices, at most of the size of a dead band.
    const PolicyGuest *plain = &after->guests[claimant];
    int64_t slice = policy_max(8 * POLICY_MIB, plain->size_bytes / 64);
    assert_true(plain->pinned || claimed->guests[claimant].plan_bytes >= plain->plan_bytes - slice);
}

static void law_5_more_demand_never_lowers_ones_own_target_nor_raises_anothers(void **unused)
{
    (void)unused;
    random_states_check(__func__, check_monotone);
}

static void check_minimum(Random *random, const RandomState *before, const RandomState *after)
{
    (void)random;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        assert_true(!takes_part(guest) || guest->fair_share_bytes >= guest->min_bytes);
        assert_true(before->guests[i].target_bytes < guest->min_bytes ||
                    guest->plan_bytes >= guest->min_bytes);
    }
}

static void law_10_a_minimum_is_honoured_whatever_others_do(void **unused)
{
    (void)unused;
    random_states_check(__func__, check_minimum);
}

// What a person is told of a share: it is the sum of its tiers, filled one after the other, and a
// guest gives what it has to spare just when that is as much as it is asked from.
static void check_reasons(Random *random, const RandomState *before, const RandomState *after)
{
    (void)random;
    (void)before;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        if (!guest->movable || !guest->fresh || guest->pinned) {
            continue;
        }
        const PolicyDemand *wanted = &guest->wanted;
        int64_t firm = policy_firm_bytes(wanted);
        int64_t upto[POLICY_TIER_COUNT] = {policy_used_bytes(wanted), firm,
                                           firm + wanted->comfort_bytes,
                                           policy_demand_bytes(wanted), guest->max_bytes};
        int64_t from = guest->min_bytes;
        int64_t sum = from;
        for (int tier = 0; tier < POLICY_TIER_COUNT; tier++) {
            int64_t full = policy_clamp(upto[tier], from, guest->max_bytes) - from;
            from += full;
            assert_in_range(guest->tier_bytes[tier], 0, full);
            // What comes after a tier that is not full is empty.
            assert_true(sum == from - full || guest->tier_bytes[tier] == 0);
            sum += guest->tier_bytes[tier];
        }
        assert_int_equal(sum, guest->fair_share_bytes);
        if (guest->spare_bytes > 0 && guest->spare_bytes >= guest->asked_from_bytes) {
            // A guest known by statistics gives back step by step.
            int64_t step_bytes = policy_min(guest->step_floor_bytes, guest->target_bytes);
            assert_int_equal(guest->plan_bytes, policy_max(guest->due_bytes, step_bytes));
        } else {
            assert_true(guest->plan_bytes >= guest->target_bytes);
        }
    }
}

static void a_share_is_the_sum_of_its_reasons(void **state)
{
    (void)state;
    random_states_check(__func__, check_reasons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(law_4_under_scarcity_the_shares_are_weighted_max_min_fair),
        cmocka_unit_test(law_4_a_guest_that_is_cut_gains_nothing_by_claiming_more),
        cmocka_unit_test(law_5_more_demand_never_lowers_ones_own_target_nor_raises_anothers),
        cmocka_unit_test(law_10_a_minimum_is_honoured_whatever_others_do),
        cmocka_unit_test(a_share_is_the_sum_of_its_reasons),
    };
    return run_test_table(tests);
}
