// SPDX-License-Identifier: Apache-2.0
#include "tests/demo/canvas.h"

// SGR parameters (ECMA-48, 8.3.117).
static const char *const style_codes[CANVAS_STYLE_COUNT] = {
    [CANVAS_PLAIN] = "0",
    [CANVAS_STRONG] = "0;1",
    [CANVAS_FAINT] = "0;2",
    [CANVAS_ALERT] = "0;1;31",
    [CANVAS_GUEST_FIRST] = "0;30;44",
    [CANVAS_GUEST_FIRST + 1] = "0;30;43",
    [CANVAS_GUEST_FIRST + 2] = "0;30;46",
    [CANVAS_USED] = "0;33",
    [CANVAS_AVAILABLE] = "0;32",
    [CANVAS_BALLOON] = "0;2",
    [CANVAS_TARGET] = "0;1;35",
};

void canvas_init(Canvas *canvas, int width, bool colour)
{
    *canvas = (Canvas){.text = g_string_new(NULL), .width = width, .colour = colour};
}

void canvas_clear(Canvas *canvas)
{
    g_string_free(canvas->text, TRUE);
    *canvas = (Canvas){0};
}

static void set_style(Canvas *canvas, CanvasStyle style)
{
    if (canvas->colour && style != canvas->style) {
        g_string_append_printf(canvas->text, "\033[%sm", style_codes[style]);
    }
    canvas->style = style;
}

void canvas_add(Canvas *canvas, CanvasStyle style, const char *text)
{
    set_style(canvas, style);
    for (const char *c = text; *c && canvas->column < canvas->width; c = g_utf8_next_char(c)) {
        g_string_append_len(canvas->text, c, g_utf8_next_char(c) - c);
        canvas->column++;
    }
}

void canvas_format(Canvas *canvas, CanvasStyle style, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    g_autofree char *text = g_strdup_vprintf(format, values);
    va_end(values);
    canvas_add(canvas, style, text);
}

void canvas_end_line(Canvas *canvas)
{
    set_style(canvas, CANVAS_PLAIN);
    g_string_append(canvas->text, "\033[K\n");
    canvas->column = 0;
    canvas->lines++;
}
