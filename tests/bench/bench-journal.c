// SPDX-License-Identifier: Apache-2.0
//
// What the decision journal takes: bytes a day for quiet guests that report once a second in
// virtual time, their numbers moving by what per-processor counters and background tasks move them,
// and beside it what recording every report would take; and the time the controller spends on it in
// the plans that have no line, and in those in which every guest has something to tell.
//
// AEROSTAT_BENCH_HOURS (default 24) are simulated.
#include "host-controller/journal/recorder.h"
#include "tests/bench/measure.h"
#include "tests/support/random.h"

#include <string.h>

#define SECOND_US INT64_C(1000000)
#define SIZE_BYTES (INT64_C(4) << 30)
#define USED_BYTES (INT64_C(1) << 30)
#define CACHE_BYTES (INT64_C(512) << 20)
#define PLANS_PER_S 10
// By then the policy has learned how much page cache is missed: none.
#define WARM_UP_US (3600 * SECOND_US)
#define MAX_GUESTS 1000
#define PAGE_BYTES 4096
// Reports differ by up to so many pages from the long-term value.
#define NOISE_PAGES 256
// This many plans are timed.
#define ROUNDS 201

typedef struct Bench {
    Random random;
    size_t count;
    int64_t now_us;
    JournalRecorder *recorder;
    bool began; // a line was written
    PolicyGuest before[MAX_GUESTS];
    PolicyGuest after[MAX_GUESTS];
    PolicyHistory histories[MAX_GUESTS];
    const PolicyHistory *learned[MAX_GUESTS];
    char names[MAX_GUESTS][16];
    const char *told_names[MAX_GUESTS];
    GString *line;
    int64_t lines;
    int64_t bytes;
    int64_t report_bytes; // had every report been recorded
} Bench;

static void begin(Bench *bench, size_t count)
{
    bench->count = count;
    bench->recorder = journal_recorder_new();
    bench->line = g_string_new(NULL);
    for (size_t i = 0; i < count; i++) {
        g_snprintf(bench->names[i], sizeof(bench->names[i]), "guest%zu", i);
        bench->told_names[i] = bench->names[i];
        bench->learned[i] = &bench->histories[i];
        bench->before[i] = (PolicyGuest){
            .size_bytes = SIZE_BYTES,
            .actual_bytes = SIZE_BYTES,
            .target_bytes = SIZE_BYTES,
            .ceiling_bytes = SIZE_BYTES,
            .min_bytes = SIZE_BYTES / 4,
            .max_bytes = SIZE_BYTES,
            .weight = 100,
            .movable = true,
            .fresh = true,
        };
    }
}

static void end(Bench *bench)
{
    journal_recorder_free(bench->recorder);
    g_string_free(bench->line, TRUE);
    g_free(bench);
}

static void report(Bench *bench, size_t i)
{
    PolicyGuest *guest = &bench->before[i];
    int64_t used_bytes = USED_BYTES + random_between(&bench->random, 0, NOISE_PAGES) * PAGE_BYTES;
    PolicySample sample = {
        .at_us = bench->now_us + random_between(&bench->random, 0, 1000),
        .held_bytes = guest->actual_bytes,
        .available_bytes = guest->actual_bytes - used_bytes,
        .free_bytes = guest->actual_bytes - used_bytes - CACHE_BYTES,
    };
    g_string_assign(bench->line, "{},");
    journal_fields_append(bench->line, journal_sample_fields, &bench->histories[i].last, &sample);
    bench->report_bytes += (int64_t)bench->line->len;
    policy_demand_update(&bench->histories[i], &sample, guest->size_bytes, &guest->demand);
    journal_recorder_report(bench->recorder, bench->names[i], &sample);
}

