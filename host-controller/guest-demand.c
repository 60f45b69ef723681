// SPDX-License-Identifier: Apache-2.0
//
// What a guest needs, as it tells itself: in its agent's reports, or, where no agent has reported
// for long, in its balloon's statistics.
//
// Those come once a second, when their moment is known to half a second, and without a word of
// pressure or of which cache is missed. So the policy is told that they are coarse; while the
// balloon moves they only ever raise what the guest is taken to need; and a guest is shrunk by no
// more than a part of its size for each of them.
#include "host-controller/guest.h"
#include "host-controller/guest-log.h"

#include <string.h>

// One guest is planned for at once no more often than this.
#define URGENT_SPACING_US INT64_C(10000)
// It is told to be under pressure, or no longer, no more often than this.
#define PRESSURE_SPACING_US INT64_C(1000000)
// The guest's own count and QEMU's are held against each other once neither has moved for this
// long.
#define CLAIM_CALM_US POLICY_FRESH_US
// The guest's kernel counts its balloon in batches.
#define CLAIM_NOISE_BYTES (4 * POLICY_MIB)
// An agent that has not reported for this long is not waited for.
#define AGENT_PATIENCE_US INT64_C(30000000)
// While a balloon moves by less than this its statistics are of one moment.
#define CALM_BYTES (16 * POLICY_MIB)
// A guest gives back no more than this part of its size before it has told anew.
#define STEP_DIVISOR 8
// Reading more than this a second from swap is taken for a stall.
#define SWAP_TOLERANCE_BYTES POLICY_MIB

static const char *const source_names[GUEST_SOURCE_COUNT] = {
    [GUEST_SOURCE_NONE] = "none",
    [GUEST_SOURCE_AGENT] = "agent",
    [GUEST_SOURCE_STATS] = "guest-stats",
};

const char *guest_source_name(GuestSource source)
{
    return source_names[source];
}

// Statistics are asked for while they are needed, and may be.
static void choose_source(Guest *guest)
{
    bool wanted = guest_is_managed(guest) && guest->agent_given_up;
    stats_link_want(guest->stats_link, wanted);
    if (!wanted && guest->source == GUEST_SOURCE_STATS) {
        guest_forget_report(guest);
    }
}

static void tell_pressure(Guest *guest, bool under_pressure, int64_t now_us)
{
    guest->told_pressure = under_pressure;
    guest->told_pressure_us = now_us;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "%s",
              under_pressure ? "under pressure, its tasks stall for lack of memory"
                             : "no longer under pressure");
    guest_emit(guest, "GUEST_PRESSURE",
               json_pack("{s:b, s:I, s:I}", "under-pressure", under_pressure, "actual",
                         (json_int_t)guest->balloon.actual_bytes, "target",
                         (json_int_t)guest->balloon.target_bytes));
}

// Tells when tasks of the guest begin to stall for lack of memory and when that is over; seldom
// enough that no guest fills anybody's log.
static void note_pressure(Guest *guest, int64_t now_us)
{
    if (guest->demand.under_pressure != guest->told_pressure &&
        now_us - guest->told_pressure_us >= PRESSURE_SPACING_US) {
        tell_pressure(guest, guest->demand.under_pressure, now_us);
    }
}

void guest_forget_report(Guest *guest)
{
    if (guest->told_pressure) {
        tell_pressure(guest, false, g_get_monotonic_time());
    }
    guest->has_report = false;
    guest->source = GUEST_SOURCE_NONE;
    guest->history = (PolicyHistory){0};
    guest->demand = (PolicyDemand){0};
    timer_disarm(guest->stale_timer);
    if (!guest->agent_given_up) {
        timer_arm_by(guest->fallback_timer, g_get_monotonic_time() + AGENT_PATIENCE_US);
    }
}

// Whether the guest cannot do without more than it was given, and may have more.
static bool lacks_memory(const Guest *guest)
{
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    return policy_min(policy_firm_bytes(&guest->demand), max_bytes) > guest->balloon.target_bytes;
}

// What the guest has told just now leads to a plan: at once when it `cries`, or lacks memory.
static void take_sample(Guest *guest, GuestSource source, const PolicySample *sample, bool cries)
{
    int64_t now_us = g_get_monotonic_time();
    if (guest->source != source) {
        guest->history = (PolicyHistory){0};
        guest->source = source;
    }
    guest->news_us = now_us;
    timer_arm(guest->stale_timer, now_us + POLICY_FRESH_US);
    policy_demand_update(&guest->history, sample, guest->size_bytes, &guest->demand);
    guest->handlers->reported(guest, sample, guest->context);
    note_pressure(guest, now_us);
    // However often a guest cries for help, it does not drive the others' plans.
    bool urgent = (cries || lacks_memory(guest)) && now_us - guest->urgent_us >= URGENT_SPACING_US;
    guest->urgent_us = urgent ? now_us : guest->urgent_us;
    guest->unanswered_us = urgent && !guest->unanswered_us ? now_us : guest->unanswered_us;
    guest_changed(guest, urgent ? GUEST_URGENCY_NOW : GUEST_URGENCY_SOON);
}

