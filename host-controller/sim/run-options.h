// SPDX-License-Identifier: Apache-2.0
//
// The command line of `aerostat-sim run`.
#pragma once

#include "host-controller/sim/scenario.h"
#include "host-controller/sim/trace-host.h"

typedef struct RunOptions {
    char *trace_path; // or
    const Scenario *scenario;
    const SimPolicy *policy;
    bool find_budget;
    int64_t budget_bytes;    // 0: as a multiple
    int64_t budget_permille; // of the clairvoyant optimum; 0: not given
    int64_t resolution_permille;
    bool reclaim;
    bool allow_over; // when looking for a budget
    bool always_fine;
    TraceSettings trace;
    ScenarioSettings scenario_settings;
    int64_t swap_bytes;
    int64_t tick_us;
    int64_t fine_us;
    int64_t latency_us;
    int64_t oom_grace_us;
    int64_t series_us; // 0: no series
    unsigned jobs;
    bool list; // only say what there is
} RunOptions;

// Reads the command line. False when it makes no sense, with `error` saying why.
bool run_options_parse(RunOptions *options, int argc, char **argv, GError **error);
void run_options_clear(RunOptions *options);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RunOptions, run_options_clear)
