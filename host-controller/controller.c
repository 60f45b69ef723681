// SPDX-License-Identifier: Apache-2.0
#include "host-controller/controller.h"

#include "protocol/transport/timer.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

// Changes that are not urgent are planned together, once in this time at most.
#define PLAN_SPACING_US INT64_C(100000)
// Without any change: pauses end, stalled guests are tried again, the host's memory is looked at.
#define PLAN_IDLE_US INT64_C(1000000)

// After its start the controller moves nothing until every guest has reported, but no longer than
// this: a plan that knows only half the guests would squeeze that half for the other.
#define START_GRACE_US POLICY_FRESH_US

// And what it finds then it takes as it is until somebody is short of memory, but no longer than
// this: what the former controller knew of guests' bursts would be forgotten by now.
#define ADOPT_US INT64_C(30000000)

// Giving everything back at the end takes no longer than this; what is under way then arrives
// without us.
#define RELEASE_DEADLINE_US INT64_C(10000000)

struct Controller {
    Config *config;
    char *config_path;
    ControllerMode mode;
    int64_t started_us;
    bool starting; // not every guest has been heard of
    bool adopting; // nothing has had to be moved yet
    ControllerEventFunc *event_func;
    void *event_context;

    GPtrArray *guests;   // Guest*
    GHashTable *by_name; // its names are the guests' own

    Host *host;
    Timer *plan_timer;
    int64_t planned_us;   // when the last plan was made
    GArray *observations; // PolicyGuest: the working memory of a plan
    GPtrArray *observed;  // Guest*, beside it
    bool overcommitted;
    ControllerTally tally;

    void (*ended)(void *context); // NULL: the controller is not ending
    void *ended_context;
    Timer *release_timer;
};

static void emit(const char *name, json_t *data, void *context)
{
    Controller *controller = context;
    if (controller->event_func) {
        controller->event_func(name, data, controller->event_context);
    } else {
        json_decref(data);
    }
}

// --- planning ---------------------------------------------------------------------------------

// A QEMU that has not told its size is planned around with what its process holds. Comes last, so
// that the others stand beside their guests.
static void observe_silent(Controller *controller, int64_t now_us)
{
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        int64_t held_bytes = guest_is_known(guest) ? 0 : guest_silent_bytes(guest, now_us);
        if (held_bytes > 0) {
            PolicyGuest observation = {
                .size_bytes = held_bytes,
                .actual_bytes = held_bytes,
                .target_bytes = held_bytes,
                .ceiling_bytes = held_bytes,
                .max_bytes = held_bytes,
                .weight = 1,
                .bound = POLICY_BOUND_UNMANAGED,
            };
            g_array_append_val(controller->observations, observation);
        }
    }
}

static void observe_guests(Controller *controller, int64_t now_us)
{
    g_array_set_size(controller->observations, 0);
    g_ptr_array_set_size(controller->observed, 0);
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest_is_known(guest)) {
            PolicyGuest observation;
            guest_observe(guest, &observation, now_us);
            g_array_append_val(controller->observations, observation);
            g_ptr_array_add(controller->observed, guest);
        }
    }
    observe_silent(controller, now_us);
}

static void check_overcommitment(Controller *controller, const PolicyHost *host)
{
    const PolicyGuest *guests = (const PolicyGuest *)controller->observations->data;
    int64_t shortfall_bytes = policy_shortfall_bytes(host, guests, controller->observations->len);
    bool overcommitted = shortfall_bytes > 0;
    if (overcommitted && !controller->overcommitted) {
        int64_t needed_bytes = host->budget_bytes + shortfall_bytes;
        char needed[SIZE_TEXT_SIZE];
        char budget[SIZE_TEXT_SIZE];
        g_warning("the guests need %s at least, the budget is %s",
                  size_format(needed_bytes, needed), size_format(host->budget_bytes, budget));
        emit("HOST_OVERCOMMITTED",
             json_pack("{s:I, s:I}", "needed", (json_int_t)needed_bytes, "budget",
                       (json_int_t)host->budget_bytes),
             controller);
    }
    controller->overcommitted = overcommitted;
}

