// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl policy: shows a guest's range and weight, or changes them while the controller runs.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/render.h"
#include "protocol/units.h"

#include <string.h>

// What stands for a value of the configuration.
#define CONFIGURED "configured"

// --- reading the settings ---------------------------------------------------------------------

// Reads a size, which may be a percentage of the guest's own, or a weight.
static bool read_value(const char *text, bool is_size, int64_t size_bytes, int64_t *value,
                       GError **error)
{
    RelativeSize size;
    guint64 weight;
    if (is_size) {
        bool read = relative_size_parse(text, &size, error);
        *value = read ? relative_size_of(&size, size_bytes) : 0;
        return read;
    }
    // The controller says what it accepts.
    bool read = g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32, &weight, error);
    *value = read ? (int64_t)weight : 0;
    return read;
}

// Adds "KEY=VALUE" to the arguments of set-policy. False after having said what is wrong.
static bool read_setting(const CtlContext *context, const char *setting, int64_t size_bytes,
                         json_t *arguments)
{
    g_auto(GStrv) parts = g_strsplit(setting, "=", 2);
    const char *key = parts[0] ? parts[0] : "";
    bool is_size = strcmp(key, "min") == 0 || strcmp(key, "max") == 0;
    if (!parts[0] || !parts[1] || (!is_size && strcmp(key, "weight") != 0)) {
        client_complain(context, "'%s' is not min=SIZE, max=SIZE or weight=NUMBER", setting);
        return false;
    }
    if (strcmp(parts[1], CONFIGURED) == 0) {
        json_object_set_new(arguments, key, json_null());
        return true;
    }
    g_autoptr(GError) error = NULL;
    int64_t value;
    if (!read_value(parts[1], is_size, size_bytes, &value, &error)) {
        client_complain(context, "%s: %s, or " CONFIGURED, key, error->message);
        return false;
    }
    json_object_set_new(arguments, key, json_integer(value));
    return true;
}

// --- showing the policy -----------------------------------------------------------------------

static CtlExit write_policy(const CtlContext *context, const json_t *guest)
{
    static const char *const members[] = {"name", "min", "max", "weight", "policy-changed"};
    if (context->json) {
        g_autoptr(json_t) value = json_object();
        for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
            json_object_set(value, members[i], json_object_get(guest, members[i]));
        }
        return client_write_json(context, value, JSON_INDENT(2));
    }
    g_autofree char *name = render_word(guest, "name");
    g_autofree char *min = render_size(guest, "min");
    g_autofree char *max = render_size(guest, "max");
    bool changed = json_is_true(json_object_get(guest, "policy-changed"));
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "%s: minimum %s, maximum %s, weight %" JSON_INTEGER_FORMAT "%s\n", name,
                    min, max, json_integer_value(json_object_get(guest, "weight")),
                    changed ? ", until the configuration is read again" : ", as configured");
    return client_write_text(context, text);
}

static json_t *look(const CtlContext *context, QmpSession *session, const char *name, CtlExit *exit)
{
    return client_execute_for_guest(context, session, "query-guest",
                                    json_pack("{s:s}", "name", name), exit);
}

CtlExit ctl_policy(const CtlContext *context, char **arguments)
{
    const char *name = arguments[0];
    CtlExit exit;
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    g_autoptr(json_t) guest = look(context, session, name, &exit);
    if (!guest) {
        return exit;
    }
    if (!arguments[1]) {
        return write_policy(context, guest);
    }
    int64_t size_bytes = json_integer_value(json_object_get(guest, "size"));
    g_autoptr(json_t) change = json_pack("{s:s}", "name", name);
    for (char **setting = arguments + 1; *setting; setting++) {
        if (!read_setting(context, *setting, size_bytes, change)) {
            return CTL_EXIT_USAGE;
        }
    }
    g_autoptr(json_t) done =
        client_execute_for_guest(context, session, "set-policy", g_steal_pointer(&change), &exit);
    if (!done) {
        return exit;
    }
    // Asked for even after setting it: what is shown is what holds.
    g_autoptr(json_t) changed = look(context, session, name, &exit);
    return changed ? write_policy(context, changed) : exit;
}
