// SPDX-License-Identifier: Apache-2.0
#include "tests/demo/picture.h"

#include "tests/demo/canvas.h"
#include "tests/support/deadline.h"

#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_US (100 * MS_US)
#define PLAIN_SIZES_US (500 * MS_US)
#define MARGIN 2
#define MIN_WIDTH 40
#define MAX_WIDTH 110
// Lines of a frame that are no events.
#define FIXED_LINES 16
#define MIN_EVENTS 2

#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h\033[0m"
// Synchronised output, where the terminal knows it: a frame appears at once.
#define BEGIN_FRAME "\033[?2026h"
#define END_FRAME "\033[?2026l"

typedef struct Shapes {
    const char *used;
    const char *available;
    const char *balloon;
    const char *target;
    const char *rule;
} Shapes;

static const Shapes block_shapes = {"█", "▒", "·", "┃", "─"};
static const Shapes letter_shapes = {"#", "=", ".", "|", "-"};

struct Picture {
    bool alive; // a terminal
    bool colour;
    const Shapes *shapes;
    int64_t last_shown_us;
    int last_lines;
    int last_width;
    uint64_t printed; // lines of the feed, when plain
};

// --- opening and closing ----------------------------------------------------------------------

static void write_all(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) {
            return; // nobody looks any more
        }
        text += written;
        length -= (size_t)written;
    }
}

Picture *picture_open(void)
{
    Picture *picture = g_new0(Picture, 1);
    const char *no_colour = g_getenv("NO_COLOR");
    picture->alive = isatty(STDOUT_FILENO) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
    picture->colour = picture->alive && (!no_colour || !*no_colour);
    picture->shapes = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? &block_shapes : &letter_shapes;
    picture->last_shown_us = -FRAME_US;
    if (picture->alive) {
        write_all(HIDE_CURSOR, strlen(HIDE_CURSOR));
    }
    return picture;
}

void picture_restore_terminal(void)
{
    if (isatty(STDOUT_FILENO)) {
        write_all(SHOW_CURSOR, strlen(SHOW_CURSOR));
    }
}

void picture_close(Picture *picture)
{
    if (!picture) {
        return;
    }
    if (picture->alive) {
        picture_restore_terminal();
    }
    g_free(picture);
}

// --- bars -------------------------------------------------------------------------------------

// `bytes` of `whole_bytes` as columns, rounded.
static int columns_of(int64_t bytes, int64_t whole_bytes, int columns)
{
    if (whole_bytes <= 0) {
        return 0;
    }
    int64_t result = (CLAMP(bytes, 0, whole_bytes) * columns + whole_bytes / 2) / whole_bytes;
    return (int)result;
}

static void draw_guest_bar(Canvas *canvas, const Shapes *shapes, const SceneGuest *guest,
                           int columns)
{
    int actual = columns_of(guest->actual_bytes, guest->size_bytes, columns);
    int used = columns_of(guest->used_bytes, guest->size_bytes, columns);
    int target = columns_of(guest->target_bytes, guest->size_bytes, columns);
    for (int i = 0; i < columns; i++) {
        if (guest->has_target && i == MIN(target, columns - 1)) {
            canvas_add(canvas, CANVAS_TARGET, shapes->target);
        } else if (i < MIN(used, actual)) {
            canvas_add(canvas, guest->stalls ? CANVAS_ALERT : CANVAS_USED, shapes->used);
        } else if (i < actual) {
            canvas_add(canvas, CANVAS_AVAILABLE, shapes->available);
        } else {
            canvas_add(canvas, CANVAS_BALLOON, shapes->balloon);
        }
    }
}

// A guest's part of the host's bar: its name on its colour, or between bars without colours.
static void draw_segment(Canvas *canvas, CanvasStyle style, const char *name, int columns)
{
    if (columns <= 0) {
        return;
    }
    g_autofree char *label = g_strdup_printf("%s%s", canvas->colour ? " " : "[", name);
    g_autofree char *padded = g_strdup_printf("%-*.*s", columns, columns, label);
    if (!canvas->colour) {
        padded[columns - 1] = ']';
    }
    canvas_add(canvas, style, padded);
}

