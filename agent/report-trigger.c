// SPDX-License-Identifier: Apache-2.0
#include "agent/report-trigger.h"

#include <glib.h>

#define US_PER_S INT64_C(1000000)

#define REACTION_HORIZON_US US_PER_S
#define STALL_WINDOW_US (US_PER_S / 2)
#define STALL_LIMIT_US INT64_C(10000)
#define GROWTH_WINDOW_US (5 * US_PER_S)
#define SUDDEN_GROWTH_BYTES_PER_S (INT64_C(1) << 30)
#define LEAST_GROWTH_DIVISOR 16
#define LEAST_GROWTH_MIN_BYTES_PER_S (INT64_C(64) << 20)
#define SAMPLES_TO_EXHAUSTION 4
// The part of the fastest growth shown that is forgotten with each window.
#define FORGETTING_DIVISOR 64
// Moves below this part of `change_bytes` are the noise of a system at rest.
#define NOISE_DIVISOR 8

// --- arithmetic that holds at its ends instead of overflowing ---------------------------------

static int64_t difference(int64_t a, int64_t b)
{
    int64_t result;
    if (__builtin_sub_overflow(a, b, &result)) {
        return a < b ? -INT64_MAX : INT64_MAX;
    }
    return MAX(result, -INT64_MAX);
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? difference(a, b) : difference(b, a);
}

// value * multiplier / divisor of numbers not negative, divisor at least 1.
static int64_t scale(int64_t value, int64_t multiplier, int64_t divisor)
{
    int64_t result;
    if (!__builtin_mul_overflow(value, multiplier, &result)) {
        return result / divisor;
    }
    return __builtin_mul_overflow(value / divisor, multiplier, &result) ? INT64_MAX : result;
}

// --- what a sample tells ----------------------------------------------------------------------

// Refaults of anonymous memory are swapped in, too.
static int64_t paged_bytes(const MemoryReport *sample)
{
    static const MemoryReportField fields[] = {
        REPORT_PAGING_SWAP_IN,
        REPORT_PAGING_SWAP_OUT,
        REPORT_PAGING_REFAULT_FILE,
    };
    int64_t sum_bytes = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        int64_t bytes = memory_report_get(sample, fields[i]);
        sum_bytes = bytes > INT64_MAX - sum_bytes ? INT64_MAX : sum_bytes + bytes;
    }
    return sum_bytes;
}

static MemoryLevels levels_of(const MemoryReport *sample)
{
    int64_t available_bytes = memory_report_get(sample, REPORT_MEMORY_AVAILABLE);
    return (MemoryLevels){
        .available_bytes = available_bytes,
        .used_bytes = -available_bytes - memory_report_get(sample, REPORT_BALLOON),
        .paged_bytes = paged_bytes(sample),
        .oom_kills = memory_report_get(sample, REPORT_PAGING_OOM_KILLS),
    };
}

static bool moved_by_more_than(int64_t bytes, MemoryLevels from, MemoryLevels to)
{
    return distance(from.available_bytes, to.available_bytes) > bytes ||
           distance(from.used_bytes, to.used_bytes) > bytes ||
           difference(to.paged_bytes, from.paged_bytes) > bytes;
}

static int64_t noise_bytes(const ReportTrigger *trigger)
{
    return trigger->settings.change_bytes / NOISE_DIVISOR;
}

