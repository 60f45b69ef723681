// SPDX-License-Identifier: Apache-2.0
//
// Which plans are worth a line of the journal, and what the line says. No I/O.
//
// A plan that sent a target has its line, always. One that sent none has a line when what a guest
// needs or is due has moved by a dead band since the last line, or a setting or a state changed,
// but no more than one a second: no guest can make the journal forget the others. Otherwise a line
// comes every five minutes.
#pragma once

#include "host-controller/journal/record.h"

typedef struct JournalRecorder JournalRecorder;

// A plan that was just made.
typedef struct JournalPlan {
    int64_t at_us;   // monotonic
    int64_t unix_us; // the same moment as people call it
    JournalHost host;
    size_t count;
    const char *const *names;              // of the guests
    const PolicyGuest *before;             // as they went into policy_plan()
    const PolicyGuest *after;              // and came out of it
    const PolicyHistory *const *histories; // NULL: nothing has been learned
    bool sent;                             // a target
} JournalPlan;

JournalRecorder *journal_recorder_new(void);
void journal_recorder_free(JournalRecorder *recorder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalRecorder, journal_recorder_free)

// Takes note of a guest's report, which policy_demand_update() was just given.
void journal_recorder_report(JournalRecorder *recorder, const char *name,
                             const PolicySample *sample);

// Takes note of a plan. True when it has a line: then `full` and `dropped_lines` are used for it,
// and `line` is made to hold it with its newline. `full`: the line is due in any case and stands by
// itself, as the first one must, one that begins a file, and one after others that were lost.
bool journal_recorder_plan(JournalRecorder *recorder, const JournalPlan *plan, bool full,
                           uint64_t dropped_lines, GString *line);
