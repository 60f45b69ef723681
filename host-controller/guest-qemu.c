// SPDX-License-Identifier: Apache-2.0
//
// A guest's QEMU: whether it is there, whether it runs the guest or migrates it, and what its
// process holds.
//
// A guest is movable only while QEMU says that it runs it and does not migrate it. What takes that
// away is believed at once; what gives it back is asked for again. Every ten seconds all of it is
// asked anew, so that no lost event has a lasting effect.
#include "host-controller/guest.h"
#include "host-controller/guest-log.h"
#include "host-controller/process-memory.h"

#include "protocol/error.h"

#include <string.h>

// A QEMU that is about to answer is not looked at; one that is silent, this often.
#define RESIDENT_SPACING_US INT64_C(1000000)

// --- what QEMU is asked -----------------------------------------------------------------------

// QEMU counts the pages in the balloon: when memory was plugged in, the guest's target has moved
// by as much.
static void follow_size(Guest *guest)
{
    if (guest->balloon.commands > 0) {
        guest_doubt_target(guest);
    }
    if (guest->balloon.restarted) {
        guest_restart(guest);
    }
    guest_changed(guest, GUEST_URGENCY_SOON);
}

static void on_memory_size(const json_t *value, const GError *error, void *context)
{
    Guest *guest = context;
    int64_t base_bytes;
    int64_t plugged_bytes = 0;
    if (!value ||
        !json_member_int(value, "base-memory", 1, POLICY_MAX_BYTES / 2, &base_bytes, NULL)) {
        if (guest->size_bytes == 0) {
            guest_log(guest, G_LOG_LEVEL_MESSAGE, "QEMU does not tell its memory's size: %s",
                      error ? error->message : "no size in the answer");
        }
        return;
    }
    json_member_int(value, "plugged-memory", 0, POLICY_MAX_BYTES / 2, &plugged_bytes, NULL);
    if (guest->size_bytes != base_bytes + plugged_bytes) {
        guest->size_bytes = base_bytes + plugged_bytes;
        follow_size(guest);
    }
}

void guest_ask_size(Guest *guest)
{
    qmp_client_execute(guest->qmp, "query-memory-size-summary", NULL, on_memory_size, guest);
}

static void set_running(Guest *guest, bool running)
{
    if (running == guest->running) {
        return;
    }
    guest->running = running;
    if (running) {
        balloon_excuse(&guest->balloon, g_get_monotonic_time());
    }
    if (guest_is_known(guest)) {
        guest_log(guest, G_LOG_LEVEL_MESSAGE, running ? "its QEMU runs it" : "does not run");
    }
    guest_changed(guest, GUEST_URGENCY_SOON);
}

static void on_status(const json_t *value, const GError *error, void *context)
{
    (void)error;
    Guest *guest = context;
    bool running;
    if (value && json_member_bool(value, "running", &running, NULL)) {
        set_running(guest, running);
    }
}

static void ask_status(Guest *guest)
{
    qmp_client_execute(guest->qmp, "query-status", NULL, on_status, guest);
}

// Once the guest moves no more to or fro, its balloon is what came along, and it may run here.
static void set_migrating(Guest *guest, const char *status)
{
    static const char *const idle[] = {"none", "completed", "failed", "cancelled", NULL};
    bool migrating = status && !g_strv_contains(idle, status);
    if (migrating == guest->migrating) {
        return;
    }
    guest->migrating = migrating;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "migration %s", migrating ? "has begun" : "is over");
    ask_status(guest);
    guest_ask_balloon(guest);
    timer_arm_by(guest->poll_timer, g_get_monotonic_time() + guest_poll_us(guest));
    guest_changed(guest, GUEST_URGENCY_SOON);
}

static void on_migration(const json_t *value, const GError *error, void *context)
{
    (void)error;
    if (value) {
        set_migrating(context, json_string_value(json_object_get(value, "status")));
    }
}

static void on_migration_events(const json_t *value, const GError *error, void *context)
{
    (void)error; // it is refused while a migration is under way
    Guest *guest = context;
    guest->tells_migration = value != NULL;
}

