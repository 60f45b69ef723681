// SPDX-License-Identifier: Apache-2.0
#include "host-controller/guest.h"

#include "protocol/error.h"

#include <string.h>

// While a balloon moves it is asked this often: memory that came back is handed on in slices of
// what comes back in this time.
#define POLL_MOVING_US INT64_C(10000)
// A settled balloon tells of changes by event; this only guards against a lost one.
#define POLL_SETTLED_US INT64_C(10000000)
// One guest is planned for at once no more often than this.
#define URGENT_SPACING_US INT64_C(10000)
// A guest that stalled is left alone this long, and longer each time.
#define STALL_BACKOFF_FIRST_US INT64_C(10000000)
#define STALL_BACKOFF_CAP_US INT64_C(300000000)

static void changed(Guest *guest, GuestUrgency urgency)
{
    guest->handlers->changed(guest, urgency, guest->context);
}

void guest_emit(Guest *guest, const char *event, json_t *data)
{
    json_object_set_new(data, "name", json_string(guest->config->name));
    guest->handlers->event(event, data, guest->context);
}

// --- the balloon ------------------------------------------------------------------------------

static void on_balloon(const json_t *value, const GError *error, void *context);

static void ask_balloon(Guest *guest)
{
    if (!guest->asking && qmp_client_is_ready(guest->qmp)) {
        guest->asked_at = guest->balloon.commands;
        guest->asking = qmp_client_execute(guest->qmp, "query-balloon", NULL, on_balloon, guest);
    }
}

static void on_memory_size(const json_t *value, const GError *error, void *context);

// The size may change too: memory can be plugged in.
static void ask_size(Guest *guest)
{
    qmp_client_execute(guest->qmp, "query-memory-size-summary", NULL, on_memory_size, guest);
}

static void on_poll(void *context)
{
    Guest *guest = context;
    if (!balloon_is_moving(&guest->balloon)) {
        ask_size(guest);
    }
    ask_balloon(guest);
}

static void on_balloon_command(const json_t *value, const GError *error, void *context)
{
    (void)value;
    Guest *guest = context;
    if (error) {
        g_warning("%s: balloon command refused: %s", guest->config->name, error->message);
    }
}

bool guest_send_target(Guest *guest, int64_t target_bytes, int64_t now_us)
{
    json_t *arguments = json_pack("{s:I}", "value", (json_int_t)target_bytes);
    if (!qmp_client_execute(guest->qmp, "balloon", arguments, on_balloon_command, guest)) {
        return false;
    }
    balloon_set_target(&guest->balloon, target_bytes, now_us);
    guest->commands++;
    guest->commanded_us = now_us;
    guest->target_in_doubt = false;
    timer_arm_by(guest->poll_timer, now_us + POLL_MOVING_US);
    return true;
}

// The guest does not follow: it is asked no more than what it has, and left alone for a while.
static void on_stalled(Guest *guest, int64_t now_us)
{
    const Balloon *balloon = &guest->balloon;
    char actual[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    g_message("%s: stalled at %s on its way to %s", guest->config->name,
              size_format(balloon->actual_bytes, actual),
              size_format(balloon->target_bytes, target));
    guest_emit(guest, "GUEST_STALLED",
               json_pack("{s:I, s:I}", "target", (json_int_t)balloon->target_bytes, "actual",
                         (json_int_t)balloon->actual_bytes));
    guest->stalled_until_us = now_us + backoff_next_us(&guest->stall_backoff);
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    guest_send_target(guest, policy_clamp(balloon->actual_bytes, min_bytes, max_bytes), now_us);
}

static void on_reading(Guest *guest, int64_t actual_bytes, int64_t now_us)
{
    Balloon *balloon = &guest->balloon;
    if (!guest_is_movable(guest) || !guest->acting) {
        // Nothing is expected of it now, so that it cannot fail to follow.
        balloon->progress_us = now_us;
    }
    switch (balloon_observe(balloon, actual_bytes, guest->asked_at, now_us)) {
    case BALLOON_CHANGE_NONE:
        break;
    case BALLOON_CHANGE_REACHED:
        if (now_us < guest->stalled_until_us) {
            break; // what it was brought back to, not what it was to reach
        }
        backoff_reset(&guest->stall_backoff);
        guest_emit(guest, "GUEST_TARGET_REACHED",
                   json_pack("{s:I, s:I, s:I}", "target", (json_int_t)balloon->target_bytes,
                             "actual", (json_int_t)actual_bytes, "elapsed-us",
                             (json_int_t)(now_us - balloon->started_us)));
        guest->handlers->reached(now_us - balloon->started_us, guest->context);
        changed(guest, GUEST_URGENCY_NOW);
        break;
    case BALLOON_CHANGE_PROGRESS:
        guest->stalled_until_us = 0;
        changed(guest, GUEST_URGENCY_NOW);
        break;
    case BALLOON_CHANGE_STALLED:
        on_stalled(guest, now_us);
        changed(guest, GUEST_URGENCY_NOW);
        break;
    }
}

static void on_balloon(const json_t *value, const GError *error, void *context)
{
    Guest *guest = context;
    int64_t now_us = g_get_monotonic_time();
    int64_t actual_bytes = 0;
    bool was_known = guest->balloon_known;
    guest->asking = false;
    if (g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED) ||
        g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT)) {
        return;
    }
    bool answered =
        value && json_member_int(value, "actual", 0, POLICY_MAX_BYTES, &actual_bytes, NULL);
    guest->balloon_known = true;
    if (answered && guest->has_balloon) {
        on_reading(guest, actual_bytes, now_us);
    } else if (answered) {
        guest->has_balloon = true;
        balloon_adopt(&guest->balloon, actual_bytes);
        changed(guest, GUEST_URGENCY_SOON);
    } else {
        if (guest->has_balloon || !was_known) {
            g_message("%s: no balloon device answers: %s", guest->config->name,
                      error ? error->message : "no size in the answer");
        }
        guest->has_balloon = false;
    }
    timer_arm(guest->poll_timer,
              now_us + (balloon_is_moving(&guest->balloon) ? POLL_MOVING_US : POLL_SETTLED_US));
}

