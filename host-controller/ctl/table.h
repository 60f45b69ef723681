// SPDX-License-Identifier: Apache-2.0
//
// An aligned table that fits the terminal: columns that matter less go first, then the first column
// is cut.
#pragma once

#include "host-controller/ctl/text.h"

typedef struct TableColumn {
    const char *title;
    bool right; // aligned to the right, as numbers are
    int spare;  // 0: always shown; of the others the highest is left out first
} TableColumn;

typedef struct Table Table;

// An empty table. `columns` must outlive it.
Table *table_new(const TableColumn *columns, guint column_count);
void table_free(Table *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

// Adds the next cell, row by row and from left to right; takes over `text`.
void table_add(Table *table, char *text, TextColour colour);

// Appends the table with its titles, each row on a line.
void table_render(const Table *table, const TextStyle *style, GString *out);