// --- the agent --------------------------------------------------------------------------------

static void on_agent_connected(AgentLink *link, const char *version, void *context)
{
    (void)link;
    Guest *guest = context;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "agent %s connected", version);
    guest_emit(guest, "GUEST_AGENT_CONNECTED", json_object());
}

static void lose_agent(Guest *guest)
{
    guest_emit(guest, "GUEST_AGENT_LOST", json_object());
    guest->has_report = false;
    if (guest->source == GUEST_SOURCE_AGENT) {
        guest_forget_report(guest);
    }
    guest_changed(guest, GUEST_URGENCY_NOW);
}

static void on_agent_lost(AgentLink *link, const char *why, void *context)
{
    (void)link;
    Guest *guest = context;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "agent lost: %s", why);
    lose_agent(guest);
}

// Holds the guest's own count of its balloon against QEMU's. A balloon that the guest says is empty
// while QEMU has known otherwise for long is one of a former kernel: it was reset while nobody
// listened. To claim that falsely gains a guest no memory that it could not take by itself: it
// counts with all of it, as if it had.
static void compare_counts(Guest *guest, int64_t held_bytes, int64_t now_us)
{
    Balloon *balloon = &guest->balloon;
    balloon_confirm(balloon, held_bytes);
    if (!guest->has_balloon || guest_is_watched(guest)) {
        return; // it is being read often enough
    }
    int64_t unaccounted_bytes = guest->size_bytes - balloon->actual_bytes;
    if (held_bytes == guest->size_bytes && unaccounted_bytes > CLAIM_NOISE_BYTES &&
        now_us - balloon->moved_us >= CLAIM_CALM_US) {
        guest_log(guest, G_LOG_LEVEL_MESSAGE, "its balloon is empty, whatever QEMU says");
        guest_restart(guest);
    } else if (ABS(held_bytes - balloon->actual_bytes) > CLAIM_NOISE_BYTES) {
        guest_ask_balloon(guest);
    }
}

// The agent is there: nothing else is listened to.
static void take_over(Guest *guest)
{
    timer_disarm(guest->fallback_timer);
    if (guest->agent_given_up) {
        guest->agent_given_up = false;
        choose_source(guest);
    }
}

static void on_report(AgentLink *link, const MemoryReport *report, void *context)
{
    (void)link;
    Guest *guest = context;
    int64_t now_us = g_get_monotonic_time();
    if (!guest_is_known(guest)) {
        return; // its numbers mean nothing without its size
    }
    take_over(guest);
    if (guest->has_report && strcmp(guest->report.boot_id, report->boot_id) != 0) {
        guest->history = (PolicyHistory){0};
    }
    guest->reports++;
    guest->has_report = true;
    guest->report = *report;
    guest->report_us = now_us;
    // The balloon as the guest counts it belongs to the same moment as the other numbers.
    bool counts = memory_report_has(report, REPORT_BALLOON);
    int64_t held_bytes = counts ? guest->size_bytes - memory_report_get(report, REPORT_BALLOON)
                                : guest->balloon.actual_bytes;
    if (counts) {
        compare_counts(guest, held_bytes, now_us);
    }
    PolicySample sample = {
        .at_us = report->monotonic_us,
        .held_bytes = held_bytes,
        .free_bytes = memory_report_get(report, REPORT_MEMORY_FREE),
        .available_bytes = memory_report_get(report, REPORT_MEMORY_AVAILABLE),
        .stall_us = memory_report_get(report, REPORT_PRESSURE_SOME_TOTAL),
        .refault_bytes = memory_report_get(report, REPORT_PAGING_REFAULT_FILE),
    };
    bool cries = report->reason == REPORT_REASON_TREND || report->reason == REPORT_REASON_PRESSURE;
    take_sample(guest, GUEST_SOURCE_AGENT, &sample, cries);
}

static const AgentLinkHandlers link_handlers = {
    .connected = on_agent_connected,
    .report = on_report,
    .lost = on_agent_lost,
};

