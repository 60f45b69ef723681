// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/replay-report.h"

#include "host-controller/sim/quantity.h"
#include "protocol/json.h"
#include "protocol/units.h"

// Guests are listed up to this many; all are in the JSON.
#define LISTED_GUESTS 20

// The columns: what was recorded, and with other settings what the model makes of either.
#define COLUMNS 3

// --- for people -------------------------------------------------------------------------------

typedef char *FormatFunc(const ReplayTally *tally, int64_t duration_us);

static char *format_commands(const ReplayTally *tally, int64_t duration_us)
{
    (void)duration_us;
    return g_strdup_printf("%" G_GINT64_FORMAT, tally->commands);
}

static char *format_shrinks(const ReplayTally *tally, int64_t duration_us)
{
    (void)duration_us;
    return g_strdup_printf("%" G_GINT64_FORMAT, tally->shrinks);
}

static char *format_short_time(const ReplayTally *tally, int64_t duration_us)
{
    (void)duration_us;
    int64_t tenths = tally->short_us / (SIM_S / 10);
    return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT " s", tenths / 10, tenths % 10);
}

// MiB times seconds as what it was on average over a time.
static char *format_average(int64_t mib_s, int64_t duration_us)
{
    char text[SIZE_TEXT_SIZE];
    int64_t mib = duration_us > 0 ? sim_scale(mib_s, SIM_S, duration_us) : 0;
    return g_strdup(size_format(sim_min(mib, INT64_MAX / SIM_MIB) * SIM_MIB, text));
}

static char *format_short(const ReplayTally *tally, int64_t duration_us)
{
    (void)duration_us;
    return format_average(tally->short_mib_s, tally->short_us);
}

static char *format_returned(const ReplayTally *tally, int64_t duration_us)
{
    return format_average(tally->returned_mib_s, duration_us);
}

static char *format_most_held(const ReplayTally *tally, int64_t duration_us)
{
    (void)duration_us;
    char text[SIZE_TEXT_SIZE];
    return g_strdup(size_format(tally->most_held_bytes, text));
}

static const struct {
    const char *label;
    FormatFunc *format;
} rows[] = {
    {"targets sent", format_commands},
    {"  of these, lower ones", format_shrinks},
    {"guests short of memory", format_short_time},
    {"  by, on average", format_short},
    {"memory given back, on average", format_returned},
    {"most held at one moment", format_most_held},
};

static void print_cells(FILE *out, const char *label, const char *const *cells, size_t count)
{
    fprintf(out, "%-31s", label);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, " %14s", cells[i]);
    }
    fputc('\n', out);
}

// One row of figures; a column without a tally shows nothing.
static void print_row(FILE *out, const char *label, FormatFunc *format,
                      const ReplayTally *const *tallies, size_t count, int64_t duration_us)
{
    char *cells[COLUMNS];
    for (size_t i = 0; i < count; i++) {
        cells[i] = tallies[i] ? format(tallies[i], duration_us) : g_strdup("");
    }
    print_cells(out, label, (const char *const *)cells, count);
    for (size_t i = 0; i < count; i++) {
        g_free(cells[i]);
    }
}

static void print_guests(FILE *out, const ReplayModel *const *models, size_t count,
                         int64_t duration_us)
{
    g_autoptr(GList) names = replay_model_guest_names(models[0]);
    int listed = 0;
    fputs("\nmemory given back, on average, by guest\n", out);
    for (const GList *name = names; name && listed < LISTED_GUESTS; name = name->next, listed++) {
        const ReplayTally *tallies[COLUMNS];
        for (size_t i = 0; i < count; i++) {
            tallies[i] = replay_model_guest_tally(models[i], name->data);
        }
        g_autofree char *shown = json_text_for_people(name->data);
        g_autofree char *label = g_strdup_printf("  %s", shown);
        print_row(out, label, format_returned, tallies, count, duration_us);
    }
    if (g_list_length(names) > LISTED_GUESTS) {
        fprintf(out, "  and %u more (--json has them all)\n", g_list_length(names) - LISTED_GUESTS);
    }
}

static void print_table(const ReplayFindings *findings, FILE *out)
{
    static const char *const titles[COLUMNS] = {"recorded", "model: as was", "model: changed"};
    const ReplayModel *models[COLUMNS] = {findings->recorded, findings->unchanged,
                                          findings->changed};
    size_t count = findings->has_settings ? COLUMNS : 1;
    int64_t duration_us = replay_model_duration_us(findings->recorded);
    ReplayTally tallies[COLUMNS];
    const ReplayTally *columns[COLUMNS];
    for (size_t i = 0; i < count; i++) {
        tallies[i] = replay_model_tally(models[i]);
        columns[i] = &tallies[i];
    }
    fputc('\n', out);
    print_cells(out, "", titles, count);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        print_row(out, rows[i].label, rows[i].format, columns, count, duration_us);
    }
    print_guests(out, models, count, duration_us);
    if (findings->has_settings) {
        fputs("\nThe model takes it that guests would have needed what they did need, and that "
              "balloons\nmove at 1 GiB/s. Compare its columns with each other; how far the first "
              "is from what was\nrecorded shows how far to trust it.\n",
              out);
    }
}

