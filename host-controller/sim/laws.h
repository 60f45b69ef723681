// SPDX-License-Identifier: Apache-2.0
//
// The laws of the policy (docs/policy.md), checked on every decision made in the simulator.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Law {
    LAW_RANGE,        // L1: min <= target <= max
    LAW_CONSERVATION, // L2: never more promised than the budget, or than was held before
    LAW_STALE,        // L3: a guest not heard of for three seconds is not shrunk
    LAW_MINIMUM,      // L10: no target in force is below min
    LAW_COUNT
} Law;

// What a law looks at of one guest.
typedef struct LawGuest {
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t actual_bytes;
    int64_t from_bytes; // the target before
    int64_t to_bytes;   // and after the decision
    bool stale;
} LawGuest;

// How often each law was broken, and when first.
typedef struct LawBreaches {
    int64_t count[LAW_COUNT];
    int64_t first_us[LAW_COUNT];
} LawBreaches;

// Checks a decision made at `now_us`.
void laws_check(LawBreaches *breaches, int64_t now_us, int64_t budget_bytes, const LawGuest *guests,
                size_t count);

// "L1" and so on.
const char *law_name(Law law);
int64_t laws_broken(const LawBreaches *breaches);
