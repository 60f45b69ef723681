// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/text.h"

#include <string.h>

// A text is not squeezed into less than this when a terminal is absurdly narrow.
#define MIN_WRAP_COLUMNS 16

static int char_columns(gunichar c)
{
    if (g_unichar_iszerowidth(c)) {
        return 0;
    }
    return g_unichar_iswide(c) ? 2 : 1;
}

int text_columns(const char *text)
{
    int columns = 0;
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        columns += char_columns(g_utf8_get_char(c));
    }
    return columns;
}

void text_append_coloured(GString *out, const TextStyle *style, TextColour colour, const char *text)
{
    // Attributes and the eight basic colours only: they follow the terminal's own theme.
    static const char *const sequences[] = {
        [TEXT_PLAIN] = NULL,        [TEXT_HEADING] = "\033[1m",  [TEXT_QUIET] = "\033[2m",
        [TEXT_ACTIVE] = "\033[36m", [TEXT_WARNING] = "\033[33m", [TEXT_ALARM] = "\033[31m",
    };
    if (style->colour && sequences[colour]) {
        g_string_append_printf(out, "%s%s\033[0m", sequences[colour], text);
    } else {
        g_string_append(out, text);
    }
}

// The length in bytes of as much of `text` as fits `columns`; `*used` is what it takes of them.
static size_t fitting_bytes(const char *text, int columns, int *used)
{
    const char *c = text;
    *used = 0;
    while (*c) {
        int next = char_columns(g_utf8_get_char(c));
        if (*used + next > columns) {
            break;
        }
        *used += next;
        c = g_utf8_next_char(c);
    }
    return (size_t)(c - text);
}

char *text_fit(const TextStyle *style, const char *text, int columns, bool right)
{
    GString *fitted = g_string_new(NULL);
    int used = text_columns(text);
    if (used <= columns) {
        g_string_append(fitted, text);
    } else if (columns > 0) {
        size_t length = fitting_bytes(text, columns - 1, &used);
        g_string_append_len(fitted, text, (gssize)length);
        g_string_append(fitted, style->unicode ? "\u2026" : "~");
        used++;
    }
    g_autofree char *padding = g_strnfill((gsize)MAX(columns - used, 0), ' ');
    g_string_insert(fitted, right ? 0 : -1, padding);
    return g_string_free(fitted, FALSE);
}

void text_append_wrapped(GString *out, const TextStyle *style, int indent, const char *text)
{
    int available = style->width == 0 ? G_MAXINT : MAX(style->width - indent, MIN_WRAP_COLUMNS);
    int used = 0;
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++) {
        int columns = text_columns(*word);
        if (used > 0 && columns + 1 > available - used) {
            g_string_append_printf(out, "\n%*s", indent, "");
            used = 0;
        } else if (used > 0) {
            g_string_append_c(out, ' ');
            used++;
        }
        g_string_append(out, *word);
        used += columns;
    }
}
