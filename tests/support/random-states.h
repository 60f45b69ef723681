// SPDX-License-Identifier: Apache-2.0
//
// Random states of a whole host for the policy's property tests: sizes from 1 MiB to 16 TiB, up to
// 1,000 guests, settled and moving, fresh and stale, pinned and under pressure.
#pragma once

#include "host-controller/policy/policy.h"
#include "tests/support/random.h"

// How many states a law is held against. The sanitizers look for overflow, not for broken laws: a
// part of the states serves them.
#ifdef __SANITIZE_ADDRESS__
#define RANDOM_STATES 10000
#else
#define RANDOM_STATES 200000
#endif
#define RANDOM_STATE_MAX_GUESTS 1000

typedef struct RandomState {
    PolicyHost host;
    size_t count;
    PolicyGuest guests[RANDOM_STATE_MAX_GUESTS];
} RandomState;

// Looks at one state before and after its plan; asserts what a law says.
typedef void RandomStateCheckFunc(Random *random, const RandomState *before,
                                  const RandomState *after);

// The most the guest may hold: what it has, was told to have or may still be growing to, in bytes.
int64_t random_state_held(const PolicyGuest *guest);

// The sum of random_state_held() over the guests.
int64_t random_state_sum_held(const RandomState *state);

// Fills the state anew.
void random_state_fill(Random *random, RandomState *state);

void random_state_copy(RandomState *to, const RandomState *from);

// Plans states that once broke a law, then RANDOM_STATES new ones, and checks each. The seed is
// printed with `what`.
void random_states_check(const char *what, RandomStateCheckFunc *check);
