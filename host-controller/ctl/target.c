// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl target: sets a guest's target and, if asked to, stays until the guest is there.
//
// An event only wakes; whether the guest is there is what query-guest says. So a guest that was
// there before, and an event that was lost, make no difference.
#include "host-controller/ctl/commands.h"

#include "host-controller/ctl/client.h"
#include "host-controller/ctl/progress.h"
#include "host-controller/ctl/render.h"
#include "protocol/limits.h"
#include "protocol/units.h"

#include <string.h>

// Balloons move by pages of 4 KiB: nearer than this is there.
#define PAGE_BYTES 4096
// How often the guest is looked at while no event comes: to draw, or only to be safe.
#define DRAW_INTERVAL_US (100 * (int64_t)1000)
#define LOOK_INTERVAL_US ((int64_t)G_USEC_PER_SEC)

// One guest on its way.
typedef struct Walk {
    const CtlContext *context;
    QmpSession *session;
    const char *name;
    int64_t wanted_bytes; // -1: what the controller works out
    int64_t started_us;
    int64_t from_bytes;   // what it had when first seen; -1: not known
    int64_t elapsed_us;   // as the controller measured it; -1: not said
    bool seen_on_its_way; // looked at before it was there
    bool stalled;         // said by an event
    json_t *guest;        // as last looked at, owned
} Walk;

static void walk_clear(Walk *walk)
{
    json_decref(walk->guest);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

// --- looking at the guest ---------------------------------------------------------------------

static bool same_size(int64_t a_bytes, int64_t b_bytes)
{
    return ABS(a_bytes - b_bytes) <= PAGE_BYTES;
}

static int64_t size_member(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    return json_is_integer(member) ? json_integer_value(member) : -1;
}

static bool word_is(const json_t *object, const char *name, const char *word)
{
    return g_strcmp0(json_string_value(json_object_get(object, name)), word) == 0;
}

static int64_t walk_target_bytes(const Walk *walk)
{
    return walk->wanted_bytes >= 0 ? walk->wanted_bytes : size_member(walk->guest, "target");
}

static bool walk_look(Walk *walk, CtlExit *exit)
{
    json_decref(walk->guest);
    walk->guest = client_execute_for_guest(walk->context, walk->session, "query-guest",
                                           json_pack("{s:s}", "name", walk->name), exit);
    if (walk->from_bytes < 0) {
        walk->from_bytes = size_member(walk->guest, "actual");
    }
    return walk->guest != NULL;
}

static bool walk_is_there(const Walk *walk)
{
    int64_t target_bytes = size_member(walk->guest, "target");
    int64_t actual_bytes = size_member(walk->guest, "actual");
    bool settled = word_is(walk->guest, "state", "settled");
    if (target_bytes < 0 || actual_bytes < 0 || !same_size(actual_bytes, target_bytes)) {
        return false;
    }
    if (walk->wanted_bytes < 0) {
        // The reason tells whether the target has been worked out anew since it was given back.
        const json_t *reason = json_object_get(walk->guest, "reason");
        return settled && reason && !word_is(reason, "bound-by", "pinned");
    }
    return same_size(target_bytes, walk->wanted_bytes);
}

// A guest may still be called stalled from before; what counts is that it stalls on this way.
static bool walk_is_stalled(const Walk *walk)
{
    return walk->stalled || (walk->seen_on_its_way && word_is(walk->guest, "state", "stalled"));
}

// --- the line that shows it -------------------------------------------------------------------

// What keeps the controller from the size that was asked for, or else what the guest is doing. New
// string.
static char *walk_note(const Walk *walk)
{
    const json_t *reason = json_object_get(walk->guest, "reason");
    bool held_back = walk->wanted_bytes >= 0 && reason &&
                     !same_size(size_member(walk->guest, "target"), walk->wanted_bytes);
    return held_back ? render_bound(reason) : render_word(walk->guest, "state");
}

static void walk_draw(const Walk *walk)
{
    const CtlContext *context = walk->context;
    int64_t actual_bytes = size_member(walk->guest, "actual");
    int64_t target_bytes = walk_target_bytes(walk);
    if (!context->show_progress || actual_bytes < 0 || target_bytes < 0) {
        return;
    }
    g_autofree char *name = json_text_for_people(walk->name);
    g_autofree char *note = walk_note(walk);
    Progress progress = {
        .name = name,
        .from_bytes = walk->from_bytes,
        .actual_bytes = actual_bytes,
        .target_bytes = target_bytes,
        .elapsed_us = g_get_monotonic_time() - walk->started_us,
        .note = note,
    };
    g_autoptr(GString) line = g_string_new("\r");
    progress_render(&progress, &context->err_style, line);
    fprintf(context->err, "%s\033[K", line->str);
    fflush(context->err);
}

static void walk_erase(const Walk *walk)
{
    if (walk->context->show_progress) {
        fputs("\r\033[K", walk->context->err);
        fflush(walk->context->err);
    }
}

// --- how it ends ------------------------------------------------------------------------------

static CtlExit walk_end_there(const Walk *walk)
{
    const CtlContext *context = walk->context;
    int64_t elapsed_us =
        walk->elapsed_us >= 0 ? walk->elapsed_us : g_get_monotonic_time() - walk->started_us;
    if (context->json) {
        json_object_set_new(walk->guest, "elapsed-us", json_integer(elapsed_us));
        return client_write_json(context, walk->guest, JSON_INDENT(2));
    }
    g_autofree char *name = render_word(walk->guest, "name");
    g_autofree char *actual = render_size(walk->guest, "actual");
    g_autofree char *elapsed = render_duration(elapsed_us);
    g_autoptr(GString) text = g_string_new(NULL);
    if (walk->seen_on_its_way || walk->elapsed_us >= 0) {
        g_string_printf(text, "%s has %s after %s\n", name, actual, elapsed);
    } else {
        g_string_printf(text, "%s has %s already\n", name, actual);
    }
    return client_write_text(context, text);
}

static CtlExit walk_end_short(const Walk *walk, const char *what)
{
    char target[SIZE_TEXT_SIZE] = "its target";
    if (walk_target_bytes(walk) >= 0) {
        size_format(walk_target_bytes(walk), target);
    }
    g_autofree char *name = json_text_for_people(walk->name);
    g_autofree char *actual = render_size(walk->guest, "actual");
    g_autofree char *note = walk_note(walk);
    client_complain(walk->context, "%s %s: it has %s on its way to %s (%s)", name, what, actual,
                    target, note);
    return CTL_EXIT_TIMEOUT;
}

// --- the way ----------------------------------------------------------------------------------

// Learns from an event. False when it is about something else.
static bool walk_heed(Walk *walk, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    if (!word_is(data, "name", walk->name)) {
        return false;
    }
    // An event about another target is older than ours.
    bool about_ours =
        walk->wanted_bytes < 0 || same_size(size_member(data, "target"), walk->wanted_bytes);
    if (about_ours && word_is(event, "event", "GUEST_TARGET_REACHED")) {
        walk->elapsed_us = size_member(data, "elapsed-us");
    } else if (about_ours && word_is(event, "event", "GUEST_STALLED")) {
        walk->stalled = true;
    }
    return true;
}

// Heeds the events that have come by now. True when one was about this guest: it may be newer than
// the last look.
static bool walk_catch_up(Walk *walk)
{
    bool heeded = false;
    for (int i = 0; i < LIMIT_PENDING_EVENTS; i++) {
        g_autoptr(json_t) event = qmp_session_next_event(walk->session, 0, NULL);
        if (!event) {
            break;
        }
        heeded = walk_heed(walk, event) || heeded;
    }
    return heeded;
}

// Waits for an event about this guest, at most `timeout_us`. False when it is all over.
static bool walk_await_event(Walk *walk, int64_t timeout_us, CtlExit *exit)
{
    int64_t until_us = g_get_monotonic_time() + timeout_us;
    for (;;) {
        g_autoptr(GError) error = NULL;
        int64_t left_us = until_us - g_get_monotonic_time();
        g_autoptr(json_t) event = qmp_session_next_event(walk->session, MAX(left_us, 0), &error);
        if (error) {
            walk_erase(walk);
            *exit = client_fail(walk->context, error);
            return false;
        }
        if (!event || walk_heed(walk, event)) {
            return true;
        }
    }
}

static CtlExit walk_run(Walk *walk)
{
    int64_t interval_us = walk->context->show_progress ? DRAW_INTERVAL_US : LOOK_INTERVAL_US;
    CtlExit exit;
    while (walk_look(walk, &exit)) {
        bool heeded = walk_catch_up(walk);
        int64_t left_us = walk->started_us + walk->context->timeout_us - g_get_monotonic_time();
        if (walk_is_there(walk)) {
            walk_erase(walk);
            return walk_end_there(walk);
        }
        if (walk_is_stalled(walk)) {
            walk_erase(walk);
            return walk_end_short(walk, "does not get there");
        }
        if (left_us <= 0) {
            walk_erase(walk);
            return walk_end_short(walk, "is not there in time");
        }
        walk->seen_on_its_way = walk->seen_on_its_way || !word_is(walk->guest, "state", "stalled");
        walk_draw(walk);
        if (!heeded && !walk_await_event(walk, MIN(left_us, interval_us), &exit)) {
            return exit;
        }
    }
    return exit;
}

// --- the command ------------------------------------------------------------------------------

static CtlExit write_accepted(const CtlContext *context, const json_t *guest)
{
    if (context->json) {
        return client_write_json(context, guest, JSON_INDENT(2));
    }
    g_autofree char *name = render_word(guest, "name");
    g_autofree char *actual = render_size(guest, "actual");
    g_autofree char *target = render_size(guest, "target");
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "%s has %s, its target is %s%s\n", name, actual, target,
                    json_is_true(json_object_get(guest, "pinned")) ? "" : " for now");
    return client_write_text(context, text);
}