// QEMU tells nobody of a migration unless it is asked to; to be told changes nothing else. Who does
// not want a guest touched has its migrations found out by asking.
static void ask_migration(Guest *guest)
{
    if (guest_is_managed(guest) && !guest->tells_migration) {
        json_t *arguments =
            json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1);
        qmp_client_execute(guest->qmp, "migrate-set-capabilities", arguments, on_migration_events,
                           guest);
    }
    qmp_client_execute(guest->qmp, "query-migrate", NULL, on_migration, guest);
}

void guest_ask_life(Guest *guest)
{
    guest->life_us = g_get_monotonic_time();
    ask_status(guest);
    ask_migration(guest);
    guest_ask_size(guest);
}

// --- its process ------------------------------------------------------------------------------

pid_t guest_pid(const Guest *guest)
{
    return guest->config->pid ? guest->config->pid : qmp_client_pid(guest->qmp);
}

static void read_resident(Guest *guest, int64_t now_us)
{
    guest->resident_us = now_us;
    guest->resident_bytes = 0;
    process_memory_read("", guest_pid(guest), &guest->resident_bytes);
}

int64_t guest_silent_bytes(Guest *guest, int64_t now_us)
{
    if (now_us - MAX(guest->met_us, guest->resident_us) >= RESIDENT_SPACING_US) {
        read_resident(guest, now_us);
    }
    return policy_min(guest->resident_bytes, POLICY_MAX_BYTES);
}

void guest_verify_reclaim(Guest *guest, int64_t now_us)
{
    int64_t actual_bytes = guest->balloon.actual_bytes;
    if (!guest->verify_due || guest->ineffective || !guest_is_movable(guest) ||
        now_us - guest->resident_us < RESIDENT_SPACING_US) {
        return;
    }
    guest->verify_due = false;
    read_resident(guest, now_us);
    if (!process_memory_shows_no_reclaim(guest->size_bytes, actual_bytes, guest->resident_bytes)) {
        return;
    }
    guest->ineffective = true;
    char actual[SIZE_TEXT_SIZE];
    char resident[SIZE_TEXT_SIZE];
    guest_log(guest, G_LOG_LEVEL_WARNING,
              "ballooning it frees nothing: it has %s, but its QEMU %s (VFIO, huge pages or "
              "locked memory?); it is given all its memory and left alone",
              size_format(actual_bytes, actual), size_format(guest->resident_bytes, resident));
    guest_emit(guest, "GUEST_RECLAIM_INEFFECTIVE",
               json_pack("{s:I, s:I}", "actual", (json_int_t)actual_bytes, "resident",
                         (json_int_t)guest->resident_bytes));
}

// --- its events -------------------------------------------------------------------------------

static void on_balloon_change(Guest *guest, const json_t *data)
{
    (void)data;
    guest_ask_balloon(guest);
}

static void on_halt(Guest *guest, const json_t *data)
{
    (void)data;
    set_running(guest, false);
}

static void on_resume(Guest *guest, const json_t *data)
{
    (void)data;
    ask_status(guest);
}

// What the guest said of itself is over, and its balloon is empty; until its agent reports again it
// is taken for a guest that has just been started.
static void on_reset(Guest *guest, const json_t *data)
{
    (void)data;
    guest_forget_report(guest);
    if (guest->link) {
        agent_link_restart(guest->link);
    }
    stats_link_restart(guest->stats_link);
    ask_status(guest);
    guest_restart(guest);
}

static void on_migration_event(Guest *guest, const json_t *data)
{
    const char *status = json_string_value(json_object_get(data, "status"));
    if (status) {
        set_migrating(guest, status);
    }
}

static void on_size_change(Guest *guest, const json_t *data)
{
    (void)data;
    guest_ask_size(guest);
}

// It may have been the balloon, memory, or what kept memory locked.
static void on_device_deleted(Guest *guest, const json_t *data)
{
    (void)data;
    guest->ineffective = false;
    stats_link_reset(guest->stats_link);
    guest_ask_size(guest);
    guest_ask_balloon(guest);
}

