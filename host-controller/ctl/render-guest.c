// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/render.h"

#include "protocol/report.h"
#include "protocol/units.h"

#include <string.h>

// A word of the protocol and what it means.
typedef struct Meaning {
    const char *word;
    const char *meaning;
} Meaning;

static const Meaning state_meanings[] = {
    {"connecting", "its QEMU cannot be reached"},
    {"unmanageable", "its QEMU has no balloon device"},
    {"settled", "it has what it is to have"},
    {"shrinking", "it gives memory back"},
    {"growing", "it takes memory"},
    {"stalled", "it makes no progress towards its target"},
    {"auto-deflated", "it ran short and took memory back by itself"},
    {"ineffective", "ballooning it frees nothing, so it keeps all it has"},
    {"paused", "its QEMU does not run it, so it gets no commands"},
    {"migrating", "its QEMU sends or receives it, so it gets no commands"},
    {"unmanaged", "it must not be touched"},
    {NULL, NULL},
};

static const Meaning origin_meanings[] = {
    {"configured", "its group names its monitor"},
    {"added", "with aerostatctl add, until it is removed"},
    {"found", "its monitor lies in the watched directory"},
    {NULL, NULL},
};

static const Meaning agent_meanings[] = {
    {"none", "no agent's port was told of"},
    {"connecting", "it does not answer"},
    {"connected", "it reports"},
    {"stale", "it is connected, but its reports are late"},
    {NULL, NULL},
};

static const Meaning source_meanings[] = {
    {"none", "nothing is known of it"},
    {"agent", "its agent's reports"},
    {"guest-stats", "its balloon's statistics, which are coarser and older"},
    {NULL, NULL},
};

static const Meaning bound_meanings[] = {
    {"demand", "it gets what it needs"},
    {"fair-share", "it gets its part by weight"},
    {"minimum", "it never gets less than its minimum"},
    {"maximum", "it never gets more than its maximum"},
    {"pinned", "it was set by hand"},
    {"budget", "more is due to it, but has not come back from others yet"},
    {"stale", "without a fresh report it is not shrunk"},
    {"pressure", "its tasks stall for lack of memory, so it is not shrunk"},
    {"dead-band", "the change would be too small to be worth it"},
    {"plenty", "it has more than its part, and nobody is short"},
    {"unmanaged", "it must not be touched"},
    {"stalled", "it made no progress, so it keeps what it has"},
    {"ineffective", "ballooning it frees nothing, so it keeps all it may have"},
    {"auto-deflated", "it took memory back by itself, so it is not shrunk for now"},
    {"prepared", "it was prepared for a snapshot or a migration, and is held still"},
    {NULL, NULL},
};

static const Meaning cause_meanings[] = {
    {"start", "the first one"},
    {"heartbeat", "nothing has changed for a while"},
    {"change", "available memory has changed"},
    {"trend", "available memory is about to run out"},
    {"pressure", "tasks stall for lack of memory"},
    {"request", "it was asked for"},
    {NULL, NULL},
};

static const char *find_meaning(const Meaning *meanings, const char *word)
{
    while (meanings->word && strcmp(meanings->word, word) != 0) {
        meanings++;
    }
    return meanings->meaning;
}

char *render_bound(const json_t *reason)
{
    g_autofree char *word = render_word(reason, "bound-by");
    const char *meaning = find_meaning(bound_meanings, word);
    return meaning ? g_strdup(meaning) : g_steal_pointer(&word);
}

static void row_meaning(const TextStyle *style, const char *label, const json_t *object,
                        const char *name, const Meaning *meanings, GString *out)
{
    g_autofree char *word = render_word(object, name);
    const char *meaning = find_meaning(meanings, word);
    g_autofree char *text = g_strconcat(word, meaning ? ": " : NULL, meaning, NULL);
    render_row(style, label, text, out);
}

static void row_size(const TextStyle *style, const char *label, const json_t *object,
                     const char *name, GString *out)
{
    g_autofree char *size = render_size(object, name);
    render_row(style, label, size, out);
}

static void heading(const TextStyle *style, const char *text, GString *out)
{
    text_append_coloured(out, style, TEXT_HEADING, text);
    g_string_append_c(out, '\n');
}

// --- the guest --------------------------------------------------------------------------------

static void render_memory(const json_t *guest, const TextStyle *style, GString *out)
{
    int64_t used_bytes = render_used_bytes(guest);
    heading(style, "Memory", out);
    row_size(style, "size", guest, "size", out);
    row_size(style, "actual", guest, "actual", out);
    row_size(style, "target", guest, "target", out);
    if (used_bytes >= 0) {
        char used[SIZE_TEXT_SIZE];
        render_row(style, "used", size_format(used_bytes, used), out);
    }
    if (json_object_get(guest, "resident")) {
        row_size(style, "QEMU holds", guest, "resident", out);
    }
    row_size(style, "minimum", guest, "min", out);
    row_size(style, "maximum", guest, "max", out);
    g_autofree char *weight = g_strdup_printf("%" JSON_INTEGER_FORMAT,
                                              json_integer_value(json_object_get(guest, "weight")));
    render_row(style, "weight", weight, out);
}

