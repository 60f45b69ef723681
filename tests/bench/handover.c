// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/handover.h"

#include "tests/support/deadline.h"
#include "tests/support/guest-load.h"

// Asked without a pause QEMU would be kept from moving its balloon.
#define POLL_US (4 * MS_US)
// A busy machine is measured, too.
#define HOLD_TIMEOUT_US (120 * SECOND_US)
#define SETTLE_TIMEOUT_US (120 * SECOND_US)
#define SETTLED_FOR_US (1500 * MS_US)
// A guest without an agent gives back in steps that are up to two seconds apart.
#define AGENTLESS_SETTLED_FOR_US (5 * SECOND_US)
#define SPIKE_TIMEOUT_US (120 * SECOND_US)

typedef struct Taker {
    Vm *vm;
    GuestClock clock;
    int64_t before_bytes;
    int64_t growth_us; // the first growth seen; -1: none
    bool ended;
    char *output;
} Taker;

// What the notes of a round are added to.
typedef struct Notes {
    BenchFigures *figures;
    const char *prefix;
    bool steered;
} Notes;

int64_t handover_sum_bytes(HandoverRound *round)
{
    g_autoptr(GError) error = NULL;
    int64_t sum_bytes = 0;
    for (int i = 0; i < round->count; i++) {
        int64_t actual_bytes = vm_actual_bytes(round->vms[i], &error);
        bench_must(actual_bytes >= 0, &error);
        sum_bytes += actual_bytes;
    }
    return sum_bytes;
}

// --- before the spike -------------------------------------------------------------------------

static void boot(HandoverRound *round)
{
    static const char *const names[HANDOVER_MAX_GUESTS] = {"alpha", "beta",    "gamma",
                                                           "delta", "epsilon", "zeta"};
    const HandoverScenario *scenario = round->scenario;
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < round->count; i++) {
        VmOptions options = {.name = names[i],
                             .memory_bytes = HANDOVER_GUEST_BYTES,
                             .zram_bytes = scenario->zram_mib * MIB,
                             .without_agent = scenario->agentless && i >= scenario->holders,
                             .deflate_on_oom = scenario->deflate_on_oom};
        round->vms[i] = vm_lab_add(round->lab, &options, &error);
        bench_must(round->vms[i] != NULL, &error);
    }
    bench_must(vm_lab_wait_ready(round->lab, &error), &error);
    g_autofree char *command = g_strdup_printf(
        "mkfifo /tmp/held; load touch %dM >/tmp/held & head -n 1 /tmp/held", scenario->hold_mib);
    for (int i = 0; i < scenario->holders; i++) {
        bench_must(vm_run(round->vms[i], command, HOLD_TIMEOUT_US, NULL, &error) == 0, &error);
    }
}

// Waits until the guests fit the budget and have stopped moving.
static void wait_until_settled(HandoverRound *round, int64_t settled_for_us)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    int64_t last_bytes = 0;
    int64_t since_us = 0;
    for (;;) {
        int64_t sum_bytes = handover_sum_bytes(round);
        int64_t now_us = g_get_monotonic_time();
        if (sum_bytes != last_bytes || sum_bytes > round->budget_bytes) {
            since_us = now_us;
        } else if (now_us - since_us >= settled_for_us) {
            return;
        }
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        last_bytes = sum_bytes;
        g_usleep(50 * MS_US);
    }
}

static void settle_aerostat(HandoverRound *round, void *context)
{
    (void)context;
    const HandoverScenario *scenario = round->scenario;
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < round->count; i++) {
        bool agent = !scenario->agentless || i < scenario->holders;
        bench_must(vm_lab_publish(round->lab, round->vms[i], agent, &error), &error);
    }
    g_autofree char *config =
        vm_lab_write_configuration(round->lab, round->budget_bytes, NULL, &error);
    bench_must(config && vm_lab_start_controller(round->lab, config, NULL, &error), &error);
    wait_until_settled(round, scenario->agentless ? AGENTLESS_SETTLED_FOR_US : SETTLED_FOR_US);
}

