// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/explain-render.h"
#include "host-controller/ctl/render.h"

#define DOCUMENT JSON_INDENT(2)

CtlExit ctl_list(const CtlContext *context, char **arguments)
{
    (void)arguments;
    CtlExit exit;
    g_autoptr(json_t) guests = client_query(context, "query-guests", &exit);
    if (!guests) {
        return exit;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    if (context->names_only) {
        render_names(guests, text);
        return client_write_text(context, text);
    }
    if (context->json) {
        return client_write_json(context, guests, DOCUMENT);
    }
    render_guests(guests, &context->out_style, text);
    return client_write_text(context, text);
}

CtlExit ctl_show(const CtlContext *context, char **arguments)
{
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    g_autoptr(json_t) guest = client_execute_for_guest(
        context, session, "query-guest", json_pack("{s:s}", "name", arguments[0]), &exit);
    if (!guest) {
        return exit;
    }
    if (context->json) {
        return client_write_json(context, guest, DOCUMENT);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    render_guest(guest, &context->out_style, text);
    return client_write_text(context, text);
}

CtlExit ctl_explain(const CtlContext *context, char **arguments)
{
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    g_autoptr(json_t) plan = client_execute_for_guest(
        context, session, "query-plan", json_pack("{s:s}", "name", arguments[0]), &exit);
    if (!plan) {
        return exit;
    }
    const json_t *guest = json_array_get(json_object_get(plan, "guests"), 0);
    if (!guest) {
        client_complain(context,
                        "there is no plan for '%s' yet; aerostatctl show tells what is known",
                        arguments[0]);
        return CTL_EXIT_ERROR;
    }
    g_auto(Explanation) explanation;
    explanation_init(&explanation, plan, guest);
    if (context->json) {
        g_autoptr(json_t) value = explanation_to_json(&explanation, guest);
        return client_write_json(context, value, DOCUMENT);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    explanation_render(&explanation, &context->out_style, text);
    return client_write_text(context, text);
}

CtlExit ctl_status(const CtlContext *context, char **arguments)
{
    (void)arguments;
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    g_autoptr(json_t) status = client_execute(context, session, "query-status", NULL, &exit);
    g_autoptr(json_t) host =
        status ? client_execute(context, session, "query-host", NULL, &exit) : NULL;
    if (!host) {
        return exit;
    }
    if (context->json) {
        g_autoptr(json_t) both = json_pack("{s:O, s:O}", "status", status, "host", host);
        return client_write_json(context, both, DOCUMENT);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    render_status(status, host, &context->out_style, text);
    return client_write_text(context, text);
}

CtlExit ctl_mode(const CtlContext *context, char **arguments)
{
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    CtlExit exit;
    if (arguments[0]) {
        g_autoptr(json_t) done = client_execute(context, session, "set-mode",
                                                json_pack("{s:s}", "mode", arguments[0]), &exit);
        if (!done) {
            return exit;
        }
    }
    // Asked for even after setting it: what is shown is what holds.
    g_autoptr(json_t) status = client_execute(context, session, "query-status", NULL, &exit);
    if (!status) {
        return exit;
    }
    g_autofree char *mode = render_word(status, "mode");
    if (context->json) {
        g_autoptr(json_t) value = json_pack("{s:s}", "mode", mode);
        return client_write_json(context, value, DOCUMENT);
    }
    g_autoptr(GString) text = g_string_new(mode);
    g_string_append_c(text, '\n');
    return client_write_text(context, text);
}

CtlExit ctl_reload(const CtlContext *context, char **arguments)
{
    (void)arguments;
    CtlExit exit;
    g_autoptr(json_t) done = client_query(context, "reload", &exit);
    if (!done) {
        return exit;
    }
    return context->json ? client_write_json(context, done, DOCUMENT) : CTL_EXIT_OK;
}

CtlExit ctl_watch(const CtlContext *context, char **arguments)
{
    (void)arguments;
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) event = qmp_session_next_event(session, -1, &error);
        if (!event) {
            return client_fail(context, error);
        }
        CtlExit exit;
        if (context->json) {
            exit = client_write_json(context, event, JSON_COMPACT);
        } else {
            g_autoptr(GString) text = g_string_new(NULL);
            render_event(event, &context->out_style, text);
            exit = client_write_text(context, text);
        }
        if (exit != CTL_EXIT_OK) {
            return exit;
        }
    }
}
