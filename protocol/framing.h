// SPDX-License-Identifier: Apache-2.0
//
// Splits a byte stream into lines, with a cap on their length and the guest-agent protocol's 0xFF
// resynchronisation.
//
// A line ends with a newline, or where the JSON object that it begins with is closed: QEMU's own
// Python clients send no newline after a request. White space before a line is dropped, and so are
// lines of nothing else.
//
// The byte 0xFF occurs in no UTF-8 text. The guest-agent protocol uses it as a sentinel: whatever
// came before it on the same line is the tail of an older conversation and is dropped
// (QEMU, docs/interop/qemu-ga-ref, guest-sync-delimited).
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define LINE_SENTINEL ((char)0xFF)

typedef enum LineEvent {
    LINE_EVENT_NONE,     // all bytes are taken in, no line is complete
    LINE_EVENT_LINE,     // a line is complete
    LINE_EVENT_TOO_LONG, // a line passed the cap: it is skipped up to its newline
} LineEvent;

// State of one stream. The members are private but for `line` and `after_sentinel`.
typedef struct LineFramer {
    GString *line;       // the bytes of the line, without its newline; valid after LINE_EVENT_LINE
    bool after_sentinel; // a sentinel stood before this line
    size_t max_bytes;
    bool complete;
    bool skipping;
    int depth; // of brackets outside of strings, in this line
    bool in_string;
    bool escaped;
} LineFramer;

// Prepares `framer` for a new stream whose lines may have `max_bytes` bytes without the newline.
void line_framer_init(LineFramer *framer, size_t max_bytes);
void line_framer_clear(LineFramer *framer);
// Forgets what a former peer sent, keeps the cap.
void line_framer_reset(LineFramer *framer);

// Takes bytes from `*bytes` (advancing it and lowering `*length`) until a line is complete, one is
// found too long, or none are left. Memory grows only with bytes received, never past the cap.
LineEvent line_framer_push(LineFramer *framer, const char **bytes, size_t *length);

// Whether part of a line has arrived: the peer owes the rest.
bool line_framer_has_partial(const LineFramer *framer);