// --- QEMU -------------------------------------------------------------------------------------

static void on_memory_size(const json_t *value, const GError *error, void *context)
{
    Guest *guest = context;
    int64_t base_bytes;
    int64_t plugged_bytes = 0;
    if (!value ||
        !json_member_int(value, "base-memory", 1, POLICY_MAX_BYTES / 2, &base_bytes, NULL)) {
        if (guest->size_bytes == 0) {
            g_message("%s: QEMU does not tell its memory's size: %s", guest->config->name,
                      error ? error->message : "no size in the answer");
        }
        return;
    }
    json_member_int(value, "plugged-memory", 0, POLICY_MAX_BYTES / 2, &plugged_bytes, NULL);
    if (guest->size_bytes != base_bytes + plugged_bytes) {
        guest->size_bytes = base_bytes + plugged_bytes;
        changed(guest, GUEST_URGENCY_SOON);
    }
}

static void on_status(const json_t *value, const GError *error, void *context)
{
    (void)error;
    Guest *guest = context;
    bool running;
    if (value && json_member_bool(value, "running", &running, NULL)) {
        guest->paused = !running;
        changed(guest, GUEST_URGENCY_SOON);
    }
}

static void forget_report(Guest *guest)
{
    guest->has_report = false;
    guest->history = (PolicyHistory){0};
    guest->demand = (PolicyDemand){0};
    timer_disarm(guest->stale_timer);
}

// Its memory is free again, and whoever listens here next is another process.
static void forget_qemu(Guest *guest)
{
    guest->pid = 0;
    guest->paused = false;
    guest->size_bytes = 0;
    guest->has_balloon = false;
    guest->balloon_known = false;
    guest->planned = false;
    guest->stalled_until_us = 0;
    guest->balloon = (Balloon){0};
    forget_report(guest);
}

static void on_qmp_ready(QmpClient *client, void *context)
{
    Guest *guest = context;
    g_message("%s: QEMU connected", guest->config->name);
    pid_t pid = qmp_client_pid(client);
    if (pid != guest->pid) {
        forget_qemu(guest);
        guest->pid = pid;
    }
    guest->target_in_doubt = guest->balloon.commands > 0;
    qmp_client_execute(client, "query-status", NULL, on_status, guest);
    ask_size(guest);
    ask_balloon(guest);
}

// QEMU does not answer any more; it may still run and hold all it had.
static void on_qmp_lost(QmpClient *client, const char *why, void *context)
{
    (void)client;
    Guest *guest = context;
    g_message("%s: QEMU lost: %s", guest->config->name, why);
    guest->asking = false;
    guest->paused = true; // until it says that it runs
    timer_disarm(guest->poll_timer);
    changed(guest, GUEST_URGENCY_SOON);
}

static void on_qmp_unreachable(QmpClient *client, bool absent, const char *why, void *context)
{
    (void)client;
    Guest *guest = context;
    g_message("%s: QEMU not reachable: %s", guest->config->name, why);
    if (absent) {
        forget_qemu(guest);
        changed(guest, GUEST_URGENCY_NOW);
    }
}

static void on_qmp_event(QmpClient *client, const char *name, const json_t *data, void *context)
{
    (void)client;
    (void)data;
    Guest *guest = context;
    if (strcmp(name, "BALLOON_CHANGE") == 0) {
        ask_balloon(guest);
    } else if (strcmp(name, "STOP") == 0 || strcmp(name, "RESUME") == 0) {
        guest->paused = name[0] == 'S';
        changed(guest, GUEST_URGENCY_SOON);
    } else if (strcmp(name, "RESET") == 0) {
        // What it said of itself is over; until its agent reports again it is left alone.
        forget_report(guest);
        ask_balloon(guest);
        changed(guest, GUEST_URGENCY_NOW);
    }
}

