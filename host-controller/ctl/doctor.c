// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl doctor: looks for what is wrong on this host, and says what mends it.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/diagnosis.h"

// The controller answers at once or something is wrong with it.
#define ANSWER_TIMEOUT_US (5 * (int64_t)G_USEC_PER_SEC)

static bool examine(QmpSession *session, GPtrArray *findings, GError **error)
{
    g_autoptr(json_t) host =
        qmp_session_execute(session, "query-host", NULL, ANSWER_TIMEOUT_US, error);
    g_autoptr(json_t) guests =
        host ? qmp_session_execute(session, "query-guests", NULL, ANSWER_TIMEOUT_US, error) : NULL;
    if (!guests) {
        return false;
    }
    diagnose_host(host, guests, findings);
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        json_int_t pid = json_integer_value(json_object_get(guest, "pid"));
        ProcessFacts process = process_facts_read("", (pid_t)CLAMP(pid, 0, G_MAXINT));
        diagnose_guest(guest, &process, findings);
    }
    return true;
}

static CtlExit write_findings(const CtlContext *context, const GPtrArray *findings)
{
    g_autoptr(json_t) list = json_array();
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < findings->len; i++) {
        const Finding *finding = g_ptr_array_index(findings, i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "subject", finding->subject,
                                              "code", finding->code, "what", finding->what,
                                              "remedy", finding->remedy));
        text_append_coloured(text, &context->out_style, TEXT_HEADING, finding->subject);
        g_string_append(text, ": ");
        text_append_coloured(text, &context->out_style, TEXT_WARNING, finding->what);
        g_string_append(text, "\n    ");
        text_append_wrapped(text, &context->out_style, 4, finding->remedy);
        g_string_append_c(text, '\n');
    }
    if (findings->len == 0) {
        g_string_append(text, "Nothing is wrong.\n");
    }
    CtlExit exit = context->json ? client_write_json(context, list, JSON_INDENT(2))
                                 : client_write_text(context, text);
    return exit == CTL_EXIT_OK && findings->len > 0 ? CTL_EXIT_FOUND : exit;
}

CtlExit ctl_doctor(const CtlContext *context, char **arguments)
{
    (void)arguments;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) findings = findings_new();
    g_autoptr(QmpSession) session =
        qmp_session_open(context->socket_path, ANSWER_TIMEOUT_US, &error);
    if (!session || !examine(session, findings, &error)) {
        diagnose_connection(context->socket_path, error, findings);
    }
    return write_findings(context, findings);
}
