// SPDX-License-Identifier: Apache-2.0
#include "host-controller/controller-journal.h"

// While the files cannot be written, a line is tried this often: it would have to tell everything.
#define RETRY_US INT64_C(1000000)
// Otherwise one tells everything this often: what a damaged line costs its readers.
#define FULL_INTERVAL_US INT64_C(3600000000)

struct ControllerJournal {
    JournalRecorder *recorder;
    JournalWriter *writer;
    int64_t full_us;      // when the last line was made that stands by itself
    GArray *before;       // PolicyGuest
    GPtrArray *names;     // const char *, borrowed until the account ends
    GPtrArray *histories; // const PolicyHistory *, likewise
    GString *line;
};

ControllerJournal *controller_journal_new(const char *path, int64_t size_bytes)
{
    ControllerJournal *journal = g_new0(ControllerJournal, 1);
    journal->recorder = journal_recorder_new();
    journal->writer = journal_writer_new(path, size_bytes);
    journal->full_us = INT64_MIN / 2;
    journal->before = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    journal->names = g_ptr_array_new();
    journal->histories = g_ptr_array_new();
    journal->line = g_string_new(NULL);
    return journal;
}

void controller_journal_free(ControllerJournal *journal, int64_t patience_us)
{
    if (journal) {
        journal_recorder_free(journal->recorder);
        journal_writer_free(journal->writer, patience_us);
        g_array_unref(journal->before);
        g_ptr_array_unref(journal->names);
        g_ptr_array_unref(journal->histories);
        g_string_free(journal->line, TRUE);
        g_free(journal);
    }
}

void controller_journal_report(ControllerJournal *journal, const char *name,
                               const PolicySample *sample)
{
    if (journal) {
        journal_recorder_report(journal->recorder, name, sample);
    }
}

void controller_journal_begin(ControllerJournal *journal, const PolicyGuest *guests, size_t count)
{
    if (journal) {
        g_array_set_size(journal->before, 0);
        g_array_append_vals(journal->before, guests, (guint)count);
        g_ptr_array_set_size(journal->names, 0);
        g_ptr_array_set_size(journal->histories, 0);
    }
}

void controller_journal_guest(ControllerJournal *journal, const char *name,
                              const PolicyHistory *history)
{
    if (journal) {
        g_ptr_array_add(journal->names, (gpointer)name);
        g_ptr_array_add(journal->histories, (gpointer)history);
    }
}

void controller_journal_end(ControllerJournal *journal, const JournalHost *host,
                            const PolicyGuest *guests, bool sent, int64_t now_us)
{
    if (!journal) {
        return;
    }
    JournalState state = journal_writer_state(journal->writer);
    int64_t elapsed_us = now_us - journal->full_us;
    if (state == JOURNAL_STATE_FAILS && elapsed_us < RETRY_US) {
        if (sent) {
            journal_writer_count_dropped(journal->writer);
        }
        return;
    }
    bool full = state != JOURNAL_STATE_READY || elapsed_us >= FULL_INTERVAL_US;
    JournalPlan plan = {
        .at_us = now_us,
        .unix_us = g_get_real_time(),
        .host = *host,
        .count = journal->names->len,
        .names = (const char *const *)journal->names->pdata,
        .before = (const PolicyGuest *)journal->before->data,
        .after = guests,
        .histories = (const PolicyHistory *const *)journal->histories->pdata,
        .sent = sent,
    };
    uint64_t dropped_lines = journal_writer_tally(journal->writer).dropped;
    if (journal_recorder_plan(journal->recorder, &plan, full, dropped_lines, journal->line)) {
        journal_writer_put(journal->writer, journal->line, full);
        journal->full_us = full ? now_us : journal->full_us;
    }
}

void controller_journal_begin_anew(ControllerJournal *journal, int64_t size_bytes)
{
    if (journal) {
        journal_writer_begin_anew(journal->writer, size_bytes);
    }
}

JournalTally controller_journal_tally(const ControllerJournal *journal)
{
    return journal ? journal_writer_tally(journal->writer) : (JournalTally){0};
}
