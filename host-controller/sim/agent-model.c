// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/agent-model.h"

#include "host-controller/sim/quantity.h"

#include <string.h>

#define INTERVAL_US (100 * SIM_MS)
#define HEARTBEAT_US SIM_S
#define HORIZON_US SIM_S
#define STALL_WINDOW_US (SIM_S / 2)
#define STALL_LIMIT_US (10 * SIM_MS)
#define GROWTH_WINDOW_US (5 * SIM_S)
#define LEAST_GROWTH_MIN_BYTES_PER_S (64 * SIM_MIB)
#define SUDDEN_GROWTH_BYTES_PER_S SIM_GIB
#define LEAST_GROWTH_DIVISOR 16
#define FORGETTING_DIVISOR 64
#define SAMPLES_TO_EXHAUSTION 4
#define NOISE_DIVISOR 8
#define CHANGE_DIVISOR 256
#define CHANGE_MIN_BYTES SIM_MIB
#define CHANGE_MAX_BYTES (64 * SIM_MIB)
#define BOOT_US (4 * SIM_S)
// A raving agent claims up to this.
#define RAVING_MAX_BYTES (INT64_C(1) << 44)

void agent_model_init(AgentModel *agent, const GuestTraits *traits, uint64_t seed)
{
    *agent = (AgentModel){
        .change_bytes =
            sim_clamp(traits->size_bytes / CHANGE_DIVISOR, CHANGE_MIN_BYTES, CHANGE_MAX_BYTES),
        .random = {.state = seed},
        .boot_id = "a",
    };
}

int64_t agent_model_noise_bytes(const AgentModel *agent)
{
    return agent->change_bytes / NOISE_DIVISOR;
}

void agent_model_event(AgentModel *agent, WorkloadEventType type, int64_t now_us)
{
    switch (type) {
    case WORKLOAD_AGENT_DIES:
        agent->dead = true;
        break;
    case WORKLOAD_AGENT_RETURNS:
        agent->dead = false;
        agent->lying = false;
        agent->started = false;
        break;
    case WORKLOAD_AGENT_OVERSTATES:
    case WORKLOAD_AGENT_UNDERSTATES:
    case WORKLOAD_AGENT_RAVES:
        agent->lying = true;
        agent->lies = type;
        break;
    case WORKLOAD_REBOOT:
        agent->boot_id[0]++;
        agent->started = false;
        agent->silent_until_us = now_us + BOOT_US;
        break;
    }
}

// --- what a look tells ------------------------------------------------------------------------

static AgentLevels levels_of(const GuestModel *guest)
{
    int64_t available_bytes = guest_model_available_bytes(guest);
    return (AgentLevels){
        .available_bytes = available_bytes,
        .used_bytes = -available_bytes - guest->balloon_bytes,
        .paged_bytes = guest->counters.swap_in_bytes + guest->counters.swap_out_bytes +
                       guest->counters.refault_bytes,
        .oom_kills = guest->counters.oom_kills,
    };
}

