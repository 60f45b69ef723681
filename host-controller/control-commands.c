// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-commands.h"

#include "host-controller/control-events.h"
#include "host-controller/view-plan.h"
#include "host-controller/control-guests.h"
#include "host-controller/view.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

#define NEGOTIATE "qmp_capabilities"

// The command changes nothing but the client's own connection.
#define ONLY_TELLS 1U

// Whether the command is there for this client.
static bool is_offered(const ControlContext *control, const QmpCommand *command)
{
    return !control->read_only || command->flags & ONLY_TELLS;
}

bool control_gate(void *context, const QmpCommand *command, const char *name, GError **error)
{
    const ControlContext *control = context;
    bool negotiates = strcmp(name, NEGOTIATE) == 0;
    if (!control->negotiated && !negotiates) {
        g_autofree char *shown = json_text_for_people(name);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                    "Expecting capabilities negotiation with 'qmp_capabilities' before '%s'",
                    shown);
        return false;
    }
    if (control->negotiated && negotiates && command) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                    "Capabilities negotiation is already complete, command ignored");
        return false;
    }
    if (command && !is_offered(control, command)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                    "The command %s is not allowed on this socket, which is read-only",
                    command->name);
        return false;
    }
    return true;
}

// --- the protocol itself ----------------------------------------------------------------------

static json_t *negotiate(void *context, const QmpCommand *command, json_t *arguments,
                         GError **error)
{
    (void)command;
    ControlContext *control = context;
    if (json_array_size(json_object_get(arguments, "enable")) > 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "This server has no capabilities to enable");
        return NULL;
    }
    control->negotiated = true;
    return json_object();
}

static json_t *query_version(void *context, const QmpCommand *command, json_t *arguments,
                             GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return view_version();
}

static json_t *query_commands(void *context, const QmpCommand *command, json_t *arguments,
                              GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    json_t *list = json_array();
    for (const QmpCommand *listed = control_commands; listed->name; listed++) {
        if (is_offered(control, listed)) {
            json_array_append_new(list, json_pack("{s:s}", "name", listed->name));
        }
    }
    return list;
}

// --- which events -----------------------------------------------------------------------------

static json_t *query_events(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    json_t *list = json_array();
    for (const char *const *name = control_event_names; *name; name++) {
        bool enabled = control->events & control_event_bit(*name);
        json_array_append_new(list, json_pack("{s:s, s:b}", "name", *name, "enabled", enabled));
    }
    return list;
}

static json_t *set_events(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    ControlContext *control = context;
    const json_t *names = json_object_get(arguments, "enable");
    uint64_t events = names ? control_event_bit(CONTROL_EVENTS_LOST) : CONTROL_EVENTS_ALL;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        uint64_t bit = name ? control_event_bit(name) : 0;
        if (!bit) {
            g_autofree char *shown = json_text_for_people(name ? name : "");
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                        "There is no event '%s'; query-events lists all", shown);
            return NULL;
        }
        events |= bit;
    }
    control->events = events;
    return json_object();
}

// --- looking ----------------------------------------------------------------------------------

static json_t *query_status(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    json_t *status = view_status(control->controller, g_get_monotonic_time());
    json_object_set_new(status, "events-lost", json_integer((json_int_t)control->events_lost));
    json_object_set_new(status, "read-only", json_boolean(control->read_only));
    return status;
}

static json_t *query_host(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    return view_host(control->controller, g_get_monotonic_time());
}

static json_t *query_guests(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    return view_guests(control->controller, g_get_monotonic_time());
}

static json_t *query_guest(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    const Guest *guest = controller_find_guest(control->controller, name, error);
    return guest ? view_guest(guest, g_get_monotonic_time()) : NULL;
}

static json_t *query_plan(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    const Guest *only = name ? controller_find_guest(control->controller, name, error) : NULL;
    return only || !name ? view_plan(control->controller, only, g_get_monotonic_time()) : NULL;
}

// --- steering ---------------------------------------------------------------------------------

static json_t *set_target(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    const json_t *size = json_object_get(arguments, "bytes");
    int64_t bytes = json_integer_value(size);
    bool done =
        controller_set_target(control->controller, name, json_is_null(size) ? NULL : &bytes, error);
    return done ? json_object() : NULL;
}

// Absent: stays. Null: as configured. A number: that.
static GuestChange read_change(const json_t *arguments, const char *name, int64_t *value)
{
    const json_t *member = json_object_get(arguments, name);
    *value = json_integer_value(member);
    return !member                ? GUEST_CHANGE_NONE
           : json_is_null(member) ? GUEST_CHANGE_CONFIGURED
                                  : GUEST_CHANGE_SET;
}

static json_t *set_policy(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    const ControlContext *control = context;
    GuestPolicyChange change;
    change.min = read_change(arguments, "min", &change.min_bytes);
    change.max = read_change(arguments, "max", &change.max_bytes);
    change.weight = read_change(arguments, "weight", &change.weight_value);
    const char *name = json_string_value(json_object_get(arguments, "name"));
    bool done = controller_change_policy(control->controller, name, &change, error);
    return done ? json_object() : NULL;
}

static json_t *set_mode(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "mode"));
    ControllerMode mode;
    if (!controller_mode_parse(name, &mode)) {
        g_autofree char *shown = json_text_for_people(name);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter 'mode' does not accept value '%s'", shown);
        return NULL;
    }
    controller_set_mode(control->controller, mode);
    return json_object();
}

// --- room -------------------------------------------------------------------------------------

// Times in milliseconds as arguments give them.
#define DEFAULT_TIMEOUT_MS 30000
#define RESERVATION_MS 120000
#define PREPARATION_MS 600000
#define LONGEST_MS 86400000

