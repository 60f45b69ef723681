// SPDX-License-Identifier: Apache-2.0
//
// The laws of safety and of rest over random states, ordinary and impossible numbers.
#include "tests/support/random-states.h"
#include "tests/test.h"

static void check_range(Random *random, const RandomState *before, const RandomState *after)
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
    random_states_check(__func__, check_range);
}

// Everything a guest may come to hold while the plan is carried out.
static void check_conservation(Random *random, const RandomState *before, const RandomState *after)
{
    (void)random;
    int64_t sum = 0;
    for (size_t i = 0; i < after->count; i++) {
        sum += policy_max(random_state_held(&before->guests[i]), after->guests[i].plan_bytes);
    }
    assert_true(sum <= policy_max(after->host.budget_bytes, random_state_sum_held(before)));
}

static void law_2_memory_is_promised_only_after_it_has_come_back(void **unused)
{
    (void)unused;
    random_states_check(__func__, check_conservation);
}

// Guests that come and go to their targets, and reservations that come, are granted and end, as the
// controller plays it: what guests may hold and what is reserved together stay within the budget.
static void play_reservations(Random *random, RandomState *state)
{
    int64_t budget_bytes =
        random_state_sum_held(state) + random_between(random, 0, random_state_sum_held(state));
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
            sum += policy_max(random_state_held(&state->guests[i]), state->guests[i].plan_bytes);
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
    static RandomState state;
    Random random = random_begin(__func__);
    for (int i = 0; i < RANDOM_STATES / 10; i++) {
        random_state_fill(&random, &state);
        play_reservations(&random, &state);
    }
}

static void check_stale(Random *random, const RandomState *before, const RandomState *after)
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
    random_states_check(__func__, check_stale);
}

static void check_immovable(Random *random, const RandomState *before, const RandomState *after)
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
    random_states_check(__func__, check_immovable);
}

static void check_pressure(Random *random, const RandomState *before, const RandomState *after)
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
    random_states_check(__func__, check_pressure);
}

// Lets every guest follow its plan at once, again and again: soon nothing is to be sent.
static void check_rest(Random *random, const RandomState *before, const RandomState *after)
{
    (void)random;
    (void)before;
    static RandomState state;
    random_state_copy(&state, after);
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
    random_states_check(__func__, check_rest);
}

static void check_order(Random *random, const RandomState *before, const RandomState *after)
{
    static RandomState shuffled;
    random_state_copy(&shuffled, before);
    size_t order[RANDOM_STATE_MAX_GUESTS];
    for (size_t i = 0; i < RANDOM_STATE_MAX_GUESTS; i++) {
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
    random_states_check(__func__, check_order);
}

// Under -fsanitize=undefined any overflow ends the program.
static void law_9_hostile_numbers_do_no_harm(void **unused)
{
    (void)unused;
    static const int64_t hostile[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    Random random = random_begin(__func__);
    for (int i = 0; i < RANDOM_STATES; i++) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(law_1_a_target_is_never_outside_min_and_max),
        cmocka_unit_test(law_2_memory_is_promised_only_after_it_has_come_back),
        cmocka_unit_test(law_2_holds_for_what_is_reserved_too),
        cmocka_unit_test(law_3_a_guest_without_a_fresh_report_is_never_shrunk),
        cmocka_unit_test(law_6_the_same_input_soon_leads_to_no_command),
        cmocka_unit_test(law_7_a_guest_under_pressure_is_not_shrunk),
        cmocka_unit_test(law_8_the_order_of_guests_does_not_matter),
        cmocka_unit_test(law_9_hostile_numbers_do_no_harm),
        cmocka_unit_test(a_guest_that_may_not_be_moved_is_sent_nothing),
    };
    return run_test_table(tests);
}