// Ends the start once, when nobody is awaited any more.
static void check_start(Controller *controller, int64_t now_us)
{
    for (guint i = 0; i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest_is_awaited(guest) && now_us - controller->started_us < START_GRACE_US) {
            return;
        }
    }
    controller->starting = false;
}

// Counts the plan made at `now_us`, and how long the reports that it answered had waited for its
// commands. A report that led to none was not answered late.
static void tally_plan(Controller *controller, int64_t now_us)
{
    bool sent = false;
    for (guint i = 0; i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        sent |= guest->commanded_us == now_us;
    }
    int64_t done_us = g_get_monotonic_time();
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest->unanswered_us && sent) {
            metrics_histogram_add(&controller->tally.reaction, done_us - guest->unanswered_us);
        }
        guest->unanswered_us = 0;
    }
    controller->tally.plans++;
}

// At the end everybody is to have all it may, and nobody less than it has.
static void ask_for_all(PolicyGuest *guests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t has_bytes = policy_max(guest->actual_bytes, guest->target_bytes);
        guest->fresh = guest->movable;
        guest->demand = (PolicyDemand){0};
        guest->max_bytes = policy_max(guest->max_bytes, has_bytes);
        guest->min_bytes = policy_max(guest->min_bytes, has_bytes);
        guest->pinned = true;
        guest->pinned_bytes = guest->max_bytes;
    }
}

static void finish_release(void *context);

static bool anything_moves(const Controller *controller)
{
    for (guint i = 0; i < controller->observed->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->observed, i);
        if (guest_is_movable(guest) && balloon_is_moving(&guest->balloon)) {
            return true;
        }
    }
    return false;
}

static void carry_out(Controller *controller, const PolicyGuest *guests, int64_t now_us)
{
    bool act =
        controller->ended || (controller->mode != CONTROLLER_MODE_OBSERVE && !controller->starting);
    for (guint i = 0; i < controller->observed->len; i++) {
        bool sent =
            guest_follow(g_ptr_array_index(controller->observed, i), &guests[i], act, now_us);
        controller->adopting &= !sent;
    }
    if (controller->ended && !anything_moves(controller)) {
        timer_arm(controller->release_timer, now_us);
    }
}

static void make_plan(void *context)
{
    Controller *controller = context;
    int64_t now_us = g_get_monotonic_time();
    observe_guests(controller, now_us);
    PolicyHost host = {
        .budget_bytes = controller_budget_bytes(controller),
        .reclaim = controller->mode == CONTROLLER_MODE_RECLAIM,
        .adopting = controller->adopting && now_us - controller->started_us < ADOPT_US,
    };
    PolicyGuest *guests = (PolicyGuest *)controller->observations->data;
    if (controller->ended) {
        ask_for_all(guests, controller->observations->len);
    }
    policy_plan(&host, guests, controller->observations->len);
    if (!controller->ended) {
        check_overcommitment(controller, &host);
    }
    if (controller->starting) {
        check_start(controller, now_us);
    }
    carry_out(controller, guests, now_us);
    controller->planned_us = now_us;
    tally_plan(controller, now_us);
    timer_arm_by(controller->plan_timer, now_us + PLAN_IDLE_US);
    // For the next plan: whoever waits for this one need not wait for that too.
    host_refresh(controller->host);
}

static void on_guest_changed(Guest *guest, GuestUrgency urgency, void *context)
{
    (void)guest;
    Controller *controller = context;
    int64_t wait_us = urgency == GUEST_URGENCY_NOW ? 0 : PLAN_SPACING_US;
    timer_arm_by(controller->plan_timer, controller->planned_us + wait_us);
}

