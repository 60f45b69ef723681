// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl add, remove and manage: which guests there are, and which are touched.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "protocol/units.h"

#include <string.h>

// Carries out a command about a guest; in JSON it then writes the guest, or {} when it is gone.
static CtlExit steer(const CtlContext *context, const char *command, json_t *arguments)
{
    g_autoptr(json_t) kept = arguments;
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    bool adds = strcmp(command, "add-guest") == 0;
    g_autoptr(json_t) done =
        adds ? client_execute(context, session, command, json_incref(kept), &exit)
             : client_execute_for_guest(context, session, command, json_incref(kept), &exit);
    if (!done) {
        return exit;
    }
    if (!context->json) {
        return CTL_EXIT_OK;
    }
    if (strcmp(command, "remove-guest") == 0) {
        return client_write_json(context, done, JSON_INDENT(2));
    }
    json_t *name = json_pack("{s:O}", "name", json_object_get(kept, "name"));
    g_autoptr(json_t) guest = client_execute(context, session, "query-guest", name, &exit);
    return guest ? client_write_json(context, guest, JSON_INDENT(2)) : exit;
}

// --- add --------------------------------------------------------------------------------------

static json_t *read_path(const char *text, GError **error)
{
    (void)error;
    return json_string(text);
}

static json_t *read_size(const char *text, GError **error)
{
    int64_t bytes;
    return size_parse(text, &bytes, error) ? json_integer(bytes) : NULL;
}

static json_t *read_weight(const char *text, GError **error)
{
    guint64 weight;
    return g_ascii_string_to_unsigned(text, 10, 1, 10000, &weight, error)
               ? json_integer((json_int_t)weight)
               : NULL;
}

static json_t *read_yes_or_no(const char *text, GError **error)
{
    bool yes = strcmp(text, "yes") == 0;
    if (!yes && strcmp(text, "no") != 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "'%s' is not yes or no", text);
        return NULL;
    }
    return json_boolean(yes);
}

static const struct {
    const char *name;
    json_t *(*read)(const char *text, GError **error);
} keys[] = {
    {"agent", read_path},    {"min", read_size},         {"max", read_size},
    {"weight", read_weight}, {"manage", read_yes_or_no},
};

// Takes over one word KEY=VALUE.
static bool read_setting(const char *word, json_t *arguments, GError **error)
{
    const char *equals = strchr(word, '=');
    g_autofree char *key = g_strndup(word, equals ? (size_t)(equals - word) : strlen(word));
    for (size_t i = 0; equals && i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(key, keys[i].name) == 0) {
            json_t *value = keys[i].read(equals + 1, error);
            return value && json_object_set_new(arguments, key, value) == 0;
        }
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s' is none of agent=, min=, max=, weight=, manage=", word);
    return false;
}

CtlExit ctl_add(const CtlContext *context, char **arguments)
{
    g_autoptr(json_t) request = json_pack("{s:s, s:s}", "name", arguments[0], "qmp", arguments[1]);
    for (char **word = arguments + 2; *word; word++) {
        g_autoptr(GError) error = NULL;
        if (!read_setting(*word, request, &error)) {
            g_autofree char *message = json_text_for_people(error->message);
            client_complain(context, "%s", message);
            return CTL_EXIT_USAGE;
        }
    }
    return steer(context, "add-guest", json_incref(request));
}

// --- remove, manage ---------------------------------------------------------------------------

CtlExit ctl_remove(const CtlContext *context, char **arguments)
{
    return steer(context, "remove-guest", json_pack("{s:s}", "name", arguments[0]));
}

CtlExit ctl_manage(const CtlContext *context, char **arguments)
{
    static const struct {
        const char *word;
        json_t *(*value)(void);
    } words[] = {{"yes", json_true}, {"no", json_false}, {"auto", json_null}};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(arguments[1], words[i].word) == 0) {
            return steer(context, "set-manage",
                         json_pack("{s:s, s:o}", "name", arguments[0], "manage", words[i].value()));
        }
    }
    g_autofree char *shown = json_text_for_people(arguments[1]);
    client_complain(context, "'%s' is not yes, no or auto", shown);
    return CTL_EXIT_USAGE;
}
