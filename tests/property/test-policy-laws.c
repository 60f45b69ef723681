// SPDX-License-Identifier: Apache-2.0
//
// The laws of the policy over random states: sizes from 1 MiB to 16 TiB, up to 1,000 guests,
// settled and moving, fresh and stale, pinned and under pressure, ordinary and impossible numbers.
#include "host-controller/policy/policy.h"
#include "tests/property/random.h"
#include "tests/test.h"

#include <string.h>

// The sanitizers look for overflow, not for broken laws: a part of the states serves them.
#ifdef __SANITIZE_ADDRESS__
#define STATES 10000
#else
#define STATES 200000
#endif
#define MAX_GUESTS 1000
// Most states are small, which is where the corners are.
#define USUAL_GUESTS 12
#define MANY_GUESTS_PERMYRIAD 5
// In how many steps a budget is shared out.
#define TIERS 6
#define MIB POLICY_MIB

// Seeds of states that once broke a law are kept here, and run first.
static const uint64_t kept_seeds[] = {
    UINT64_C(1795300498253378), // L4: bytes a tier could not divide went to guests with less need
    UINT64_C(1795300498293525), // L5: the same
};

typedef struct State {
    PolicyHost host;
    size_t count;
    PolicyGuest guests[MAX_GUESTS];
} State;

static int64_t held(const PolicyGuest *guest)
{
    int64_t holds = policy_max(guest->actual_bytes, guest->target_bytes);
    return policy_max(guest->ceiling_bytes, holds);
}

static int64_t sum_held(const State *state)
{
    int64_t sum = 0;
    for (size_t i = 0; i < state->count; i++) {
        sum += held(&state->guests[i]);
    }
    return sum;
}

static PolicyGuest random_guest(Random *random)
{
    PolicyGuest guest = {
        .size_bytes = random_size(random, 20, 44),
        .weight = random_between(random, 1, 10000),
        .movable = random_chance(random, 85),
        .fresh = random_chance(random, 85),
        .pinned = random_chance(random, 15),
        .bound = POLICY_BOUND_STALLED,
    };
    guest.min_bytes = random_between(random, 0, guest.size_bytes);
    guest.max_bytes = random_between(random, guest.min_bytes, guest.size_bytes);
    guest.actual_bytes = random_between(random, guest.min_bytes, guest.max_bytes);
    guest.target_bytes = random_chance(random, 50)
                             ? guest.actual_bytes
                             : random_between(random, guest.min_bytes, guest.max_bytes);
    guest.ceiling_bytes = held(&guest);
    if (random_chance(random, 20)) {
        guest.ceiling_bytes = random_between(random, guest.ceiling_bytes, guest.max_bytes);
    }
    guest.pinned_bytes = random_between(random, guest.min_bytes, guest.max_bytes);
    if (!guest.pinned && random_chance(random, 15)) {
        guest.step_floor_bytes = random_between(random, 0, guest.size_bytes);
    }
    guest.demand = (PolicyDemand){
        .committed_bytes = random_chance(random, 5) ? INT64_MAX - random_between(random, 0, 9)
                                                    : random_between(random, 0, guest.size_bytes),
        .headroom_bytes = random_between(random, 0, guest.size_bytes / 4),
        .comfort_bytes = random_between(random, 0, guest.size_bytes / 16),
        .cache_share_bytes = random_between(random, 0, guest.size_bytes),
        .under_pressure = random_chance(random, 20),
    };
    return guest;
}

static void random_state(Random *random, State *state)
{
    bool many = random_between(random, 1, 10000) <= MANY_GUESTS_PERMYRIAD;
    state->count = (size_t)random_between(random, 1, many ? MAX_GUESTS : USUAL_GUESTS);
    for (size_t i = 0; i < state->count; i++) {
        state->guests[i] = random_guest(random);
    }
    int64_t sum = sum_held(state);
    state->host = (PolicyHost){
        .budget_bytes = random_chance(random, 70) ? sum + random_between(random, 0, sum)
                                                  : random_between(random, 0, sum),
        .reclaim = random_chance(random, 30),
    };
}

typedef void CheckFunc(Random *random, const State *before, const State *after);

