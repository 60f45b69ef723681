// SPDX-License-Identifier: Apache-2.0
//
// Demand: what a guest needs now, from its own reports. Fast up, slow down.
//
// committed is what the guest uses and cannot drop: what it holds less MemAvailable, both from one
// report. (Never MemTotal - available: without deflate-on-oom MemTotal shrinks with the balloon,
// with it it does not.) headroom is what it could take before more memory reaches it. The cache
// share is the page cache it misses when it is gone, which nothing but trying can tell: it is let
// go slowly while nothing is read back, and faster the longer that lasts; the first refaults bring
// it back at once (after TMO, ASPLOS 2022, and Senpai).
#include "host-controller/policy/policy.h"

// Every guest keeps this much whatever happens: the kernel's own watermarks and a few reports.
#define HEADROOM_FLOOR_BYTES (32 * POLICY_MIB)
// On top of the floor, as long as there is enough for all: larger guests burst larger.
#define HEADROOM_SIZE_DIVISOR 32
// Growth is provided for until the next report, and this much longer for a plan and the balloon.
#define REACTION_US INT64_C(400000)
#define MAX_REACTION_US INT64_C(2000000)
// However fast it grew, no guest keeps more than this part of its size for it.
#define BURST_MAX_DIVISOR 4
// The largest burst is remembered for one to two of these windows.
#define BURST_WINDOW_US INT64_C(10000000)
// Per-processor counters and the balloon's own batches move the numbers by this much: no growth.
#define NOISE_BYTES (4 * POLICY_MIB)

// Coarse news is up to two seconds old, and no next one comes sooner because the guest is in need:
// more of its size is kept free for that, and burst counted for as long as it may be.
#define COARSE_HEADROOM_DIVISOR 8

// Reports nearer to each other than this say nothing about speed; further apart they are a fresh
// start.
#define MIN_INTERVAL_US INT64_C(5000)
#define MAX_INTERVAL_US INT64_C(60000000)

// Stalled for more than this part of the time between reports: under pressure, and for a while.
#define PRESSURE_PERMILLE 100
#define PRESSURE_HOLD_US INT64_C(2000000)
// A guest under pressure is given this part of what it holds on top, again and again until it is
// well: its own numbers do not say how much it lacks.
#define RELIEF_DIVISOR 8

// The cache share falls by 1/2^shift a second, from slow to fast: one step faster each time this
// long passes without a refault to speak of.
#define CACHE_SLOWEST_SHIFT 12
#define CACHE_FASTEST_SHIFT 5
#define CACHE_CALM_US INT64_C(10000000)
// Reading back less than this part of the cache share a second is nothing to speak of.
#define REFAULT_TOLERANCE_SHIFT 10
// What was read back was missed, and more was on its way.
#define REFAULT_FACTOR 2

static PolicySample sanitized(const PolicySample *sample, int64_t size_bytes)
{
    PolicySample clean = *sample;
    clean.at_us = policy_clamp(clean.at_us, 0, INT64_MAX / 2);
    clean.stall_us = policy_clamp(clean.stall_us, 0, INT64_MAX / 2);
    clean.refault_bytes = policy_clamp(clean.refault_bytes, 0, INT64_MAX / 2);
    clean.held_bytes = policy_clamp(clean.held_bytes, 0, size_bytes);
    clean.available_bytes = policy_clamp(clean.available_bytes, 0, clean.held_bytes);
    clean.free_bytes = policy_clamp(clean.free_bytes, 0, clean.available_bytes);
    return clean;
}

// `amount` per second over `elapsed_us`, for elapsed times of at least a millisecond.
static int64_t per_second(int64_t amount, int64_t elapsed_us)
{
    return amount / (elapsed_us / 1000) * 1000;
}

static PolicyBurst larger_burst(PolicyBurst a, PolicyBurst b)
{
    return b.bytes > a.bytes ? b : a;
}

// A burst is what a guest takes at the speed of its growth between two reports until it can have
// more: until the next report, which comes as soon as this one did, and the time to react.
static void learn_burst(PolicyHistory *history, int64_t committed_bytes, int64_t elapsed_us,
                        bool coarse)
{
    int64_t grown_bytes = policy_max(committed_bytes - history->committed_bytes - NOISE_BYTES, 0);
    int64_t reaction_us =
        coarse ? MAX_REACTION_US : policy_min(elapsed_us + REACTION_US, MAX_REACTION_US);
    int64_t growth_bytes_per_s = per_second(grown_bytes, elapsed_us);
    PolicyBurst burst = {
        .bytes = growth_bytes_per_s / 1000 * (reaction_us / 1000),
        .growth_bytes_per_s = growth_bytes_per_s,
        .lasts_us = reaction_us,
    };
    history->burst_window_us += elapsed_us;
    if (history->burst_window_us >= BURST_WINDOW_US) {
        history->burst_window_us = 0;
        history->former_burst = history->burst;
        history->burst = (PolicyBurst){0};
    }
    history->burst = larger_burst(history->burst, burst);
}

