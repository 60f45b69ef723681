// SPDX-License-Identifier: Apache-2.0
#include "host-controller/controller-host.h"

#include "host-controller/process-memory.h"

// A guest takes some 20 us to look at. So many are looked at in one turn of the loop.
#define TURN_GUESTS 16
#define TURN_PAUSE_US INT64_C(5000)
// From one reading to the next: half a second while the host is idle, two and a half where its
// budget does not follow from it, a tenth while it is not idle; and however many guests there are,
// not more than a fortieth of the time is spent on it.
#define PAUSE_US INT64_C(100000)
#define IDLE_PAUSE_US INT64_C(500000)
#define FIXED_IDLE_PAUSE_US INT64_C(2500000)
#define BUSY_DIVISOR 40

// A guest that does not follow is reclaimed from when the host has been critical for this long, and
// this much at a time.
#define LAST_RESORT_US INT64_C(2000000)
#define LAST_RESORT_BYTES (256 * POLICY_MIB)

// --- what guests have -------------------------------------------------------------------------

// What of the host's memory the guest has in use. QEMU's own needs beyond the guest's memory are
// others'; where its process cannot be told, the guest counts with all it may hold.
static int64_t used_bytes(const Controller *controller, const Guest *guest, int64_t now_us)
{
    int64_t bytes = 0;
    pid_t pid = qmp_client_pid(guest->qmp);
    bool seen =
        process_memory_read_guest(host_root(controller->host), pid, guest->size_bytes, &bytes);
    if (!guest_is_known(guest)) {
        return bytes;
    }
    int64_t ceiling_bytes = guest_holding(guest, now_us).ceiling_bytes;
    return seen ? MIN(bytes, ceiling_bytes) : ceiling_bytes;
}

// What the guest has is its own from now on: until now it was taken for others'. Once only, however
// often its QEMU connects before the host is read again.
static void count(Controller *controller, Guest *guest, int64_t bytes)
{
    if (bytes > 0 && !guest->counted) {
        host_credit(controller->host, bytes);
    }
    guest->counted = bytes > 0;
}

void controller_host_meet(Controller *controller, Guest *guest)
{
    count(controller, guest, used_bytes(controller, guest, g_get_monotonic_time()));
}

// --- the host's state -------------------------------------------------------------------------

static void log_state(const Host *host, PolicyHostState state, const char *group,
                      int64_t below_limit_bytes)
{
    GLogLevelFlags level =
        state == POLICY_HOST_CRITICAL ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE;
    const char *name = policy_host_state_name(state);
    char available[SIZE_TEXT_SIZE];
    char non_guest[SIZE_TEXT_SIZE];
    if (group) {
        g_log(NULL, level, "the memory of control group %s is %s: %s available below its limit",
              group, name, size_format(below_limit_bytes, available));
    } else {
        g_log(NULL, level, "the host's memory is %s: %s available, %s used by others than guests",
              name, size_format(host_memory(host)->available_bytes, available),
              size_format(host_non_guest_bytes(host), non_guest));
    }
}

static void tell_state(Controller *controller, PolicyHostState from)
{
    const Host *host = controller->host;
    PolicyHostState state = controller->host_state;
    int64_t below_limit_bytes = 0;
    const char *group = host_short_group(host, &below_limit_bytes);
    log_state(host, state, group, below_limit_bytes);
    controller_emit("HOST_PRESSURE",
                    json_pack("{s:s, s:s, s:I, s:I, s:I, s:s*}", "state",
                              policy_host_state_name(state), "from", policy_host_state_name(from),
                              "available", (json_int_t)host_memory(host)->available_bytes,
                              "non-guest", (json_int_t)host_non_guest_bytes(host), "budget",
                              (json_int_t)host_budget_bytes(host), "group", group),
                    controller);
}

static void follow_state(Controller *controller, int64_t now_us)
{
    PolicyHostState from = controller->host_state;
    controller->host_state = host_state(controller->host);
    if (controller->host_state != from) {
        controller->host_state_us = now_us;
        tell_state(controller, from);
        controller_plan_now(controller);
    }
    ksm_want(controller->ksm,
             controller->config->ksm_auto && controller->host_state != POLICY_HOST_CALM,
             controller->config->ksm_permyriad);
}

// --- the last resort --------------------------------------------------------------------------

// What a guest has above its min and does not give; 0 for one that follows. What was reclaimed from
// it before is no longer there.
static int64_t withheld_bytes(const Controller *controller, const Guest *guest, int64_t now_us)
{
    int64_t min_bytes;
    int64_t max_bytes;
    if (guest_state(guest, now_us) != GUEST_STATE_STALLED || guest->stalled_growing) {
        return 0;
    }
    guest_limits(guest, &min_bytes, &max_bytes);
    int64_t held_bytes = MIN(guest->balloon.actual_bytes, used_bytes(controller, guest, now_us));
    return MAX(held_bytes - min_bytes, 0);
}

// The control group of the guest's QEMU; NULL with an error when there is none to reclaim from.
static char *find_group(const Controller *controller, const Guest *guest, GError **error)
{
    int64_t bytes;
    if (!process_memory_read_guest(host_root(controller->host), guest->pid, guest->size_bytes,
                                   &bytes)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "process %d is not its QEMU",
                    (int)guest->pid);
        return NULL;
    }
    return last_resort_find_group(controller->last_resort, guest->pid, error);
}