static void copy_state(State *to, const State *from)
{
    to->host = from->host;
    to->count = from->count;
    memcpy(to->guests, from->guests, from->count * sizeof(from->guests[0]));
}

static void check_states(Random *random, int states, CheckFunc *check)
{
    static State before;
    static State after;
    for (int i = 0; i < states; i++) {
        random_state(random, &before);
        copy_state(&after, &before);
        policy_plan(&after.host, after.guests, after.count);
        check(random, &before, &after);
    }
}

static void for_random_states(const char *what, CheckFunc *check)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kept_seeds); i++) {
        Random kept = {.state = kept_seeds[i]};
        check_states(&kept, 1000, check);
    }
    Random random = random_begin(what);
    check_states(&random, STATES, check);
}

static void check_range(Random *random, const State *before, const State *after)
{
    (void)random;
    (void)before;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        assert_true(guest->plan_bytes >= guest->min_bytes);
        assert_true(guest->plan_bytes <= guest->max_bytes);
    }
}

static void law_1_a_target_is_never_outside_min_and_max(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_range);
}

// Everything a guest may come to hold while the plan is carried out.
static void check_conservation(Random *random, const State *before, const State *after)
{
    (void)random;
    int64_t sum = 0;
    for (size_t i = 0; i < after->count; i++) {
        sum += policy_max(held(&before->guests[i]), after->guests[i].plan_bytes);
    }
    assert_true(sum <= policy_max(after->host.budget_bytes, sum_held(before)));
}

static void law_2_memory_is_promised_only_after_it_has_come_back(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_conservation);
}

// Guests that come and go to their targets, and reservations that come, are granted and end, as the
// controller plays it: what guests may hold and what is reserved together stay within the budget.
static void play_reservations(Random *random, State *state)
{
    int64_t budget_bytes = sum_held(state) + random_between(random, 0, sum_held(state));
    int64_t granted_bytes = 0;
    int64_t wanted_bytes = 0;
    for (int step = 0; step < 8; step++) {
        if (wanted_bytes == 0 && random_chance(random, 50)) {
            wanted_bytes = random_between(random, 1, budget_bytes);
        }
        if (random_chance(random, 20)) {
            granted_bytes = 0; // expired or released
        }
        state->host.budget_bytes = budget_bytes - granted_bytes;
        state->host.budget_bytes -= policy_min(
            wanted_bytes, policy_reservable_bytes(&state->host, state->guests, state->count));
        policy_plan(&state->host, state->guests, state->count);
        int64_t sum = 0;
        for (size_t i = 0; i < state->count; i++) {
            sum += policy_max(held(&state->guests[i]), state->guests[i].plan_bytes);
        }
        assert_true(sum + granted_bytes <= budget_bytes);
        int64_t held_bytes = policy_held_bytes(state->guests, state->count);
        if (wanted_bytes > 0 && held_bytes + granted_bytes + wanted_bytes <= budget_bytes) {
            granted_bytes += wanted_bytes;
            wanted_bytes = 0;
        }
        for (size_t i = 0; i < state->count; i++) {
            PolicyGuest *guest = &state->guests[i];
            guest->target_bytes = guest->plan_bytes;
            guest->ceiling_bytes = policy_max(guest->ceiling_bytes, guest->plan_bytes);
            if (random_chance(random, 60)) { // it has followed
                guest->actual_bytes = guest->target_bytes;
                guest->ceiling_bytes = guest->target_bytes;
            }
            guest->demand.committed_bytes = random_between(random, 0, guest->size_bytes);
        }
    }
}

static void law_2_holds_for_what_is_reserved_too(void **unused)
{
    (void)unused;
    static State state;
    Random random = random_begin(__func__);
    for (int i = 0; i < STATES / 10; i++) {
        random_state(&random, &state);
        play_reservations(&random, &state);
    }
}

static void check_stale(Random *random, const State *before, const State *after)
{
    (void)random;
    (void)before;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        if (guest->movable && !guest->fresh) {
            assert_true(guest->plan_bytes >= guest->actual_bytes);
            assert_true(guest->plan_bytes >= guest->target_bytes);
        }
    }
}

