// SPDX-License-Identifier: Apache-2.0
//
// The journal's files. A thread of its own writes them, so that a slow or full disk never holds up
// the loop: lines wait in a bounded queue, and what does not fit is dropped and counted.
//
// PATH is the file being written, PATH.1 the one before, up to PATH.7. A line that lies in a file
// stays there when the controller is killed; against a power failure nothing is done (no fsync).
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

// The current file and those before it.
#define JOURNAL_FILES 8

typedef struct JournalWriter JournalWriter;

// What has come of the lines so far.
typedef struct JournalTally {
    uint64_t lines;   // written
    uint64_t dropped; // lost: the queue was full, or the file could not be written
    uint64_t bytes;   // written
} JournalTally;

// Starts writing to `path`, whose files together are to take no more than `size_bytes` (a line may
// exceed it). Files are made with mode 0640. Whatever is wrong with them is logged, once.
JournalWriter *journal_writer_new(const char *path, int64_t size_bytes);
// Waits for what is queued to be written, so long at most. The thread goes on with it by itself.
void journal_writer_free(JournalWriter *writer, int64_t patience_us);

typedef enum JournalState {
    JOURNAL_STATE_READY,
    JOURNAL_STATE_WANTS_FULL, // the next line must stand by itself: it begins a file, or some
                              // before it were lost
    JOURNAL_STATE_FAILS,      // the same, and that line may well be lost too
} JournalState;

JournalState journal_writer_state(JournalWriter *writer);

// Queues a line with its newline. `full`: it stands by itself; others are dropped unless the writer
// is JOURNAL_STATE_READY. Never waits for a disk.
void journal_writer_put(JournalWriter *writer, const GString *line, bool full);
// Counts a line that was not even made.
void journal_writer_count_dropped(JournalWriter *writer);

// The file may have been renamed: the next line stands by itself, wherever it goes. From now on the
// files take `size_bytes`.
void journal_writer_begin_anew(JournalWriter *writer, int64_t size_bytes);

JournalTally journal_writer_tally(JournalWriter *writer);
