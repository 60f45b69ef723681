// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/host-model.h"

#include "host-controller/sim/agent-model.h"
#include "host-controller/sim/quantity.h"

// A guest not heard of for this long counts as stale.
#define STALE_US (3 * SIM_S)

// Reports on their way at one time, the last one that arrived and the one being made.
#define REPORT_SLOTS 16

// One guest with all that belongs to it.
typedef struct Member {
    const GuestSetup *setup;
    GuestModel model;
    AgentModel agent;
    CurveCursor foresight;
    guint next_event;
    bool active;           // stepped finely in this tick
    int64_t read_bytes;    // the last reading of its balloon
    MemoryReport *reports; // report n is in slot n % REPORT_SLOTS
    int64_t arrival_us[REPORT_SLOTS];
    int64_t sent;         // reports so far
    int64_t arrived;      // of them
    int64_t delivered_us; // -1: never
} Member;

typedef struct Host {
    const HostSetup *setup;
    Member *members;
    const GuestModel **models; // theirs
    size_t count;
    void *policy;
    SimObservation *observations;
    int64_t *targets;
    LawGuest *law_guests;
    int64_t now_us;
    int64_t accounted_us;
    int64_t held_bytes; // by all guests, as of their last readings
    int64_t in_flight;  // reports not yet arrived
    int64_t next_decision_us;
    bool news; // something changed since the last decision
    HostResult *result;
} Host;

// --- guests and agents ------------------------------------------------------------------------

static void apply_events(Host *host, Member *member)
{
    const GArray *events = member->setup->workload.events;
    while (events && member->next_event < events->len) {
        const WorkloadEvent *event = &g_array_index(events, WorkloadEvent, member->next_event);
        if (event->at_us > member->model.now_us) {
            return;
        }
        if (event->type == WORKLOAD_REBOOT) {
            guest_model_reboot(&member->model);
            host->in_flight -= member->sent - member->arrived;
            member->arrived = member->sent;
        }
        agent_model_event(&member->agent, event->type, event->at_us);
        member->next_event++;
    }
}

static bool has_event_by(const Member *member, int64_t until_us)
{
    const GArray *events = member->setup->workload.events;
    return events && member->next_event < events->len &&
           g_array_index(events, WorkloadEvent, member->next_event).at_us <= until_us;
}

static void send_report(Host *host, Member *member)
{
    int64_t slot = member->sent % REPORT_SLOTS;
    if (!agent_model_sample(&member->agent, &member->model, &member->reports[slot])) {
        return;
    }
    // A port that is full drops what has waited longest.
    if (member->sent - member->arrived == REPORT_SLOTS - 2) {
        member->arrived++;
        host->in_flight--;
    }
    member->arrival_us[slot] = host->now_us + (member->active ? host->setup->latency_us : 0);
    member->sent++;
    host->in_flight++;
}

static void advance(Host *host, Member *member)
{
    guest_model_step(&member->model, host->now_us);
    apply_events(host, member);
    send_report(host, member);
    int64_t actual_bytes = guest_model_actual_bytes(&member->model);
    if (actual_bytes != member->read_bytes) {
        host->held_bytes += actual_bytes - member->read_bytes;
        host->news = true;
        member->read_bytes = actual_bytes;
    }
}

static bool is_sending(const Member *member)
{
    return member->sent > member->arrived;
}

static void deliver(Host *host)
{
    for (size_t i = 0; i < host->count && host->in_flight > 0; i++) {
        Member *member = &host->members[i];
        while (is_sending(member) &&
               member->arrival_us[member->arrived % REPORT_SLOTS] <= host->now_us) {
            host->observations[i].report = &member->reports[member->arrived % REPORT_SLOTS];
            host->observations[i].report_is_new = true;
            member->delivered_us = host->now_us;
            member->arrived++;
            host->in_flight--;
            host->news = true;
        }
    }
}

static bool is_quiet(const Host *host, Member *member, int64_t until_us)
{
    return !host->setup->always_fine && !is_sending(member) &&
           agent_model_is_quiet(&member->agent) && !has_event_by(member, until_us) &&
           guest_model_is_quiet(&member->model, until_us, agent_model_noise_bytes(&member->agent));
}

// --- accounting -------------------------------------------------------------------------------

static void account(Host *host)
{
    int64_t over = host->held_bytes - host->setup->budget_bytes;
    if (over > 0) {
        HostResult *result = host->result;
        result->max_over_bytes = sim_max(result->max_over_bytes, over);
        result->over_kib_ms += sim_scale(over / 1024, host->now_us - host->accounted_us, SIM_MS);
    }
    host->accounted_us = host->now_us;
}

