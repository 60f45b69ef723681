// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/top-render.h"

#include "host-controller/ctl/render.h"
#include "protocol/units.h"

#include <string.h>

// Rows that are no guests: title, host, legend, heading; and the events with their rule, of which
// there are fewer on a low screen.
#define HEAD_ROWS 4
#define MOST_EVENTS 6
#define MIN_GUEST_ROWS 4

// Columns of the words, and what a bar and the course need at least.
#define NAME_COLUMNS 14
#define WIDE_NAME_COLUMNS 28
#define STATE_COLUMNS 13
#define SIZE_COLUMNS 9
#define PRESSURE_COLUMNS 8
#define MIN_BAR_COLUMNS 7
#define MIN_COURSE_COLUMNS 10
#define WIDE_COLUMNS 110

typedef struct Screen {
    const TopModel *model;
    const TextStyle *style;
    int rows;
    int row;  // being written
    int left; // columns that are left in it
    GArray *spans;
} Screen;

// How many columns each part of a guest's row has; 0: it is left out.
typedef struct Layout {
    int name;
    int state;
    int size; // of actual and target each
    int pressure;
    int bar;
    int course;
} Layout;

// --- writing ----------------------------------------------------------------------------------

static void clear_span(void *span)
{
    g_free(((TopSpan *)span)->text);
}

static void next_row(Screen *screen)
{
    screen->row++;
    screen->left = screen->style->width;
}

// Writes `text`, cut where the row ends.
static void write_text(Screen *screen, TextColour colour, const char *text)
{
    int columns = MIN(text_columns(text), screen->left);
    if (columns == 0 || screen->row >= screen->rows) {
        return;
    }
    TopSpan span = {.row = screen->row, .colour = colour};
    span.text = text_fit(screen->style, text, columns, false);
    screen->left -= columns;
    g_array_append_val(screen->spans, span);
}

// Writes `text` in a column so wide, with a blank behind it.
static void write_cell(Screen *screen, TextColour colour, const char *text, int columns, bool right)
{
    if (columns > 0) {
        g_autofree char *fitted = text_fit(screen->style, text, columns - 1, right);
        write_text(screen, colour, fitted);
        write_text(screen, TEXT_PLAIN, " ");
    }
}

static void write_repeated(Screen *screen, TextColour colour, const char *sign, int count)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < count; i++) {
        g_string_append(text, sign);
    }
    write_text(screen, colour, text->str);
}

// --- rows and columns -------------------------------------------------------------------------

static int event_rows(int rows)
{
    return CLAMP(rows - HEAD_ROWS - MIN_GUEST_ROWS - 1, 0, MOST_EVENTS);
}

guint top_visible_guests(int rows)
{
    int events = event_rows(rows);
    return (guint)MAX(rows - HEAD_ROWS - events - (events > 0), 0);
}

// The bar and the course share what the words leave; on a narrow screen they go first.
static Layout lay_out(int width)
{
    Layout layout = {
        .name = width >= WIDE_COLUMNS ? WIDE_NAME_COLUMNS : NAME_COLUMNS,
        .state = STATE_COLUMNS,
        .size = SIZE_COLUMNS,
        .pressure = PRESSURE_COLUMNS,
    };
    int left = width - layout.name - layout.state - 2 * layout.size - layout.pressure;
    if (left < 0) {
        left += layout.pressure;
        layout.pressure = 0;
    }
    if (left >= MIN_BAR_COLUMNS + MIN_COURSE_COLUMNS) {
        layout.course = MAX(left * 2 / 5, MIN_COURSE_COLUMNS);
        layout.bar = left - layout.course;
    } else if (left >= MIN_BAR_COLUMNS) {
        layout.bar = left;
    }
    return layout;
}

// --- bars -------------------------------------------------------------------------------------

typedef struct Shapes {
    const char *used;
    const char *cache;
    const char *free;
    const char *unknown;
    const char *ballooned;
    const char *rule;
    const char *levels[8];
} Shapes;

