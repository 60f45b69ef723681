// SPDX-License-Identifier: Apache-2.0
//
// Demand: what a guest needs now, from its own reports. Fast up, slow down.
//
// committed is what the guest uses and cannot drop: what it holds less MemAvailable, both from one
// report. (Never MemTotal - available: without deflate-on-oom MemTotal shrinks with the balloon,
// with it it does not.) headroom is what it could take before more memory reaches it. The cache
// share leaves it part of the page cache that MemAvailable counts as free.
#include "host-controller/policy/policy.h"

// Room every guest keeps: a floor, and a part of its size for guests whose bursts are larger.
#define HEADROOM_FLOOR_BYTES (32 * POLICY_MIB)
#define HEADROOM_SIZE_DIVISOR 32
// Growth is provided for over this time: a few reports, a plan, and the balloon on its way.
#define REACTION_TIME_MS 300
// However fast it grew, no guest keeps more than this part of its size as headroom.
#define HEADROOM_MAX_DIVISOR 4
// The fastest growth seen is forgotten by half in this time.
#define GROWTH_HALF_LIFE_US INT64_C(10000000)
// Reports nearer to each other than this say nothing about speed.
#define MIN_INTERVAL_US INT64_C(5000)
// The part of the page cache a guest is left with.
#define CACHE_SHARE_DIVISOR 4
// Stalled for more than this part of the time between reports: under pressure, and for a while.
#define PRESSURE_PERMILLE 100
#define PRESSURE_HOLD_US INT64_C(2000000)
// A guest under pressure is given this part of what it holds on top, again and again until it is
// well: its own numbers do not say how much it lacks.
#define RELIEF_DIVISOR 8
// Reports further apart than this are a fresh start.
#define MAX_INTERVAL_US INT64_C(60000000)

static PolicySample sanitized(const PolicySample *sample, int64_t size_bytes)
{
    PolicySample clean = *sample;
    clean.at_us = policy_clamp(clean.at_us, 0, INT64_MAX / 2);
    clean.stall_us = policy_clamp(clean.stall_us, 0, INT64_MAX / 2);
    clean.held_bytes = policy_clamp(clean.held_bytes, 0, size_bytes);
    clean.available_bytes = policy_clamp(clean.available_bytes, 0, clean.held_bytes);
    clean.free_bytes = policy_clamp(clean.free_bytes, 0, clean.held_bytes);
    return clean;
}

// The remembered growth after `elapsed_us`: halved once a half-life, linearly in between.
static int64_t decayed(int64_t growth, int64_t elapsed_us)
{
    while (elapsed_us >= GROWTH_HALF_LIFE_US) {
        growth /= 2;
        elapsed_us -= GROWTH_HALF_LIFE_US;
    }
    return growth - growth / 2 * (elapsed_us / 1000) / (GROWTH_HALF_LIFE_US / 1000);
}

static void learn(PolicyHistory *history, const PolicySample *sample, int64_t committed_bytes)
{
    int64_t elapsed_us = sample->at_us - history->last.at_us;
    if (!history->started || elapsed_us < 0 || elapsed_us > MAX_INTERVAL_US ||
        sample->stall_us < history->last.stall_us) {
        *history = (PolicyHistory){.started = true};
    } else if (elapsed_us < MIN_INTERVAL_US) {
        return;
    } else {
        int64_t grown_bytes = policy_max(committed_bytes - history->committed_bytes, 0);
        int64_t growth = grown_bytes / (elapsed_us / 1000) * 1000;
        history->growth_bytes_per_s =
            policy_max(growth, decayed(history->growth_bytes_per_s, elapsed_us));
        int64_t stalled_us = sample->stall_us - history->last.stall_us;
        if (stalled_us > elapsed_us * PRESSURE_PERMILLE / 1000) {
            history->pressure_until_us = sample->at_us + PRESSURE_HOLD_US;
        }
    }
    history->last = *sample;
    history->committed_bytes = committed_bytes;
}

void policy_demand_update(PolicyHistory *history, const PolicySample *sample, int64_t size_bytes,
                          PolicyDemand *demand)
{
    size_bytes = policy_clamp(size_bytes, 0, POLICY_MAX_BYTES);
    PolicySample clean = sanitized(sample, size_bytes);
    int64_t committed_bytes = clean.held_bytes - clean.available_bytes;
    learn(history, &clean, committed_bytes);

    int64_t for_growth_bytes = history->growth_bytes_per_s / 1000 * REACTION_TIME_MS;
    int64_t cache_bytes = policy_max(clean.available_bytes - clean.free_bytes, 0);
    *demand = (PolicyDemand){
        .committed_bytes = committed_bytes,
        .headroom_bytes = HEADROOM_FLOOR_BYTES + size_bytes / HEADROOM_SIZE_DIVISOR +
                          policy_min(for_growth_bytes, size_bytes / HEADROOM_MAX_DIVISOR),
        .cache_share_bytes = cache_bytes / CACHE_SHARE_DIVISOR,
        .under_pressure = clean.at_us < history->pressure_until_us,
    };
    if (demand->under_pressure) {
        demand->headroom_bytes += clean.held_bytes / RELIEF_DIVISOR;
    }
    demand->total_bytes =
        demand->committed_bytes + demand->headroom_bytes + demand->cache_share_bytes;
}
