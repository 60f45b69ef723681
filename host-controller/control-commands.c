// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-commands.h"

#include "host-controller/view.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

#define NEGOTIATE "qmp_capabilities"

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
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    json_t *list = json_array();
    for (const QmpCommand *listed = control_commands; listed->name; listed++) {
        json_array_append_new(list, json_pack("{s:s}", "name", listed->name));
    }
    return list;
}

// --- looking ----------------------------------------------------------------------------------

static json_t *query_status(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const ControlContext *control = context;
    return view_status(control->controller, g_get_monotonic_time());
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

static const QmpArgument negotiate_arguments[] = {
    {.name = "enable", .type = JSON_ARRAY, .optional = true}, {0}};
static const QmpArgument guest_arguments[] = {{.name = "name", .type = JSON_STRING}, {0}};
static const QmpArgument target_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "bytes", .type = JSON_INTEGER, .nullable = true},
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
    {.name = NEGOTIATE, .arguments = negotiate_arguments, .handler = negotiate},
    {.name = "query-version", .handler = query_version},
    {.name = "query-commands", .handler = query_commands},
    {.name = "query-status", .handler = query_status},
    {.name = "query-host", .handler = query_host},
    {.name = "query-guests", .handler = query_guests},
    {.name = "query-guest", .arguments = guest_arguments, .handler = query_guest},
    {.name = "set-target", .arguments = target_arguments, .handler = set_target},
    {.name = "set-mode", .arguments = mode_arguments, .handler = set_mode},
    {.name = "reserve", .arguments = reserve_arguments, .handler = reserve},
    {.name = "prepare", .arguments = prepare_arguments, .handler = prepare},
    {.name = "release", .arguments = release_arguments, .handler = release},
    {.name = "query-claims", .handler = query_claims},
    {.name = "reload", .handler = reload},
    {.name = "quit", .handler = quit},
    {0},
};