static const Shapes *shapes_of(const TextStyle *style)
{
    static const Shapes blocks = {
        "\u2588",
        "\u2593",
        "\u2591",
        "?",
        "\u00b7",
        "\u2500",
        {"\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"}};
    static const Shapes letters = {
        "#", "=", "-", "?", ".", "-", {"_", ".", ":", "-", "=", "+", "*", "#"}};
    return style->unicode ? &blocks : &letters;
}

typedef struct BarPart {
    TextColour colour;
    const char *sign;
    int64_t bytes;
} BarPart;

// Each part ends at its rounded place, so that the whole is exactly `columns` wide.
static void write_bar(Screen *screen, const BarPart *parts, size_t count, int64_t whole_bytes,
                      int columns)
{
    int64_t sum_bytes = 0;
    int written = 0;
    for (size_t i = 0; i < count; i++) {
        sum_bytes += parts[i].bytes;
        double share = (double)sum_bytes / (double)MAX(whole_bytes, 1);
        int end = CLAMP((int)(share * columns + 0.5), written, columns);
        write_repeated(screen, parts[i].colour, parts[i].sign, end - written);
        written = end;
    }
    write_repeated(screen, TEXT_PLAIN, " ", columns - written);
}

static void write_memory(Screen *screen, const json_t *guest, int columns)
{
    const Shapes *shapes = shapes_of(screen->style);
    TopMemory memory = top_memory_of(guest);
    const BarPart parts[] = {
        {TEXT_ACTIVE, shapes->used, memory.used_bytes},
        {TEXT_PLAIN, shapes->cache, memory.cache_bytes},
        {TEXT_QUIET, shapes->free, memory.free_bytes},
        {TEXT_QUIET, shapes->unknown, memory.unknown_bytes},
        {TEXT_QUIET, shapes->ballooned, memory.ballooned_bytes},
    };
    write_bar(screen, parts, G_N_ELEMENTS(parts), memory.size_bytes, columns - 1);
    write_text(screen, TEXT_PLAIN, " ");
}

// The most that was in use during a few refreshes; -1: not known.
static int most_used(const TopHistory *history, uint64_t from, uint64_t until)
{
    int most = -1;
    for (uint64_t i = from; i < until; i++) {
        most = MAX(most, history->use_permille[i % TOP_SAMPLES]);
    }
    return most;
}

// What was in use over the last minutes. A column stands for the same few refreshes as long as it
// is shown, so that the course moves to the left and changes nowhere else.
static void write_course(Screen *screen, const json_t *guest, int columns)
{
    const TopModel *model = screen->model;
    const char *name = json_string_value(json_object_get(guest, "name"));
    const TopHistory *history = g_hash_table_lookup(model->histories, name ? name : "");
    uint64_t step = (uint64_t)(TOP_SAMPLES / columns + 1);
    uint64_t end = (model->refreshes + step - 1) / step;
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = columns; history && i > 0; i--) {
        uint64_t column = end - (uint64_t)i;
        int most = end < (uint64_t)i ? -1
                                     : most_used(history, column * step,
                                                 MIN((column + 1) * step, model->refreshes));
        g_string_append(text,
                        most < 0 ? " " : shapes_of(screen->style)->levels[MIN(most / 125, 7)]);
    }
    write_text(screen, TEXT_ACTIVE, text->str);
}

// --- the head ---------------------------------------------------------------------------------

// Writes a field, which it takes over, unless it does not fit whole: then it is left out with all
// that follow in the row.
static void write_field(Screen *screen, TextColour colour, char *text)
{
    g_autofree char *field = text;
    if (text_columns(field) > screen->left) {
        screen->left = 0;
    }
    write_text(screen, colour, field);
    write_text(screen, TEXT_PLAIN, "  ");
}

