// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/client.h"

#include "host-controller/ctl/suggest.h"
#include "protocol/error.h"

#include <errno.h>
#include <string.h>

// The controller answers at once or something is wrong with it.
#define ANSWER_TIMEOUT_US (5 * (int64_t)G_USEC_PER_SEC)

// --- saying what went wrong -------------------------------------------------------------------

void client_complain(const CtlContext *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(context->err, "aerostatctl: %s\n", message);
}

CtlExit client_fail(const CtlContext *context, const GError *error)
{
    g_autofree char *message = json_text_for_people(error->message);
    if (g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED)) {
        client_complain(context, "the controller has gone away");
        return CTL_EXIT_LOST;
    }
    client_complain(context, "%s", message);
    return g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT) ? CTL_EXIT_TIMEOUT
                                                                          : CTL_EXIT_ERROR;
}

static void complain_unconnected(const CtlContext *context, const GError *error)
{
    const char *path = context->socket_path;
    g_autofree char *message = json_text_for_people(error->message);
    if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        client_complain(context, "there is no socket %s: is aerostat-controller running?", path);
    } else if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES)) {
        client_complain(context,
                        "no permission to use %s: run this as root or as a member of the "
                        "socket's group",
                        path);
    } else if (g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE)) {
        client_complain(context, "%s: %s", path, message);
    } else if (error->domain == G_FILE_ERROR) {
        client_complain(context, "%s: is aerostat-controller running?", message);
    } else {
        client_complain(context, "whoever listens on %s is no controller that works: %s", path,
                        message);
    }
}

QmpSession *client_open(const CtlContext *context, int64_t timeout_us, GError **error)
{
    g_autoptr(GError) denied = NULL;
    QmpSession *session = qmp_session_open(context->socket_path, timeout_us, &denied);
    if (!session && context->fallback_path &&
        g_error_matches(denied, G_FILE_ERROR, G_FILE_ERROR_ACCES)) {
        // Who may not steer may still be allowed to look.
        session = qmp_session_open(context->fallback_path, timeout_us, NULL);
    }
    if (!session) {
        g_propagate_error(error, g_steal_pointer(&denied));
    }
    return session;
}

QmpSession *client_connect(const CtlContext *context)
{
    g_autoptr(GError) error = NULL;
    QmpSession *session = client_open(context, ANSWER_TIMEOUT_US, &error);
    if (!session) {
        complain_unconnected(context, error);
    }
    return session;
}

// --- asking -----------------------------------------------------------------------------------

json_t *client_execute(const CtlContext *context, QmpSession *session, const char *command,
                       json_t *arguments, CtlExit *exit)
{
    g_autoptr(GError) error = NULL;
    json_t *value = qmp_session_execute(session, command, arguments, ANSWER_TIMEOUT_US, &error);
    if (!value) {
        *exit = client_fail(context, error);
    }
    return value;
}

json_t *client_query(const CtlContext *context, const char *command, CtlExit *exit)
{
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        *exit = CTL_EXIT_CONNECT;
        return NULL;
    }
    return client_execute(context, session, command, NULL, exit);
}

// If there is no guest of this name, says so and which are near.
static bool complain_unknown_guest(const CtlContext *context, QmpSession *session, const char *name)
{
    g_autoptr(json_t) guests =
        qmp_session_execute(session, "query-guests", NULL, ANSWER_TIMEOUT_US, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        const char *known = json_string_value(json_object_get(guest, "name"));
        if (known && strcmp(known, name) == 0) {
            return false;
        }
        g_ptr_array_add(names, json_text_for_people(known ? known : ""));
    }
    if (!guests) {
        return false;
    }
    g_autofree char *shown = json_text_for_people(name);
    g_autoptr(GPtrArray) near = suggest_names(shown, names);
    g_ptr_array_add(near, NULL);
    g_autofree char *list = g_strjoinv("' or '", (char **)near->pdata);
    if (near->len > 1) {
        client_complain(context, "there is no guest '%s'; did you mean '%s'?", shown, list);
    } else {
        client_complain(context, "there is no guest '%s'; aerostatctl list shows all", shown);
    }
    return true;
}

json_t *client_execute_for_guest(const CtlContext *context, QmpSession *session,
                                 const char *command, json_t *arguments, CtlExit *exit)
{
    g_autofree char *name = g_strdup(json_string_value(json_object_get(arguments, "name")));
    g_autoptr(GError) error = NULL;
    json_t *value = qmp_session_execute(session, command, arguments, ANSWER_TIMEOUT_US, &error);
    if (value) {
        return value;
    }
    *exit = CTL_EXIT_ERROR;
    if (!g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE) ||
        !complain_unknown_guest(context, session, name)) {
        *exit = client_fail(context, error);
    }
    return NULL;
}

// --- writing ----------------------------------------------------------------------------------

static CtlExit write_all(const CtlContext *context, const char *text, size_t length)
{
    if (fwrite(text, 1, length, context->out) != length || fflush(context->out) != 0) {
        client_complain(context, "cannot write: %s", g_strerror(errno));
        return CTL_EXIT_ERROR;
    }
    return CTL_EXIT_OK;
}

CtlExit client_write_json(const CtlContext *context, const json_t *value, size_t flags)
{
    // Escaped, no text of a guest can steer the terminal that JSON is shown on.
    char *text = json_dumps(value, flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    g_autofree char *line = g_strdup_printf("%s\n", text);
    free(text);
    return write_all(context, line, strlen(line));
}

CtlExit client_write_text(const CtlContext *context, const GString *text)
{
    return write_all(context, text->str, text->len);
}
