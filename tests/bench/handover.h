// SPDX-License-Identifier: Apache-2.0
//
// One round of a hand-over between real guests: they boot, those that hold memory in use take it,
// somebody steers them all under a budget, then others touch what they need as fast as they can.
#pragma once

#include "tests/bench/measure.h"
#include "tests/support/vm-lab.h"

#define HANDOVER_MAX_GUESTS 6
#define HANDOVER_GUEST_BYTES (INT64_C(1) << 30)

typedef struct HandoverScenario {
    const char *name;
    int holders; // guests that hold hold_mib in use
    int takers;  // guests that touch need_mib at once
    int hold_mib;
    int need_mib;
    int budget_mib;
    int zram_mib;
    bool deflate_on_oom;
    bool agentless; // the takers
    bool peers;     // other controllers are measured, too
    bool only_full; // left out unless AEROSTAT_BENCH_FULL is set
} HandoverScenario;

// The guests of a round: first the holders, then the takers.
typedef struct HandoverRound {
    const HandoverScenario *scenario;
    VmLab *lab;
    Vm *vms[HANDOVER_MAX_GUESTS];
    int count;
    int64_t budget_bytes;
} HandoverRound;

// Who steers the guests.
typedef struct HandoverSteering {
    const char *name;
    // Takes over the guests and returns when they are where they will be without a spike.
    void (*settle)(HandoverRound *round, void *context);
    // Is called every few milliseconds during the spike; NULL: not needed.
    void (*turn)(HandoverRound *round, void *context);
    void *context;
} HandoverSteering;

// aerostat-controller.
extern const HandoverSteering handover_aerostat;

// Runs one round with new guests; without `steering` there is memory to spare. Notes, each name
// after `prefix`: survived, holders-survived, touched-ms and, when somebody steers, first-growth-ms
// and most-over-mib. Returns how long the takers took that survived (mean), in milliseconds; 0 when
// none did.
double handover_run(const HandoverScenario *scenario, const HandoverSteering *steering,
                    BenchFigures *figures, const char *prefix);

// The sum of what the guests' QEMUs say they have.
int64_t handover_sum_bytes(HandoverRound *round);