static void on_reached(int64_t elapsed_us, void *context)
{
    Controller *controller = context;
    metrics_histogram_add(&controller->tally.handover, elapsed_us);
}

static const GuestHandlers guest_handlers = {
    .changed = on_guest_changed,
    .event = emit,
    .reached = on_reached,
};

// --- configuration ----------------------------------------------------------------------------

static void emit_named(Controller *controller, const char *event, const char *name)
{
    emit(event, json_pack("{s:s}", "name", name), controller);
}

// Keeps the guests that stay, drops those that went, starts those that came.
static void apply_config(Controller *controller)
{
    GPtrArray *former = controller->guests;
    GHashTable *former_by_name = controller->by_name;
    controller->guests = g_ptr_array_new();
    controller->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    // The last plan's guests may go.
    g_array_set_size(controller->observations, 0);
    g_ptr_array_set_size(controller->observed, 0);
    for (guint i = 0; i < controller->config->guests->len; i++) {
        const GuestConfig *config = g_ptr_array_index(controller->config->guests, i);
        Guest *guest = g_hash_table_lookup(former_by_name, config->name);
        if (guest && g_hash_table_remove(former_by_name, config->name) &&
            !guest_reconfigure(guest, config)) {
            emit_named(controller, "GUEST_REMOVED", config->name);
            g_ptr_array_remove_fast(former, guest);
            guest_free(guest);
            guest = NULL;
        }
        if (guest) {
            g_ptr_array_remove_fast(former, guest);
        } else {
            guest = guest_new(config, &guest_handlers, controller);
            emit_named(controller, "GUEST_ADDED", config->name);
        }
        g_ptr_array_add(controller->guests, guest);
        g_hash_table_insert(controller->by_name, guest->config->name, guest);
    }
    for (guint i = 0; i < former->len; i++) {
        Guest *guest = g_ptr_array_index(former, i);
        emit_named(controller, "GUEST_REMOVED", guest->config->name);
        guest_free(guest);
    }
    g_ptr_array_unref(former);
    g_hash_table_unref(former_by_name);
    controller->mode = controller->config->mode;
    controller->adopting = false;
    timer_arm_by(controller->plan_timer, 0);
}

bool controller_reload(Controller *controller, GError **error)
{
    bool optional = strcmp(controller->config_path, CONFIG_DEFAULT_PATH) == 0;
    Config *config = config_load(controller->config_path, optional, error);
    if (!config) {
        return false;
    }
    if (strcmp(config->socket_path, controller->config->socket_path) != 0) {
        g_message("the control socket stays at %s until the next start",
                  controller->config->socket_path);
    }
    if (g_strcmp0(config->metrics_address, controller->config->metrics_address) != 0) {
        g_message("the metrics stay where they are until the next start");
    }
    config_free(controller->config);
    controller->config = config;
    apply_config(controller);
    g_message("configuration read from %s", controller->config_path);
    return true;
}

Controller *controller_new(Config *config, const char *config_path, GError **error)
{
    Host *host = host_new(error);
    if (!host) {
        return NULL;
    }
    Controller *controller = g_new0(Controller, 1);
    controller->config = config;
    controller->config_path = g_strdup(config_path);
    controller->started_us = g_get_monotonic_time();
    controller->starting = true;
    controller->guests = g_ptr_array_new();
    controller->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    controller->observations = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    controller->observed = g_ptr_array_new();
    controller->plan_timer = timer_new(make_plan, controller);
    controller->tally.reaction = metrics_histogram_of_reactions();
    controller->tally.handover = metrics_histogram_of_handovers();
    controller->release_timer = timer_new(finish_release, controller);
    controller->host = host;
    apply_config(controller);
    controller->adopting = true;
    return controller;
}