static void draw_host_bar(Canvas *canvas, const Shapes *shapes, const Scene *scene, int columns)
{
    int64_t whole_bytes = MAX(scene->budget_bytes, scene->sum_actual_bytes);
    int64_t end_bytes = 0;
    int begin = 0;
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        end_bytes += scene->guests[i].actual_bytes;
        int end = columns_of(end_bytes, whole_bytes, columns);
        draw_segment(canvas, CANVAS_GUEST_FIRST + (CanvasStyle)i, vm_name(scene->guests[i].vm),
                     end - begin);
        begin = end;
    }
    for (; begin < columns; begin++) {
        canvas_add(canvas, CANVAS_BALLOON, shapes->balloon);
    }
}

// --- a frame ----------------------------------------------------------------------------------

static void draw_title(Canvas *canvas, const Shapes *shapes, const Scene *scene)
{
    canvas_format(canvas, CANVAS_STRONG, "aerostat  %5.1f s  ", (double)scene->now_us / 1e6);
    canvas_add(canvas, CANVAS_PLAIN, scene->headline ? scene->headline : "");
    canvas_end_line(canvas);
    for (int i = 0; i < canvas->width; i++) {
        canvas_add(canvas, CANVAS_FAINT, shapes->rule);
    }
    canvas_end_line(canvas);
}

static void draw_host(Canvas *canvas, const Shapes *shapes, const Scene *scene)
{
    int64_t free_bytes = scene->budget_bytes - scene->sum_actual_bytes;
    canvas_format(canvas, CANVAS_STRONG, "host    ");
    canvas_format(canvas, CANVAS_PLAIN,
                  "budget %4" G_GINT64_FORMAT "   guests have %4" G_GINT64_FORMAT,
                  scene->budget_bytes / MIB, scene->sum_actual_bytes / MIB);
    canvas_format(canvas, free_bytes < 0 ? CANVAS_ALERT : CANVAS_PLAIN,
                  "   %4" G_GINT64_FORMAT " MiB %s", ABS(free_bytes) / MIB,
                  free_bytes < 0 ? "too much" : "left");
    canvas_end_line(canvas);
    canvas_add(canvas, CANVAS_PLAIN, "  ");
    draw_host_bar(canvas, shapes, scene, canvas->width - 2 * MARGIN);
    canvas_end_line(canvas);
    canvas_end_line(canvas);
}

static void draw_guest(Canvas *canvas, const Shapes *shapes, const SceneGuest *guest)
{
    canvas_format(canvas, CANVAS_STRONG, "%-7s ", vm_name(guest->vm));
    canvas_format(canvas, guest->settled ? CANVAS_FAINT : CANVAS_STRONG, "%-10s", guest->state);
    if (guest->has_report) {
        canvas_format(canvas, CANVAS_USED, " used %3" G_GINT64_FORMAT, guest->used_bytes / MIB);
        canvas_format(canvas, CANVAS_AVAILABLE, "  available %3" G_GINT64_FORMAT,
                      guest->available_bytes / MIB);
    }
    if (guest->has_target) {
        canvas_format(canvas, CANVAS_TARGET, "  target %3" G_GINT64_FORMAT,
                      guest->target_bytes / MIB);
    }
    canvas_format(canvas, CANVAS_BALLOON, "  balloon %3" G_GINT64_FORMAT " MiB",
                  (guest->size_bytes - guest->actual_bytes) / MIB);
    canvas_end_line(canvas);
    canvas_add(canvas, CANVAS_PLAIN, "  ");
    draw_guest_bar(canvas, shapes, guest, canvas->width - 2 * MARGIN);
    canvas_end_line(canvas);
    canvas_end_line(canvas);
}

static void draw_legend(Canvas *canvas, const Shapes *shapes)
{
    canvas_format(canvas, CANVAS_USED, "  %s used", shapes->used);
    canvas_format(canvas, CANVAS_AVAILABLE, "   %s available", shapes->available);
    canvas_format(canvas, CANVAS_BALLOON, "   %s in the balloon", shapes->balloon);
    canvas_format(canvas, CANVAS_TARGET, "   %s target", shapes->target);
    canvas_end_line(canvas);
    canvas_end_line(canvas);
}