static void add_counters(GuestCounters *sum, const GuestCounters *guest)
{
    sum->needed_kib_ms += guest->needed_kib_ms;
    sum->unmet_kib_ms += guest->unmet_kib_ms;
    sum->idle_kib_ms += guest->idle_kib_ms;
    sum->returned_kib_ms += guest->returned_kib_ms;
    sum->stall_us += guest->stall_us;
    sum->ideal_us += guest->ideal_us;
    sum->progress_us += guest->progress_us;
    sum->refault_bytes += guest->refault_bytes;
    sum->swap_in_bytes += guest->swap_in_bytes;
    sum->swap_out_bytes += guest->swap_out_bytes;
    sum->moved_bytes += guest->moved_bytes;
    sum->oom_kills += guest->oom_kills;
}

static void sum_up(Host *host)
{
    host->result->sum = (GuestCounters){0};
    for (size_t i = 0; i < host->count; i++) {
        add_counters(&host->result->sum, &host->members[i].model.counters);
    }
}

static bool is_hopeless(const Host *host)
{
    int64_t unmet = 0;
    for (size_t i = 0; i < host->count; i++) {
        const GuestCounters *counters = &host->members[i].model.counters;
        if (counters->oom_kills > 0) {
            return true;
        }
        unmet += counters->unmet_kib_ms;
    }
    return unmet > host->setup->unmet_limit_kib_ms ||
           (host->setup->keep_budget && host->result->max_over_bytes > 0);
}

// --- decisions --------------------------------------------------------------------------------

// The largest need of the guest from now on until `foresight_us` have passed.
static int64_t foreseen_bytes(Host *host, Member *member)
{
    const Curve *curve = &member->setup->workload.anonymous;
    int64_t until_us = host->now_us + host->setup->policy->foresight_us;
    CurveCursor ahead = member->foresight;
    int64_t most = curve_at(curve, &ahead, host->now_us);
    member->foresight = ahead;
    for (int64_t at_us = host->now_us; at_us < until_us;) {
        at_us = sim_min(curve_next_point_us(curve, &ahead, at_us), until_us);
        most = sim_max(most, curve_at(curve, &ahead, at_us));
    }
    return guest_traits_need_bytes(&member->setup->traits, most) + member->model.working_set_bytes;
}

static void observe(Host *host)
{
    for (size_t i = 0; i < host->count; i++) {
        Member *member = &host->members[i];
        SimObservation *seen = &host->observations[i];
        seen->actual_bytes = guest_model_actual_bytes(&member->model);
        seen->target_bytes = member->model.target_bytes;
        seen->free_bytes = member->model.free_bytes;
        seen->available_bytes = guest_model_available_bytes(&member->model);
        if (host->setup->policy->foresight_us > 0) {
            seen->needed_bytes = foreseen_bytes(host, member);
        }
        host->targets[i] = member->model.target_bytes;
    }
}

static void check_laws(Host *host)
{
    for (size_t i = 0; i < host->count; i++) {
        const Member *member = &host->members[i];
        host->law_guests[i] = (LawGuest){
            .min_bytes = member->setup->min_bytes,
            .max_bytes = member->setup->max_bytes,
            .actual_bytes = guest_model_actual_bytes(&member->model),
            .from_bytes = member->model.target_bytes,
            .to_bytes = host->targets[i],
            .stale = member->delivered_us < 0 || host->now_us - member->delivered_us >= STALE_US,
        };
    }
    laws_check(&host->result->laws, host->now_us, host->setup->budget_bytes, host->law_guests,
               host->count);
}

static void decide(Host *host)
{
    observe(host);
    host->setup->policy->tick(host->policy, host->now_us, host->observations, host->count,
                              host->targets);
    check_laws(host);
    host->result->decisions++;
    host->news = false;
    for (size_t i = 0; i < host->count; i++) {
        Member *member = &host->members[i];
        host->observations[i].report_is_new = false;
        if (host->targets[i] != member->model.target_bytes) {
            if (!member->active) {
                guest_model_step(&member->model, host->now_us);
                member->active = true;
            }
            host->result->commands++;
            host->result->shrinks += host->targets[i] < member->model.target_bytes;
            member->model.target_bytes = host->targets[i];
        }
    }
}

// --- time -------------------------------------------------------------------------------------

static void step_finely(Host *host, int64_t end_us)
{
    bool by_event = host->setup->policy->period_us == 0;
    while (host->now_us + host->setup->fine_us < end_us) {
        host->now_us += host->setup->fine_us;
        for (size_t i = 0; i < host->count; i++) {
            if (host->members[i].active) {
                advance(host, &host->members[i]);
            }
        }
        deliver(host);
        account(host);
        if (by_event && host->news) {
            decide(host);
        }
    }
}

