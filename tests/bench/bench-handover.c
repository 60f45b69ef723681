// SPDX-License-Identifier: Apache-2.0
//
// Tight hand-over between real guests: some hold memory in use, others touch as much as is left as
// fast as they can, under a budget hardly above what all truly need. Says how many survive, how far
// the budget was exceeded, how soon a guest in need began to grow, and how long it took against the
// same with memory to spare.
//
// The same once more with a guest in need that has no agent, tight and with memory at hand
// ("loose").
//
// Every round boots new guests. BENCH_ROUNDS (default 5) rounds each; BENCH_ONLY names one
// scenario.
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/guest-load.h"
#include "tests/support/vm-lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_BYTES (1024 * MIB)
#define MAX_GUESTS 6
#define MAX_ROUNDS 100
#define DEFAULT_ROUNDS 5
// Asked without a pause QEMU would be kept from moving its balloon.
#define POLL_US (4 * MS_US)
#define SETTLE_TIMEOUT_US (60 * SECOND_US)
#define SETTLED_FOR_US (1500 * MS_US)
// A guest without an agent gives back in steps that are up to two seconds apart.
#define AGENTLESS_SETTLED_FOR_US (5 * SECOND_US)
#define SPIKE_TIMEOUT_US (60 * SECOND_US)

typedef struct Scenario {
    const char *name;
    int holders; // guests that hold hold_mib in use
    int takers;  // guests that touch need_mib at once
    int hold_mib;
    int need_mib;
    int budget_mib;
    int zram_mib;
    bool deflate_on_oom;
    bool agentless; // the takers
} Scenario;

static const Scenario scenarios[] = {
    {.name = "tight-280",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1100},
    {.name = "tight-300",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 300,
     .budget_mib = 1100},
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
     .budget_mib = 1500},
    {.name = "loose-280-agentless",
     .holders = 1,
     .takers = 1,
     .hold_mib = 500,
     .need_mib = 280,
     .budget_mib = 1500,
     .agentless = true},
    {.name = "six-two-spiking",
     .holders = 4,
     .takers = 2,
     .hold_mib = 400,
     .need_mib = 280,
     .budget_mib = 3120},
};

typedef struct Taker {
    Vm *vm;
    GuestClock clock;
    int64_t before_bytes;
    int64_t growth_us; // the first growth seen; -1: none
    bool ended;
    char *output;
} Taker;

// What was seen, one entry a guest in need.
typedef struct Figures {
    int spikes;
    int survived;
    int holders_killed; // programs killed in guests that only held what they had
    double growth_ms[MAX_ROUNDS * 2];
    int growths;
    double touched_ms[MAX_ROUNDS * 2];
    int64_t most_over_bytes;
} Figures;

static int64_t sum_actual(Vm **vms, int count)
{
    g_autoptr(GError) error = NULL;
    int64_t sum = 0;
    for (int i = 0; i < count; i++) {
        int64_t actual_bytes = vm_actual_bytes(vms[i], &error);
        bench_must(actual_bytes >= 0, &error);
        sum += actual_bytes;
    }
    return sum;
}

// Waits until the guests fit the budget and have stopped moving.
static void settle(Vm **vms, int count, int64_t budget_bytes, int64_t settled_for_us)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    int64_t last_bytes = 0;
    int64_t since_us = 0;
    for (;;) {
        int64_t sum_bytes = sum_actual(vms, count);
        int64_t now_us = g_get_monotonic_time();
        if (sum_bytes != last_bytes || sum_bytes > budget_bytes) {
            since_us = now_us;
        } else if (now_us - since_us >= settled_for_us) {
            return;
        }
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        last_bytes = sum_bytes;
        g_usleep(50 * MS_US);
    }
}

static void begin_spike(Taker *taker, int need_mib)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = g_strdup_printf("load touch %dM --hold 0", need_mib);
    taker->before_bytes = vm_actual_bytes(taker->vm, &error);
    taker->growth_us = -1;
    bench_must(taker->before_bytes >= 0 && guest_clock_align(taker->vm, &taker->clock, &error) &&
                   vm_begin(taker->vm, command, &error),
               &error);
}

static void watch_taker(Taker *taker)
{
    g_autoptr(GError) error = NULL;
    int64_t actual_bytes = vm_actual_bytes(taker->vm, &error);
    bench_must(actual_bytes >= 0, &error);
    if (taker->growth_us < 0 && actual_bytes > taker->before_bytes) {
        taker->growth_us = g_get_monotonic_time();
    }
    int status;
    GuestShellResult result = vm_poll(taker->vm, &status, &taker->output, &error);
    bench_must(result != GUEST_SHELL_FAILED, &error);
    taker->ended = result == GUEST_SHELL_ENDED;
}

static void note(Taker *taker, Figures *figures)
{
    g_autoptr(GError) error = NULL;
    GuestLoadTimes times;
    int64_t kills = vm_oom_kills(taker->vm, &error);
    bench_must(kills >= 0, &error);
    figures->spikes++;
    if (!guest_load_parse(taker->output, &taker->clock, &times, &error) || kills > 0) {
        return;
    }
    figures->touched_ms[figures->survived++] = (double)(times.ended_us - times.began_us) / 1e3;
    if (taker->growth_us >= 0) {
        figures->growth_ms[figures->growths++] = (double)(taker->growth_us - times.began_us) / 1e3;
    }
}