static void law_3_a_guest_without_a_fresh_report_is_never_shrunk(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_stale);
}

static void check_immovable(Random *random, const State *before, const State *after)
{
    (void)random;
    for (size_t i = 0; i < after->count; i++) {
        if (!after->guests[i].movable) {
            assert_true(after->guests[i].plan_bytes == before->guests[i].target_bytes);
            assert_true(after->guests[i].bound == before->guests[i].bound);
        }
    }
}

static void a_guest_that_may_not_be_moved_is_sent_nothing(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_immovable);
}

static void check_pressure(Random *random, const State *before, const State *after)
{
    (void)random;
    (void)before;
    for (size_t i = 0; i < after->count; i++) {
        const PolicyGuest *guest = &after->guests[i];
        if (guest->movable && guest->fresh && !guest->pinned && guest->demand.under_pressure) {
            assert_true(guest->plan_bytes >= guest->target_bytes ||
                        guest->plan_bytes >= guest->actual_bytes);
        }
    }
}

static void law_7_a_guest_under_pressure_is_not_shrunk(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_pressure);
}

// Lets every guest follow its plan at once, again and again: soon nothing is to be sent.
static void check_rest(Random *random, const State *before, const State *after)
{
    (void)random;
    (void)before;
    static State state;
    copy_state(&state, after);
    bool moved = true;
    for (int step = 0; step < 50 && moved; step++) {
        moved = false;
        for (size_t i = 0; i < state.count; i++) {
            PolicyGuest *guest = &state.guests[i];
            moved |= guest->plan_bytes != guest->target_bytes;
            guest->actual_bytes = guest->plan_bytes;
            guest->target_bytes = guest->plan_bytes;
            guest->ceiling_bytes = guest->plan_bytes;
        }
        policy_plan(&state.host, state.guests, state.count);
    }
    assert_false(moved);
}

static void law_6_the_same_input_soon_leads_to_no_command(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_rest);
}

static void check_order(Random *random, const State *before, const State *after)
{
    static State shuffled;
    copy_state(&shuffled, before);
    size_t order[MAX_GUESTS];
    for (size_t i = 0; i < MAX_GUESTS; i++) {
        order[i] = i;
    }
    for (size_t i = before->count; i > 1; i--) {
        size_t j = (size_t)random_between(random, 0, (int64_t)i - 1);
        size_t swapped = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swapped;
    }
    for (size_t i = 0; i < before->count; i++) {
        shuffled.guests[i] = before->guests[order[i]];
    }
    policy_plan(&shuffled.host, shuffled.guests, shuffled.count);
    for (size_t i = 0; i < before->count; i++) {
        assert_true(shuffled.guests[i].plan_bytes == after->guests[order[i]].plan_bytes);
        assert_true(shuffled.guests[i].bound == after->guests[order[i]].bound);
    }
}

static void law_8_the_order_of_guests_does_not_matter(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_order);
}

// --- fairness ---------------------------------------------------------------------------------

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
static void check_max_min(Random *random, const State *before, const State *after)
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
    for_random_states(__func__, check_max_min);
}

// Plans the state once more with one guest claiming more.
static const State *plan_with_a_claim(Random *random, const State *before, size_t claimant)
{
    static State state;
    copy_state(&state, before);
    PolicyDemand *demand = &state.guests[claimant].demand;
    demand->committed_bytes =
        policy_clamp(demand->committed_bytes, 0, POLICY_MAX_BYTES) + random_size(random, 0, 44);
    policy_plan(&state.host, state.guests, state.count);
    return &state;
}

static void check_no_gain(Random *random, const State *before, const State *after)
{
    size_t claimant = (size_t)random_between(random, 0, (int64_t)after->count - 1);
    if (is_cut(&after->guests[claimant])) {
        const State *claimed = plan_with_a_claim(random, before, claimant);
        assert_true(claimed->guests[claimant].fair_share_bytes ==
                    after->guests[claimant].fair_share_bytes);
    }
}

static void law_4_a_guest_that_is_cut_gains_nothing_by_claiming_more(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_no_gain);
}

