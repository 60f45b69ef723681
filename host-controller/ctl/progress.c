// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/progress.h"

#include "host-controller/ctl/render.h"
#include "protocol/units.h"

// A bar narrower than this shows nothing; a wider one than that needs turning one's head.
#define MIN_BAR_COLUMNS 8
#define MAX_BAR_COLUMNS 40
// A terminal that does not say how wide it is.
#define FALLBACK_WIDTH 80

int progress_permille(const Progress *progress)
{
    double way = (double)(progress->target_bytes - progress->from_bytes);
    double done = (double)(progress->actual_bytes - progress->from_bytes);
    return way == 0 ? 1000 : (int)(CLAMP(done / way, 0.0, 1.0) * 1000);
}

static void append_bar(GString *out, const TextStyle *style, int columns, int permille)
{
    int full = columns * permille / 1000;
    g_autoptr(GString) bar = g_string_new(NULL);
    for (int i = 0; i < full; i++) {
        g_string_append(bar, style->unicode ? "\u2588" : "#");
    }
    text_append_coloured(out, style, TEXT_ACTIVE, bar->str);
    for (int i = full; i < columns; i++) {
        g_string_append(out, style->unicode ? "\u2591" : "-");
    }
}

void progress_render(const Progress *progress, const TextStyle *style, GString *out)
{
    char actual[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    g_autofree char *elapsed = render_duration(progress->elapsed_us);
    g_autofree char *before =
        g_strdup_printf("%s %s ", progress->name, size_format(progress->actual_bytes, actual));
    g_autofree char *after = g_strdup_printf(
        " %s  %s  %s", size_format(progress->target_bytes, target), elapsed, progress->note);

    // The last column stays free: writing to it makes some terminals break the line.
    int width = (style->width > 0 ? style->width : FALLBACK_WIDTH) - 1;
    int bar_columns = MIN(width - text_columns(before) - text_columns(after), MAX_BAR_COLUMNS);
    if (bar_columns >= MIN_BAR_COLUMNS) {
        g_string_append(out, before);
        append_bar(out, style, bar_columns, progress_permille(progress));
        g_string_append(out, after);
        return;
    }
    g_autofree char *words = g_strdup_printf("%s/%s", before, after);
    g_autofree char *fitted = text_fit(style, words, MIN(width, text_columns(words)), false);
    g_string_append(out, fitted);
}
