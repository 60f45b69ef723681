// SPDX-License-Identifier: Apache-2.0
//
// Tight hand-over between real guests: some hold memory in use, others touch as much as is left as
// fast as they can, under a budget hardly above what all truly need. Says how many survive, how far
// the budget was exceeded, how soon a guest in need began to grow, and how long it took against the
// same with memory to spare in the same round.
//
// The same once more with a guest in need that has no agent, tight and with memory at hand
// ("loose"); and, tight and loose, with other controllers in aerostat's place (peers.h).
//
// Every round boots new guests. AEROSTAT_BENCH_ROUNDS (3, in full 10) rounds each;
// AEROSTAT_BENCH_ONLY names one scenario.
#include "tests/bench/handover.h"
#include "tests/bench/peers.h"

#include <string.h>

#define MAX_ROUNDS 100

static const HandoverScenario scenarios[] = {
    {.name = "tight-280",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1100,
     .peers = true},
    {.name = "tight-300",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 300,
     .budget_mib = 1100,
     .only_full = true},
    {.name = "tight-280-zram",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1100,
     .zram_mib = 256},
    {.name = "tight-280-deflate",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1100,
     .deflate_on_oom = true},
    {.name = "tight-280-agentless",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1100,
     .agentless = true},
    {.name = "loose-280",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1500,
     .peers = true},
    {.name = "loose-280-agentless",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1500,
     .agentless = true,
     .only_full = true},
    {.name = "six-two-spiking",
     .holders = 4,
     .takers = 2,
     .hold_mib = 400,
     .need_mib = 280,
     .budget_mib = 3120},
};

// One round under one controller; `spare_ms` is what the same took with memory to spare.
static void run(const HandoverScenario *scenario, const HandoverSteering *steering, double spare_ms,
                BenchFigures *figures)
{
    g_autofree char *prefix = g_strdup_printf("%s.%s", scenario->name, steering->name);
    double touched_ms = handover_run(scenario, steering, figures, prefix);
    if (touched_ms > 0 && spare_ms > 0) {
        bench_note(figures, touched_ms / spare_ms, "%s.ratio", prefix);
    }
}

static void run_round(const HandoverScenario *scenario, BenchFigures *figures)
{
    g_autofree char *spare = g_strdup_printf("%s.memory-to-spare", scenario->name);
    double spare_ms = handover_run(scenario, NULL, figures, spare);
    run(scenario, &handover_aerostat, spare_ms, figures);
    for (int i = 0; scenario->peers && i < peers_count(); i++) {
        g_autoptr(Peer) peer = peer_new(i);
        run(scenario, peer_steering(peer), spare_ms, figures);
    }
}

int main(void)
{
    const char *only = g_getenv("AEROSTAT_BENCH_ONLY");
    int rounds = bench_setting("AEROSTAT_BENCH_ROUNDS", 3, 10, MAX_ROUNDS);
    for (size_t i = 0; i < G_N_ELEMENTS(scenarios); i++) {
        const HandoverScenario *scenario = &scenarios[i];
        if (only ? strcmp(only, scenario->name) != 0 : scenario->only_full && !bench_is_full()) {
            continue;
        }
        BenchFigures *figures = bench_figures_new();
        for (int round = 0; round < rounds; round++) {
            run_round(scenario, figures);
        }
        bench_print(figures, "handover");
    }
    return EXIT_SUCCESS;
}