CtlExit ctl_target(const CtlContext *context, char **arguments)
{
    g_auto(Walk) walk = {.context = context,
                         .name = arguments[0],
                         .wanted_bytes = -1,
                         .from_bytes = -1,
                         .elapsed_us = -1};
    g_autoptr(GError) error = NULL;
    if (strcmp(arguments[1], "auto") != 0 &&
        !size_parse(arguments[1], &walk.wanted_bytes, &error)) {
        client_complain(context, "%s, or auto", error->message);
        return CTL_EXIT_USAGE;
    }
    // Connected before the target is set, so that no event about it is missed.
    g_autoptr(QmpSession) session = client_connect(context);
    if (!session) {
        return CTL_EXIT_CONNECT;
    }
    walk.session = session;
    walk.started_us = g_get_monotonic_time();
    json_t *bytes = walk.wanted_bytes >= 0 ? json_integer(walk.wanted_bytes) : json_null();
    CtlExit exit;
    g_autoptr(json_t) accepted =
        client_execute_for_guest(context, session, "set-target",
                                 json_pack("{s:s, s:o}", "name", walk.name, "bytes", bytes), &exit);
    if (!accepted) {
        return exit;
    }
    if (context->wait) {
        return walk_run(&walk);
    }
    return walk_look(&walk, &exit) ? write_accepted(context, walk.guest) : exit;
}
