// SPDX-License-Identifier: Apache-2.0
#include "host-controller/journal/recorder.h"

#include <string.h>

#define WANTED_SPACING_US INT64_C(1000000)
#define INTERVAL_US INT64_C(300000000)

// As the policy's dead band: a difference that is worth a command.
#define BAND_DIVISOR 64
#define BAND_FLOOR_BYTES (8 * POLICY_MIB)

// A guest as the last line left it.
typedef struct Kept {
    char *name;
    char *quoted; // as JSON
    JournalRecord record;
    PolicySample samples[JOURNAL_REPORTS]; // since then
    size_t sample_count;                   // above JOURNAL_REPORTS: too many
    uint64_t line;                         // the last one that had it
} Kept;

struct JournalRecorder {
    GPtrArray *kept; // Kept *, owned, in the order of the last line
    GHashTable *by_name;
    JournalHost host;
    uint64_t lines;
    uint64_t skipped; // plans since the last line
    int64_t line_us;  // when that was
};

static void kept_free(void *data)
{
    Kept *kept = data;
    g_free(kept->name);
    g_free(kept->quoted);
    g_free(kept);
}

static Kept *kept_new(const char *name)
{
    Kept *kept = g_new0(Kept, 1);
    json_t *text = json_string(name);
    // Names come from a configuration, which has valid UTF-8 only.
    char *quoted = json_dumps(text, JSON_ENCODE_ANY);
    kept->name = g_strdup(name);
    kept->quoted = g_strdup(quoted);
    free(quoted);
    json_decref(text);
    return kept;
}

JournalRecorder *journal_recorder_new(void)
{
    JournalRecorder *recorder = g_new0(JournalRecorder, 1);
    recorder->kept = g_ptr_array_new();
    recorder->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, kept_free);
    return recorder;
}

void journal_recorder_free(JournalRecorder *recorder)
{
    if (recorder) {
        g_ptr_array_unref(recorder->kept);
        g_hash_table_unref(recorder->by_name);
        g_free(recorder);
    }
}

void journal_recorder_report(JournalRecorder *recorder, const char *name,
                             const PolicySample *sample)
{
    Kept *kept = g_hash_table_lookup(recorder->by_name, name);
    if (!kept) {
        return; // its first line tells it in full
    }
    if (kept->sample_count < JOURNAL_REPORTS) {
        kept->samples[kept->sample_count] = *sample;
    }
    kept->sample_count = MIN(kept->sample_count + 1, JOURNAL_REPORTS + 1);
}

// --- which plans have a line ------------------------------------------------------------------

static bool moved(int64_t a_bytes, int64_t b_bytes, int64_t size_bytes)
{
    int64_t band_bytes = policy_max(size_bytes / BAND_DIVISOR, BAND_FLOOR_BYTES);
    a_bytes = policy_clamp(a_bytes, 0, POLICY_MAX_BYTES);
    b_bytes = policy_clamp(b_bytes, 0, POLICY_MAX_BYTES);
    return ABS(a_bytes - b_bytes) >= band_bytes;
}

static bool demand_moved(const PolicyDemand *a, const PolicyDemand *b, int64_t size_bytes)
{
    return moved(a->committed_bytes, b->committed_bytes, size_bytes) ||
           moved(a->headroom_bytes, b->headroom_bytes, size_bytes) ||
           moved(a->cache_share_bytes, b->cache_share_bytes, size_bytes);
}

static bool guest_changed(const JournalRecord *former, const PolicyGuest *before,
                          const PolicyGuest *after)
{
    const PolicyGuest *input = &former->input;
    return input->size_bytes != before->size_bytes || input->min_bytes != before->min_bytes ||
           input->max_bytes != before->max_bytes || input->weight != before->weight ||
           input->movable != before->movable || input->fresh != before->fresh ||
           input->pinned != before->pinned || input->pinned_bytes != before->pinned_bytes ||
           input->bound != before->bound ||
           input->demand.under_pressure != before->demand.under_pressure ||
           demand_moved(&input->demand, &before->demand, before->size_bytes) ||
           moved(former->outcome.fair_share_bytes, after->fair_share_bytes, before->size_bytes);
}

static bool host_changed(const JournalHost *a, const JournalHost *b)
{
    return a->mode != b->mode || a->adopting != b->adopting || a->starting != b->starting ||
           a->ending != b->ending || moved(a->budget_bytes, b->budget_bytes, b->budget_bytes);
}

static bool something_changed(const JournalRecorder *recorder, const JournalPlan *plan)
{
    if (plan->count != recorder->kept->len || host_changed(&recorder->host, &plan->host)) {
        return true;
    }
    for (size_t i = 0; i < plan->count; i++) {
        const Kept *kept = g_ptr_array_index(recorder->kept, i);
        if (strcmp(kept->name, plan->names[i]) != 0 ||
            guest_changed(&kept->record, &plan->before[i], &plan->after[i])) {
            return true;
        }
    }
    return false;
}