static void draw_feed(Canvas *canvas, const Feed *feed, int lines)
{
    int first = MAX((int)feed->count - lines, 0);
    for (int i = first; i < first + lines; i++) {
        if (i < (int)feed->count) {
            const FeedLine *line = &feed->lines[i];
            canvas_format(canvas, CANVAS_FAINT, "%7.2f s  ", (double)line->began_us / 1e6);
            canvas_format(canvas, CANVAS_STRONG, "%-7s", line->guest ? line->guest : "");
            canvas_add(canvas, line->guest ? CANVAS_PLAIN : CANVAS_STRONG, line->text);
        }
        canvas_end_line(canvas);
    }
}

static void draw_frame(Picture *picture, const Scene *scene)
{
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    int width = CLAMP(size.ws_col, MIN_WIDTH, MAX_WIDTH);
    int events = CLAMP(size.ws_row - FIXED_LINES - 1, MIN_EVENTS, FEED_LINES);

    Canvas canvas;
    canvas_init(&canvas, width, picture->colour);
    draw_title(&canvas, picture->shapes, scene);
    draw_host(&canvas, picture->shapes, scene);
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        draw_guest(&canvas, picture->shapes, &scene->guests[i]);
    }
    draw_legend(&canvas, picture->shapes);
    draw_feed(&canvas, &scene->feed, events);

    g_autoptr(GString) frame = g_string_new(BEGIN_FRAME);
    if (picture->last_lines > 0 && width == picture->last_width &&
        canvas.lines == picture->last_lines) {
        g_string_append_printf(frame, "\033[%dA\r", picture->last_lines);
    } else if (picture->last_lines > 0) {
        // Another size: what is there has been wrapped.
        g_string_append(frame, "\033[2J\033[H");
    }
    g_string_append_len(frame, canvas.text->str, (gssize)canvas.text->len);
    g_string_append(frame, END_FRAME);
    write_all(frame->str, frame->len);
    picture->last_lines = canvas.lines;
    picture->last_width = width;
    canvas_clear(&canvas);
}

// --- plain lines ------------------------------------------------------------------------------

// Prints what is new. A line that may still change waits, and with it those after it: false then.
static bool print_feed(Picture *picture, const Scene *scene)
{
    const Feed *feed = &scene->feed;
    uint64_t waiting = MIN(feed->total - picture->printed, feed->count);
    picture->printed = feed->total - waiting;
    for (uint64_t i = feed->count - waiting; i < feed->count; i++) {
        const FeedLine *line = &feed->lines[i];
        if (!feed_line_is_final(line, scene->now_us)) {
            return false;
        }
        printf("%7.2f s  %-7s%s\n", (double)line->began_us / 1e6, line->guest ? line->guest : "",
               line->text);
        picture->printed++;
    }
    return true;
}

static void print_sizes(const Scene *scene)
{
    printf("%7.2f s  guests have", (double)scene->now_us / 1e6);
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        const SceneGuest *guest = &scene->guests[i];
        printf("  %s %" G_GINT64_FORMAT " (%" G_GINT64_FORMAT " available)", vm_name(guest->vm),
               guest->actual_bytes / MIB, guest->available_bytes / MIB);
    }
    printf("  of %" G_GINT64_FORMAT " MiB\n", scene->budget_bytes / MIB);
}

static void show_lines(Picture *picture, const Scene *scene)
{
    bool in_order = print_feed(picture, scene);
    if (in_order && scene->now_us - picture->last_shown_us >= PLAIN_SIZES_US) {
        picture->last_shown_us = scene->now_us;
        print_sizes(scene);
    }
    fflush(stdout);
}

void picture_show(Picture *picture, const Scene *scene)
{
    if (!picture->alive) {
        show_lines(picture, scene);
    } else if (scene->now_us - picture->last_shown_us >= FRAME_US) {
        picture->last_shown_us = scene->now_us;
        draw_frame(picture, scene);
    }
}
