// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/render.h"

#include "host-controller/ctl/table.h"
#include "protocol/units.h"

#include <string.h>

#define LABEL_COLUMNS 22

// --- what the renderers share -----------------------------------------------------------------

char *render_word(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? json_text_for_people(text) : g_strdup("-");
}

char *render_size(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);
    if (!json_is_integer(member)) {
        return g_strdup("-");
    }
    char text[SIZE_TEXT_SIZE];
    return g_strdup(size_format(json_integer_value(member), text));
}

char *render_duration(int64_t duration_us)
{
    const int64_t second = G_USEC_PER_SEC;
    int64_t seconds = duration_us / second;
    if (duration_us < second) {
        return g_strdup_printf("%.1f ms", (double)duration_us / 1000);
    }
    if (seconds < 60) {
        return g_strdup_printf("%.2f s", (double)duration_us / (double)second);
    }
    if (seconds < 3600) {
        return g_strdup_printf("%d min %d s", (int)(seconds / 60), (int)(seconds % 60));
    }
    if (seconds < 24 * 3600) {
        return g_strdup_printf("%d h %d min", (int)(seconds / 3600), (int)(seconds / 60 % 60));
    }
    return g_strdup_printf("%" G_GINT64_FORMAT " d %d h", seconds / (24 * 3600),
                           (int)(seconds / 3600 % 24));
}

int64_t render_used_bytes(const json_t *guest)
{
    const json_t *committed = json_object_get(json_object_get(guest, "reason"), "committed");
    if (json_is_integer(committed)) {
        return json_integer_value(committed);
    }
    // The same sum as the controller's, from the one moment the report speaks of.
    const json_t *report = json_object_get(guest, "report");
    const json_t *size = json_object_get(guest, "size");
    const json_t *balloon = json_object_get(report, "balloon");
    const json_t *available = json_object_get(json_object_get(report, "memory"), "available");
    if (!json_is_integer(size) || !json_is_integer(balloon) || !json_is_integer(available)) {
        return -1;
    }
    return MAX(
        json_integer_value(size) - json_integer_value(balloon) - json_integer_value(available), 0);
}

void render_row(const TextStyle *style, const char *label, const char *text, GString *out)
{
    g_autofree char *fitted = text_fit(style, label, LABEL_COLUMNS, false);
    g_string_append_printf(out, "  %s", fitted);
    text_append_wrapped(out, style, LABEL_COLUMNS + 2, text);
    g_string_append_c(out, '\n');
}

TextColour render_state_colour(const char *state)
{
    static const struct {
        const char *state;
        TextColour colour;
    } colours[] = {
        {"shrinking", TEXT_ACTIVE},     {"growing", TEXT_ACTIVE},
        {"stalled", TEXT_ALARM},        {"connecting", TEXT_WARNING},
        {"unmanageable", TEXT_WARNING}, {"paused", TEXT_QUIET},
        {"unmanaged", TEXT_QUIET},      {"migrating", TEXT_QUIET},
        {"ineffective", TEXT_ALARM},    {"auto-deflated", TEXT_WARNING},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(colours); i++) {
        if (strcmp(state, colours[i].state) == 0) {
            return colours[i].colour;
        }
    }
    return TEXT_PLAIN;
}

// --- the list ---------------------------------------------------------------------------------

static void add_size(Table *table, const json_t *object, const char *name)
{
    table_add(table, render_size(object, name), TEXT_PLAIN);
}

static void add_agent(Table *table, const json_t *guest)
{
    const char *source = json_string_value(json_object_get(guest, "source"));
    // Who stands in for an agent that is not there.
    char *agent =
        g_strcmp0(source, "guest-stats") == 0 ? g_strdup(source) : render_word(guest, "agent");
    bool silent = strcmp(agent, "stale") == 0 || strcmp(agent, "connecting") == 0;
    table_add(table, agent, silent ? TEXT_WARNING : TEXT_PLAIN);
}

static void add_pressure(Table *table, const json_t *guest)
{
    const json_t *some =
        json_object_get(json_object_get(json_object_get(guest, "report"), "pressure"), "some");
    const json_t *average = json_object_get(some, "avg10-permyriad");
    if (!json_is_integer(average)) {
        table_add(table, g_strdup("-"), TEXT_PLAIN);
        return;
    }
    json_int_t permyriad = json_integer_value(average);
    table_add(table, g_strdup_printf("%.2f %%", (double)permyriad / 100),
              permyriad > 0 ? TEXT_ALARM : TEXT_PLAIN);
}

