// SPDX-License-Identifier: Apache-2.0
#include "host-controller/policy/host.h"

// What others use moves by this part of the whole without meaning anything: per-processor counters,
// page tables, daemons at work.
#define NOISE_DIVISOR 256
#define NOISE_FLOOR_BYTES (8 * POLICY_MIB)
#define NOISE_CAP_BYTES (512 * POLICY_MIB)

// What grows in two readings on end goes on growing until the guests have given: two readings, a
// plan and their balloons' way. But no more than this part of the whole is withheld for that.
#define FORESIGHT_US INT64_C(500000)
#define FORESIGHT_DIVISOR 8
#define MIN_INTERVAL_US INT64_C(50000)

// The budget is raised to what was needed at most in one to two of these windows, and not before
// the last fall is this old.
#define WINDOW_US INT64_C(15000000)
#define HOLD_US INT64_C(10000000)

// A state is left for a calmer one when that has been enough for this long.
#define EASE_US INT64_C(5000000)

// Available below these parts of the reserve, or of the whole where there is hardly a reserve.
#define SCARCE_RESERVE_DIVISOR 2
#define SCARCE_TOTAL_DIVISOR 64
#define CRITICAL_RESERVE_DIVISOR 4
#define CRITICAL_TOTAL_DIVISOR 128
// Stalls and swapping count only while available is below the reserve: with more than that at hand
// they are those of a control group under its own limit, which no guest could mend.
#define ROOMY_TOTAL_DIVISOR 32
#define STALL_PERMYRIAD 1000
#define SWAPPING_BYTES POLICY_MIB
// To be left, a state wants half as much memory again, and a quarter of the stalls.
#define EASE_PERCENT 150
#define EASE_STALL_DIVISOR 4

static const char *const state_names[POLICY_HOST_STATE_COUNT] = {
    [POLICY_HOST_CALM] = "calm",
    [POLICY_HOST_SCARCE] = "scarce",
    [POLICY_HOST_CRITICAL] = "critical",
};

const char *policy_host_state_name(PolicyHostState state)
{
    return state_names[state];
}

static PolicyHostReading sanitized(const PolicyHostReading *reading)
{
    PolicyHostReading clean = *reading;
    clean.at_us = policy_clamp(clean.at_us, 0, INT64_MAX / 2);
    clean.total_bytes = policy_clamp(clean.total_bytes, 0, POLICY_MAX_BYTES);
    clean.available_bytes = policy_clamp(clean.available_bytes, 0, clean.total_bytes);
    clean.reserve_bytes = policy_clamp(clean.reserve_bytes, 0, clean.total_bytes);
    clean.guests_bytes = policy_clamp(clean.guests_bytes, 0, POLICY_MAX_BYTES);
    clean.shared_bytes = policy_clamp(clean.shared_bytes, 0, POLICY_MAX_BYTES);
    clean.swapped_out_bytes = policy_clamp(clean.swapped_out_bytes, 0, INT64_MAX / 2);
    return clean;
}

static int64_t noise_bytes(const PolicyHostReading *reading)
{
    return policy_clamp(reading->total_bytes / NOISE_DIVISOR, NOISE_FLOOR_BYTES, NOISE_CAP_BYTES);
}

// --- what others use --------------------------------------------------------------------------

// What others will have taken beyond `growth_bytes` by the time guests have given. A single step is
// no trend: whoever took a large piece at once has it now.
static int64_t foresee(const PolicyHostHistory *history, const PolicyHostReading *reading,
                       int64_t growth_bytes, int64_t elapsed_us)
{
    int64_t steady_bytes = policy_min(growth_bytes, history->growth_bytes);
    if (steady_bytes < noise_bytes(reading) / 2) {
        return 0;
    }
    int64_t interval_ms = policy_clamp(elapsed_us, MIN_INTERVAL_US, FORESIGHT_US) / 1000;
    int64_t further_bytes = steady_bytes / interval_ms * (FORESIGHT_US / 1000);
    return policy_min(further_bytes, reading->total_bytes / FORESIGHT_DIVISOR);
}

static void turn_window(PolicyHostHistory *history, int64_t elapsed_us)
{
    history->window_us += elapsed_us;
    if (history->window_us >= WINDOW_US) {
        history->window_us = 0;
        history->former_peak_bytes = history->peak_bytes;
        history->former_swapped_bytes = history->swapped_bytes;
        history->peak_bytes = 0;
        history->swapped_bytes = 0;
    }
}

