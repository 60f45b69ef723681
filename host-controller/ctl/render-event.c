// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/render.h"

#include <string.h>

// Writes what an event says about the guest it names.
typedef void EventText(const json_t *data, GString *text);

static void target_changed(const json_t *data, GString *text)
{
    g_autofree char *target = render_size(data, "target");
    g_autofree char *bound_by = render_word(data, "bound-by");
    if (json_object_get(data, "from")) {
        g_autofree char *from = render_size(data, "from");
        g_string_append_printf(text, "target %s -> %s (%s)", from, target, bound_by);
    } else {
        g_string_append_printf(text, "target %s (%s)", target, bound_by);
    }
}

static void target_reached(const json_t *data, GString *text)
{
    g_autofree char *actual = render_size(data, "actual");
    g_autofree char *elapsed =
        render_duration(json_integer_value(json_object_get(data, "elapsed-us")));
    g_string_append_printf(text, "has its %s after %s", actual, elapsed);
}

static void pressure(const json_t *data, GString *text)
{
    bool under_pressure = json_is_true(json_object_get(data, "under-pressure"));
    g_autofree char *actual = render_size(data, "actual");
    g_string_append_printf(text, "%s, has %s",
                           under_pressure ? "under pressure" : "no longer under pressure", actual);
}

static void lost(const json_t *data, GString *text)
{
    g_string_append_printf(text, "%" JSON_INTEGER_FORMAT " events were lost",
                           json_integer_value(json_object_get(data, "count")));
}

static void stalled(const json_t *data, GString *text)
{
    g_autofree char *actual = render_size(data, "actual");
    g_autofree char *target = render_size(data, "target");
    g_string_append_printf(text, "stalled at %s on its way to %s", actual, target);
}

static void auto_deflated(const json_t *data, GString *text)
{
    g_autofree char *actual = render_size(data, "actual");
    g_autofree char *target = render_size(data, "target");
    g_string_append_printf(text, "took memory back by itself: has %s, was to have %s", actual,
                           target);
}

static void ineffective(const json_t *data, GString *text)
{
    g_autofree char *actual = render_size(data, "actual");
    g_autofree char *resident = render_size(data, "resident");
    g_string_append_printf(text, "ballooning frees nothing: has %s, its QEMU holds %s", actual,
                           resident);
}

static void append_best_moved(const json_t *data, GString *text)
{
    if (json_object_get(data, "best-moved")) {
        g_autofree char *name = render_word(data, "best-moved");
        g_string_append_printf(text, "; best moved away: %s", name);
    }
}

static void overcommitted(const json_t *data, GString *text)
{
    g_autofree char *needed = render_size(data, "needed");
    g_autofree char *budget = render_size(data, "budget");
    g_string_append_printf(text, "overcommitted: guests need at least %s, the budget is %s", needed,
                           budget);
    append_best_moved(data, text);
}

static void host_pressure(const json_t *data, GString *text)
{
    g_autofree char *state = render_word(data, "state");
    g_autofree char *available = render_size(data, "available");
    g_autofree char *budget = render_size(data, "budget");
    if (json_object_get(data, "group")) {
        g_autofree char *group = render_word(data, "group");
        g_string_append_printf(text, "control group %s is %s: the budget is %s", group, state,
                               budget);
        return;
    }
    g_string_append_printf(text, "%s: %s available, the budget is %s", state, available, budget);
}

static void claim_expired(const json_t *data, GString *text)
{
    g_autofree char *kind = render_word(data, "kind");
    g_autofree char *bytes = render_size(data, "bytes");
    g_string_append_printf(text, "%s of %s has expired: nobody released it", kind, bytes);
}

static void forced_reclaim(const json_t *data, GString *text)
{
    g_autofree char *bytes = render_size(data, "bytes");
    g_string_append_printf(text, "gives nothing: the host takes %s from its QEMU", bytes);
}

