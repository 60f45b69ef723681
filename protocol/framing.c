// SPDX-License-Identifier: Apache-2.0
#include "protocol/framing.h"

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
    framer->depth = 0;
    framer->in_string = false;
    framer->escaped = false;
}

void line_framer_reset(LineFramer *framer)
{
    start_line(framer);
    framer->skipping = false;
}

// Follows the brackets of a line that begins as a JSON object; true when `c` closes it.
static bool closes_object(LineFramer *framer, char c)
{
    if (framer->line->str[0] != '{') {
        return false;
    }
    if (framer->in_string) {
        framer->in_string = framer->escaped || c != '"';
        framer->escaped = !framer->escaped && c == '\\';
    } else if (c == '"') {
        framer->in_string = true;
    } else if (c == '{' || c == '[') {
        framer->depth++;
    } else if (c == '}' || c == ']') {
        framer->depth--;
    }
    return framer->depth == 0;
}

// Takes one byte.
static LineEvent take(LineFramer *framer, char c)
{
    if (c == LINE_SENTINEL) {
        line_framer_reset(framer);
        framer->after_sentinel = true;
    } else if (framer->skipping) {
        framer->skipping = c != '\n';
    } else if (c == '\n') {
        framer->complete = framer->line->len > 0;
    } else if (framer->line->len == 0 && g_ascii_isspace(c)) {
        return LINE_EVENT_NONE;
    } else if (framer->line->len == framer->max_bytes) {
        start_line(framer);
        framer->skipping = true;
        return LINE_EVENT_TOO_LONG;
    } else {
        g_string_append_c(framer->line, c);
        framer->complete = closes_object(framer, c);
    }
    return framer->complete ? LINE_EVENT_LINE : LINE_EVENT_NONE;
}

LineEvent line_framer_push(LineFramer *framer, const char **bytes, size_t *length)
{
    if (framer->complete) {
        start_line(framer);
    }
    LineEvent event = LINE_EVENT_NONE;
    while (*length > 0 && event == LINE_EVENT_NONE) {
        event = take(framer, *(*bytes)++);
        (*length)--;
    }
    return event;
}

bool line_framer_has_partial(const LineFramer *framer)
{
    return framer->skipping || (!framer->complete && framer->line->len > 0);
}
