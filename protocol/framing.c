// SPDX-License-Identifier: Apache-2.0
#include "protocol/framing.h"

#include <string.h>

// A buffer larger than this is given back once its line is done with.
#define KEEP_BYTES 4096

void line_framer_init(LineFramer *framer, size_t max_bytes)
{
    *framer = (LineFramer){.line = g_string_sized_new(256), .max_bytes = max_bytes};
}

void line_framer_clear(LineFramer *framer)
{
    if (framer->line) {
        g_string_free(framer->line, TRUE);
    }
    *framer = (LineFramer){0};
}

static void start_line(LineFramer *framer)
{
    if (framer->line->allocated_len > KEEP_BYTES) {
        g_string_free(framer->line, TRUE);
        framer->line = g_string_sized_new(256);
    }
    g_string_truncate(framer->line, 0);
    framer->after_sentinel = false;
    framer->complete = false;
}

void line_framer_reset(LineFramer *framer)
{
    start_line(framer);
    framer->skipping = false;
}

// Drops everything up to and including the last sentinel among `bytes`; returns what is left.
static const char *after_last_sentinel(LineFramer *framer, const char *bytes, size_t *length)
{
    const char *sentinel = memrchr(bytes, LINE_SENTINEL, *length);
    if (!sentinel) {
        return bytes;
    }
    g_string_truncate(framer->line, 0);
    framer->after_sentinel = true;
    framer->skipping = false;
    *length -= (size_t)(sentinel + 1 - bytes);
    return sentinel + 1;
}

LineEvent line_framer_push(LineFramer *framer, const char **bytes, size_t *length)
{
    if (framer->complete) {
        start_line(framer);
    }
    while (*length > 0) {
        const char *newline = memchr(*bytes, '\n', *length);
        size_t chunk_length = newline ? (size_t)(newline - *bytes) : *length;
        size_t consumed = chunk_length + (newline ? 1 : 0);
        const char *chunk = after_last_sentinel(framer, *bytes, &chunk_length);
        *bytes += consumed;
        *length -= consumed;

        if (framer->skipping) {
            framer->skipping = !newline;
            continue;
        }
        if (framer->line->len + chunk_length > framer->max_bytes) {
            start_line(framer);
            framer->skipping = !newline;
            return LINE_EVENT_TOO_LONG;
        }
        g_string_append_len(framer->line, chunk, (gssize)chunk_length);
        if (newline) {
            framer->complete = true;
            return LINE_EVENT_LINE;
        }
    }
    return LINE_EVENT_NONE;
}

bool line_framer_has_partial(const LineFramer *framer)
{
    return framer->skipping || (!framer->complete && framer->line->len > 0);
}