// Keeps the fastest growth of this window and of the last, so that a peak is remembered for one to
// two windows; and the fastest of all, which fades.
static void note_growth(ReportTrigger *trigger, MemoryLevels now, int64_t now_us)
{
    int64_t window_us = difference(now_us, trigger->growth_window_start_us);
    if (window_us >= GROWTH_WINDOW_US) {
        bool adjacent = window_us < 2 * GROWTH_WINDOW_US;
        trigger->growth_bytes_per_s[1] = adjacent ? trigger->growth_bytes_per_s[0] : 0;
        trigger->growth_bytes_per_s[0] = 0;
        trigger->growth_window_start_us = now_us;
        trigger->shown_bytes_per_s -= trigger->shown_bytes_per_s / FORGETTING_DIVISOR;
    }
    int64_t grown_bytes = difference(now.used_bytes, trigger->sampled.used_bytes);
    int64_t elapsed_us = difference(now_us, trigger->sampled_us);
    if (grown_bytes > 0 && elapsed_us > 0) {
        int64_t bytes_per_s = scale(grown_bytes, US_PER_S, elapsed_us);
        trigger->growth_bytes_per_s[0] = MAX(trigger->growth_bytes_per_s[0], bytes_per_s);
        trigger->shown_bytes_per_s = MAX(trigger->shown_bytes_per_s, bytes_per_s);
    }
}

static int64_t fastest_growth(const ReportTrigger *trigger)
{
    return MAX(trigger->growth_bytes_per_s[0], trigger->growth_bytes_per_s[1]);
}

// Whether tasks stalled for more than the limit within the window, which then starts anew.
static bool note_stall(ReportTrigger *trigger, const MemoryReport *sample, int64_t now_us)
{
    int64_t total_us = memory_report_get(sample, REPORT_PRESSURE_SOME_TOTAL);
    bool stalled = difference(total_us, trigger->stall_window_total_us) > STALL_LIMIT_US;
    if (stalled || difference(now_us, trigger->stall_window_start_us) >= STALL_WINDOW_US) {
        trigger->stall_window_total_us = total_us;
        trigger->stall_window_start_us = now_us;
    }
    return stalled;
}

// Whether the trend is news: it has just set in, or, unless that is too soon to be said, the guest
// has gone on growing under it.
static bool note_trend(ReportTrigger *trigger, MemoryLevels now, bool too_soon)
{
    int64_t growth = fastest_growth(trigger);
    bool before = trigger->running_out;
    trigger->running_out =
        growth > 0 && now.available_bytes <= scale(growth, REACTION_HORIZON_US, US_PER_S);
    int64_t grown_bytes = difference(now.used_bytes, trigger->reported.used_bytes);
    return trigger->running_out && (!before || (!too_soon && grown_bytes > noise_bytes(trigger)));
}

// --- what follows from it ---------------------------------------------------------------------

static bool decide(ReportTrigger *trigger, const MemoryReport *sample, MemoryLevels now,
                   int64_t now_us, bool stalled, MemoryReportReason *reason)
{
    bool too_soon = difference(now_us, trigger->reported_us) < trigger->settings.interval_us;
    stalled = stalled || (!too_soon && note_stall(trigger, sample, now_us));
    bool trend = note_trend(trigger, now, too_soon);
    if (stalled || now.oom_kills > trigger->reported.oom_kills) {
        *reason = REPORT_REASON_PRESSURE;
    } else if (trend) {
        *reason = REPORT_REASON_TREND;
    } else if (!too_soon &&
               moved_by_more_than(trigger->settings.change_bytes, trigger->reported, now)) {
        *reason = REPORT_REASON_CHANGE;
    } else if (difference(now_us, trigger->reported_us) >= trigger->settings.heartbeat_us) {
        *reason = REPORT_REASON_HEARTBEAT;
    } else {
        return false;
    }
    return true;
}

// A quarter of the time in which memory would be gone at `bytes_per_s`.
static int64_t time_to_sample(MemoryLevels now, int64_t bytes_per_s)
{
    return scale(now.available_bytes, US_PER_S, bytes_per_s) / SAMPLES_TO_EXHAUSTION;
}

// What any guest of this size may begin to grow by.
static int64_t least_growth(const MemoryReport *sample)
{
    return CLAMP(memory_report_get(sample, REPORT_MEMORY_TOTAL) / LEAST_GROWTH_DIVISOR,
                 LEAST_GROWTH_MIN_BYTES_PER_S, SUDDEN_GROWTH_BYTES_PER_S);
}

