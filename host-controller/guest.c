// SPDX-License-Identifier: Apache-2.0
#include "host-controller/guest.h"
#include "host-controller/guest-log.h"

#include "protocol/error.h"

#include <string.h>

// While a balloon moves it is asked this often: memory that came back is handed on in slices of
// what comes back in this time.
#define POLL_MOVING_US INT64_C(10000)
// A settled balloon tells of changes by event; this only guards against a lost one.
#define POLL_SETTLED_US INT64_C(10000000)
// A migration tells of its end by event too, unless QEMU was asked too late to.
#define POLL_MIGRATING_US INT64_C(1000000)
// A guest that stalled is left alone this long, and longer each time.
#define STALL_BACKOFF_FIRST_US INT64_C(10000000)
#define STALL_BACKOFF_CAP_US INT64_C(300000000)
// What a guest took back by itself it keeps at least this long.
#define DEFLATED_HOLD_US INT64_C(10000000)

void guest_changed(Guest *guest, GuestUrgency urgency)
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

void guest_ask_balloon(Guest *guest)
{
    // Memory plugged in changes QEMU's word as well. It is not to be mistaken for a driver's.
    if (guest->balloon.restarted) {
        guest_ask_size(guest);
    }
    if (!guest->asking && qmp_client_is_ready(guest->qmp)) {
        // A target that QEMU may not have is one that no reading belongs to.
        guest->asked_at = guest->balloon.commands - guest->target_in_doubt;
        guest->asked_us = g_get_monotonic_time();
        guest->asking = qmp_client_execute(guest->qmp, "query-balloon", NULL, on_balloon, guest);
    }
}

bool guest_is_watched(const Guest *guest)
{
    return guest->acting && guest_is_movable(guest) && balloon_is_moving(&guest->balloon);
}

int64_t guest_poll_us(const Guest *guest)
{
    return guest_is_watched(guest) ? POLL_MOVING_US
           : guest->migrating      ? POLL_MIGRATING_US
                                   : POLL_SETTLED_US;
}

static int64_t life_due_us(const Guest *guest)
{
    return guest->life_us + POLL_SETTLED_US;
}

// However often the balloon is looked at, and by whomever, the rest has its turn.
static void arm_poll(Guest *guest, int64_t now_us)
{
    timer_arm(guest->poll_timer, MIN(now_us + guest_poll_us(guest), life_due_us(guest)));
}

static void on_poll(void *context)
{
    Guest *guest = context;
    int64_t now_us = g_get_monotonic_time();
    if (guest->absent) {
        guest_check_absent(guest);
        return;
    }
    bool settled = !guest_is_watched(guest);
    if (settled || now_us >= life_due_us(guest)) {
        guest_ask_life(guest);
    }
    if (settled) {
        guest_verify_reclaim(guest, now_us);
    }
    guest_ask_balloon(guest);
    // The answer does so as well; but with too many commands open there is no question.
    arm_poll(guest, now_us);
}