static void learn_pressure(PolicyHistory *history, const PolicySample *sample, int64_t elapsed_us)
{
    int64_t stalled_us = sample->stall_us - history->last.stall_us;
    if (stalled_us > elapsed_us / 1000 * PRESSURE_PERMILLE) {
        history->pressure_until_us = sample->at_us + PRESSURE_HOLD_US;
    }
}

static void learn_cache(PolicyHistory *history, const PolicySample *sample, int64_t size_bytes,
                        int64_t elapsed_us)
{
    int64_t cache_bytes = sample->available_bytes - sample->free_bytes;
    int64_t share_bytes = history->cache_share_bytes;
    int64_t refault_bytes = sample->refault_bytes - history->last.refault_bytes;
    // No guest reads back more than it has and means something by it.
    refault_bytes = policy_min(refault_bytes, size_bytes);
    if (per_second(refault_bytes, elapsed_us) > cache_bytes >> REFAULT_TOLERANCE_SHIFT) {
        int64_t missed_bytes = refault_bytes * REFAULT_FACTOR;
        share_bytes = policy_max(share_bytes, cache_bytes) + missed_bytes;
        history->cache_shift = CACHE_SLOWEST_SHIFT;
        history->cache_calm_us = 0;
    } else {
        share_bytes -= (share_bytes >> history->cache_shift) / 1000 * (elapsed_us / 1000);
        history->cache_calm_us += elapsed_us;
        if (history->cache_calm_us >= CACHE_CALM_US) {
            history->cache_calm_us = 0;
            history->cache_shift = history->cache_shift > CACHE_FASTEST_SHIFT
                                       ? history->cache_shift - 1
                                       : CACHE_FASTEST_SHIFT;
        }
    }
    history->cache_share_bytes = policy_clamp(share_bytes, 0, size_bytes);
}

static void start(PolicyHistory *history, const PolicySample *sample)
{
    *history = (PolicyHistory){
        .started = true,
        .cache_share_bytes = sample->available_bytes - sample->free_bytes,
        .cache_shift = CACHE_SLOWEST_SHIFT,
    };
}

static bool continues(const PolicyHistory *history, const PolicySample *sample)
{
    const PolicySample *last = &history->last;
    return history->started && sample->at_us >= last->at_us &&
           sample->at_us - last->at_us <= MAX_INTERVAL_US && sample->stall_us >= last->stall_us &&
           sample->refault_bytes >= last->refault_bytes;
}

static void learn(PolicyHistory *history, const PolicySample *sample, int64_t size_bytes)
{
    int64_t committed_bytes = sample->held_bytes - sample->available_bytes;
    if (!continues(history, sample)) {
        start(history, sample);
    } else {
        int64_t elapsed_us = sample->at_us - history->last.at_us;
        if (elapsed_us < MIN_INTERVAL_US) {
            return;
        }
        learn_burst(history, committed_bytes, elapsed_us, sample->coarse);
        learn_pressure(history, sample, elapsed_us);
        learn_cache(history, sample, size_bytes, elapsed_us);
    }
    history->last = *sample;
    history->committed_bytes = committed_bytes;
}

void policy_demand_update(PolicyHistory *history, const PolicySample *sample, int64_t size_bytes,
                          PolicyDemand *demand)
{
    size_bytes = policy_clamp(size_bytes, 0, POLICY_MAX_BYTES);
    PolicySample clean = sanitized(sample, size_bytes);
    learn(history, &clean, size_bytes);

    int64_t cache_bytes = clean.available_bytes - clean.free_bytes;
    int64_t caution_bytes = clean.coarse ? size_bytes / COARSE_HEADROOM_DIVISOR : 0;
    PolicyBurst burst = larger_burst(history->former_burst, history->burst);
    burst.bytes = policy_min(burst.bytes, size_bytes / BURST_MAX_DIVISOR);
    bool under_pressure = clean.at_us < history->pressure_until_us;
    int64_t relief_bytes = under_pressure ? clean.held_bytes / RELIEF_DIVISOR : 0;
    *demand = (PolicyDemand){
        .committed_bytes = clean.held_bytes - clean.available_bytes,
        .headroom_bytes = HEADROOM_FLOOR_BYTES + caution_bytes + burst.bytes + relief_bytes,
        .comfort_bytes = size_bytes / HEADROOM_SIZE_DIVISOR,
        // Nothing tells which cache is missed: all of it, as long as there is enough.
        .cache_share_bytes = clean.coarse ? cache_bytes : history->cache_share_bytes,
        .under_pressure = under_pressure,
        .burst = burst,
        .relief_bytes = relief_bytes,
        .caution_bytes = caution_bytes,
    };
}