// All takers at once, watched until the last has ended.
static void spike(const Scenario *scenario, Vm **vms, int64_t budget_bytes, Figures *figures)
{
    int count = scenario->holders + scenario->takers;
    Taker takers[MAX_GUESTS] = {0};
    for (int i = 0; i < scenario->takers; i++) {
        takers[i].vm = vms[scenario->holders + i];
        begin_spike(&takers[i], scenario->need_mib);
    }
    int64_t deadline_us = deadline_after(SPIKE_TIMEOUT_US);
    for (int running = scenario->takers; running > 0;) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        running = 0;
        for (int i = 0; i < scenario->takers; i++) {
            if (!takers[i].ended) {
                watch_taker(&takers[i]);
                running += !takers[i].ended;
            }
        }
        int64_t over_bytes = sum_actual(vms, count) - budget_bytes;
        figures->most_over_bytes = MAX(figures->most_over_bytes, over_bytes);
        g_usleep(POLL_US);
    }
    for (int i = 0; i < scenario->takers; i++) {
        note(&takers[i], figures);
        g_free(takers[i].output);
    }
}

static void boot(VmLab *lab, const Scenario *scenario, Vm **vms)
{
    static const char *const names[MAX_GUESTS] = {"alpha", "beta",    "gamma",
                                                  "delta", "epsilon", "zeta"};
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < scenario->holders + scenario->takers; i++) {
        VmOptions options = {.name = names[i],
                             .memory_bytes = GUEST_BYTES,
                             .zram_bytes = scenario->zram_mib * MIB,
                             .without_agent = scenario->agentless && i >= scenario->holders,
                             .deflate_on_oom = scenario->deflate_on_oom};
        vms[i] = vm_lab_add(lab, &options, &error);
        bench_must(vms[i] != NULL, &error);
    }
    bench_must(vm_lab_wait_ready(lab, &error), &error);
    g_autofree char *command = g_strdup_printf(
        "mkfifo /tmp/held; load touch %dM >/tmp/held & head -n 1 /tmp/held", scenario->hold_mib);
    for (int i = 0; i < scenario->holders; i++) {
        bench_must(vm_run(vms[i], command, VM_COMMAND_TIMEOUT_US, NULL, &error) == 0, &error);
    }
}

// One round on new guests; with `budget_bytes` 0 there is no controller and memory to spare.
static void run_round(const Scenario *scenario, int64_t budget_bytes, Figures *figures)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VmLab) lab = vm_lab_new(&error);
    bench_must(lab != NULL, &error);
    Vm *vms[MAX_GUESTS];
    boot(lab, scenario, vms);
    if (budget_bytes > 0) {
        int count = scenario->holders + scenario->takers;
        for (int i = 0; i < count; i++) {
            bool agent = !scenario->agentless || i < scenario->holders;
            bench_must(vm_lab_publish(lab, vms[i], agent, &error), &error);
        }
        g_autofree char *config = vm_lab_write_configuration(lab, budget_bytes, NULL, &error);
        bench_must(config && vm_lab_start_controller(lab, config, NULL, &error), &error);
        settle(vms, count, budget_bytes,
               scenario->agentless ? AGENTLESS_SETTLED_FOR_US : SETTLED_FOR_US);
    }
    spike(scenario, vms, budget_bytes, figures);
    for (int i = 0; i < scenario->holders; i++) {
        int64_t kills = vm_oom_kills(vms[i], &error);
        bench_must(kills >= 0, &error);
        figures->holders_killed += (int)kills;
    }
}

static void measure(const Scenario *scenario, int rounds, bool first)
{
    Figures tight = {.most_over_bytes = -G_MAXINT64};
    Figures spare = {0};
    for (int round = 0; round < rounds; round++) {
        run_round(scenario, scenario->budget_mib * MIB, &tight);
        run_round(scenario, 0, &spare);
    }
    double touched_ms = bench_percentile(tight.touched_ms, tight.survived, 50);
    double spare_ms = bench_percentile(spare.touched_ms, spare.survived, 50);
    printf("%s\"%s\": {\"spikes\": %d, \"survived\": %d, \"holders-killed\": %d, "
           "\"most-over-mib\": %.1f, ",
           first ? "" : ", ", scenario->name, tight.spikes, tight.survived, tight.holders_killed,
           (double)tight.most_over_bytes / (double)MIB);
    printf("\"first-growth-ms-p50\": %.0f, \"first-growth-ms-p99\": %.0f, ",
           bench_percentile(tight.growth_ms, tight.growths, 50),
           bench_percentile(tight.growth_ms, tight.growths, 99));
    printf("\"touched-ms\": %.0f, \"with-memory-to-spare-ms\": %.0f, \"ratio\": %.2f}", touched_ms,
           spare_ms, spare_ms > 0 ? touched_ms / spare_ms : 0);
    fflush(stdout);
}

int main(void)
{
    const char *only = g_getenv("AEROSTAT_BENCH_ONLY");
    int rounds = bench_setting("AEROSTAT_BENCH_ROUNDS", DEFAULT_ROUNDS, MAX_ROUNDS);
    bool first = true;
    printf("{\"handover\": {");
    for (size_t i = 0; i < G_N_ELEMENTS(scenarios); i++) {
        if (!only || strcmp(only, scenarios[i].name) == 0) {
            measure(&scenarios[i], rounds, first);
            first = false;
        }
    }
    printf("}}\n");
    return EXIT_SUCCESS;
}
