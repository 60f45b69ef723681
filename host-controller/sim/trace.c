// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/trace.h"

#include "protocol/error.h"
#include "protocol/json.h"

#include <string.h>

static void row_free(gpointer data)
{
    TraceRow *row = data;
    g_free(row->name);
    g_array_unref(row->permille);
    g_free(row);
}

void trace_clear(Trace *trace)
{
    g_clear_pointer(&trace->rows, g_ptr_array_unref);
}

static bool append_value(TraceRow *row, const char *text, GError **error)
{
    guint64 value;
    if (!g_ascii_string_to_unsigned(text, 10, 0, 1000, &value, NULL)) {
        g_autofree char *shown = json_text_for_people(text);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "'%s' is not a whole number from 0 to 1000", shown);
        return false;
    }
    int16_t permille = (int16_t)value;
    g_array_append_val(row->permille, permille);
    return true;
}

static bool append_row(Trace *trace, const char *line, GError **error)
{
    g_auto(GStrv) cells = g_strsplit(line, ",", -1);
    TraceRow *row = g_new0(TraceRow, 1);
    row->name = g_strdup(cells[0]);
    row->permille = g_array_new(FALSE, FALSE, sizeof(int16_t));
    g_ptr_array_add(trace->rows, row);
    for (guint i = 1; cells[i]; i++) {
        if (!append_value(row, cells[i], error)) {
            return false;
        }
    }
    const TraceRow *first = g_ptr_array_index(trace->rows, 0);
    if (row->permille->len == 0 || row->permille->len != first->permille->len) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "%u values, where the first row has %u", row->permille->len,
                    first->permille->len);
        return false;
    }
    return true;
}

bool trace_load(Trace *trace, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    trace->rows = g_ptr_array_new_with_free_func(row_free);
    if (!g_file_get_contents(path, &text, NULL, error)) {
        trace_clear(trace);
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        g_strchomp(lines[i]);
        if (lines[i][0] && !append_row(trace, lines[i], error)) {
            g_prefix_error(error, "%s: line %u: ", path, i + 1);
            trace_clear(trace);
            return false;
        }
    }
    if (trace->rows->len == 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "%s: no rows", path);
        trace_clear(trace);
        return false;
    }
    return true;
}
