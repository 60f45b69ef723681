// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-snapshot.h"

static void set(GuestSample *sample, unsigned which, int64_t value)
{
    sample->value[which] = value;
    sample->present[which] = true;
}

static void sample_memory(GuestSample *sample, const Guest *guest, const PolicyGuest *observation)
{
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    set(sample, GUEST_VALUE_SIZE, observation->size_bytes);
    set(sample, GUEST_VALUE_ACTUAL, observation->actual_bytes);
    set(sample, GUEST_VALUE_TARGET, observation->target_bytes);
    set(sample, GUEST_VALUE_MIN, min_bytes);
    set(sample, GUEST_VALUE_MAX, max_bytes);
    if (guest->planned) {
        set(sample, GUEST_VALUE_FAIR_SHARE, guest->plan.fair_share_bytes);
    }
}

static void sample_demand(GuestSample *sample, const Guest *guest)
{
    const PolicyDemand *demand = &guest->demand;
    set(sample, GUEST_VALUE_UNDER_PRESSURE, demand->under_pressure);
    set(sample, GUEST_VALUE_DEMAND, demand->committed_bytes);
    set(sample, GUEST_VALUE_DEMAND + 1, demand->headroom_bytes);
    set(sample, GUEST_VALUE_DEMAND + 2, demand->comfort_bytes);
    set(sample, GUEST_VALUE_DEMAND + 3, demand->cache_share_bytes);
}

static void sample_report(GuestSample *sample, const Guest *guest, int64_t now_us)
{
    set(sample, GUEST_VALUE_REPORT_AGE, now_us - guest->report_us);
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        if (memory_report_has(&guest->report, field)) {
            set(sample, GUEST_VALUE_REPORT + field, memory_report_get(&guest->report, field));
        }
    }
}

static void sample_guest(GuestSample *sample, const Guest *guest, int64_t now_us)
{
    sample->name = g_strdup(guest->config->name);
    sample->state = guest_state(guest, now_us);
    sample->fresh = guest_is_fresh(guest, now_us);
    for (GuestState state = 0; state < GUEST_STATE_COUNT; state++) {
        set(sample, GUEST_VALUE_STATE + state, state == sample->state);
    }
    set(sample, GUEST_VALUE_WEIGHT, guest->policy.weight);
    set(sample, GUEST_VALUE_PINNED, guest->pinned);
    set(sample, GUEST_VALUE_REPORTS, (int64_t)guest->reports);
    set(sample, GUEST_VALUE_COMMANDS, (int64_t)guest->commands);
    if (guest->link) {
        set(sample, GUEST_VALUE_AGENT_CONNECTED, agent_link_is_connected(guest->link));
        set(sample, GUEST_VALUE_REFUSED_LINES, (int64_t)agent_link_refused(guest->link));
    }
    for (GuestSource source = 0; source < GUEST_SOURCE_COUNT; source++) {
        set(sample, GUEST_VALUE_SOURCE + source, source == guest->source);
    }
    if (guest->source != GUEST_SOURCE_NONE) {
        sample_demand(sample, guest);
    }
    if (guest->has_report) {
        sample_report(sample, guest, now_us);
    }
}

static void sample_guests(MetricsSnapshot *snapshot, const GPtrArray *guests, int64_t now_us)
{
    snapshot->guest_count = guests->len;
    snapshot->guests = g_new0(GuestSample, guests->len);
    for (guint i = 0; i < guests->len; i++) {
        const Guest *guest = g_ptr_array_index(guests, i);
        sample_guest(&snapshot->guests[i], guest, now_us);
        if (guest_is_known(guest)) {
            PolicyGuest observation;
            guest_observe(guest, &observation, now_us);
            sample_memory(&snapshot->guests[i], guest, &observation);
        }
        GuestHolding holding = guest_holding(guest, now_us);
        snapshot->host[HOST_VALUE_HELD] += holding.actual_bytes;
        snapshot->host[HOST_VALUE_TARGET] += holding.target_bytes;
        snapshot->host[HOST_VALUE_PROMISED] += holding.ceiling_bytes;
    }
}

MetricsSnapshot *metrics_snapshot_new(const Controller *controller, const ControlServer *control,
                                      int64_t now_us)
{
    MetricsSnapshot *snapshot = g_new0(MetricsSnapshot, 1);
    const Host *host_now = controller_host(controller);
    const HostMemory *memory = host_memory(host_now);
    const ControllerTally *tally = controller_tally(controller);
    ControllerMode mode = controller_mode(controller);
    PolicyHost host = {
        .budget_bytes = controller_budget_bytes(controller),
        .reclaim = mode == CONTROLLER_MODE_RECLAIM,
    };
    snapshot->host[HOST_VALUE_BUILD] = 1;
    snapshot->host[HOST_VALUE_UPTIME] = now_us - controller_started_us(controller);
    snapshot->host[HOST_VALUE_MODE + mode] = 1;
    snapshot->host[HOST_VALUE_MEMORY] = memory->total_bytes;
    snapshot->host[HOST_VALUE_AVAILABLE] = memory->available_bytes;
    snapshot->host[HOST_VALUE_BUDGET] = host.budget_bytes;
    snapshot->host[HOST_VALUE_POOL] = policy_pool_bytes(&host);
    snapshot->host[HOST_VALUE_OVERCOMMITTED] = controller_is_overcommitted(controller);
    snapshot->host[HOST_VALUE_GUESTS] = controller_guests(controller)->len;
    snapshot->host[HOST_VALUE_PLANS] = (int64_t)tally->plans;
    snapshot->host[HOST_VALUE_DROPPED_EVENTS] = (int64_t)control_server_dropped_events(control);
    JournalTally journal = controller_journal(controller);
    snapshot->host[HOST_VALUE_JOURNAL_LINES] = (int64_t)journal.lines;
    snapshot->host[HOST_VALUE_JOURNAL_DROPPED] = (int64_t)journal.dropped;
    snapshot->host[HOST_VALUE_JOURNAL_BYTES] = (int64_t)journal.bytes;
    snapshot->host[HOST_VALUE_STATE + host_state(host_now)] = 1;
    snapshot->host[HOST_VALUE_NON_GUEST] = host_non_guest_bytes(host_now);
    snapshot->host[HOST_VALUE_RESERVED] = controller_reserved_bytes(controller);
    snapshot->host[HOST_VALUE_SHARED] = memory->shared_bytes;
    snapshot->host[HOST_VALUE_PRESSURE_SOME] = memory->pressure.some.total_us;
    snapshot->host[HOST_VALUE_PRESSURE_FULL] = memory->pressure.full.total_us;
    snapshot->reaction = tally->reaction;
    snapshot->handover = tally->handover;
    sample_guests(snapshot, controller_guests(controller), now_us);
    return snapshot;
}

void metrics_snapshot_free(MetricsSnapshot *snapshot)
{
    if (!snapshot) {
        return;
    }
    for (size_t i = 0; i < snapshot->guest_count; i++) {
        g_free(snapshot->guests[i].name);
    }
    g_free(snapshot->guests);
    g_free(snapshot);
}