static void reclaim_from(Controller *controller, const Guest *guest, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *group = find_group(controller, guest, &error);
    if (!group) {
        g_warning("%s: gives nothing, and nothing can be reclaimed from it: %s",
                  guest->config->name, error->message);
        return;
    }
    char size[SIZE_TEXT_SIZE];
    g_warning("%s: gives nothing and the host is critical: %s are reclaimed from its QEMU, in %s",
              guest->config->name, size_format(bytes, size), group);
    controller_emit("GUEST_FORCED_RECLAIM",
                    json_pack("{s:s, s:I, s:s}", "name", guest->config->name, "bytes",
                              (json_int_t)bytes, "group", group),
                    controller);
    last_resort_reclaim(controller->last_resort, group, bytes);
}

static void resort(Controller *controller, int64_t now_us)
{
    bool due = controller->config->last_resort && controller->host_state == POLICY_HOST_CRITICAL &&
               now_us - controller->host_state_us >= LAST_RESORT_US &&
               now_us - controller->last_resort_us >= LAST_RESORT_US &&
               last_resort_is_idle(controller->last_resort);
    const Guest *most = NULL;
    int64_t most_bytes = 0;
    for (guint i = 0; due && i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        int64_t bytes = withheld_bytes(controller, guest, now_us);
        if (bytes > most_bytes) {
            most = guest;
            most_bytes = bytes;
        }
    }
    int64_t lacking_bytes =
        host_reserve_bytes(controller->host) - host_memory(controller->host)->available_bytes;
    if (most && lacking_bytes > 0) {
        controller->last_resort_us = now_us;
        reclaim_from(controller, most, MIN(MIN(most_bytes, lacking_bytes), LAST_RESORT_BYTES));
    }
}

// --- triggers ---------------------------------------------------------------------------------

// Tasks stall for memory: the next reading does not wait.
static void on_pressure(void *context)
{
    Controller *controller = context;
    timer_arm_by(controller->host_timer, 0);
}

// A trigger is written to the file, so that it wants the kernel's own.
static PressureWatch *watch(Controller *controller, const char *path)
{
    int64_t window_us;
    const char *why;
    int fd = *host_root(controller->host) ? -1 : pressure_trigger_open(path, &window_us, &why);
    return fd >= 0 ? pressure_watch_new(fd, on_pressure, controller) : NULL;
}

// The group's trigger goes with the group: a slice may come with its first guest, and go with the
// last.
static void watch_group(Controller *controller)
{
    g_autofree char *path =
        g_strconcat(HOST_FILES_CGROUP, controller->config->budget_group, "/memory.pressure", NULL);
    pressure_watch_free(controller->group_watch);
    controller->group_watch = host_has_group(controller->host) ? watch(controller, path) : NULL;
}

// --- readings ---------------------------------------------------------------------------------

static int64_t pause_us(const Controller *controller)
{
    int64_t idle_us = controller->config->budget_auto ? IDLE_PAUSE_US : FIXED_IDLE_PAUSE_US;
    int64_t least_us = host_is_idle(controller->host) ? idle_us : PAUSE_US;
    return MAX(least_us, controller->reading_us * BUSY_DIVISOR);
}

static void end_reading(Controller *controller, int64_t now_us)
{
    int64_t before_bytes = host_budget_bytes(controller->host);
    bool had_group = host_has_group(controller->host);
    host_end(controller->host, now_us);
    if (host_has_group(controller->host) != had_group) {
        watch_group(controller);
    }
    if (host_budget_bytes(controller->host) < before_bytes) {
        controller_plan_now(controller);
    }
    follow_state(controller, now_us);
    resort(controller, now_us);
}

// Looks at the next few guests.
static void read_on(void *context)
{
    Controller *controller = context;
    int64_t now_us = g_get_monotonic_time();
    if (controller->read_guests == 0) {
        controller->reading_us = 0;
        host_begin(controller->host);
    }
    for (int i = 0; i < TURN_GUESTS && controller->read_guests < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, controller->read_guests++);
        int64_t bytes = used_bytes(controller, guest, now_us);
        count(controller, guest, bytes);
        host_add_guest(controller->host, bytes);
    }
    // Some may have gone since the last turn.
    bool done = controller->read_guests >= controller->guests->len;
    if (done) {
        controller->read_guests = 0;
        end_reading(controller, now_us);
    }
    int64_t done_us = g_get_monotonic_time();
    controller->reading_us += done_us - now_us;
    timer_arm(controller->host_timer, done_us + (done ? pause_us(controller) : TURN_PAUSE_US));
}

// --- its life ---------------------------------------------------------------------------------

void controller_host_configure(Controller *controller)
{
    watch_group(controller);
    controller->read_guests = 0;
    timer_arm(controller->host_timer, 0);
}

void controller_host_init(Controller *controller)
{
    const char *root = host_root(controller->host);
    controller->ksm = ksm_new(root);
    controller->last_resort = last_resort_new(root);
    controller->host_timer = timer_new(read_on, controller);
    controller->host_watch = watch(controller, PRESSURE_MEMORY_PATH);
    controller_host_configure(controller);
}

void controller_host_clear(Controller *controller)
{
    pressure_watch_free(controller->host_watch);
    pressure_watch_free(controller->group_watch);
    timer_free(controller->host_timer);
    last_resort_free(controller->last_resort);
    ksm_free(controller->ksm);
}