static const QmpClientHandlers qmp_handlers = {
    .ready = on_qmp_ready,
    .lost = on_qmp_lost,
    .unreachable = on_qmp_unreachable,
    .event = on_qmp_event,
};

// --- the agent --------------------------------------------------------------------------------

static void on_agent_connected(AgentLink *link, const char *version, void *context)
{
    (void)link;
    Guest *guest = context;
    g_message("%s: agent %s connected", guest->config->name, version);
    guest_emit(guest, "GUEST_AGENT_CONNECTED", json_object());
}

static void on_agent_lost(AgentLink *link, const char *why, void *context)
{
    (void)link;
    Guest *guest = context;
    g_message("%s: agent lost: %s", guest->config->name, why);
    guest_emit(guest, "GUEST_AGENT_LOST", json_object());
    forget_report(guest);
    changed(guest, GUEST_URGENCY_NOW);
}

static void on_stale(void *context)
{
    changed(context, GUEST_URGENCY_NOW);
}

// Whether the guest cannot do without more than it was given, and may have more.
static bool lacks_memory(const Guest *guest)
{
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    int64_t firm_bytes = guest->demand.committed_bytes + guest->demand.headroom_bytes;
    return policy_min(firm_bytes, max_bytes) > guest->balloon.target_bytes;
}

static void on_report(AgentLink *link, const MemoryReport *report, void *context)
{
    (void)link;
    Guest *guest = context;
    int64_t now_us = g_get_monotonic_time();
    if (!guest_is_known(guest)) {
        return; // its numbers mean nothing without its size
    }
    if (guest->has_report && strcmp(guest->report.boot_id, report->boot_id) != 0) {
        guest->history = (PolicyHistory){0};
    }
    guest->reports++;
    guest->has_report = true;
    guest->report = *report;
    guest->report_us = now_us;
    timer_arm(guest->stale_timer, now_us + POLICY_FRESH_US);
    PolicySample sample = {
        .at_us = report->monotonic_us,
        // The balloon as the guest counts it belongs to the same moment as the other numbers.
        .held_bytes = memory_report_has(report, REPORT_BALLOON)
                          ? guest->size_bytes - memory_report_get(report, REPORT_BALLOON)
                          : guest->balloon.actual_bytes,
        .free_bytes = memory_report_get(report, REPORT_MEMORY_FREE),
        .available_bytes = memory_report_get(report, REPORT_MEMORY_AVAILABLE),
        .stall_us = memory_report_get(report, REPORT_PRESSURE_SOME_TOTAL),
        .refault_bytes = memory_report_get(report, REPORT_PAGING_REFAULT_FILE),
    };
    policy_demand_update(&guest->history, &sample, guest->size_bytes, &guest->demand);
    bool urgent = report->reason == REPORT_REASON_TREND ||
                  report->reason == REPORT_REASON_PRESSURE || lacks_memory(guest);
    // However often a guest cries for help, it does not drive the others' plans.
    urgent = urgent && now_us - guest->urgent_us >= URGENT_SPACING_US;
    guest->urgent_us = urgent ? now_us : guest->urgent_us;
    guest->unanswered_us = urgent && !guest->unanswered_us ? now_us : guest->unanswered_us;
    changed(guest, urgent ? GUEST_URGENCY_NOW : GUEST_URGENCY_SOON);
}

static const AgentLinkHandlers link_handlers = {
    .connected = on_agent_connected,
    .report = on_report,
    .lost = on_agent_lost,
};

// --- life -------------------------------------------------------------------------------------

Guest *guest_new(const GuestConfig *config, const GuestHandlers *handlers, void *context)
{
    Guest *guest = g_new0(Guest, 1);
    guest->config = guest_config_copy(config);
    guest->handlers = handlers;
    guest->context = context;
    guest->stall_backoff =
        (Backoff){.first_us = STALL_BACKOFF_FIRST_US, .cap_us = STALL_BACKOFF_CAP_US};
    guest->poll_timer = timer_new(on_poll, guest);
    guest->stale_timer = timer_new(on_stale, guest);
    guest->qmp = qmp_client_new(config->qmp_path, &qmp_handlers, guest);
    guest->link =
        config->agent_path ? agent_link_new(config->agent_path, &link_handlers, guest) : NULL;
    return guest;
}

void guest_free(Guest *guest)
{
    if (!guest) {
        return;
    }
    qmp_client_free(guest->qmp);
    agent_link_free(guest->link);
    timer_free(guest->poll_timer);
    timer_free(guest->stale_timer);
    guest_config_free(guest->config);
    g_free(guest);
}

bool guest_reconfigure(Guest *guest, const GuestConfig *config)
{
    if (g_strcmp0(guest->config->qmp_path, config->qmp_path) != 0 ||
        g_strcmp0(guest->config->agent_path, config->agent_path) != 0) {
        return false;
    }
    guest_config_free(guest->config);
    guest->config = guest_config_copy(config);
    return true;
}
