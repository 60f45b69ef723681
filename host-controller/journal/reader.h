// SPDX-License-Identifier: Apache-2.0
//
// Reads a journal line by line and keeps what it tells: the inputs of each recorded plan, and its
// outcome. No I/O; whatever a line holds, it is taken in or refused.
#pragma once

#include "host-controller/journal/record.h"

typedef struct JournalGuest {
    char *name;
    JournalRecord record;
} JournalGuest;

// As the last line left it. Read only.
typedef struct JournalReader {
    bool known;      // the lines so far tell how everything stands
    bool began;      // the last line was the first of which that is true
    int64_t line;    // its number
    int64_t at_us;   // monotonic
    int64_t unix_us; // the same moment as people call it
    int64_t skipped; // plans without a line before it
    int64_t dropped; // lines the controller had lost by the last line that stands by itself
    JournalHost host;
    GPtrArray *guests; // JournalGuest *, in the order of their first mention
    GHashTable *by_name;
} JournalReader;

typedef enum JournalLine {
    JOURNAL_LINE_TAKEN,
    JOURNAL_LINE_ORPHAN,  // it builds on lines that are missing; others follow until one that does
                          // not
    JOURNAL_LINE_DAMAGED, // it is none
} JournalLine;

void journal_reader_init(JournalReader *reader);
void journal_reader_clear(JournalReader *reader);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JournalReader, journal_reader_clear)

// Takes in a line of at most JOURNAL_LINE_BYTES. `error` (PROTOCOL_ERROR) says what is wrong with
// one that is damaged.
JournalLine journal_reader_take(JournalReader *reader, const char *text, size_t length,
                                GError **error);

// Nothing is known until the next line that stands by itself: a line could not be read at all.
void journal_reader_forget(JournalReader *reader);

// Makes the recorded plan anew, in `guests` (PolicyGuest), which is made as large as it must be and
// ordered as reader->guests.
void journal_reader_plan(const JournalReader *reader, GArray *guests);

// The first guest whose recorded outcome is another than in `guests`, planned by
// journal_reader_plan(); NULL: there is none.
const JournalGuest *journal_reader_find_difference(const JournalReader *reader,
                                                   const GArray *guests,
                                                   const PolicyGuest **planned);