static void render_reason(const json_t *reason, const TextStyle *style, GString *out)
{
    static const char *const rows[][2] = {
        {"demand", "demand"},       {"  in use", "committed"},    {"  headroom", "headroom"},
        {"  cache", "cache-share"}, {"fair share", "fair-share"},
    };
    if (!json_is_object(reason)) {
        return;
    }
    heading(style, "Why this target", out);
    row_meaning(style, "bound by", reason, "bound-by", bound_meanings, out);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (json_object_get(reason, rows[i][1])) {
            row_size(style, rows[i][0], reason, rows[i][1], out);
        }
    }
}

// --- the report -------------------------------------------------------------------------------

static char *format_value(int64_t value, MemoryReportUnit unit)
{
    char size[SIZE_TEXT_SIZE];
    switch (unit) {
    case REPORT_UNIT_BYTES:
        return g_strdup(size_format(value, size));
    case REPORT_UNIT_PERMYRIAD:
        return g_strdup_printf("%.2f %%", (double)value / 100);
    case REPORT_UNIT_MICROSECONDS:
        return render_duration(value);
    case REPORT_UNIT_COUNT:
        break;
    }
    return g_strdup_printf("%" G_GINT64_FORMAT " since boot", value);
}

static const json_t *find_field(const json_t *report, const MemoryReportFieldInfo *info)
{
    const json_t *holder = report;
    holder = info->outer ? json_object_get(holder, info->outer) : holder;
    holder = info->inner ? json_object_get(holder, info->inner) : holder;
    const json_t *value = json_object_get(holder, info->name);
    return json_is_integer(value) ? value : NULL;
}

// The name without the unit that its value is shown with.
static char *field_label(const MemoryReportFieldInfo *info)
{
    static const char *const units[] = {"-permyriad", "-us"};
    g_autofree char *name = g_strdup(info->name);
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (g_str_has_suffix(name, units[i])) {
            name[strlen(name) - strlen(units[i])] = '\0';
        }
    }
    return info->inner ? g_strdup_printf("%s %s %s", info->outer, info->inner, name)
                       : g_steal_pointer(&name);
}

static void render_fields(const json_t *report, const TextStyle *style, GString *out)
{
    for (int field = 0; field < REPORT_FIELD_COUNT; field++) {
        const MemoryReportFieldInfo *info = &memory_report_fields[field];
        const json_t *member = find_field(report, info);
        if (member) {
            g_autofree char *label = field_label(info);
            g_autofree char *value = format_value(json_integer_value(member), info->unit);
            render_row(style, label, value, out);
        }
    }
}

static void render_report(const json_t *guest, const TextStyle *style, GString *out)
{
    const json_t *report = json_object_get(guest, "report");
    if (!json_is_object(report)) {
        return;
    }
    g_autofree char *age =
        render_duration(json_integer_value(json_object_get(guest, "report-age-us")));
    g_autofree char *boot_id = render_word(report, "boot-id");
    g_autofree char *title =
        g_strdup_printf("Report number %" JSON_INTEGER_FORMAT ", %s old",
                        json_integer_value(json_object_get(report, "sequence")), age);
    heading(style, title, out);
    row_meaning(style, "cause", report, "reason", cause_meanings, out);
    render_row(style, "boot id", boot_id, out);
    const json_t *deflate = json_object_get(report, "deflate-on-oom");
    if (deflate) {
        render_row(style, "deflate on OOM", json_is_true(deflate) ? "on" : "off", out);
    }
    render_fields(report, style, out);
}

// The statistics of a guest without an agent: sizes all but the last.
static void render_stats(const json_t *guest, const TextStyle *style, GString *out)
{
    static const char *const sizes[] = {"total",  "available", "free",
                                        "caches", "swap-in",   "swap-out"};
    const json_t *stats = json_object_get(guest, "guest-stats");
    if (!json_is_object(stats)) {
        return;
    }
    g_autofree char *age = render_duration(json_integer_value(json_object_get(stats, "age-us")));
    g_autofree char *title = g_strdup_printf("Statistics of its balloon, %s old", age);
    heading(style, title, out);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        if (json_object_get(stats, sizes[i])) {
            row_size(style, sizes[i], stats, sizes[i], out);
        }
    }
    const json_t *faults = json_object_get(stats, "major-faults");
    if (json_is_integer(faults)) {
        g_autofree char *text = format_value(json_integer_value(faults), REPORT_UNIT_COUNT);
        render_row(style, "major-faults", text, out);
    }
}

void render_guest(const json_t *guest, const TextStyle *style, GString *out)
{
    g_autofree char *name = render_word(guest, "name");
    heading(style, name, out);
    row_meaning(style, "state", guest, "state", state_meanings, out);
    row_meaning(style, "known from", guest, "origin", origin_meanings, out);
    row_meaning(style, "agent", guest, "agent", agent_meanings, out);
    row_meaning(style, "need known from", guest, "source", source_meanings, out);
    render_row(style, "target set by",
               json_is_true(json_object_get(guest, "pinned")) ? "hand" : "the controller", out);
    render_memory(guest, style, out);
    render_reason(json_object_get(guest, "reason"), style, out);
    render_stats(guest, style, out);
    render_report(guest, style, out);
}
