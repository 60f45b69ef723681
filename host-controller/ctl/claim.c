// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl reserve, prepare, release, claims: room for a guest about to start, and a guest held
// still for a snapshot.
//
// The controller answers when it is so; until then a second connection is asked how far it is.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/progress.h"
#include "host-controller/ctl/render.h"
#include "host-controller/ctl/table.h"
#include "protocol/error.h"
#include "protocol/units.h"

#include <string.h>

#define LOOK_INTERVAL_US (100 * (int64_t)1000)
// The controller gives up by itself; it has this much longer to say so.
#define ANSWER_GRACE_US (5 * (int64_t)G_USEC_PER_SEC)

// What is waited for.
typedef struct Wait {
    const CtlContext *context;
    const char *shown;    // what the line that shows it is about
    const char *query;    // which command tells how far it is
    const char *name;     // of a guest; NULL: none
    const char *member;   // of the answer
    int64_t target_bytes; // -1: the answer's "target"
    int64_t from_bytes;   // -1: not known
    int64_t started_us;
} Wait;

static int64_t size_member(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    return json_is_integer(member) ? json_integer_value(member) : -1;
}

static void draw(Wait *wait, QmpSession *observer)
{
    json_t *arguments = wait->name ? json_pack("{s:s}", "name", wait->name) : NULL;
    g_autoptr(json_t) answer =
        qmp_session_execute(observer, wait->query, arguments, ANSWER_GRACE_US, NULL);
    int64_t actual_bytes = size_member(answer, wait->member);
    int64_t target_bytes =
        wait->target_bytes >= 0 ? wait->target_bytes : size_member(answer, "target");
    if (actual_bytes < 0 || target_bytes < 0) {
        return;
    }
    wait->from_bytes = wait->from_bytes < 0 ? actual_bytes : wait->from_bytes;
    Progress progress = {
        .name = wait->shown,
        .from_bytes = wait->from_bytes,
        .actual_bytes = actual_bytes,
        .target_bytes = target_bytes,
        .elapsed_us = g_get_monotonic_time() - wait->started_us,
        .note = "",
    };
    g_autoptr(GString) line = g_string_new("\r");
    progress_render(&progress, &wait->context->err_style, line);
    fprintf(wait->context->err, "%s\033[K", line->str);
    fflush(wait->context->err);
}

// Executes a command that is answered later, showing how far it is. NULL after having said why.
static json_t *execute_and_wait(Wait *wait, QmpSession *session, const char *command,
                                json_t *arguments, CtlExit *exit)
{
    const CtlContext *context = wait->context;
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpSession) observer = context->show_progress ? client_connect(context) : NULL;
    int64_t until_us = wait->started_us + context->timeout_us + ANSWER_GRACE_US;
    int64_t id = qmp_session_begin(session, command, arguments, ANSWER_GRACE_US, &error);
    json_t *value = NULL;
    while (id > 0 && !value && !error) {
        int64_t left_us = until_us - g_get_monotonic_time();
        int64_t wait_us = observer ? MIN(left_us, LOOK_INTERVAL_US) : left_us;
        value = qmp_session_await(session, id, MAX(wait_us, 0), &error);
        if (!value && !error && left_us <= 0) {
            g_set_error(&error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "no answer to %s in time",
                        command);
        }
        if (!value && !error && observer) {
            draw(wait, observer);
        }
    }
    if (observer) {
        fputs("\r\033[K", context->err);
        fflush(context->err);
    }
    if (!value) {
        *exit = client_fail(context, error);
    }
    return value;
}

// --- reserve and prepare ----------------------------------------------------------------------

static json_t *claim_arguments(const CtlContext *context, const char *name)
{
    json_t *arguments = json_pack("{s:s*, s:I}", "name", name, "timeout-ms",
                                  (json_int_t)(context->wait ? context->timeout_us / 1000 : 0));
    if (context->hold_us > 0) {
        json_object_set_new(arguments, "hold-ms", json_integer(context->hold_us / 1000));
    }
    return arguments;
}

// Writes what became of it: the beginning of a line when it was granted, or why it was not.
static CtlExit write_result(const CtlContext *context, const json_t *result, GString *granted,
                            const char *denied)
{
    bool is_granted = json_is_true(json_object_get(result, "granted"));
    if (context->json) {
        CtlExit exit = client_write_json(context, result, JSON_INDENT(2));
        return exit == CTL_EXIT_OK && !is_granted ? CTL_EXIT_TIMEOUT : exit;
    }
    if (!is_granted) {
        client_complain(context, "%s", denied);
        return CTL_EXIT_TIMEOUT;
    }
    g_autofree char *elapsed = render_duration(size_member(result, "elapsed-us"));
    g_string_append_printf(granted,
                           " after %s; release it with: aerostatctl release %" G_GINT64_FORMAT "\n",
                           elapsed, size_member(result, "id"));
    return client_write_text(context, granted);
}

