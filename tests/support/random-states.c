// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random-states.h"

#include <string.h>

// Most states are small, which is where the corners are.
#define USUAL_GUESTS 12
#define MANY_GUESTS_PERMYRIAD 5

// Seeds of states that once broke a law are kept here, and run first.
static const uint64_t kept_seeds[] = {
    UINT64_C(1795300498253378), // L4: bytes a tier could not divide went to guests with less need
    UINT64_C(1795300498293525), // L5: the same
};

int64_t random_state_held(const PolicyGuest *guest)
{
    int64_t holds = policy_max(guest->actual_bytes, guest->target_bytes);
    return policy_max(guest->ceiling_bytes, holds);
}

int64_t random_state_sum_held(const RandomState *state)
{
    int64_t sum = 0;
    for (size_t i = 0; i < state->count; i++) {
        sum += random_state_held(&state->guests[i]);
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
    guest.ceiling_bytes = random_state_held(&guest);
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

void random_state_fill(Random *random, RandomState *state)
{
    bool many = random_between(random, 1, 10000) <= MANY_GUESTS_PERMYRIAD;
    state->count = (size_t)random_between(random, 1, many ? RANDOM_STATE_MAX_GUESTS : USUAL_GUESTS);
    for (size_t i = 0; i < state->count; i++) {
        state->guests[i] = random_guest(random);
    }
    int64_t sum = random_state_sum_held(state);
    state->host = (PolicyHost){
        .budget_bytes = random_chance(random, 70) ? sum + random_between(random, 0, sum)
                                                  : random_between(random, 0, sum),
        .reclaim = random_chance(random, 30),
    };
}

void random_state_copy(RandomState *to, const RandomState *from)
{
    to->host = from->host;
    to->count = from->count;
    memcpy(to->guests, from->guests, from->count * sizeof(from->guests[0]));
}

static void check_states(Random *random, int states, RandomStateCheckFunc *check)
{
    static RandomState before;
    static RandomState after;
    for (int i = 0; i < states; i++) {
        random_state_fill(random, &before);
        random_state_copy(&after, &before);
        policy_plan(&after.host, after.guests, after.count);
        check(random, &before, &after);
    }
}

void random_states_check(const char *what, RandomStateCheckFunc *check)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kept_seeds); i++) {
        Random kept = {.state = kept_seeds[i]};
        check_states(&kept, 1000, check);
    }
    Random random = random_begin(what);
    check_states(&random, RANDOM_STATES, check);
}
