// SPDX-License-Identifier: Apache-2.0
//
// Lines of text with colours, cut off at a width. Every character takes one column.
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum CanvasStyle {
    CANVAS_PLAIN,
    CANVAS_STRONG,
    CANVAS_FAINT,
    CANVAS_ALERT,
    CANVAS_GUEST_FIRST, // one for each of three guests
    CANVAS_USED = CANVAS_GUEST_FIRST + 3,
    CANVAS_AVAILABLE,
    CANVAS_BALLOON,
    CANVAS_TARGET,
    CANVAS_STYLE_COUNT
} CanvasStyle;

typedef struct Canvas {
    GString *text; // with escape sequences
    int width;
    bool colour;
    int column; // of the line being written
    int lines;
    CanvasStyle style;
} Canvas;

void canvas_init(Canvas *canvas, int width, bool colour);
void canvas_clear(Canvas *canvas);

// Adds text to the line; what goes past the width is left out.
void canvas_add(Canvas *canvas, CanvasStyle style, const char *text);
void G_GNUC_PRINTF(3, 4) canvas_format(Canvas *canvas, CanvasStyle style, const char *format, ...);
// Ends the line and clears the rest of it on the terminal.
void canvas_end_line(Canvas *canvas);