// Why a plan has a line; NULL: it has none.
static const char *find_reason(const JournalRecorder *recorder, const JournalPlan *plan, bool full)
{
    int64_t elapsed_us = plan->at_us - recorder->line_us;
    if (plan->sent) {
        return "sent";
    }
    if (full) {
        return "full";
    }
    if (elapsed_us >= WANTED_SPACING_US && something_changed(recorder, plan)) {
        return "wanted";
    }
    return elapsed_us >= INTERVAL_US ? "interval" : NULL;
}

// --- what it says -----------------------------------------------------------------------------

static void append_reports(GString *line, const Kept *kept)
{
    PolicyHistory history = kept->record.history;
    g_string_append(line, "\"reports\":[");
    for (size_t i = 0; i < kept->sample_count; i++) {
        g_string_append(line, i > 0 ? ",{" : "{");
        journal_fields_append(line, journal_sample_fields, &history.last, &kept->samples[i]);
        g_string_append_c(line, '}');
        PolicyDemand demand;
        policy_demand_update(&history, &kept->samples[i], kept->record.input.size_bytes, &demand);
    }
    g_string_append_c(line, ']');
}

// The guest as it went into the plan and came out, and what had been learned of it.
static JournalRecord record_of(const JournalPlan *plan, size_t i)
{
    return (JournalRecord){
        .input = plan->before[i],
        .history = plan->histories[i] ? *plan->histories[i] : (PolicyHistory){0},
        .outcome = journal_outcome_of(&plan->after[i]),
    };
}

static void append_guest(GString *line, Kept *kept, const JournalRecord *now, bool full)
{
    JournalRecord expected = {0};
    bool reports = !full && kept->sample_count > 0 && kept->sample_count <= JOURNAL_REPORTS;
    if (!full) {
        expected =
            journal_record_expect(&kept->record, kept->samples, reports ? kept->sample_count : 0);
    }
    if (reports || full || !journal_fields_equal(journal_record_fields, &expected, now)) {
        g_string_append_printf(line, "%s%s:{", line->str[line->len - 1] == '{' ? "" : ",",
                               kept->quoted);
        if (reports) {
            append_reports(line, kept);
        }
        if (reports && !journal_fields_equal(journal_record_fields, &expected, now)) {
            g_string_append_c(line, ',');
        }
        journal_fields_append(line, journal_record_fields, &expected, now);
        g_string_append_c(line, '}');
    }
    kept->record = *now;
    kept->sample_count = 0;
}

// Names the guests that are gone, and forgets them.
static void append_gone(JournalRecorder *recorder, GString *line)
{
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, recorder->by_name);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        const Kept *kept = value;
        if (kept->line != recorder->lines) {
            g_string_append_printf(line, "%s%s:null", line->str[line->len - 1] == '{' ? "" : ",",
                                   kept->quoted);
            g_hash_table_iter_remove(&iterator);
        }
    }
}

static void append_guests(JournalRecorder *recorder, const JournalPlan *plan, bool full,
                          GString *line)
{
    g_ptr_array_set_size(recorder->kept, 0);
    for (size_t i = 0; i < plan->count; i++) {
        Kept *kept = g_hash_table_lookup(recorder->by_name, plan->names[i]);
        bool is_new = !kept;
        if (is_new) {
            kept = kept_new(plan->names[i]);
            g_hash_table_insert(recorder->by_name, kept->name, kept);
        }
        JournalRecord now = record_of(plan, i);
        append_guest(line, kept, &now, full || is_new);
        kept->line = recorder->lines;
        g_ptr_array_add(recorder->kept, kept);
    }
    append_gone(recorder, line);
}

bool journal_recorder_plan(JournalRecorder *recorder, const JournalPlan *plan, bool full,
                           uint64_t dropped_lines, GString *line)
{
    const char *reason = find_reason(recorder, plan, full);
    if (!reason) {
        recorder->skipped++;
        return false;
    }
    const JournalHost none = {0};
    recorder->lines++;
    g_string_printf(line,
                    "{\"line\":%" G_GUINT64_FORMAT ",\"unix-us\":%" G_GINT64_FORMAT
                    ",\"at-us\":%" G_GINT64_FORMAT ",\"why\":\"%s\",\"skipped\":%" G_GUINT64_FORMAT,
                    recorder->lines, plan->unix_us, plan->at_us, reason, recorder->skipped);
    if (full) {
        g_string_append_printf(line,
                               ",\"full\":true,\"version\":\"%s\",\"dropped\":%" G_GUINT64_FORMAT,
                               AEROSTAT_VERSION, dropped_lines);
    }
    g_string_append(line, ",\"host\":{");
    journal_fields_append(line, journal_host_fields, full ? &none : &recorder->host, &plan->host);
    g_string_append(line, "},\"guests\":{");
    append_guests(recorder, plan, full, line);
    g_string_append(line, "}}\n");
    recorder->host = plan->host;
    recorder->skipped = 0;
    recorder->line_us = plan->at_us;
    return true;
}