// What the budget is made with: `need_bytes` at least, and little more than the most that was
// needed lately.
static void charge(PolicyHostHistory *history, const PolicyHostReading *reading, int64_t need_bytes)
{
    int64_t noise = noise_bytes(reading);
    int64_t lately_bytes = policy_max(history->peak_bytes, history->former_peak_bytes) + noise;
    if (need_bytes > history->charged_bytes) {
        history->charged_bytes = need_bytes + noise;
        history->charged_us = reading->at_us;
    } else if (history->charged_bytes - lately_bytes > noise &&
               reading->at_us - history->charged_us >= HOLD_US &&
               history->state == POLICY_HOST_CALM) {
        history->charged_bytes = lately_bytes;
    }
}

// --- how the host is --------------------------------------------------------------------------

// The state a reading speaks of; with `eased` the one that it would still be in.
static PolicyHostState classify(const PolicyHostReading *reading, bool swapping, bool eased)
{
    int64_t percent = eased ? EASE_PERCENT : 100;
    int64_t stall = STALL_PERMYRIAD / (eased ? EASE_STALL_DIVISOR : 1);
    int64_t total = reading->total_bytes;
    int64_t reserve = reading->reserve_bytes;
    int64_t available = reading->available_bytes * 100 / percent;
    int64_t scarce = policy_max(reserve / SCARCE_RESERVE_DIVISOR, total / SCARCE_TOTAL_DIVISOR);
    bool roomy = available >= policy_max(reserve, total / ROOMY_TOTAL_DIVISOR);
    if (available <
            policy_max(reserve / CRITICAL_RESERVE_DIVISOR, total / CRITICAL_TOTAL_DIVISOR) ||
        (available < scarce && reading->full_permyriad >= stall)) {
        return POLICY_HOST_CRITICAL;
    }
    bool strained = swapping || reading->some_permyriad >= stall;
    return available < scarce || (strained && !roomy) ? POLICY_HOST_SCARCE : POLICY_HOST_CALM;
}

static void judge(PolicyHostHistory *history, const PolicyHostReading *reading, bool swapping)
{
    PolicyHostState entered = classify(reading, swapping, false);
    PolicyHostState kept = classify(reading, swapping, true);
    if (kept >= history->state) {
        history->state = entered > history->state ? entered : history->state;
        history->eased_us = 0;
    } else if (history->eased_us == 0) {
        history->eased_us = reading->at_us;
    } else if (reading->at_us - history->eased_us >= EASE_US) {
        history->state = kept;
        history->eased_us = 0;
    }
}

// --- the step ---------------------------------------------------------------------------------

void policy_host_update(PolicyHostHistory *history, const PolicyHostReading *reading)
{
    PolicyHostReading clean = sanitized(reading);
    const PolicyHostReading *last = &history->last;
    bool goes_on = history->started && clean.at_us >= last->at_us;
    int64_t elapsed_us = goes_on ? clean.at_us - last->at_us : 0;
    int64_t swapped_bytes =
        goes_on ? policy_max(clean.swapped_out_bytes - last->swapped_out_bytes, 0) : 0;
    int64_t non_guest_bytes = policy_clamp(clean.total_bytes - clean.available_bytes +
                                               clean.shared_bytes - clean.guests_bytes,
                                           0, clean.total_bytes);
    int64_t growth_bytes = goes_on ? non_guest_bytes - history->non_guest_bytes : 0;
    int64_t further_bytes = foresee(history, &clean, growth_bytes, elapsed_us);

    turn_window(history, elapsed_us);
    // What was swapped out just now is still needed by somebody.
    history->swapped_bytes = policy_min(history->swapped_bytes + swapped_bytes, clean.total_bytes);
    int64_t need_bytes =
        non_guest_bytes + policy_max(history->swapped_bytes, history->former_swapped_bytes);
    history->peak_bytes = policy_max(history->peak_bytes, need_bytes);
    judge(history, &clean, swapped_bytes >= SWAPPING_BYTES);
    charge(history, &clean, need_bytes + further_bytes);

    history->started = true;
    history->last = clean;
    history->non_guest_bytes = non_guest_bytes;
    history->growth_bytes = growth_bytes;
}

static int64_t less(int64_t from_bytes, int64_t bytes)
{
    return policy_max(from_bytes - bytes, 0);
}

void policy_host_credit(PolicyHostHistory *history, int64_t bytes)
{
    int64_t credit_bytes = policy_clamp(bytes, 0, POLICY_MAX_BYTES);
    history->non_guest_bytes = less(history->non_guest_bytes, credit_bytes);
    history->charged_bytes = less(history->charged_bytes, credit_bytes);
    history->peak_bytes = less(history->peak_bytes, credit_bytes);
    history->former_peak_bytes = less(history->former_peak_bytes, credit_bytes);
}

int64_t policy_host_budget_bytes(const PolicyHostHistory *history)
{
    return less(history->last.total_bytes, history->last.reserve_bytes + history->charged_bytes);
}