// A port was closed or opened in the guest: its agent restarts, and a new one waits to be asked.
// Which port is not asked, as its device may have any id.
static void on_port_change(Guest *guest, const json_t *data)
{
    (void)data;
    if (guest->link) {
        agent_link_ask_anew(guest->link);
    }
}

static const struct {
    const char *name;
    void (*handle)(Guest *guest, const json_t *data); // data may be NULL
} events[] = {
    {"BALLOON_CHANGE", on_balloon_change},
    {"STOP", on_halt},
    {"SUSPEND", on_halt},
    {"SUSPEND_DISK", on_halt},
    {"SHUTDOWN", on_halt},
    {"RESUME", on_resume},
    {"WAKEUP", on_resume},
    {"RESET", on_reset},
    {"MIGRATION", on_migration_event},
    {"DEVICE_DELETED", on_device_deleted},
    {"MEMORY_DEVICE_SIZE_CHANGE", on_size_change},
    {"VSERPORT_CHANGE", on_port_change},
};

static void on_qmp_event(QmpClient *client, const char *name, const json_t *data, void *context)
{
    (void)client;
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
        if (strcmp(name, events[i].name) == 0) {
            events[i].handle(context, data);
            return;
        }
    }
}

// --- its coming and going ---------------------------------------------------------------------

// Its memory is free again, and whoever listens here next is another process.
static void forget_qemu(Guest *guest)
{
    guest->pid = 0;
    guest->met_us = g_get_monotonic_time();
    guest->running = false;
    guest->migrating = false;
    guest->size_bytes = 0;
    guest->has_balloon = false;
    guest->balloon_known = false;
    guest->planned = false;
    guest->met = false;
    guest->resident_bytes = 0;
    guest->ineffective = false;
    guest->balloon = (Balloon){0};
    guest_forget_moves(guest);
    guest_forget_report(guest);
}

static void on_qmp_ready(QmpClient *client, void *context)
{
    (void)client;
    Guest *guest = context;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "QEMU connected");
    g_clear_pointer(&guest->qmp_error, g_free);
    guest->absent = false;
    pid_t pid = guest_pid(guest);
    if (pid != guest->pid) {
        forget_qemu(guest);
        guest->pid = pid;
    }
    guest->target_in_doubt = guest->balloon.commands > 0;
    guest->tells_migration = false;
    // The balloon comes last: a guest takes part in plans when all the rest is known.
    guest_ask_life(guest);
    guest_ask_balloon(guest);
    stats_link_reset(guest->stats_link);
}

static void note_error(Guest *guest, const char *why)
{
    g_free(guest->qmp_error);
    guest->qmp_error = g_strdup(why);
}

// QEMU does not answer any more; it may still run and hold all it had.
static void on_qmp_lost(QmpClient *client, const char *why, void *context)
{
    (void)client;
    Guest *guest = context;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "QEMU lost: %s", why);
    note_error(guest, why);
    guest->asking = false;
    guest->running = false; // until it says that it runs
    timer_disarm(guest->poll_timer);
    guest_changed(guest, GUEST_URGENCY_SOON);
}

void guest_check_absent(Guest *guest)
{
    int64_t now_us = g_get_monotonic_time();
    int64_t resident_bytes;
    // Where its process was told of, what listened may have been a bridge, which holds no memory.
    if (process_memory_read("", guest->config->pid, &resident_bytes)) {
        timer_arm(guest->poll_timer, now_us + RESIDENT_SPACING_US);
        return;
    }
    guest->absent = false;
    forget_qemu(guest);
    guest_changed(guest, GUEST_URGENCY_NOW);
}

static void on_qmp_unreachable(QmpClient *client, bool absent, const char *why, void *context)
{
    (void)client;
    Guest *guest = context;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "QEMU not reachable: %s", why);
    note_error(guest, why);
    guest->absent = absent;
    if (absent) {
        guest_check_absent(guest);
    }
}

const QmpClientHandlers guest_qmp_handlers = {
    .ready = on_qmp_ready,
    .lost = on_qmp_lost,
    .unreachable = on_qmp_unreachable,
    .event = on_qmp_event,
};