CtlExit ctl_reserve(const CtlContext *context, char **arguments)
{
    Wait wait = {.context = context,
                 .shown = "free",
                 .query = "query-host",
                 .member = "free",
                 .from_bytes = -1,
                 .started_us = g_get_monotonic_time()};
    g_autoptr(GError) error = NULL;
    if (!size_parse(arguments[0], &wait.target_bytes, &error)) {
        client_complain(context, "%s", error->message);
        return CTL_EXIT_USAGE;
    }
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    json_t *request = claim_arguments(context, context->name);
    json_object_set_new(request, "bytes", json_integer(wait.target_bytes));
    CtlExit exit;
    g_autoptr(json_t) result = execute_and_wait(&wait, session, "reserve", request, &exit);
    if (!result) {
        return exit;
    }
    char wanted[SIZE_TEXT_SIZE];
    g_autofree char *bytes = render_size(result, "bytes");
    g_autoptr(GString) granted = g_string_new(NULL);
    g_string_printf(granted, "%s reserved", bytes);
    g_autofree char *denied =
        g_strdup_printf("only %s of %s can be had", bytes, size_format(wait.target_bytes, wanted));
    return write_result(context, result, granted, denied);
}

CtlExit ctl_prepare(const CtlContext *context, char **arguments)
{
    g_autofree char *name = json_text_for_people(arguments[0]);
    Wait wait = {.context = context,
                 .shown = name,
                 .query = "query-guest",
                 .name = arguments[0],
                 .member = "actual",
                 .target_bytes = -1,
                 .from_bytes = -1,
                 .started_us = g_get_monotonic_time()};
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    g_autoptr(json_t) result =
        execute_and_wait(&wait, session, "prepare", claim_arguments(context, arguments[0]), &exit);
    if (!result) {
        return exit;
    }
    g_autofree char *bytes = render_size(result, "bytes");
    g_autoptr(GString) granted = g_string_new(NULL);
    g_string_printf(granted, "%s has %s and is held there", name, bytes);
    g_autofree char *denied = g_strdup_printf("%s is not there in time: it has %s", name, bytes);
    return write_result(context, result, granted, denied);
}

// --- release and claims -----------------------------------------------------------------------

// The id of the claim that `text` names, by its id or its guest; -1: there is none.
static int64_t find_claim(const json_t *claims, const char *text)
{
    gint64 id = -1;
    g_ascii_string_to_signed(text, 10, 1, G_MAXINT64, &id, NULL);
    size_t index;
    json_t *claim;
    json_array_foreach (claims, index, claim) {
        const char *name = json_string_value(json_object_get(claim, "name"));
        if (size_member(claim, "id") == id || g_strcmp0(name, text) == 0) {
            return size_member(claim, "id");
        }
    }
    return -1;
}

CtlExit ctl_release(const CtlContext *context, char **arguments)
{
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    g_autoptr(json_t) claims = client_execute(context, session, "query-claims", NULL, &exit);
    if (!claims) {
        return exit;
    }
    int64_t id = find_claim(claims, arguments[0]);
    if (id < 0) {
        g_autofree char *shown = json_text_for_people(arguments[0]);
        client_complain(context, "nothing is reserved or prepared as '%s'", shown);
        return CTL_EXIT_ERROR;
    }
    g_autoptr(json_t) done = client_execute(context, session, "release",
                                            json_pack("{s:I}", "id", (json_int_t)id), &exit);
    return done ? CTL_EXIT_OK : exit;
}

static void render_claims(const json_t *claims, const TextStyle *style, GString *out)
{
    static const TableColumn columns[] = {
        {"ID", true, 0},   {"KIND", false, 0},    {"GUEST", false, 0},
        {"SIZE", true, 0}, {"GRANTED", false, 1}, {"LEFT", true, 2},
    };
    if (json_array_size(claims) == 0) {
        g_string_append(out, "Nothing is reserved or prepared.\n");
        return;
    }
    g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
    size_t index;
    json_t *claim;
    json_array_foreach (claims, index, claim) {
        bool granted = json_is_true(json_object_get(claim, "granted"));
        table_add(table, g_strdup_printf("%" G_GINT64_FORMAT, size_member(claim, "id")),
                  TEXT_PLAIN);
        table_add(table, render_word(claim, "kind"), TEXT_PLAIN);
        table_add(table, render_word(claim, "name"), TEXT_PLAIN);
        table_add(table, render_size(claim, "bytes"), TEXT_PLAIN);
        table_add(table, g_strdup(granted ? "yes" : "no"), granted ? TEXT_PLAIN : TEXT_ACTIVE);
        table_add(table, render_duration(size_member(claim, "left-us")), TEXT_PLAIN);
    }
    table_render(table, style, out);
}

CtlExit ctl_claims(const CtlContext *context, char **arguments)
{
    (void)arguments;
    CtlExit exit;
    g_autoptr(json_t) claims = client_query(context, "query-claims", &exit);
    if (!claims) {
        return exit;
    }
    if (context->json) {
        return client_write_json(context, claims, JSON_INDENT(2));
    }
    g_autoptr(GString) text = g_string_new(NULL);
    render_claims(claims, &context->out_style, text);
    return client_write_text(context, text);
}