const HandoverSteering handover_aerostat = {.name = "aerostat", .settle = settle_aerostat};

// --- the spike --------------------------------------------------------------------------------

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

// Returns how long the taker took, in milliseconds; 0 when it was killed.
static double note_taker(const Taker *taker, const Notes *notes)
{
    g_autoptr(GError) error = NULL;
    GuestLoadTimes times;
    int64_t kills = vm_oom_kills(taker->vm, &error);
    bench_must(kills >= 0, &error);
    bool survived = guest_load_parse(taker->output, &taker->clock, &times, NULL) && kills == 0;
    bench_count(notes->figures, survived, "%s.survived", notes->prefix);
    if (!survived) {
        return 0;
    }
    double touched_ms = (double)(times.ended_us - times.began_us) / 1e3;
    bench_note(notes->figures, touched_ms, "%s.touched-ms", notes->prefix);
    if (notes->steered && taker->growth_us >= 0) {
        bench_note(notes->figures, (double)(taker->growth_us - times.began_us) / 1e3,
                   "%s.first-growth-ms", notes->prefix);
    }
    return touched_ms;
}

// Watches all takers until the last has ended. Returns how far the guests came above the budget.
static int64_t watch(HandoverRound *round, const HandoverSteering *steering, Taker *takers)
{
    int64_t most_over_bytes = -G_MAXINT64;
    int64_t deadline_us = deadline_after(SPIKE_TIMEOUT_US);
    for (int running = round->scenario->takers; running > 0;) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        running = 0;
        for (int i = 0; i < round->scenario->takers; i++) {
            if (!takers[i].ended) {
                watch_taker(&takers[i]);
                running += !takers[i].ended;
            }
        }
        if (steering && steering->turn) {
            steering->turn(round, steering->context);
        }
        int64_t over_bytes = handover_sum_bytes(round) - round->budget_bytes;
        most_over_bytes = MAX(most_over_bytes, over_bytes);
        g_usleep(POLL_US);
    }
    return most_over_bytes;
}

// All takers at once. Returns what handover_run() does.
static double spike(HandoverRound *round, const HandoverSteering *steering, const Notes *notes)
{
    int count = round->scenario->takers;
    Taker takers[HANDOVER_MAX_GUESTS] = {0};
    for (int i = 0; i < count; i++) {
        takers[i].vm = round->vms[round->scenario->holders + i];
        begin_spike(&takers[i], round->scenario->need_mib);
    }
    int64_t most_over_bytes = watch(round, steering, takers);
    if (steering) {
        bench_note(notes->figures, (double)most_over_bytes / (double)MIB, "%s.most-over-mib",
                   notes->prefix);
    }
    double sum_ms = 0;
    int survived = 0;
    for (int i = 0; i < count; i++) {
        double touched_ms = note_taker(&takers[i], notes);
        sum_ms += touched_ms;
        survived += touched_ms > 0;
        g_free(takers[i].output);
    }
    return survived > 0 ? sum_ms / survived : 0;
}

double handover_run(const HandoverScenario *scenario, const HandoverSteering *steering,
                    BenchFigures *figures, const char *prefix)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VmLab) lab = vm_lab_new(&error);
    bench_must(lab != NULL, &error);
    HandoverRound round = {.scenario = scenario,
                           .lab = lab,
                           .count = scenario->holders + scenario->takers,
                           .budget_bytes = scenario->budget_mib * MIB};
    Notes notes = {.figures = figures, .prefix = prefix, .steered = steering != NULL};
    boot(&round);
    if (steering) {
        steering->settle(&round, steering->context);
    }
    double touched_ms = spike(&round, steering, &notes);
    for (int i = 0; i < scenario->holders; i++) {
        int64_t kills = vm_oom_kills(round.vms[i], &error);
        bench_must(kills >= 0, &error);
        bench_count(figures, kills == 0, "%s.holders-survived", prefix);
    }
    return touched_ms;
}