static void run_tick(Host *host)
{
    int64_t end_us = host->now_us + host->setup->tick_us;
    bool any = false;
    for (size_t i = 0; i < host->count; i++) {
        Member *member = &host->members[i];
        member->active = !is_quiet(host, member, end_us);
        any |= member->active;
    }
    if (any) {
        step_finely(host, end_us);
    }
    host->now_us = end_us;
    for (size_t i = 0; i < host->count; i++) {
        advance(host, &host->members[i]);
    }
    deliver(host);
    account(host);
    if (host->now_us >= host->next_decision_us) {
        decide(host);
        host->next_decision_us += host->setup->policy->period_us;
    }
}

// --- life -------------------------------------------------------------------------------------

// Everyone starts with what it needs and an equal part of the rest; or with its share, where a
// policy knows nothing else.
static int64_t starting_bytes(const HostSetup *setup, const GuestSetup *guest, int64_t need,
                              int64_t rest, int64_t sizes)
{
    int64_t start = setup->policy->starts_at_share
                        ? sim_scale(guest->traits.size_bytes, setup->budget_bytes, sizes)
                        : need + sim_max(rest, 0) / setup->guests->len;
    return sim_clamp(start, guest->min_bytes, guest->max_bytes);
}

static void init_member(Member *member, const HostSetup *setup, const GuestSetup *guest,
                        uint64_t seed)
{
    *member = (Member){.setup = guest, .delivered_us = -1};
    guest_model_init(&member->model, &guest->traits, &guest->workload, guest->traits.size_bytes);
    agent_model_init(&member->agent, &guest->traits, setup->seed ^ seed);
}

static void init_members(Host *host)
{
    const HostSetup *setup = host->setup;
    int64_t rest = setup->budget_bytes;
    int64_t sizes = 0;
    for (size_t i = 0; i < host->count; i++) {
        Member *member = &host->members[i];
        init_member(member, setup, g_ptr_array_index(setup->guests, i), i);
        rest -= sim_max(guest_model_need_bytes(&member->model), member->setup->min_bytes);
        sizes += member->setup->traits.size_bytes;
    }
    for (size_t i = 0; i < host->count; i++) {
        Member *member = &host->members[i];
        const GuestSetup *guest = member->setup;
        int64_t need = sim_max(guest_model_need_bytes(&member->model), guest->min_bytes);
        guest_model_init(&member->model, &guest->traits, &guest->workload,
                         starting_bytes(setup, guest, need, rest, sizes));
        member->read_bytes = guest_model_actual_bytes(&member->model);
        member->reports = g_new0(MemoryReport, REPORT_SLOTS);
        host->held_bytes += member->read_bytes;
        host->observations[i] = (SimObservation){
            .size_bytes = guest->traits.size_bytes,
            .min_bytes = guest->min_bytes,
            .max_bytes = guest->max_bytes,
            .weight = guest->weight,
        };
    }
}

static void host_init(Host *host, const HostSetup *setup, HostResult *result)
{
    size_t count = setup->guests->len;
    SimPolicySettings settings = {.budget_bytes = setup->budget_bytes, .reclaim = setup->reclaim};
    *host = (Host){
        .setup = setup,
        .members = g_new0(Member, count),
        .models = g_new0(const GuestModel *, count),
        .count = count,
        .policy = setup->policy->new (&settings, count),
        .observations = g_new0(SimObservation, count),
        .targets = g_new0(int64_t, count),
        .law_guests = g_new0(LawGuest, count),
        .next_decision_us = setup->policy->period_us,
        .result = result,
    };
    init_members(host);
    for (size_t i = 0; i < count; i++) {
        host->models[i] = &host->members[i].model;
    }
}

static void host_clear(Host *host)
{
    host->setup->policy->free(host->policy);
    for (size_t i = 0; i < host->count; i++) {
        g_free(host->members[i].reports);
    }
    g_free(host->members);
    g_free(host->models);
    g_free(host->observations);
    g_free(host->targets);
    g_free(host->law_guests);
}

void host_model_run(const HostSetup *setup, GArray *guests, HostWatch *watch, void *context,
                    HostResult *result)
{
    Host host;
    *result = (HostResult){
        .budget_bytes = setup->budget_bytes,
        .guests = setup->guests->len,
    };
    host_init(&host, setup, result);
    while (host.now_us < setup->duration_us && !result->gave_up) {
        run_tick(&host);
        if (watch) {
            watch(host.now_us, host.models, host.count, context);
        }
        result->gave_up = setup->unmet_limit_kib_ms != INT64_MAX && is_hopeless(&host);
    }
    result->duration_us = host.now_us;
    sum_up(&host);
    for (size_t i = 0; guests && i < host.count; i++) {
        g_array_append_val(guests, host.members[i].model.counters);
    }
    host_clear(&host);
}
