// SPDX-License-Identifier: Apache-2.0
//
// A host with guests on it, under one policy, in virtual time.
//
// Time goes in ticks. A tick in which nothing can happen in a guest but slow drift is one step for
// it; a guest in which something does happen is stepped finely, and so are its agent, the balloon's
// readings and, for a policy that reacts to events, the decisions. Both give the same results; the
// fine steps are only spent where they tell something.
#pragma once

#include "host-controller/sim/host-setup.h"
#include "host-controller/sim/laws.h"

typedef struct HostResult {
    int64_t gave_up; // 1: a limit was broken; in a sum, on how many hosts
    int64_t budget_bytes;
    int64_t optimum_bytes; // the smallest budget of one who knows the future
    int64_t guests;
    int64_t duration_us;
    GuestCounters sum; // over all guests
    int64_t commands;
    int64_t shrinks; // of them, those that lowered a target
    int64_t decisions;
    int64_t max_over_bytes; // the most held beyond the budget
    int64_t over_kib_ms;
    LawBreaches laws;
} HostResult;

// What is told of the course of a simulation; called at the end of each tick.
typedef void HostWatch(int64_t now_us, const GuestModel *const *guests, size_t count,
                       void *context);

// Runs the simulation. With `guests` (of GuestCounters), each guest's counters are appended to it;
// with `watch`, it is called at each tick.
void host_model_run(const HostSetup *setup, GArray *guests, HostWatch *watch, void *context,
                    HostResult *result);