static void add_guest(Table *table, const json_t *guest)
{
    char *state = render_word(guest, "state");
    TextColour state_colour = render_state_colour(state);
    int64_t used_bytes = render_used_bytes(guest);
    char used[SIZE_TEXT_SIZE] = "-";
    if (used_bytes >= 0) {
        size_format(used_bytes, used);
    }
    table_add(table, render_word(guest, "name"), TEXT_PLAIN);
    table_add(table, state, state_colour);
    add_size(table, guest, "size");
    add_size(table, guest, "actual");
    add_size(table, guest, "target");
    table_add(table, g_strdup(used), TEXT_PLAIN);
    add_size(table, json_object_get(guest, "reason"), "demand");
    add_agent(table, guest);
    add_pressure(table, guest);
}

void render_guests(const json_t *guests, const TextStyle *style, GString *out)
{
    static const TableColumn columns[] = {
        {"NAME", false, 0},  {"STATE", false, 0}, {"SIZE", true, 4},
        {"ACTUAL", true, 0}, {"TARGET", true, 0}, {"USED", true, 1},
        {"DEMAND", true, 5}, {"AGENT", false, 3}, {"PRESSURE", true, 2},
    };
    if (json_array_size(guests) == 0) {
        g_string_append(out, "There are no guests.\n");
        return;
    }
    g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        add_guest(table, guest);
    }
    table_render(table, style, out);
}

void render_names(const json_t *guests, GString *out)
{
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        g_autofree char *name = render_word(guest, "name");
        g_string_append_printf(out, "%s\n", name);
    }
}

// --- status -----------------------------------------------------------------------------------

static void render_controller(const json_t *status, const TextStyle *style, GString *out)
{
    g_autofree char *version = render_word(status, "version");
    g_autofree char *mode = render_word(status, "mode");
    g_autofree char *config_path = render_word(status, "config-path");
    g_autofree char *uptime =
        render_duration(json_integer_value(json_object_get(status, "uptime-us")));
    g_autofree char *process =
        g_strdup_printf("%s, process %" JSON_INTEGER_FORMAT ", up for %s", version,
                        json_integer_value(json_object_get(status, "pid")), uptime);
    g_autofree char *guests =
        g_strdup_printf("%" JSON_INTEGER_FORMAT " known, %" JSON_INTEGER_FORMAT
                        " connected, %" JSON_INTEGER_FORMAT " reporting",
                        json_integer_value(json_object_get(status, "guests")),
                        json_integer_value(json_object_get(status, "connected")),
                        json_integer_value(json_object_get(status, "reporting")));
    text_append_coloured(out, style, TEXT_HEADING, "Controller");
    g_string_append_c(out, '\n');
    render_row(style, "version", process, out);
    render_row(style, "mode", mode, out);
    render_row(style, "configuration", config_path, out);
    render_row(style, "guests", guests, out);
}

void render_status(const json_t *status, const json_t *host, const TextStyle *style, GString *out)
{
    static const char *const rows[][2] = {
        {"memory", "total"},
        {"available", "available"},
        {"to stay available", "reserve"},
        {"used by others", "non-guest"},
        {"budget for guests", "budget"},
        {"guests have", "sum-actual"},
        {"guests are to have", "sum-target"},
        {"reserved for a start", "reserved"},
        {"free", "free"},
    };
    render_controller(status, style, out);
    text_append_coloured(out, style, TEXT_HEADING, "Host");
    g_string_append_c(out, '\n');
    g_autofree char *state = render_word(host, "state");
    render_row(style, "state", state, out);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *size = render_size(host, rows[i][1]);
        render_row(style, rows[i][0], size, out);
    }
    if (json_is_true(json_object_get(host, "overcommitted"))) {
        text_append_coloured(out, style, TEXT_ALARM, "Overcommitted");
        text_append_wrapped(out, style, (int)strlen("Overcommitted"),
                            ": the guests' minimums together are more than the budget.");
        g_string_append_c(out, '\n');
    }
}