// An argument that is a number in a range; what is left out stays as it is.
static bool take_number(json_t *arguments, const char *name, int64_t low, int64_t high,
                        int64_t *number, GError **error)
{
    return !json_object_get(arguments, name) ||
           json_member_int(arguments, name, low, high, number, error);
}

typedef int64_t ClaimFunc(Controller *controller, const ClaimRequest *request, GError **error);

// Asks for a claim, which is answered when it is granted or denied.
static json_t *claim(const ControlContext *control, ClaimRequest *request, json_t *arguments,
                     int64_t hold_ms, ClaimFunc *ask, GError **error)
{
    int64_t timeout_ms = DEFAULT_TIMEOUT_MS;
    if (!take_number(arguments, "timeout-ms", 0, LONGEST_MS, &timeout_ms, error) ||
        !take_number(arguments, "hold-ms", 1, LONGEST_MS, &hold_ms, error)) {
        return NULL;
    }
    request->name = json_string_value(json_object_get(arguments, "name"));
    request->timeout_us = timeout_ms * 1000;
    request->hold_us = hold_ms * 1000;
    request->answer = control_later_answer;
    request->context = control_later_begin(control->later);
    if (ask(control->controller, request, error) == 0) {
        control_later_cancel(control->later);
        return NULL;
    }
    return json_object();
}

static json_t *reserve(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    ClaimRequest request = {.kind = CLAIM_RESERVATION};
    const char *name = json_string_value(json_object_get(arguments, "name"));
    if (name && strlen(name) > LIMIT_NAME_BYTES) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter 'name' has more than %d bytes", LIMIT_NAME_BYTES);
        return NULL;
    }
    if (!take_number(arguments, "bytes", 1, POLICY_MAX_BYTES, &request.bytes, error)) {
        return NULL;
    }
    return claim(context, &request, arguments, RESERVATION_MS, controller_reserve, error);
}

static json_t *prepare(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    ClaimRequest request = {.kind = CLAIM_PREPARATION};
    return claim(context, &request, arguments, PREPARATION_MS, controller_prepare, error);
}

static json_t *release(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    const ControlContext *control = context;
    int64_t id = json_integer_value(json_object_get(arguments, "id"));
    return controller_release(control->controller, id, error) ? json_object() : NULL;
}

static json_t *query_claims(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    return controller_view_claims(control->controller, g_get_monotonic_time());
}

// --- the controller itself --------------------------------------------------------------------

static json_t *reload(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    (void)arguments;
    const ControlContext *control = context;
    return controller_reload(control->controller, error) ? json_object() : NULL;
}

static json_t *quit(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    ControlContext *control = context;
    control->quit = true;
    return json_object();
}

static const QmpArgument enable_arguments[] = {
    {.name = "enable", .type = JSON_ARRAY, .optional = true}, {0}};
static const QmpArgument guest_arguments[] = {{.name = "name", .type = JSON_STRING}, {0}};
static const QmpArgument plan_arguments[] = {
    {.name = "name", .type = JSON_STRING, .optional = true}, {0}};
static const QmpArgument target_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "bytes", .type = JSON_INTEGER, .nullable = true},
    {0},
};
static const QmpArgument policy_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "min", .type = JSON_INTEGER, .optional = true, .nullable = true},
    {.name = "max", .type = JSON_INTEGER, .optional = true, .nullable = true},
    {.name = "weight", .type = JSON_INTEGER, .optional = true, .nullable = true},
    {0},
};
static const QmpArgument mode_arguments[] = {{.name = "mode", .type = JSON_STRING}, {0}};

static const QmpArgument reserve_arguments[] = {
    {.name = "bytes", .type = JSON_INTEGER},
    {.name = "name", .type = JSON_STRING, .optional = true},
    {.name = "timeout-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "hold-ms", .type = JSON_INTEGER, .optional = true},
    {0},
};
static const QmpArgument prepare_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "timeout-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "hold-ms", .type = JSON_INTEGER, .optional = true},
    {0},
};
static const QmpArgument release_arguments[] = {{.name = "id", .type = JSON_INTEGER}, {0}};

const QmpCommand control_commands[] = {
    {NEGOTIATE, enable_arguments, negotiate, ONLY_TELLS},
    {"query-version", NULL, query_version, ONLY_TELLS},
    {"query-commands", NULL, query_commands, ONLY_TELLS},
    {"query-events", NULL, query_events, ONLY_TELLS},
    {"set-events", enable_arguments, set_events, ONLY_TELLS},
    {"query-status", NULL, query_status, ONLY_TELLS},
    {"query-host", NULL, query_host, ONLY_TELLS},
    {"query-guests", NULL, query_guests, ONLY_TELLS},
    {"query-guest", guest_arguments, query_guest, ONLY_TELLS},
    {"query-plan", plan_arguments, query_plan, ONLY_TELLS},
    {"set-target", target_arguments, set_target, 0},
    {"set-policy", policy_arguments, set_policy, 0},
    {"set-manage", control_set_manage_arguments, control_set_manage, 0},
    {"add-guest", control_add_guest_arguments, control_add_guest, 0},
    {"remove-guest", control_remove_guest_arguments, control_remove_guest, 0},
    {"set-mode", mode_arguments, set_mode, 0},
    {"reserve", reserve_arguments, reserve, 0},
    {"prepare", prepare_arguments, prepare, 0},
    {"release", release_arguments, release, 0},
    {"query-claims", NULL, query_claims, ONLY_TELLS},
    {"reload", NULL, reload, 0},
    {"quit", NULL, quit, 0},
    {0},
};