void controller_free(Controller *controller)
{
    if (!controller) {
        return;
    }
    for (guint i = 0; i < controller->guests->len; i++) {
        guest_free(g_ptr_array_index(controller->guests, i));
    }
    g_ptr_array_unref(controller->guests);
    g_hash_table_unref(controller->by_name);
    g_array_unref(controller->observations);
    g_ptr_array_unref(controller->observed);
    timer_free(controller->plan_timer);
    timer_free(controller->release_timer);
    host_free(controller->host);
    config_free(controller->config);
    g_free(controller->config_path);
    g_free(controller);
}

// --- ending -----------------------------------------------------------------------------------

static void finish_release(void *context)
{
    Controller *controller = context;
    const PolicyGuest *guests = (const PolicyGuest *)controller->observations->data;
    int64_t withheld_bytes = 0;
    int64_t under_way_bytes = 0;
    for (guint i = 0; i < controller->observed->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->observed, i);
        const Balloon *balloon = &guest->balloon;
        withheld_bytes += policy_max(guests[i].max_bytes - guests[i].plan_bytes, 0);
        under_way_bytes += policy_max(balloon->target_bytes - balloon->actual_bytes, 0);
    }
    char withheld[SIZE_TEXT_SIZE];
    char under_way[SIZE_TEXT_SIZE];
    g_message("balloons released: %s withheld for lack of budget, %s still under way",
              size_format(withheld_bytes, withheld), size_format(under_way_bytes, under_way));
    controller->ended(controller->ended_context);
}

void controller_end(Controller *controller, void ended(void *context), void *context)
{
    bool releases =
        controller->config->release_on_exit && controller->mode != CONTROLLER_MODE_OBSERVE;
    if (controller->ended || !releases) {
        ended(context);
        return;
    }
    int64_t now_us = g_get_monotonic_time();
    controller->ended = ended;
    controller->ended_context = context;
    timer_arm(controller->release_timer, now_us + RELEASE_DEADLINE_US);
    timer_arm_by(controller->plan_timer, now_us);
}

// --- steering and looking ---------------------------------------------------------------------

void controller_set_event_func(Controller *controller, ControllerEventFunc *function, void *context)
{
    controller->event_func = function;
    controller->event_context = context;
}

void controller_set_mode(Controller *controller, ControllerMode mode)
{
    if (controller->mode != mode) {
        g_message("mode %s", controller_mode_name(mode));
    }
    controller->mode = mode;
    controller->adopting = false;
    timer_arm_by(controller->plan_timer, 0);
}

bool controller_set_target(Controller *controller, const char *name, const int64_t *bytes,
                           GError **error)
{
    Guest *guest = controller_find_guest(controller, name, error);
    if (!guest) {
        return false;
    }
    if (bytes && controller->mode == CONTROLLER_MODE_OBSERVE) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "No target can be set in mode observe, which moves nothing");
        return false;
    }
    if (!guest_pin(guest, bytes, error)) {
        return false;
    }
    timer_arm_by(controller->plan_timer, 0);
    return true;
}

Guest *controller_find_guest(const Controller *controller, const char *name, GError **error)
{
    Guest *guest = g_hash_table_lookup(controller->by_name, name);
    if (!guest) {
        g_autofree char *shown = json_text_for_people(name);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "Guest '%s' is not known",
                    shown);
    }
    return guest;
}

const GPtrArray *controller_guests(const Controller *controller)
{
    return controller->guests;
}

ControllerMode controller_mode(const Controller *controller)
{
    return controller->mode;
}

const char *controller_config_path(const Controller *controller)
{
    return controller->config_path;
}

int64_t controller_started_us(const Controller *controller)
{
    return controller->started_us;
}

const ControllerTally *controller_tally(const Controller *controller)
{
    return &controller->tally;
}

int64_t controller_budget_bytes(const Controller *controller)
{
    return host_budget_bytes(controller->host, controller->config);
}

const HostMemory *controller_host_memory(const Controller *controller)
{
    return host_memory(controller->host);
}

bool controller_is_overcommitted(const Controller *controller)
{
    return controller->overcommitted;
}
