// SPDX-License-Identifier: Apache-2.0
//
// What decides in the simulator: our policy and those it is compared with, behind one interface.
#pragma once

#include "protocol/report.h"

// What is known of one guest. The figures of the first part are what any host can see of a guest
// with a balloon device and its statistics; `report` is what our agent says.
typedef struct SimObservation {
    int64_t size_bytes;
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t weight;
    int64_t actual_bytes;
    int64_t target_bytes;    // last set
    int64_t free_bytes;      // MemFree
    int64_t available_bytes; // MemAvailable

    const MemoryReport *report; // the latest; NULL before the first
    bool report_is_new;         // it came since the last tick of the policy

    int64_t needed_bytes; // what it needs now and in the near future: for the clairvoyant alone
} SimObservation;

typedef struct SimPolicySettings {
    int64_t budget_bytes;
    bool reclaim; // take idle memory back even when there is plenty
} SimPolicySettings;

// Sets `targets[i]`, which holds the targets in force, where guest i is to have another.
typedef struct SimPolicy {
    const char *name;
    const char *summary;
    int64_t period_us;    // how often it decides; 0: whenever something changes
    bool starts_at_share; // its guests are never anywhere but at their share of the budget
    bool keeps_laws;      // a law broken is a defect
    int64_t foresight_us; // how far ahead `needed_bytes` looks
    // A new state for `count` guests; freed with `free`.
    void *(*new)(const SimPolicySettings *settings, size_t count);
    void (*tick)(void *state, int64_t now_us, const SimObservation *guests, size_t count,
                 int64_t *targets);
    void (*free)(void *state);
} SimPolicy;

extern const SimPolicy sim_policy_aerostat;
extern const SimPolicy sim_policy_static;
extern const SimPolicy sim_policy_proportional;
extern const SimPolicy sim_policy_mom;
extern const SimPolicy sim_policy_pi;
extern const SimPolicy sim_policy_poller;
extern const SimPolicy sim_policy_optimum;

// The policies in the order they are listed to people; NULL at the end.
extern const SimPolicy *const sim_policies[];

// NULL when there is no policy of that name.
const SimPolicy *sim_policy_find(const char *name);
