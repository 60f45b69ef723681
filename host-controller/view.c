// SPDX-License-Identifier: Apache-2.0
#include "host-controller/view.h"

#include <unistd.h>

static const char *const state_names[GUEST_STATE_COUNT] = {
    [GUEST_STATE_CONNECTING] = "connecting",
    [GUEST_STATE_UNMANAGEABLE] = "unmanageable",
    [GUEST_STATE_SETTLED] = "settled",
    [GUEST_STATE_SHRINKING] = "shrinking",
    [GUEST_STATE_GROWING] = "growing",
    [GUEST_STATE_STALLED] = "stalled",
    [GUEST_STATE_AUTO_DEFLATED] = "auto-deflated",
    [GUEST_STATE_INEFFECTIVE] = "ineffective",
    [GUEST_STATE_PAUSED] = "paused",
    [GUEST_STATE_MIGRATING] = "migrating",
    [GUEST_STATE_UNMANAGED] = "unmanaged",
};

const char *guest_state_name(GuestState state)
{
    return state_names[state];
}

static const char *const origin_names[GUEST_ORIGIN_COUNT] = {
    [GUEST_ORIGIN_CONFIGURED] = "configured",
    [GUEST_ORIGIN_ADDED] = "added",
    [GUEST_ORIGIN_FOUND] = "found",
};

static void set_int(json_t *object, const char *name, int64_t value)
{
    json_object_set_new(object, name, json_integer(value));
}

static void set_string(json_t *object, const char *name, const char *value)
{
    json_object_set_new(object, name, json_string(value));
}

static void set_bool(json_t *object, const char *name, bool value)
{
    json_object_set_new(object, name, json_boolean(value));
}

static const char *agent_state(const Guest *guest, int64_t now_us)
{
    if (!guest->link) {
        return "none";
    }
    if (!agent_link_is_connected(guest->link)) {
        return "connecting";
    }
    bool reports = guest->source == GUEST_SOURCE_AGENT && guest_is_fresh(guest, now_us);
    return reports ? "connected" : "stale";
}

static json_t *view_reason(const Guest *guest, int64_t now_us)
{
    const PolicyGuest *plan = &guest->plan;
    json_t *reason = json_object();
    if (guest->source != GUEST_SOURCE_NONE) {
        set_int(reason, "demand", policy_demand_bytes(&plan->demand));
        set_int(reason, "committed", plan->demand.committed_bytes);
        set_int(reason, "headroom", plan->demand.headroom_bytes + plan->demand.comfort_bytes);
        set_int(reason, "cache-share", plan->demand.cache_share_bytes);
        set_int(reason, "fair-share", plan->fair_share_bytes);
    }
    set_string(reason, "bound-by", policy_bound_name(plan->bound));
    set_int(reason, "bound-for-us", now_us - guest->bound_since_us);
    return reason;
}

static json_t *view_stats(const Guest *guest, int64_t now_us)
{
    json_t *view = json_object();
    set_int(view, "age-us", now_us - guest->stats_us);
    for (BalloonStat stat = 0; stat < BALLOON_STAT_COUNT; stat++) {
        if (balloon_stats_has(&guest->stats, stat)) {
            set_int(view, balloon_stat_name(stat), guest->stats.value[stat]);
        }
    }
    return view;
}

json_t *view_guest(const Guest *guest, int64_t now_us)
{
    json_t *view = json_object();
    set_string(view, "name", guest->config->name);
    set_string(view, "origin", origin_names[guest->config->origin]);
    set_string(view, "state", guest_state_name(guest_state(guest, now_us)));
    if (guest->pid > 0) {
        set_int(view, "pid", guest->pid);
    }
    if (guest->qmp_error) {
        set_string(view, "qmp-error", guest->qmp_error);
    }
    if (guest_is_known(guest)) {
        PolicyGuest observation;
        guest_observe(guest, &observation, now_us);
        set_int(view, "size", observation.size_bytes);
        set_int(view, "actual", observation.actual_bytes);
        set_int(view, "target", observation.target_bytes);
        int64_t min_bytes;
        int64_t max_bytes;
        guest_limits(guest, &min_bytes, &max_bytes);
        set_int(view, "min", min_bytes);
        set_int(view, "max", max_bytes);
    }
    if (guest->resident_bytes > 0) {
        set_int(view, "resident", guest->resident_bytes);
        set_int(view, "resident-age-us", now_us - guest->resident_us);
    }
    set_int(view, "weight", guest->policy.weight);
    set_bool(view, "policy-changed", guest_policy_is_changed(guest));
    set_bool(view, "pinned", guest->pinned);
    set_bool(view, "managed", guest_is_managed(guest));
    set_string(view, "agent", agent_state(guest, now_us));
    if (guest->link && agent_link_error(guest->link)) {
        set_string(view, "agent-error", agent_link_error(guest->link));
    }
    set_string(view, "source", guest_source_name(guest->source));
    if (guest->source == GUEST_SOURCE_STATS) {
        json_object_set_new(view, "guest-stats", view_stats(guest, now_us));
    }
    if (guest->has_report) {
        set_int(view, "report-age-us", now_us - guest->report_us);
        json_object_set_new(view, "report", memory_report_to_json(&guest->report));
    }
    if (guest->planned) {
        json_object_set_new(view, "reason", view_reason(guest, now_us));
    }
    return view;
}

