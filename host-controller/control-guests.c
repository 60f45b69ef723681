// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-guests.h"

#include "host-controller/config-keys.h"
#include "host-controller/control-commands.h"
#include "host-controller/guest-name.h"
#include "protocol/error.h"

const QmpArgument control_add_guest_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "qmp", .type = JSON_STRING},
    {.name = "agent", .type = JSON_STRING, .optional = true},
    {.name = "min", .type = JSON_INTEGER, .optional = true},
    {.name = "max", .type = JSON_INTEGER, .optional = true},
    {.name = "weight", .type = JSON_INTEGER, .optional = true},
    {.name = "manage", .type = JSON_TRUE, .optional = true},
    {0},
};
const QmpArgument control_remove_guest_arguments[] = {{.name = "name", .type = JSON_STRING}, {0}};
const QmpArgument control_set_manage_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "manage", .type = JSON_TRUE, .nullable = true},
    {0},
};

static bool refuse(GError **error, const char *parameter, const char *why)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "Parameter '%s': %s", parameter,
                why);
    return false;
}

// A socket's path, as the configuration would read it.
static bool read_path(const json_t *arguments, GuestKey which, GuestConfig *guest, GError **error)
{
    const ConfigKey *key = config_guest_key(which);
    const char *text = json_string_value(json_object_get(arguments, key->name));
    g_autoptr(GError) detail = NULL;
    return !text || config_key_read(key, text, guest, &detail) ||
           refuse(error, key->name, detail->message);
}

// A number that may be missing; one that is there is one of the guest's own settings.
static bool read_number(const json_t *arguments, const char *name, int64_t min, int64_t max,
                        GuestGiven setting, int64_t *value, unsigned *given, GError **error)
{
    if (!json_object_get(arguments, name)) {
        return true;
    }
    *given |= setting;
    return json_member_int(arguments, name, min, max, value, error);
}

static bool read_settings(const json_t *arguments, GuestConfig *guest, GError **error)
{
    unsigned *given = &guest->given;
    if (!read_number(arguments, "min", 0, POLICY_MAX_BYTES, GUEST_GIVEN_MIN, &guest->min.bytes,
                     given, error) ||
        !read_number(arguments, "max", 1, POLICY_MAX_BYTES, GUEST_GIVEN_MAX, &guest->max.bytes,
                     given, error) ||
        !read_number(arguments, "weight", 1, 10000, GUEST_GIVEN_WEIGHT, &guest->weight, given,
                     error)) {
        return false;
    }
    const unsigned range = GUEST_GIVEN_MIN | GUEST_GIVEN_MAX;
    if ((*given & range) == range && guest->min.bytes > guest->max.bytes) {
        return refuse(error, "min", "is above max");
    }
    const json_t *manage = json_object_get(arguments, "manage");
    if (manage) {
        guest->managed = json_is_true(manage);
        *given |= GUEST_GIVEN_MANAGE;
    }
    return true;
}

json_t *control_add_guest(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    const char *fault = guest_name_fault(name);
    if (fault) {
        refuse(error, "name", fault);
        return NULL;
    }
    g_autoptr(GuestConfig) guest = guest_config_copy(&(GuestConfig){.name = (char *)name});
    bool done = read_path(arguments, GUEST_KEY_QMP, guest, error) &&
                read_path(arguments, GUEST_KEY_AGENT, guest, error) &&
                read_settings(arguments, guest, error) &&
                controller_add_guest(control->controller, guest, error);
    return done ? json_object() : NULL;
}

json_t *control_remove_guest(void *context, const QmpCommand *command, json_t *arguments,
                             GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    return controller_remove_guest(control->controller, name, error) ? json_object() : NULL;
}

json_t *control_set_manage(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    const ControlContext *control = context;
    const char *name = json_string_value(json_object_get(arguments, "name"));
    const json_t *manage = json_object_get(arguments, "manage");
    bool managed = json_is_true(manage);
    bool done = controller_set_managed(control->controller, name,
                                       json_is_null(manage) ? NULL : &managed, error);
    return done ? json_object() : NULL;
}
