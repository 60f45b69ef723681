// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl top: a live view. This file asks the controller, listens to keys and signals, and
// connects again when the controller was away.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/top-render.h"
#include "host-controller/ctl/top-screen.h"
#include "protocol/limits.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define REFRESH_US ((int64_t)G_USEC_PER_SEC)
// A controller that takes longer is treated as one that is away.
#define ANSWER_TIMEOUT_US (2 * (int64_t)G_USEC_PER_SEC)

typedef struct Top {
    const CtlContext *context;
    TopModel model;
    QmpSession *session; // NULL: the controller is away
    int signals;         // a descriptor that tells of those that end it
    int64_t refresh_us;  // when it is due
    bool done;
} Top;

// --- the controller ---------------------------------------------------------------------------

static void disconnect(Top *top, const GError *error)
{
    g_autofree char *message = json_text_for_people(error->message);
    g_autofree char *notice = g_strdup_printf("the controller is away, trying again: %s", message);
    g_clear_pointer(&top->session, qmp_session_close);
    top_model_set_notice(&top->model, notice);
}

static void catch_up_with_events(Top *top)
{
    for (int i = 0; top->session && i < LIMIT_PENDING_EVENTS; i++) {
        g_autoptr(GError) error = NULL;
        json_t *event = qmp_session_next_event(top->session, 0, &error);
        if (error) {
            disconnect(top, error);
        }
        if (!event) {
            return;
        }
        top_model_add_event(&top->model, event);
    }
}

// One JSON document a line, for programs.
static bool write_line(Top *top, json_t *status, json_t *host, json_t *guests)
{
    g_autoptr(json_t) value =
        json_pack("{s:O, s:O, s:O}", "status", status, "host", host, "guests", guests);
    return client_write_json(top->context, value, JSON_COMPACT) == CTL_EXIT_OK;
}

static json_t *ask(Top *top, const char *command, GError **error)
{
    return *error ? NULL
                  : qmp_session_execute(top->session, command, NULL, ANSWER_TIMEOUT_US, error);
}

static void refresh(Top *top)
{
    g_autoptr(GError) error = NULL;
    top->refresh_us = g_get_monotonic_time() + REFRESH_US;
    if (!top->session) {
        top->session = client_open(top->context, ANSWER_TIMEOUT_US, &error);
    }
    g_autoptr(json_t) status = ask(top, "query-status", &error);
    g_autoptr(json_t) host = ask(top, "query-host", &error);
    g_autoptr(json_t) guests = ask(top, "query-guests", &error);
    if (error) {
        disconnect(top, error);
        return;
    }
    top_model_set_notice(&top->model, NULL);
    top_model_refresh(&top->model, status, host, guests);
    if (top->context->json) {
        top->done = !write_line(top, status, host, guests);
    }
}

// --- keys -------------------------------------------------------------------------------------

static void heed_letter(Top *top, char letter)
{
    top->done |= letter == 'q';
    for (TopSort sort = 0; sort < TOP_SORT_COUNT; sort++) {
        if (letter == top_sort_name(sort)[0]) {
            top_model_set_sort(&top->model, sort);
        }
    }
}

static void heed_keys(Top *top)
{
    int rows;
    int columns;
    char letter;
    TopKey key;
    top_screen_size(&rows, &columns);
    guint visible = top_visible_guests(rows);
    int page = MAX((int)visible - 1, 1);
    while ((key = top_screen_key(&letter)) != TOP_KEY_NONE) {
        switch (key) {
        case TOP_KEY_LETTER:
            heed_letter(top, letter);
            break;
        case TOP_KEY_UP:
            top_model_scroll(&top->model, -1, visible);
            break;
        case TOP_KEY_DOWN:
            top_model_scroll(&top->model, 1, visible);
            break;
        case TOP_KEY_PAGE_UP:
            top_model_scroll(&top->model, -page, visible);
            break;
        case TOP_KEY_PAGE_DOWN:
            top_model_scroll(&top->model, page, visible);
            break;
        case TOP_KEY_HOME:
            top_model_scroll(&top->model, -LIMIT_GUESTS, visible);
            break;
        case TOP_KEY_END:
            top_model_scroll(&top->model, LIMIT_GUESTS, visible);
            break;
        case TOP_KEY_RESIZE:
        case TOP_KEY_NONE:
            break;
        }
    }
}

// --- the loop ---------------------------------------------------------------------------------

static void draw(const Top *top)
{
    int rows;
    TextStyle style = top->context->out_style;
    top_screen_size(&rows, &style.width);
    g_autoptr(GArray) spans = top_render(&top->model, &style, rows);
    top_screen_draw(spans, style.colour);
}

// Waits for whatever comes first: a key, an event, a signal, the next refresh.
static void wait_for_something(Top *top)
{
    struct pollfd fds[] = {
        {.fd = top->signals, .events = POLLIN},
        {.fd = top->session ? qmp_session_fd(top->session) : -1, .events = POLLIN},
        {.fd = top->context->json ? -1 : STDIN_FILENO, .events = POLLIN},
    };
    int64_t left_us = top->refresh_us - g_get_monotonic_time();
    // A changed size of the terminal interrupts it.
    poll(fds, G_N_ELEMENTS(fds), (int)((MAX(left_us, 0) + 999) / 1000));
    top->done |= (fds[0].revents | (fds[2].revents & ~POLLIN)) != 0;
}

static void run(Top *top)
{
    while (!top->done) {
        if (g_get_monotonic_time() >= top->refresh_us) {
            refresh(top);
        }
        catch_up_with_events(top);
        if (!top->context->json) {
            heed_keys(top);
            draw(top);
        }
        if (!top->done) {
            wait_for_something(top);
        }
    }
}

// The terminal is given back before a signal ends the program, so it is waited for like all else.
static int open_signals(void)
{
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    return signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
}

CtlExit ctl_top(const CtlContext *context, char **arguments)
{
    (void)arguments;
    TopSort sort = TOP_SORT_STATE;
    const char *why = NULL;
    if (context->sort && !top_sort_parse(context->sort, &sort)) {
        client_complain(context,
                        "--sort: there is no '%s'; name, use, actual, target, pressure or "
                        "state",
                        context->sort);
        return CTL_EXIT_USAGE;
    }
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (!context->json && !terminal) {
        client_complain(context, "top needs a terminal; --json writes lines for programs");
        return CTL_EXIT_ERROR;
    }
    // The first connection says what is wrong; later ones are tried again and again.
    QmpSession *session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    Top top = {.context = context, .session = session, .signals = open_signals()};
    if (!context->json && !top_screen_open(&why)) {
        client_complain(context, "%s; --json writes lines for programs", why);
        close(top.signals);
        qmp_session_close(session);
        return CTL_EXIT_ERROR;
    }
    top_model_init(&top.model, sort);
    run(&top);
    top_model_clear(&top.model);
    if (!context->json) {
        top_screen_close();
    }
    close(top.signals);
    qmp_session_close(top.session);
    return CTL_EXIT_OK;
}