// How long a guest that grows may go unseen: no longer than until the next report may be made.
static int64_t wait_while_growing(const ReportTrigger *trigger, int64_t now_us, int64_t shortest_us)
{
    int64_t interval_us = trigger->settings.interval_us;
    int64_t until_report_us = difference(trigger->reported_us + interval_us, now_us);
    int64_t wait_us = MIN(shortest_us, interval_us);
    return until_report_us > 0 ? MIN(wait_us, until_report_us) : wait_us;
}

// How long after this sample the next one must be taken at the latest.
static int64_t longest_wait(const ReportTrigger *trigger, const MemoryReport *sample,
                            MemoryLevels now, bool pressed)
{
    int64_t interval_us = trigger->settings.interval_us;
    if (pressed || moved_by_more_than(noise_bytes(trigger), trigger->sampled, now)) {
        return interval_us;
    }
    int64_t bytes_per_s =
        trigger->settings.has_tripwire ? least_growth(sample) : SUDDEN_GROWTH_BYTES_PER_S;
    bytes_per_s = MAX(bytes_per_s, trigger->shown_bytes_per_s);
    return MAX(time_to_sample(now, bytes_per_s), interval_us);
}

static void set_next(ReportTrigger *trigger, const MemoryReport *sample, MemoryLevels now,
                     int64_t now_us, bool pressed)
{
    int64_t sudden = MAX(trigger->shown_bytes_per_s, SUDDEN_GROWTH_BYTES_PER_S);
    int64_t next_us =
        MAX(time_to_sample(now, sudden), trigger->settings.interval_us / SAMPLES_TO_EXHAUSTION);
    bool growing = difference(now.used_bytes, trigger->sampled.used_bytes) > noise_bytes(trigger);
    int64_t latest_us = growing ? wait_while_growing(trigger, now_us, next_us)
                                : longest_wait(trigger, sample, now, pressed);
    int64_t heartbeat_us = trigger->reported_us + trigger->settings.heartbeat_us;
    trigger->latest_us = MIN(now_us + latest_us, heartbeat_us);
    trigger->next_us = MIN(now_us + next_us, trigger->latest_us);
}

static void start(ReportTrigger *trigger, const MemoryReport *sample, MemoryLevels now,
                  int64_t now_us)
{
    trigger->started = true;
    trigger->sampled = now;
    trigger->growth_window_start_us = now_us;
    trigger->stall_window_start_us = now_us;
    trigger->stall_window_total_us = memory_report_get(sample, REPORT_PRESSURE_SOME_TOTAL);
}

void report_trigger_init(ReportTrigger *trigger, const ReportTriggerSettings *settings)
{
    *trigger = (ReportTrigger){.settings = *settings, .next_us = INT64_MIN, .latest_us = INT64_MIN};
}

bool report_trigger_sample(ReportTrigger *trigger, const MemoryReport *sample, int64_t now_us,
                           bool stalled, MemoryReportReason *reason)
{
    MemoryLevels now = levels_of(sample);
    bool report = true;
    if (!trigger->started) {
        start(trigger, sample, now, now_us);
        *reason = REPORT_REASON_START;
    } else {
        note_growth(trigger, now, now_us);
        report = decide(trigger, sample, now, now_us, stalled, reason);
    }
    if (report) {
        trigger->reported = now;
        trigger->reported_us = now_us;
    }
    set_next(trigger, sample, now, now_us, report && *reason == REPORT_REASON_PRESSURE);
    trigger->sampled = now;
    trigger->sampled_us = now_us;
    return report;
}

int64_t report_trigger_next_us(const ReportTrigger *trigger)
{
    return trigger->next_us;
}

int64_t report_trigger_latest_us(const ReportTrigger *trigger)
{
    return trigger->latest_us;
}
