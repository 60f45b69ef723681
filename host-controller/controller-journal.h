// SPDX-License-Identifier: Apache-2.0
//
// The decision journal of a controller: plans and reports on their way to its files. Does nothing
// when it is NULL, as it is when no journal is configured.
#pragma once

#include "host-controller/journal/recorder.h"
#include "host-controller/journal/writer.h"

typedef struct ControllerJournal ControllerJournal;

// Starts a journal at `path`, of `size_bytes` at most in all its files.
ControllerJournal *controller_journal_new(const char *path, int64_t size_bytes);
// Waits for the files, so long at most.
void controller_journal_free(ControllerJournal *journal, int64_t patience_us);

// A guest's report, which the policy was just told of.
void controller_journal_report(ControllerJournal *journal, const char *name,
                               const PolicySample *sample);

// Begins the account of a plan that is about to be made, with the guests as they go into it.
void controller_journal_begin(ControllerJournal *journal, const PolicyGuest *guests, size_t count);
// Tells the guests' names and what was learned of them (NULL: nothing), in the same order.
void controller_journal_guest(ControllerJournal *journal, const char *name,
                              const PolicyHistory *history);
// Ends the account with what came out.
void controller_journal_end(ControllerJournal *journal, const JournalHost *host,
                            const PolicyGuest *guests, bool sent, int64_t now_us);

// The files may have been renamed, and their size may be another.
void controller_journal_begin_anew(ControllerJournal *journal, int64_t size_bytes);
JournalTally controller_journal_tally(const ControllerJournal *journal);