static char *format_time(int64_t unix_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(unix_us / SIM_S);
    return time ? g_date_time_format(time, "%F %T") : g_strdup("?");
}

static void print_losses(const ReplayFindings *findings, FILE *out)
{
    if (findings->damaged_lines > 0) {
        fprintf(out, "%" G_GINT64_FORMAT " lines are damaged:\n", findings->damaged_lines);
        for (guint i = 0; i < findings->damages->len; i++) {
            fprintf(out, "  %s\n", (const char *)g_ptr_array_index(findings->damages, i));
        }
    }
    if (findings->orphan_lines > 0) {
        fprintf(out, "%" G_GINT64_FORMAT " lines left out, they build on lines that are missing\n",
                findings->orphan_lines);
    }
    if (findings->dropped_lines > 0) {
        fprintf(out, "%" G_GINT64_FORMAT " lines were lost when they were to be written\n",
                findings->dropped_lines);
    }
    if (findings->unfinished) {
        fputs("the last line is unfinished, its controller was killed or still writes it\n", out);
    }
}

void replay_report_print(const ReplayFindings *findings, FILE *out)
{
    g_autofree char *first = format_time(findings->first_unix_us);
    g_autofree char *last = format_time(findings->last_unix_us);
    fprintf(out,
            "%" G_GINT64_FORMAT " plans, from %s to %s, and %" G_GINT64_FORMAT
            " that changed nothing\n",
            findings->lines, first, last, findings->skipped_plans);
    print_losses(findings, out);
    if (findings->differences > 0) {
        fprintf(out,
                "%" G_GINT64_FORMAT " plans come out otherwise than recorded; the first:\n  %s\n",
                findings->differences, findings->first_difference);
    } else {
        fprintf(out, "0 differences: every plan comes out as recorded\n");
    }
    print_table(findings, out);
}

// --- for programs -----------------------------------------------------------------------------

static json_t *tally_to_json(const ReplayTally *tally)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "commands", (json_int_t)tally->commands,
                     "shrinks", (json_int_t)tally->shrinks, "short-us", (json_int_t)tally->short_us,
                     "short-mib-s", (json_int_t)tally->short_mib_s, "returned-mib-s",
                     (json_int_t)tally->returned_mib_s, "most-held-bytes",
                     (json_int_t)tally->most_held_bytes);
}

static json_t *model_to_json(const ReplayModel *model)
{
    ReplayTally sum = replay_model_tally(model);
    g_autoptr(GList) names = replay_model_guest_names(model);
    json_t *guests = json_object();
    for (const GList *name = names; name; name = name->next) {
        json_object_set_new(guests, name->data,
                            tally_to_json(replay_model_guest_tally(model, name->data)));
    }
    return json_pack("{s:o, s:o}", "sum", tally_to_json(&sum), "guests", guests);
}

json_t *replay_report_to_json(const ReplayFindings *findings)
{
    json_t *damages = json_array();
    for (guint i = 0; i < findings->damages->len; i++) {
        json_array_append_new(damages, json_string(g_ptr_array_index(findings->damages, i)));
    }
    json_t *report = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:I, s:s?, s:I, s:I, s:I, s:o}", "plans",
        (json_int_t)findings->lines, "skipped-plans", (json_int_t)findings->skipped_plans,
        "damaged-lines", (json_int_t)findings->damaged_lines, "orphan-lines",
        (json_int_t)findings->orphan_lines, "dropped-lines", (json_int_t)findings->dropped_lines,
        "unfinished", findings->unfinished, "damages", damages, "differences",
        (json_int_t)findings->differences, "first-difference", findings->first_difference,
        "first-unix-us", (json_int_t)findings->first_unix_us, "last-unix-us",
        (json_int_t)findings->last_unix_us, "duration-us",
        (json_int_t)replay_model_duration_us(findings->recorded), "recorded",
        model_to_json(findings->recorded));
    if (findings->has_settings) {
        json_object_set_new(report, "unchanged", model_to_json(findings->unchanged));
        json_object_set_new(report, "changed", model_to_json(findings->changed));
    }
    return report;
}
