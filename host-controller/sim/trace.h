// SPDX-License-Identifier: Apache-2.0
//
// A trace of memory use: a CSV file, one row a machine, its name and then its use in permille of
// its size at equal steps.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct TraceRow {
    char *name;
    GArray *permille; // of int16_t
} TraceRow;

typedef struct Trace {
    GPtrArray *rows; // of TraceRow *
} Trace;

// Reads a trace. What is wrong with the file (a value that is no number from 0 to 1000, a row
// without values or of another length than the first, no rows) is PROTOCOL_ERROR_INVALID and names
// the line.
bool trace_load(Trace *trace, const char *path, GError **error);
void trace_clear(Trace *trace);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Trace, trace_clear)