// Makes a plan, which every balloon follows at once. Returns what recording it took.
static double plan(Bench *bench, bool force)
{
    PolicyHost host = {.budget_bytes = SIZE_BYTES * (int64_t)bench->count / 2};
    bool sent = force;
    memcpy(bench->after, bench->before, sizeof(PolicyGuest) * bench->count);
    policy_plan(&host, bench->after, bench->count);
    for (size_t i = 0; i < bench->count; i++) {
        sent |= bench->after[i].plan_bytes != bench->before[i].target_bytes;
    }
    JournalPlan made = {
        .at_us = bench->now_us,
        .unix_us = bench->now_us,
        .host = {.mode = CONTROLLER_MODE_BALANCE, .budget_bytes = host.budget_bytes},
        .count = bench->count,
        .names = bench->told_names,
        .before = bench->before,
        .after = bench->after,
        .histories = bench->learned,
        .sent = sent,
    };
    int64_t start_us = g_get_monotonic_time();
    if (journal_recorder_plan(bench->recorder, &made, !bench->began, 0, bench->line)) {
        bench->began = true;
        bench->lines++;
        bench->bytes += (int64_t)bench->line->len;
    }
    double elapsed_us = (double)(g_get_monotonic_time() - start_us);
    for (size_t i = 0; i < bench->count; i++) {
        int64_t target_bytes = bench->after[i].plan_bytes;
        bench->before[i].actual_bytes = bench->before[i].target_bytes = target_bytes;
        bench->before[i].ceiling_bytes = target_bytes;
    }
    return elapsed_us;
}

// Every guest reports once a second, spread over its tenths, each followed by a plan. The first
// plans without a line are timed, unless `figures` is NULL.
static void run_quiet(Bench *bench, int64_t until_us, BenchFigures *figures)
{
    int timed = 0;
    while (bench->now_us < until_us) {
        for (size_t part = 0; part < PLANS_PER_S; part++) {
            for (size_t i = part; i < bench->count; i += PLANS_PER_S) {
                report(bench, i);
            }
            int64_t lines = bench->lines;
            double elapsed_us = plan(bench, false);
            if (figures && bench->lines == lines && timed < ROUNDS) {
                bench_note(figures, elapsed_us, "%zu-guests.idle-plan-us", bench->count);
                timed++;
            }
            bench->now_us += SECOND_US / PLANS_PER_S;
        }
    }
}

static void run_busy(Bench *bench, BenchFigures *figures)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < bench->count; i++) {
            report(bench, i);
        }
        bench->now_us += SECOND_US;
        bench_note(figures, plan(bench, true), "%zu-guests.busy-plan-us", bench->count);
    }
}

static void measure(BenchFigures *figures, size_t count, int hours)
{
    Bench *bench = g_new0(Bench, 1);
    bench->random = (Random){.state = 1};
    begin(bench, count);
    run_quiet(bench, WARM_UP_US, NULL);
    bench->lines = bench->bytes = bench->report_bytes = 0;
    run_quiet(bench, WARM_UP_US + hours * 3600 * SECOND_US, figures);
    double days = hours / 24.0;
    bench_note(figures, (double)bench->bytes / days, "%zu-guests.quiet-bytes-per-day", count);
    bench_note(figures, (double)bench->lines / days, "%zu-guests.quiet-lines-per-day", count);
    bench_note(figures, (double)bench->report_bytes / days, "%zu-guests.all-reports-bytes-per-day",
               count);
    bench->bytes = 0;
    run_busy(bench, figures);
    bench_note(figures, (double)bench->bytes / ROUNDS, "%zu-guests.busy-bytes-per-line", count);
    end(bench);
}

int main(void)
{
    static const size_t counts[] = {3, 100, MAX_GUESTS};
    int hours = bench_setting("AEROSTAT_BENCH_HOURS", 24, 24, 24 * 7);
    BenchFigures *figures = bench_figures_new();
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        // The most guests for an eighth of the time, which is long enough.
        measure(figures, counts[i], counts[i] == MAX_GUESTS ? MAX(hours / 8, 1) : hours);
    }
    bench_print(figures, "journal");
    return EXIT_SUCCESS;
}
