// SPDX-License-Identifier: Apache-2.0
//
// Text on a terminal: columns counted, not bytes.
#pragma once

#include <glib.h>
#include <stdbool.h>

// What the place a text is shown at can do.
typedef struct TextStyle {
    int width;    // columns, 0: unlimited
    bool colour;  // understands colours
    bool unicode; // shows more than ASCII
} TextStyle;

// Colours by meaning.
typedef enum TextColour {
    TEXT_PLAIN,
    TEXT_HEADING,
    TEXT_QUIET,
    TEXT_ACTIVE,
    TEXT_WARNING,
    TEXT_ALARM,
} TextColour;

// How many columns `text` takes; it is valid UTF-8 without control characters.
int text_columns(const char *text);

// Appends `text` in `colour`, if the style has colours.
void text_append_coloured(GString *out, const TextStyle *style, TextColour colour,
                          const char *text);

// `text` made exactly `columns` wide: padded on its left (`right` aligned) or right, or cut with an
// ellipsis. New string.
char *text_fit(const TextStyle *style, const char *text, int columns, bool right);

// Appends `text` broken at blanks so that it stays within the style's width. The first line starts
// at column `indent`, where the caller has already got to; later ones are indented up to it.
void text_append_wrapped(GString *out, const TextStyle *style, int indent, const char *text);