static void on_balloon_command(const json_t *value, const GError *error, void *context)
{
    (void)value;
    Guest *guest = context;
    if (error) {
        guest_log(guest, G_LOG_LEVEL_WARNING, "balloon command refused: %s", error->message);
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

// An event of a guest that is not where it is to be.
static void emit_off_target(Guest *guest, const char *event)
{
    guest_emit(guest, event,
               json_pack("{s:I, s:I}", "target", (json_int_t)guest->balloon.target_bytes, "actual",
                         (json_int_t)guest->balloon.actual_bytes));
}

// The guest does not follow: it is asked no more than what it has, and left alone for a while. One
// that gives nothing may still be given something.
static void on_stalled(Guest *guest, int64_t now_us)
{
    const Balloon *balloon = &guest->balloon;
    char actual[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "stalled at %s on its way to %s",
              size_format(balloon->actual_bytes, actual),
              size_format(balloon->target_bytes, target));
    emit_off_target(guest, "GUEST_STALLED");
    guest->stalled_until_us = now_us + backoff_next_us(&guest->stall_backoff);
    guest->stalled_growing = balloon->target_bytes > balloon->actual_bytes;
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    int64_t stays_bytes = policy_clamp(balloon->actual_bytes, min_bytes, max_bytes);
    // What it lacks of its min is for a plan to promise; what it has above its max, to take.
    int64_t least_bytes = policy_min(balloon->actual_bytes, balloon->target_bytes);
    stays_bytes = policy_clamp(stays_bytes, least_bytes, balloon->ceiling_bytes);
    guest_send_target(guest, stays_bytes, now_us);
}

// The guest's kernel ran short and took memory back, whatever its target is. It keeps that for now,
// and counts with it from this moment.
static void on_auto_deflated(Guest *guest, int64_t now_us)
{
    const Balloon *balloon = &guest->balloon;
    char actual[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "took memory back by itself and has %s, was to have %s",
              size_format(balloon->actual_bytes, actual),
              size_format(balloon->target_bytes, target));
    emit_off_target(guest, "GUEST_AUTO_DEFLATED");
    guest->deflated_until_us = now_us + DEFLATED_HOLD_US;
}

static void on_reached(Guest *guest, int64_t now_us)
{
    const Balloon *balloon = &guest->balloon;
    if (now_us < guest->stalled_until_us) {
        return; // what it was brought back to, not what it was to reach
    }
    backoff_reset(&guest->stall_backoff);
    guest_emit(guest, "GUEST_TARGET_REACHED",
               json_pack("{s:I, s:I, s:I}", "target", (json_int_t)balloon->target_bytes, "actual",
                         (json_int_t)balloon->actual_bytes, "elapsed-us",
                         (json_int_t)(now_us - balloon->started_us)));
    guest->handlers->reached(now_us - balloon->started_us, guest->context);
    guest_verify_reclaim(guest, now_us);
    guest_changed(guest, GUEST_URGENCY_NOW);
}

static void on_reading(Guest *guest, int64_t actual_bytes, int64_t now_us)
{
    Balloon *balloon = &guest->balloon;
    BalloonState before = balloon->state;
    if (!guest_is_movable(guest) || !guest->acting) {
        // Nothing is expected of it now, so that it cannot fail to follow.
        balloon_excuse(balloon, now_us);
    }
    // A reading says nothing of the time after its question, be it that this program was stopped.
    BalloonChange change = balloon_observe(balloon, actual_bytes, guest->asked_at, guest->asked_us);
    stats_link_note_actual(guest->stats_link, balloon->actual_bytes);
    guest->verify_due |= before == BALLOON_SHRINKING && change != BALLOON_CHANGE_NONE;
    switch (change) {
    case BALLOON_CHANGE_NONE:
        break;
    case BALLOON_CHANGE_REACHED:
        on_reached(guest, now_us);
        break;
    case BALLOON_CHANGE_PROGRESS:
        if (guest->stalled_until_us) {
            guest_log(guest, G_LOG_LEVEL_MESSAGE, "moves again");
        }
        guest->stalled_until_us = 0;
        if (balloon->state == BALLOON_AUTO_DEFLATED && before != BALLOON_AUTO_DEFLATED) {
            on_auto_deflated(guest, now_us);
        }
        guest_changed(guest, GUEST_URGENCY_NOW);
        break;
    case BALLOON_CHANGE_STALLED:
        on_stalled(guest, now_us);
        guest_changed(guest, GUEST_URGENCY_NOW);
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
    // Only QEMU itself can say that there is no device; anything else is a lost connection.
    if (error && !g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE)) {
        return;
    }
    bool answered =
        value && json_member_int(value, "actual", 0, POLICY_MAX_BYTES, &actual_bytes, NULL);
    guest->balloon_known = true;
    if (answered && guest->has_balloon) {
        on_reading(guest, actual_bytes, now_us);
    } else if (answered) {
        guest->has_balloon = true;
        guest_forget_moves(guest);
        balloon_adopt(&guest->balloon, actual_bytes);
        stats_link_note_actual(guest->stats_link, actual_bytes);
        guest_changed(guest, GUEST_URGENCY_SOON);
    } else {
        if (guest->has_balloon || !was_known) {
            guest_log(guest, G_LOG_LEVEL_MESSAGE, "no balloon device answers: %s",
                      error ? error->message : "no size in the answer");
        }
        guest->has_balloon = false;
    }
    arm_poll(guest, now_us);
}

void guest_doubt_target(Guest *guest)
{
    balloon_take_over(&guest->balloon, guest->size_bytes);
    guest->target_in_doubt = true;
}

void guest_forget_moves(Guest *guest)
{
    guest->target_in_doubt = false;
    guest->stalled_until_us = 0;
    guest->deflated_until_us = 0;
    guest->verify_due = false;
    backoff_reset(&guest->stall_backoff);
}

void guest_restart(Guest *guest)
{
    if (guest_is_known(guest) && guest->has_balloon) {
        guest->stalled_until_us = 0;
        guest->deflated_until_us = 0;
        balloon_restart(&guest->balloon, guest->size_bytes, g_get_monotonic_time());
        stats_link_note_actual(guest->stats_link, guest->size_bytes);
        guest_changed(guest, GUEST_URGENCY_NOW);
    }
    guest_ask_balloon(guest);
}

// --- life -------------------------------------------------------------------------------------

// What is configured wins over what an operator has changed since.
// What was changed at run time is as configured again.
static void take_config(Guest *guest, const GuestConfig *config)
{
    g_autoptr(GuestConfig) former = guest->config;
    guest->config = guest_config_copy(config);
    if (former) {
        // Tables of guests go by this very text.
        g_free(guest->config->name);
        guest->config->name = g_steal_pointer(&former->name);
    }
    guest->policy = (GuestPolicy){.min = config->min, .max = config->max, .weight = config->weight};
}

Guest *guest_new(const GuestConfig *config, const GuestHandlers *handlers, void *context)
{
    Guest *guest = g_new0(Guest, 1);
    take_config(guest, config);
    guest->handlers = handlers;
    guest->context = context;
    guest->met_us = g_get_monotonic_time();
    guest->stall_backoff =
        (Backoff){.first_us = STALL_BACKOFF_FIRST_US, .cap_us = STALL_BACKOFF_CAP_US};
    guest->poll_timer = timer_new(on_poll, guest);
    guest->qmp = qmp_client_new(config->qmp_path, &guest_qmp_handlers, guest);
    guest_demand_init(guest);
    return guest;
}

void guest_free(Guest *guest)
{
    if (!guest) {
        return;
    }
    guest_demand_clear(guest);
    qmp_client_free(guest->qmp);
    timer_free(guest->poll_timer);
    g_free(guest->qmp_error);
    guest_config_free(guest->config);
    g_free(guest->socket);
    g_free(guest);
}

bool guest_reconfigure(Guest *guest, const GuestConfig *config)
{
    if (g_strcmp0(guest->config->qmp_path, config->qmp_path) != 0) {
        return false;
    }
    bool same_link = g_strcmp0(guest->config->agent_path, config->agent_path) == 0;
    bool same_pid = guest->config->pid == config->pid;
    take_config(guest, config);
    if (!same_pid) {
        guest->pid = guest->pid ? guest_pid(guest) : 0;
        guest->resident_bytes = 0;
    }
    if (!same_link) {
        guest_replace_link(guest, config->agent_path);
    }
    guest_settings_changed(guest);
    return true;
}

void guest_set_managed(Guest *guest, const bool *managed)
{
    bool before = guest_is_managed(guest);
    guest->manage_is_set = managed != NULL;
    guest->managed = managed && *managed;
    if (guest_is_managed(guest) == before) {
        return;
    }
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "is %s", before ? "left alone" : "managed");
    guest_settings_changed(guest);
    if (!before && guest->has_balloon) {
        guest_doubt_target(guest);
        guest_ask_life(guest);
        guest_ask_balloon(guest);
    }
}
