// SPDX-License-Identifier: Apache-2.0
//
// How long one plan takes for 10 to 10,000 guests, a third of them short of memory.
#include "host-controller/policy/policy.h"
#include "tests/bench/measure.h"
#include "tests/support/random.h"

#include <string.h>

#define ROUNDS 201
#define MAX_GUESTS 10000

static void fill(PolicyGuest *guests, int count, Random *random)
{
    for (int i = 0; i < count; i++) {
        int64_t size = random_size(random, 30, 36);
        guests[i] = (PolicyGuest){
            .size_bytes = size,
            .actual_bytes = size / 2,
            .target_bytes = size / 2,
            .ceiling_bytes = size / 2,
            .min_bytes = size / 16,
            .max_bytes = size,
            .weight = random_between(random, 1, 1000),
            .movable = true,
            .fresh = true,
            .demand = {.committed_bytes = random_between(random, 0, size * 3 / 4),
                       .headroom_bytes = size / 64,
                       .comfort_bytes = size / 32,
                       .cache_share_bytes = size / 8},
        };
    }
}

static void measure(BenchFigures *figures, int count, Random *random)
{
    g_autofree PolicyGuest *guests = g_new(PolicyGuest, (gsize)count);
    g_autofree PolicyGuest *work = g_new(PolicyGuest, (gsize)count);
    fill(guests, count, random);
    PolicyHost host = {0};
    for (int i = 0; i < count; i++) {
        host.budget_bytes += guests[i].ceiling_bytes;
    }
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(work, guests, sizeof(*guests) * (size_t)count);
        int64_t start_us = g_get_monotonic_time();
        policy_plan(&host, work, (size_t)count);
        bench_note(figures, (double)(g_get_monotonic_time() - start_us), "%d-guests-us", count);
    }
}

int main(void)
{
    static const int counts[] = {10, 100, 1000, MAX_GUESTS};
    Random random = random_begin("bench-plan");
    BenchFigures *figures = bench_figures_new();
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        measure(figures, counts[i], &random);
    }
    bench_print(figures, "plan");
    return EXIT_SUCCESS;
}