// What the guest's kernel calls MemTotal.
static int64_t total_bytes(const GuestModel *guest)
{
    const GuestTraits *traits = guest->traits;
    int64_t taken_bytes = traits->deflate_on_oom ? 0 : guest->balloon_bytes;
    return traits->size_bytes - taken_bytes - traits->kernel_bytes;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

static bool moved_by_more_than(int64_t bytes, AgentLevels from, AgentLevels to)
{
    return distance(from.available_bytes, to.available_bytes) > bytes ||
           distance(from.used_bytes, to.used_bytes) > bytes ||
           to.paged_bytes - from.paged_bytes > bytes;
}

static int64_t fastest_growth(const AgentModel *agent)
{
    return sim_max(agent->growth_bytes_per_s[0], agent->growth_bytes_per_s[1]);
}

static void note_growth(AgentModel *agent, AgentLevels now, int64_t now_us)
{
    int64_t window_us = now_us - agent->growth_window_start_us;
    if (window_us >= GROWTH_WINDOW_US) {
        agent->growth_bytes_per_s[1] =
            window_us < 2 * GROWTH_WINDOW_US ? agent->growth_bytes_per_s[0] : 0;
        agent->growth_bytes_per_s[0] = 0;
        agent->growth_window_start_us = now_us;
        agent->shown_bytes_per_s -= agent->shown_bytes_per_s / FORGETTING_DIVISOR;
    }
    int64_t grown_bytes = now.used_bytes - agent->sampled.used_bytes;
    int64_t elapsed_us = now_us - agent->sampled_us;
    if (grown_bytes > 0 && elapsed_us > 0) {
        int64_t bytes_per_s = sim_scale(grown_bytes, SIM_S, elapsed_us);
        agent->growth_bytes_per_s[0] = sim_max(agent->growth_bytes_per_s[0], bytes_per_s);
        agent->shown_bytes_per_s = sim_max(agent->shown_bytes_per_s, bytes_per_s);
    }
}

static bool note_stall(AgentModel *agent, int64_t total_us, int64_t now_us)
{
    bool stalled = total_us - agent->stall_window_total_us > STALL_LIMIT_US;
    if (stalled || now_us - agent->stall_window_start_us >= STALL_WINDOW_US) {
        agent->stall_window_total_us = total_us;
        agent->stall_window_start_us = now_us;
    }
    return stalled;
}

static bool note_trend(AgentModel *agent, AgentLevels now, bool too_soon)
{
    int64_t growth = fastest_growth(agent);
    bool before = agent->running_out;
    agent->running_out = growth > 0 && now.available_bytes <= sim_scale(growth, HORIZON_US, SIM_S);
    int64_t grown_bytes = now.used_bytes - agent->reported.used_bytes;
    return agent->running_out &&
           (!before || (!too_soon && grown_bytes > agent_model_noise_bytes(agent)));
}

static bool decide(AgentModel *agent, const GuestModel *guest, AgentLevels now,
                   MemoryReportReason *reason)
{
    bool too_soon = guest->now_us - agent->reported_us < INTERVAL_US;
    bool stalled = !too_soon && note_stall(agent, guest->stall_us, guest->now_us);
    bool trend = note_trend(agent, now, too_soon);
    if (stalled || now.oom_kills > agent->reported.oom_kills) {
        *reason = REPORT_REASON_PRESSURE;
    } else if (trend) {
        *reason = REPORT_REASON_TREND;
    } else if (!too_soon && moved_by_more_than(agent->change_bytes, agent->reported, now)) {
        *reason = REPORT_REASON_CHANGE;
    } else if (guest->now_us - agent->reported_us >= HEARTBEAT_US) {
        *reason = REPORT_REASON_HEARTBEAT;
    } else {
        return false;
    }
    return true;
}

// --- the report -------------------------------------------------------------------------------

static void lie(AgentModel *agent, MemoryReport *report)
{
    int64_t total = memory_report_get(report, REPORT_MEMORY_TOTAL);
    if (agent->lies == WORKLOAD_AGENT_RAVES) {
        total = sim_random_between(&agent->random, 0, RAVING_MAX_BYTES);
        memory_report_set(report, REPORT_MEMORY_TOTAL, total);
        memory_report_set(report, REPORT_MEMORY_FREE, sim_random_between(&agent->random, 0, total));
        memory_report_set(report, REPORT_MEMORY_AVAILABLE,
                          sim_random_between(&agent->random, 0, total));
        memory_report_set(report, REPORT_BALLOON,
                          sim_random_between(&agent->random, 0, RAVING_MAX_BYTES));
        memory_report_set(report, REPORT_PRESSURE_SOME_TOTAL,
                          sim_random_between(&agent->random, 0, RAVING_MAX_BYTES));
        return;
    }
    int64_t claimed = agent->lies == WORKLOAD_AGENT_OVERSTATES ? 0 : total;
    memory_report_set(report, REPORT_MEMORY_FREE, claimed);
    memory_report_set(report, REPORT_MEMORY_AVAILABLE, claimed);
}

static void fill_report(AgentModel *agent, const GuestModel *guest, AgentLevels now,
                        MemoryReport *report)
{
    const GuestTraits *traits = guest->traits;
    report->sequence = agent->sequence++;
    report->monotonic_us = guest->now_us;
    report->has_deflate_on_oom = true;
    report->deflate_on_oom = traits->deflate_on_oom;
    memcpy(report->boot_id, agent->boot_id, sizeof agent->boot_id);
    memory_report_set(report, REPORT_MEMORY_TOTAL, total_bytes(guest));
    memory_report_set(report, REPORT_MEMORY_FREE, guest->free_bytes);
    memory_report_set(report, REPORT_MEMORY_AVAILABLE, now.available_bytes);
    memory_report_set(report, REPORT_MEMORY_CACHED, guest->hot_bytes + guest->cold_bytes);
    memory_report_set(report, REPORT_MEMORY_ANONYMOUS, guest->anonymous_bytes);
    memory_report_set(report, REPORT_MEMORY_SWAP_TOTAL, traits->swap_bytes);
    memory_report_set(report, REPORT_MEMORY_SWAP_FREE, traits->swap_bytes - guest->swapped_bytes);
    memory_report_set(report, REPORT_PAGING_SWAP_IN, guest->counters.swap_in_bytes);
    memory_report_set(report, REPORT_PAGING_SWAP_OUT, guest->counters.swap_out_bytes);
    memory_report_set(report, REPORT_PAGING_REFAULT_FILE, guest->counters.refault_bytes);
    memory_report_set(report, REPORT_PAGING_REFAULT_ANON, guest->counters.swap_in_bytes);
    memory_report_set(report, REPORT_PAGING_OOM_KILLS, guest->counters.oom_kills);
    memory_report_set(report, REPORT_PRESSURE_SOME_TOTAL, guest->stall_us);
    memory_report_set(report, REPORT_BALLOON, guest->balloon_bytes);
    if (agent->lying) {
        lie(agent, report);
    }
}

// --- when -------------------------------------------------------------------------------------

static int64_t time_to_sample(AgentLevels now, int64_t bytes_per_s)
{
    return sim_scale(now.available_bytes, SIM_S, bytes_per_s) / SAMPLES_TO_EXHAUSTION;
}

static int64_t wait_while_growing(const AgentModel *agent, AgentLevels now, int64_t now_us)
{
    int64_t sudden = sim_max(agent->shown_bytes_per_s, SUDDEN_GROWTH_BYTES_PER_S);
    int64_t until_report_us = agent->reported_us + INTERVAL_US - now_us;
    int64_t wait_us =
        sim_clamp(time_to_sample(now, sudden), INTERVAL_US / SAMPLES_TO_EXHAUSTION, INTERVAL_US);
    return until_report_us > 0 ? sim_min(wait_us, until_report_us) : wait_us;
}

static int64_t longest_wait(const AgentModel *agent, const GuestModel *guest, AgentLevels now)
{
    if (now.used_bytes - agent->sampled.used_bytes > agent_model_noise_bytes(agent)) {
        return wait_while_growing(agent, now, guest->now_us);
    }
    if (agent->tight) {
        return INTERVAL_US;
    }
    int64_t least = sim_clamp(total_bytes(guest) / LEAST_GROWTH_DIVISOR,
                              LEAST_GROWTH_MIN_BYTES_PER_S, SUDDEN_GROWTH_BYTES_PER_S);
    return sim_max(time_to_sample(now, sim_max(agent->shown_bytes_per_s, least)), INTERVAL_US);
}

// The kernel checks its pressure trigger by itself and wakes the agent.
static bool is_woken(const AgentModel *agent, const GuestModel *guest)
{
    return guest->stall_us - agent->stall_window_total_us > STALL_LIMIT_US &&
           guest->now_us - agent->sampled_us >= STALL_WINDOW_US / 10;
}

bool agent_model_sample(AgentModel *agent, const GuestModel *guest, MemoryReport *report)
{
    if (agent->dead || guest->now_us < agent->silent_until_us ||
        (agent->started && guest->now_us < agent->next_us && !is_woken(agent, guest))) {
        return false;
    }
    AgentLevels now = levels_of(guest);
    MemoryReportReason reason = REPORT_REASON_START;
    bool said = true;
    if (agent->started) {
        note_growth(agent, now, guest->now_us);
        said = decide(agent, guest, now, &reason);
    } else {
        agent->started = true;
        agent->sampled = now;
        agent->growth_window_start_us = guest->now_us;
        agent->stall_window_start_us = guest->now_us;
        agent->stall_window_total_us = guest->stall_us;
    }
    agent->tight = moved_by_more_than(agent_model_noise_bytes(agent), agent->sampled, now) ||
                   (said && reason == REPORT_REASON_PRESSURE);
    if (said) {
        agent->reported = now;
        agent->reported_us = guest->now_us;
        report->reason = reason;
        fill_report(agent, guest, now, report);
    }
    agent->next_us =
        sim_min(guest->now_us + longest_wait(agent, guest, now), agent->reported_us + HEARTBEAT_US);
    agent->sampled = now;
    agent->sampled_us = guest->now_us;
    return said;
}

bool agent_model_is_quiet(const AgentModel *agent)
{
    return agent->dead || (agent->started && !agent->tight && !agent->running_out);
}
