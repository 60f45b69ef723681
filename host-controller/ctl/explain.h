// SPDX-License-Identifier: Apache-2.0
//
// Why a guest's target is what it is, from the plan that set it (protocol/controller.json: PlanInfo
// and PlannedGuest), as sums that are right to the byte and sentences that are true to the policy
// (docs/policy.md).
//
// Pure: JSON in. A member that is missing counts as 0.
#pragma once

#include "protocol/json.h"

#include <stdint.h>

// A part of a sum.
typedef struct ExplainedPart {
    const char *word;  // in JSON
    const char *label; // for a person
    int64_t bytes;     // below 0 where something is taken off
} ExplainedPart;

typedef struct Explanation {
    char *headline; // all of it on one line
    int64_t target_bytes;
    int64_t fair_share_bytes;
    GArray *needs;   // ExplainedPart: what the target is for; they add up to it
    GArray *sources; // what the fair share is made of, and what lies between it and the target;
                     // they add up to the target
    GPtrArray *sentences; // char *
} Explanation;

// Explains the guest `guest`, a PlannedGuest, of `plan`, a PlanInfo.
void explanation_init(Explanation *explanation, const json_t *plan, const json_t *guest);
void explanation_clear(Explanation *explanation);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Explanation, explanation_clear)