static void write_title(Screen *screen)
{
    const TopModel *model = screen->model;
    g_autofree char *version = render_word(model->status, "version");
    g_autofree char *mode = render_word(model->status, "mode");
    g_autofree char *uptime =
        render_duration(json_integer_value(json_object_get(model->status, "uptime-us")));
    write_field(screen, TEXT_HEADING, g_strdup_printf("aerostat %s", version));
    write_field(screen, TEXT_HEADING, g_steal_pointer(&mode));
    write_field(screen, TEXT_HEADING,
                g_strdup_printf("%" JSON_INTEGER_FORMAT " guests, %" JSON_INTEGER_FORMAT
                                " reporting",
                                json_integer_value(json_object_get(model->status, "guests")),
                                json_integer_value(json_object_get(model->status, "reporting"))));
    write_field(screen, TEXT_HEADING, g_strdup_printf("up %s", uptime));
    next_row(screen);
}

static void write_host(Screen *screen)
{
    const TopModel *model = screen->model;
    if (model->notice) {
        write_text(screen, TEXT_ALARM, model->notice);
        next_row(screen);
        return;
    }
    g_autofree char *budget = render_size(model->host, "budget");
    g_autofree char *held = render_size(model->host, "sum-actual");
    g_autofree char *target = render_size(model->host, "sum-target");
    g_autofree char *available = render_size(model->host, "available");
    bool over = json_is_true(json_object_get(model->host, "overcommitted"));
    write_text(screen, over ? TEXT_ALARM : TEXT_PLAIN, over ? "OVERCOMMITTED  " : "");
    write_field(screen, TEXT_PLAIN, g_strdup_printf("budget %s", budget));
    write_field(screen, TEXT_PLAIN, g_strdup_printf("held %s", held));
    write_field(screen, TEXT_PLAIN, g_strdup_printf("host available %s", available));
    write_field(screen, TEXT_PLAIN, g_strdup_printf("to be held %s", target));
    next_row(screen);
}

// The order of the guests among all there are; by itself where they do not fit.
static void write_sorts(Screen *screen)
{
    int columns = 0;
    write_text(screen, TEXT_QUIET, "sort ");
    for (TopSort sort = 0; sort < TOP_SORT_COUNT; sort++) {
        columns += text_columns(top_sort_name(sort)) + 1;
    }
    bool all = columns <= screen->left;
    for (TopSort sort = 0; sort < TOP_SORT_COUNT; sort++) {
        bool chosen = sort == screen->model->sort;
        if (all || chosen) {
            write_text(screen, chosen ? TEXT_HEADING : TEXT_QUIET, top_sort_name(sort));
            write_text(screen, TEXT_QUIET, " ");
        }
    }
}

// What the bars mean, where there are any.
static void write_legend(Screen *screen, const Layout *layout)
{
    const Shapes *shapes = shapes_of(screen->style);
    if (layout->bar > 0) {
        g_autofree char *shown =
            g_strdup_printf("%s in use %s cache %s free %s balloon  ", shapes->used, shapes->cache,
                            shapes->free, shapes->ballooned);
        write_text(screen, TEXT_QUIET, shown);
    }
    write_sorts(screen);
    next_row(screen);
}

static void write_heading(Screen *screen, const Layout *layout)
{
    write_cell(screen, TEXT_HEADING, "NAME", layout->name, false);
    write_cell(screen, TEXT_HEADING, "STATE", layout->state, false);
    write_cell(screen, TEXT_HEADING, "ACTUAL", layout->size, true);
    write_cell(screen, TEXT_HEADING, "TARGET", layout->size, true);
    write_cell(screen, TEXT_HEADING, "STALL", layout->pressure, true);
    write_cell(screen, TEXT_HEADING, "MEMORY", layout->bar, false);
    write_cell(screen, TEXT_HEADING, "LAST 4 MIN", layout->course + (layout->course > 0), false);
    next_row(screen);
}

