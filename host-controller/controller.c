// SPDX-License-Identifier: Apache-2.0
#include "host-controller/controller-claims.h"
#include "host-controller/controller-host.h"

#include "protocol/error.h"

#include <string.h>

// At the end a slow disk has so long to take what the journal still has to say.
#define JOURNAL_PATIENCE_US INT64_C(2000000)

void controller_emit(const char *name, json_t *data, void *context)
{
    Controller *controller = context;
    if (controller->event_func) {
        controller->event_func(name, data, controller->event_context);
    } else {
        json_decref(data);
    }
}

// --- configuration ----------------------------------------------------------------------------

static void apply_config(Controller *controller)
{
    controller_guests_apply(controller);
    controller->mode = controller->config->mode;
    controller->adopting = false;
    controller_plan_now(controller);
}

static ControllerJournal *new_journal(const Config *config)
{
    return config->journal_path
               ? controller_journal_new(config->journal_path, config->journal_size_bytes)
               : NULL;
}

// Takes over the journal's settings; a file that was renamed is begun anew.
static void apply_journal(Controller *controller, const Config *former)
{
    const Config *config = controller->config;
    if (g_strcmp0(config->journal_path, former->journal_path) == 0) {
        controller_journal_begin_anew(controller->journal, config->journal_size_bytes);
        return;
    }
    // What is still to be written there the loop does not wait for.
    controller_journal_free(controller->journal, 0);
    controller->journal = new_journal(config);
}

// What a new configuration cannot change while the controller runs.
static void say_what_stays(const Config *former, const Config *config)
{
    if (strcmp(config->socket_path, former->socket_path) != 0) {
        g_message("the control socket stays at %s until the next start", former->socket_path);
    }
    if (g_strcmp0(config->socket_group, former->socket_group) != 0 ||
        g_strcmp0(config->readonly_path, former->readonly_path) != 0 ||
        g_strcmp0(config->readonly_group, former->readonly_group) != 0) {
        g_message("the sockets' groups and the read-only socket stay as they are until the next "
                  "start");
    }
    if (g_strcmp0(config->metrics_address, former->metrics_address) != 0) {
        g_message("the metrics stay where they are until the next start");
    }
}

bool controller_reload(Controller *controller, GError **error)
{
    bool optional = strcmp(controller->config_path, CONFIG_DEFAULT_PATH) == 0;
    Config *config = config_load(controller->config_path, optional, error);
    if (!config) {
        return false;
    }
    say_what_stays(controller->config, config);
    g_autoptr(Config) former = controller->config;
    controller->config = config;
    host_configure(controller->host, config);
    apply_journal(controller, former);
    apply_config(controller);
    controller_host_configure(controller);
    g_message("configuration read from %s", controller->config_path);
    return true;
}

Controller *controller_new(Config *config, const char *config_path, const char *host_root,
                           GError **error)
{
    Host *host = host_new(host_root, config, error);
    if (!host) {
        return NULL;
    }
    Controller *controller = g_new0(Controller, 1);
    controller->config = config;
    controller->config_path = g_strdup(config_path);
    controller->started_us = g_get_monotonic_time();
    controller->starting = true;
    controller_plan_init(controller);
    controller_guests_init(controller);
    claims_init(&controller->claims);
    controller->host = host;
    controller->journal = new_journal(config);
    apply_config(controller);
    controller_host_init(controller);
    controller->adopting = true;
    return controller;
}

void controller_free(Controller *controller)
{
    if (!controller) {
        return;
    }
    controller_host_clear(controller);
    controller_guests_clear(controller);
    claims_clear(&controller->claims);
    controller_plan_clear(controller);
    controller_journal_free(controller->journal, JOURNAL_PATIENCE_US);
    host_free(controller->host);
    config_free(controller->config);
    g_free(controller->config_path);
    g_free(controller);
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
    controller_plan_now(controller);
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
    controller_plan_now(controller);
    return true;
}

bool controller_change_policy(Controller *controller, const char *name,
                              const GuestPolicyChange *change, GError **error)
{
    Guest *guest = controller_find_guest(controller, name, error);
    if (!guest || !guest_change_policy(guest, change, error)) {
        return false;
    }
    controller_plan_now(controller);
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

const ControllerPlan *controller_last_plan(const Controller *controller)
{
    return &controller->plan;
}

const ControllerTally *controller_tally(const Controller *controller)
{
    return &controller->tally;
}

int64_t controller_budget_bytes(const Controller *controller)
{
    return host_budget_bytes(controller->host);
}

const Host *controller_host(const Controller *controller)
{
    return controller->host;
}

JournalTally controller_journal(const Controller *controller)
{
    return controller_journal_tally(controller->journal);
}

bool controller_is_overcommitted(const Controller *controller)
{
    return controller->overcommitted;
}