static const struct {
    const char *event;
    TextColour colour;
    const char *text; // when there is no `write`
    EventText *write;
} descriptions[] = {
    {"GUEST_ADDED", TEXT_PLAIN, "added", NULL},
    {"GUEST_REMOVED", TEXT_PLAIN, "removed", NULL},
    {"GUEST_AGENT_CONNECTED", TEXT_PLAIN, "agent connected", NULL},
    {"GUEST_AGENT_LOST", TEXT_WARNING, "agent lost", NULL},
    {"EVENTS_LOST", TEXT_WARNING, NULL, lost},
    {"GUEST_PRESSURE", TEXT_WARNING, NULL, pressure},
    {"GUEST_TARGET_CHANGED", TEXT_ACTIVE, NULL, target_changed},
    {"GUEST_TARGET_REACHED", TEXT_PLAIN, NULL, target_reached},
    {"GUEST_STALLED", TEXT_ALARM, NULL, stalled},
    {"GUEST_AUTO_DEFLATED", TEXT_WARNING, NULL, auto_deflated},
    {"GUEST_RECLAIM_INEFFECTIVE", TEXT_ALARM, NULL, ineffective},
    {"GUEST_FORCED_RECLAIM", TEXT_ALARM, NULL, forced_reclaim},
    {"HOST_OVERCOMMITTED", TEXT_ALARM, NULL, overcommitted},
    {"HOST_PRESSURE", TEXT_WARNING, NULL, host_pressure},
    {"CLAIM_EXPIRED", TEXT_WARNING, NULL, claim_expired},
};

// An event this version does not know: its name and data as they came.
static void describe_unknown(const char *name, const json_t *data, GString *text)
{
    g_autofree char *shown = json_text_for_people(name);
    g_string_append(text, shown);
    if (data) {
        char *dump = json_dumps(data, JSON_COMPACT | JSON_ENSURE_ASCII);
        g_string_append_printf(text, " %s", dump);
        free(dump);
    }
}

static TextColour describe(const char *name, const json_t *data, GString *text)
{
    for (size_t i = 0; i < G_N_ELEMENTS(descriptions); i++) {
        if (strcmp(name, descriptions[i].event) != 0) {
            continue;
        }
        if (descriptions[i].write) {
            descriptions[i].write(data, text);
        } else {
            g_string_append(text, descriptions[i].text);
        }
        return descriptions[i].colour;
    }
    describe_unknown(name, data, text);
    return TEXT_PLAIN;
}

// Local time of day with milliseconds, or blanks when the sender had no clock.
static void append_time(const json_t *timestamp, GString *out)
{
    json_int_t seconds = json_integer_value(json_object_get(timestamp, "seconds"));
    json_int_t microseconds = json_integer_value(json_object_get(timestamp, "microseconds"));
    g_autoptr(GDateTime) time = seconds > 0 ? g_date_time_new_from_unix_local(seconds) : NULL;
    if (!time || microseconds < 0 || microseconds >= G_USEC_PER_SEC) {
        g_string_append_printf(out, "%12s", "");
        return;
    }
    g_autofree char *text = g_date_time_format(time, "%H:%M:%S");
    g_string_append_printf(out, "%s.%03d", text, (int)(microseconds / 1000));
}

void render_event(const json_t *event, const TextStyle *style, GString *out)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const json_t *data = json_object_get(event, "data");
    g_autofree char *subject =
        json_object_get(data, "name") ? render_word(data, "name") : g_strdup("host");
    g_autoptr(GString) text = g_string_new(NULL);
    TextColour colour = describe(name ? name : "-", data, text);

    append_time(json_object_get(event, "timestamp"), out);
    g_string_append(out, "  ");
    text_append_coloured(out, style, TEXT_HEADING, subject);
    g_string_append(out, "  ");
    int used = 12 + 2 + text_columns(subject) + 2;
    if (style->width > used && text_columns(text->str) > style->width - used) {
        g_autofree char *fitted = text_fit(style, text->str, style->width - used, false);
        text_append_coloured(out, style, colour, fitted);
    } else {
        text_append_coloured(out, style, colour, text->str);
    }
    g_string_append_c(out, '\n');
}