static void on_stale(void *context)
{
    Guest *guest = context;
    if (guest->source == GUEST_SOURCE_AGENT) {
        timer_arm_by(guest->fallback_timer, guest->news_us + AGENT_PATIENCE_US);
    }
    guest_changed(guest, GUEST_URGENCY_NOW);
}

// Waits for the agent, if there is one, before it does without.
static void await_agent(Guest *guest)
{
    guest->agent_given_up = !guest->link;
    if (guest->link) {
        timer_arm(guest->fallback_timer, g_get_monotonic_time() + AGENT_PATIENCE_US);
    }
    choose_source(guest);
}

static void on_agent_missing(void *context)
{
    Guest *guest = context;
    guest->agent_given_up = true;
    choose_source(guest);
}

// --- statistics -------------------------------------------------------------------------------

// The time the guest is taken to have stalled, by what it has read from swap since the last time.
static int64_t stall_us(Guest *guest, const BalloonStats *stats, int64_t now_us)
{
    int64_t swapped_bytes = stats->value[BALLOON_STAT_SWAP_IN];
    int64_t read_bytes = swapped_bytes - guest->stats.value[BALLOON_STAT_SWAP_IN];
    bool compares = guest->source == GUEST_SOURCE_STATS &&
                    balloon_stats_has(stats, BALLOON_STAT_SWAP_IN) &&
                    balloon_stats_has(&guest->stats, BALLOON_STAT_SWAP_IN);
    if (compares && read_bytes > SWAP_TOLERANCE_BYTES) {
        guest->stats_stall_us += now_us - guest->stats_us;
    }
    return guest->stats_stall_us;
}

// Statistics of a moment in which the guest held from `lowest_bytes` to `highest_bytes`.
static void on_stats(const BalloonStats *stats, int64_t lowest_bytes, int64_t highest_bytes,
                     void *context)
{
    Guest *guest = context;
    int64_t now_us = g_get_monotonic_time();
    int64_t available_bytes;
    if (!guest_is_known(guest) || !guest->has_balloon ||
        !balloon_stats_available(stats, &available_bytes)) {
        return;
    }
    bool calm = highest_bytes - lowest_bytes <= CALM_BYTES;
    PolicySample sample = {
        .at_us = now_us,
        .held_bytes = calm ? highest_bytes : lowest_bytes,
        .free_bytes = balloon_stats_has(stats, BALLOON_STAT_FREE) ? stats->value[BALLOON_STAT_FREE]
                                                                  : available_bytes,
        .available_bytes = available_bytes,
        .stall_us = stall_us(guest, stats, now_us),
        .coarse = true,
    };
    bool first = guest->source != GUEST_SOURCE_STATS;
    guest->stats = *stats;
    guest->stats_us = now_us;
    if (calm) {
        guest->step_floor_bytes = highest_bytes - guest->size_bytes / STEP_DIVISOR;
    }
    // At least as much as this is in use; while it moves, less than before means nothing.
    if (calm || (!first && sample.held_bytes - available_bytes > guest->demand.committed_bytes)) {
        take_sample(guest, GUEST_SOURCE_STATS, &sample, false);
    } else if (!first) {
        guest->news_us = now_us;
        timer_arm(guest->stale_timer, now_us + POLICY_FRESH_US);
    }
}

int64_t guest_step_floor_bytes(const Guest *guest)
{
    return guest->source == GUEST_SOURCE_STATS && !guest->pinned ? guest->step_floor_bytes : 0;
}

// --- life -------------------------------------------------------------------------------------

void guest_demand_init(Guest *guest)
{
    const char *path = guest->config->agent_path;
    guest->stale_timer = timer_new(on_stale, guest);
    guest->fallback_timer = timer_new(on_agent_missing, guest);
    guest->stats_link = stats_link_new(guest->qmp, on_stats, guest);
    guest->link = path ? agent_link_new(path, &link_handlers, guest) : NULL;
    await_agent(guest);
}

void guest_demand_clear(Guest *guest)
{
    agent_link_free(guest->link);
    stats_link_free(guest->stats_link);
    timer_free(guest->stale_timer);
    timer_free(guest->fallback_timer);
}

void guest_replace_link(Guest *guest, const char *path)
{
    bool was_connected = guest->link && agent_link_is_connected(guest->link);
    agent_link_free(guest->link);
    guest->link = path ? agent_link_new(path, &link_handlers, guest) : NULL;
    if (was_connected) {
        guest_log(guest, G_LOG_LEVEL_MESSAGE, "agent lost: its port is gone");
        lose_agent(guest);
    }
    await_agent(guest);
}

void guest_settings_changed(Guest *guest)
{
    choose_source(guest);
}