static void check_monotone(Random *random, const State *before, const State *after)
{
    size_t claimant = (size_t)random_between(random, 0, (int64_t)after->count - 1);
    const State *claimed = plan_with_a_claim(random, before, claimant);
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
    int64_t slice = policy_max(8 * MIB, plain->size_bytes / 64);
    assert_true(plain->pinned || claimed->guests[claimant].plan_bytes >= plain->plan_bytes - slice);
}

static void law_5_more_demand_never_lowers_ones_own_target_nor_raises_anothers(void **unused)
{
    (void)unused;
    for_random_states(__func__, check_monotone);
}

static void check_minimum(Random *random, const State *before, const State *after)
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
    for_random_states(__func__, check_minimum);
}

// --- numbers ----------------------------------------------------------------------------------

// Under -fsanitize=undefined any overflow ends the program.
static void law_9_hostile_numbers_do_no_harm(void **unused)
{
    (void)unused;
    static const int64_t hostile[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    Random random = random_begin(__func__);
    for (int i = 0; i < STATES; i++) {
        int64_t number[10];
        for (size_t j = 0; j < G_N_ELEMENTS(number); j++) {
            number[j] = random_chance(&random, 70)
                            ? hostile[random_between(&random, 0, G_N_ELEMENTS(hostile) - 1)]
                            : random_size(&random, 0, 62);
        }
        PolicyHistory history = {0};
        PolicyDemand demand;
        for (int turn = 0; turn < 2; turn++) {
            PolicySample sample = {
                number[turn],     number[2 + turn],          number[4], number[5], number[6 + turn],
                number[7 + turn], random_chance(&random, 50)};
            policy_demand_update(&history, &sample, number[8], &demand);
            assert_true(policy_demand_bytes(&demand) >= 0);
            assert_true(policy_demand_bytes(&demand) <= 4 * POLICY_MAX_BYTES);
        }
        PolicyGuest guests[2];
        for (int j = 0; j < 2; j++) {
            guests[j] = (PolicyGuest){
                .size_bytes = number[j],
                .actual_bytes = number[1 + j],
                .target_bytes = number[2 + j],
                .ceiling_bytes = number[3 + j],
                .min_bytes = number[4 + j],
                .max_bytes = number[5 + j],
                .weight = number[6 + j],
                .movable = random_chance(&random, 80),
                .fresh = random_chance(&random, 80),
                .step_floor_bytes = number[3 + j],
                .pinned = random_chance(&random, 20),
                .pinned_bytes = number[7 + j],
                .demand = demand,
            };
            guests[j].demand.comfort_bytes = number[8 + j];
        }
        PolicyHost host = {.budget_bytes = number[9]};
        policy_plan(&host, guests, 2);
    }
}

// What a person is told of a share: it is the sum of its tiers, filled one after the other, and a
// guest gives what it has to spare just when that is as much as it is asked from.
static void check_reasons(Random *random, const State *before, const State *after)
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
    for_random_states(__func__, check_reasons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(law_1_a_target_is_never_outside_min_and_max),
        cmocka_unit_test(law_2_memory_is_promised_only_after_it_has_come_back),
        cmocka_unit_test(law_2_holds_for_what_is_reserved_too),
        cmocka_unit_test(law_3_a_guest_without_a_fresh_report_is_never_shrunk),
        cmocka_unit_test(law_4_under_scarcity_the_shares_are_weighted_max_min_fair),
        cmocka_unit_test(law_4_a_guest_that_is_cut_gains_nothing_by_claiming_more),
        cmocka_unit_test(law_5_more_demand_never_lowers_ones_own_target_nor_raises_anothers),
        cmocka_unit_test(law_6_the_same_input_soon_leads_to_no_command),
        cmocka_unit_test(law_7_a_guest_under_pressure_is_not_shrunk),
        cmocka_unit_test(law_8_the_order_of_guests_does_not_matter),
        cmocka_unit_test(law_9_hostile_numbers_do_no_harm),
        cmocka_unit_test(law_10_a_minimum_is_honoured_whatever_others_do),
        cmocka_unit_test(a_guest_that_may_not_be_moved_is_sent_nothing),
        cmocka_unit_test(a_share_is_the_sum_of_its_reasons),
    };
    return run_test_table(tests);
}
