// SPDX-License-Identifier: Apache-2.0
//
// What is to be simulated: a host, its guests, and who decides.
#pragma once

#include "host-controller/sim/guest-model.h"
#include "host-controller/sim/sim-policy.h"

// A guest to be simulated.
typedef struct GuestSetup {
    char *name;
    GuestTraits traits;
    Workload workload;
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t weight;
} GuestSetup;

typedef struct HostSetup {
    const SimPolicy *policy;
    int64_t budget_bytes;
    bool reclaim;
    int64_t tick_us;
    int64_t fine_us;    // length of a fine step
    int64_t latency_us; // from a look at memory until the host has the report
    int64_t duration_us;
    uint64_t seed;
    bool always_fine; // spend fine steps everywhere
    // Give up as soon as a guest is killed, this much demand is unmet, or, with `keep_budget`, the
    // budget is exceeded. INT64_MAX: never.
    int64_t unmet_limit_kib_ms;
    bool keep_budget;
    GPtrArray *guests; // of GuestSetup *
} HostSetup;

void guest_setup_free(GuestSetup *setup);

HostSetup *host_setup_new(void);
void host_setup_free(HostSetup *setup);

// What the clairvoyant needs: the largest sum of all guests' needs, working sets included.
// `needed_kib_ms`: all needs over all time.
int64_t host_setup_optimum_bytes(const HostSetup *setup, int64_t *needed_kib_ms);
