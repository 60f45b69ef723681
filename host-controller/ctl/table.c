// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/table.h"

#define GAP_COLUMNS 2
// The first column is not cut below this, however narrow the terminal.
#define MIN_FIRST_COLUMNS 4

typedef struct Cell {
    char *text;
    TextColour colour;
} Cell;

struct Table {
    const TableColumn *columns;
    guint column_count;
    GArray *cells; // Cell, row by row; all rows complete when drawn
};

static void clear_cell(gpointer cell)
{
    g_free(((Cell *)cell)->text);
}

Table *table_new(const TableColumn *columns, guint column_count)
{
    Table *table = g_new0(Table, 1);
    table->columns = columns;
    table->column_count = column_count;
    table->cells = g_array_new(FALSE, FALSE, sizeof(Cell));
    g_array_set_clear_func(table->cells, clear_cell);
    return table;
}

void table_free(Table *table)
{
    if (table) {
        g_array_unref(table->cells);
        g_free(table);
    }
}

void table_add(Table *table, char *text, TextColour colour)
{
    Cell cell = {.text = text, .colour = colour};
    g_array_append_val(table->cells, cell);
}

// --- fitting ----------------------------------------------------------------------------------

// The width of each column; -1 marks one that is left out.
static GArray *natural_widths(const Table *table)
{
    GArray *widths = g_array_sized_new(FALSE, FALSE, sizeof(int), table->column_count);
    for (guint i = 0; i < table->column_count; i++) {
        int width = text_columns(table->columns[i].title);
        g_array_append_val(widths, width);
    }
    for (guint row = 0; row < table->cells->len; row += table->column_count) {
        for (guint column = 0; column < table->column_count; column++) {
            const Cell *cell = &g_array_index(table->cells, Cell, row + column);
            int *width = &g_array_index(widths, int, column);
            *width = MAX(*width, text_columns(cell->text));
        }
    }
    return widths;
}

static int total_width(const GArray *widths)
{
    int total = -GAP_COLUMNS;
    for (guint i = 0; i < widths->len; i++) {
        int width = g_array_index(widths, int, i);
        total += width < 0 ? 0 : width + GAP_COLUMNS;
    }
    return total;
}

static bool drop_most_spare(const Table *table, GArray *widths)
{
    guint most = 0;
    int most_spare = 0;
    for (guint i = 0; i < widths->len; i++) {
        if (g_array_index(widths, int, i) >= 0 && table->columns[i].spare > most_spare) {
            most = i;
            most_spare = table->columns[i].spare;
        }
    }
    g_array_index(widths, int, most) = most_spare > 0 ? -1 : g_array_index(widths, int, most);
    return most_spare > 0;
}

static void fit_widths(const Table *table, int width, GArray *widths)
{
    while (total_width(widths) > width && drop_most_spare(table, widths)) {
    }
    int excess = total_width(widths) - width;
    int *first = &g_array_index(widths, int, 0);
    if (excess > 0) {
        *first = MAX(*first - excess, MIN(*first, MIN_FIRST_COLUMNS));
    }
}

// --- drawing ----------------------------------------------------------------------------------

typedef struct Drawing {
    const Table *table;
    const TextStyle *style;
    const GArray *widths;
    guint last; // rightmost column shown: nothing follows its text
    GString *out;
} Drawing;

static void draw_cell(const Drawing *drawing, guint column, const char *text, TextColour colour)
{
    int width = g_array_index(drawing->widths, int, column);
    if (width < 0) {
        return;
    }
    g_autofree char *fitted =
        text_fit(drawing->style, text, width, drawing->table->columns[column].right);
    if (column == drawing->last) {
        g_strchomp(fitted);
    }
    text_append_coloured(drawing->out, drawing->style, colour, fitted);
    g_string_append_printf(drawing->out, "%*s", column == drawing->last ? 0 : GAP_COLUMNS, "");
}

void table_render(const Table *table, const TextStyle *style, GString *out)
{
    g_autoptr(GArray) widths = natural_widths(table);
    if (style->width > 0) {
        fit_widths(table, style->width, widths);
    }
    Drawing drawing = {.table = table, .style = style, .widths = widths, .out = out};
    for (guint column = 0; column < table->column_count; column++) {
        if (g_array_index(widths, int, column) >= 0) {
            drawing.last = column;
        }
    }
    for (guint column = 0; column < table->column_count; column++) {
        draw_cell(&drawing, column, table->columns[column].title, TEXT_HEADING);
    }
    g_string_append_c(out, '\n');
    for (guint row = 0; row < table->cells->len; row += table->column_count) {
        for (guint column = 0; column < table->column_count; column++) {
            const Cell *cell = &g_array_index(table->cells, Cell, row + column);
            draw_cell(&drawing, column, cell->text, cell->colour);
        }
        g_string_append_c(out, '\n');
    }
}