json_t *view_guests(const Controller *controller, int64_t now_us)
{
    const GPtrArray *guests = controller_guests(controller);
    json_t *list = json_array();
    for (guint i = 0; i < guests->len; i++) {
        json_array_append_new(list, view_guest(g_ptr_array_index(guests, i), now_us));
    }
    return list;
}

static json_t *view_pressure_line(const ProcPressureLine *line)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "avg10-permyriad", (json_int_t)line->avg10_permyriad,
                     "avg60-permyriad", (json_int_t)line->avg60_permyriad, "avg300-permyriad",
                     (json_int_t)line->avg300_permyriad, "total-us", (json_int_t)line->total_us);
}

static json_t *view_pressure(const ProcPressure *pressure)
{
    return json_pack("{s:o, s:o}", "some", view_pressure_line(&pressure->some), "full",
                     view_pressure_line(&pressure->full));
}

json_t *view_host(const Controller *controller, int64_t now_us)
{
    const GPtrArray *guests = controller_guests(controller);
    const Host *host = controller_host(controller);
    const HostMemory *memory = host_memory(host);
    int64_t actual_bytes = 0;
    int64_t target_bytes = 0;
    int64_t ceiling_bytes = 0;
    for (guint i = 0; i < guests->len; i++) {
        GuestHolding holding = guest_holding(g_ptr_array_index(guests, i), now_us);
        actual_bytes += holding.actual_bytes;
        target_bytes += holding.target_bytes;
        ceiling_bytes += holding.ceiling_bytes;
    }
    json_t *view = json_object();
    set_string(view, "mode", controller_mode_name(controller_mode(controller)));
    set_int(view, "budget", controller_budget_bytes(controller));
    set_int(view, "total", memory->total_bytes);
    set_int(view, "available", memory->available_bytes);
    set_int(view, "sum-actual", actual_bytes);
    set_int(view, "sum-target", target_bytes);
    set_bool(view, "overcommitted", controller_is_overcommitted(controller));
    int64_t reserved_bytes = controller_reserved_bytes(controller);
    int64_t left_bytes = controller_budget_bytes(controller) - ceiling_bytes - reserved_bytes;
    set_string(view, "state", policy_host_state_name(host_state(host)));
    set_int(view, "reserve", host_reserve_bytes(host));
    set_int(view, "non-guest", host_non_guest_bytes(host));
    set_int(view, "reserved", reserved_bytes);
    set_int(view, "free", MAX(left_bytes, 0));
    if (memory->pressure.some.present) {
        json_object_set_new(view, "pressure", view_pressure(&memory->pressure));
    }
    return view;
}

json_t *view_status(const Controller *controller, int64_t now_us)
{
    const GPtrArray *guests = controller_guests(controller);
    int64_t connected = 0;
    int64_t reporting = 0;
    for (guint i = 0; i < guests->len; i++) {
        const Guest *guest = g_ptr_array_index(guests, i);
        connected += qmp_client_is_ready(guest->qmp);
        reporting += guest->source == GUEST_SOURCE_AGENT && guest_is_fresh(guest, now_us);
    }
    json_t *view = json_object();
    set_string(view, "version", AEROSTAT_VERSION);
    set_int(view, "pid", getpid());
    set_int(view, "uptime-us", now_us - controller_started_us(controller));
    set_string(view, "mode", controller_mode_name(controller_mode(controller)));
    set_int(view, "guests", guests->len);
    set_int(view, "connected", connected);
    set_int(view, "reporting", reporting);
    set_string(view, "config-path", controller_config_path(controller));
    return view;
}

json_t *view_version(void)
{
    g_auto(GStrv) parts = g_strsplit(AEROSTAT_VERSION, ".", 3);
    json_int_t number[3] = {0};
    for (size_t i = 0; i < G_N_ELEMENTS(number) && parts[i]; i++) {
        number[i] = (json_int_t)g_ascii_strtoll(parts[i], NULL, 10);
    }
    return json_pack("{s:{s:I, s:I, s:I}, s:s}", "qemu", "major", number[0], "minor", number[1],
                     "micro", number[2], "package", "aerostat-" AEROSTAT_VERSION);
}