// --- guests -----------------------------------------------------------------------------------

static void write_guest(Screen *screen, const json_t *guest, const Layout *layout)
{
    const json_t *some =
        json_object_get(json_object_get(json_object_get(guest, "report"), "pressure"), "some");
    json_int_t permyriad = json_integer_value(json_object_get(some, "avg10-permyriad"));
    g_autofree char *name = render_word(guest, "name");
    g_autofree char *state = render_word(guest, "state");
    g_autofree char *actual = render_size(guest, "actual");
    g_autofree char *target = render_size(guest, "target");
    g_autofree char *pressure =
        some ? g_strdup_printf("%.1f %%", (double)permyriad / 100) : g_strdup("-");
    write_cell(screen, TEXT_PLAIN, name, layout->name, false);
    write_cell(screen, render_state_colour(state), state, layout->state, false);
    write_cell(screen, TEXT_PLAIN, actual, layout->size, true);
    write_cell(screen, TEXT_PLAIN, target, layout->size, true);
    write_cell(screen, permyriad > 0 ? TEXT_ALARM : TEXT_PLAIN, pressure, layout->pressure, true);
    if (layout->bar > 0) {
        write_memory(screen, guest, layout->bar);
    }
    if (layout->course > 0) {
        write_course(screen, guest, layout->course);
    }
    next_row(screen);
}

static void write_guests(Screen *screen, const Layout *layout)
{
    const TopModel *model = screen->model;
    guint visible = top_visible_guests(screen->rows);
    guint last_first = model->guests->len > visible ? model->guests->len - visible : 0;
    guint first = MIN(model->first, last_first);
    write_heading(screen, layout);
    for (guint i = first; i < model->guests->len && i < first + visible; i++) {
        write_guest(screen, g_ptr_array_index(model->guests, i), layout);
    }
}

// --- events -----------------------------------------------------------------------------------

static void write_rule(Screen *screen)
{
    const TopModel *model = screen->model;
    guint visible = top_visible_guests(screen->rows);
    g_autofree char *place = g_strdup("");
    if (model->guests->len > visible) {
        guint first = MIN(model->first, model->guests->len - visible);
        g_free(place);
        place = g_strdup_printf(" guests %u to %u of %u ", first + 1, first + visible,
                                model->guests->len);
    }
    write_repeated(screen, TEXT_QUIET, shapes_of(screen->style)->rule, 2);
    write_text(screen, TEXT_QUIET, place);
    write_repeated(screen, TEXT_QUIET, shapes_of(screen->style)->rule, screen->left);
    next_row(screen);
}

static void write_events(Screen *screen)
{
    const TextStyle plain = {.width = screen->style->width, .unicode = screen->style->unicode};
    int rows = event_rows(screen->rows);
    if (rows == 0) {
        return;
    }
    screen->row = screen->rows - rows - 1;
    screen->left = screen->style->width;
    write_rule(screen);
    const GList *link = screen->model->events.tail;
    for (int i = 1; link && link->prev && i < rows; i++) {
        link = link->prev;
    }
    for (; link; link = link->next) {
        g_autoptr(GString) line = g_string_new(NULL);
        render_event(link->data, &plain, line);
        g_strchomp(line->str);
        write_text(screen, TEXT_PLAIN, line->str);
        next_row(screen);
    }
}

GArray *top_render(const TopModel *model, const TextStyle *style, int rows)
{
    Screen screen = {
        .model = model,
        .style = style,
        .rows = rows,
        .left = style->width,
        .spans = g_array_new(FALSE, FALSE, sizeof(TopSpan)),
    };
    g_array_set_clear_func(screen.spans, clear_span);
    write_title(&screen);
    write_host(&screen);
    Layout layout = lay_out(style->width);
    write_legend(&screen, &layout);
    write_guests(&screen, &layout);
    write_events(&screen);
    return screen.spans;
}
