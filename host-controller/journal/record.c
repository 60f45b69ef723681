// SPDX-License-Identifier: Apache-2.0
#include "host-controller/journal/record.h"

#define INPUT(name, kind, member)                                                                  \
    {                                                                                              \
        name, JOURNAL_KIND_##kind, offsetof(JournalRecord, input.member)                           \
    }
#define HISTORY(name, kind, member)                                                                \
    {                                                                                              \
        name, JOURNAL_KIND_##kind, offsetof(JournalRecord, history.member)                         \
    }
#define OUTCOME(name, kind, member)                                                                \
    {                                                                                              \
        name, JOURNAL_KIND_##kind, offsetof(JournalRecord, outcome.member)                         \
    }

// Every input of policy_plan() and all of PolicyHistory must be here: what is missing makes a
// replay differ. The policy brings the inputs into range itself; a history it trusts.
const JournalField journal_record_fields[] = {
    INPUT("size", ANY, size_bytes),
    INPUT("actual", ANY, actual_bytes),
    INPUT("target", ANY, target_bytes),
    INPUT("ceiling", ANY, ceiling_bytes),
    INPUT("min", ANY, min_bytes),
    INPUT("max", ANY, max_bytes),
    INPUT("weight", ANY, weight),
    INPUT("movable", BOOL, movable),
    INPUT("fresh", BOOL, fresh),
    INPUT("step-floor", ANY, step_floor_bytes),
    INPUT("pinned", BOOL, pinned),
    INPUT("pinned-to", ANY, pinned_bytes),
    INPUT("unmovable-by", BOUND, bound),
    INPUT("committed", ANY, demand.committed_bytes),
    INPUT("headroom", ANY, demand.headroom_bytes),
    INPUT("comfort", ANY, demand.comfort_bytes),
    INPUT("cache-share", ANY, demand.cache_share_bytes),
    INPUT("under-pressure", BOOL, demand.under_pressure),
    INPUT("burst", ANY, demand.burst.bytes),
    INPUT("burst-growth", ANY, demand.burst.growth_bytes_per_s),
    INPUT("burst-us", ANY, demand.burst.lasts_us),
    INPUT("relief", ANY, demand.relief_bytes),
    INPUT("caution", ANY, demand.caution_bytes),
    HISTORY("learned-started", BOOL, started),
    HISTORY("learned-at-us", COUNT, last.at_us),
    HISTORY("learned-held", BYTES, last.held_bytes),
    HISTORY("learned-free", BYTES, last.free_bytes),
    HISTORY("learned-available", BYTES, last.available_bytes),
    HISTORY("learned-stall-us", COUNT, last.stall_us),
    HISTORY("learned-refault", COUNT, last.refault_bytes),
    HISTORY("learned-coarse", BOOL, last.coarse),
    HISTORY("learned-committed", BYTES, committed_bytes),
    HISTORY("learned-burst", COUNT, burst.bytes),
    HISTORY("learned-burst-growth", COUNT, burst.growth_bytes_per_s),
    HISTORY("learned-burst-us", COUNT, burst.lasts_us),
    HISTORY("learned-former-burst", COUNT, former_burst.bytes),
    HISTORY("learned-former-growth", COUNT, former_burst.growth_bytes_per_s),
    HISTORY("learned-former-us", COUNT, former_burst.lasts_us),
    HISTORY("learned-burst-window-us", COUNT, burst_window_us),
    HISTORY("learned-pressure-until-us", COUNT, pressure_until_us),
    HISTORY("learned-cache-share", BYTES, cache_share_bytes),
    HISTORY("learned-cache-shift", SHIFT, cache_shift),
    HISTORY("learned-cache-calm-us", COUNT, cache_calm_us),
    OUTCOME("plan", ANY, plan_bytes),
    OUTCOME("fair-share", ANY, fair_share_bytes),
    OUTCOME("bound-by", BOUND, bound),
    {0},
};

const JournalField journal_host_fields[] = {
    {"mode", JOURNAL_KIND_MODE, offsetof(JournalHost, mode)},
    {"budget", JOURNAL_KIND_COUNT, offsetof(JournalHost, budget_bytes)},
    {"total", JOURNAL_KIND_COUNT, offsetof(JournalHost, total_bytes)},
    {"adopting", JOURNAL_KIND_BOOL, offsetof(JournalHost, adopting)},
    {"starting", JOURNAL_KIND_BOOL, offsetof(JournalHost, starting)},
    {"ending", JOURNAL_KIND_BOOL, offsetof(JournalHost, ending)},
    {0},
};

const JournalField journal_sample_fields[] = {
    {"at-us", JOURNAL_KIND_ANY, offsetof(PolicySample, at_us)},
    {"held", JOURNAL_KIND_ANY, offsetof(PolicySample, held_bytes)},
    {"free", JOURNAL_KIND_ANY, offsetof(PolicySample, free_bytes)},
    {"available", JOURNAL_KIND_ANY, offsetof(PolicySample, available_bytes)},
    {"stall-us", JOURNAL_KIND_ANY, offsetof(PolicySample, stall_us)},
    {"refault", JOURNAL_KIND_ANY, offsetof(PolicySample, refault_bytes)},
    {"coarse", JOURNAL_KIND_BOOL, offsetof(PolicySample, coarse)},
    {0},
};

JournalRecord journal_record_expect(const JournalRecord *former, const PolicySample *samples,
                                    size_t count)
{
    JournalRecord expected = *former;
    for (size_t i = 0; i < count; i++) {
        policy_demand_update(&expected.history, &samples[i], expected.input.size_bytes,
                             &expected.input.demand);
    }
    return expected;
}

PolicyHost journal_policy_host(const JournalHost *host)
{
    return (PolicyHost){
        .budget_bytes = host->budget_bytes,
        .reclaim = host->mode == CONTROLLER_MODE_RECLAIM,
        .adopting = host->adopting,
    };
}

bool journal_host_acts(const JournalHost *host)
{
    return host->ending || (host->mode != CONTROLLER_MODE_OBSERVE && !host->starting);
}

JournalOutcome journal_outcome_of(const PolicyGuest *planned)
{
    return (JournalOutcome){
        .plan_bytes = planned->plan_bytes,
        .fair_share_bytes = planned->fair_share_bytes,
        .bound = planned->bound,
    };
}
