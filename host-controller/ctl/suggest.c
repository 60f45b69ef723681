// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/suggest.h"

#include "protocol/limits.h"

#include <stdbool.h>
#include <string.h>

#define MAX_SUGGESTIONS 3

// How many characters have to be added, removed or replaced to turn `a` into `b` (Levenshtein's
// distance, one row at a time), letter case not counting; G_MAXUINT when one is too long for a
// name.
static guint edit_distance(const char *a, const char *b)
{
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    guint row[LIMIT_NAME_BYTES + 1];
    if (a_length > LIMIT_NAME_BYTES || b_length > LIMIT_NAME_BYTES) {
        return G_MAXUINT;
    }
    for (guint j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        guint diagonal = row[0];
        row[0] = (guint)i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = g_ascii_tolower(a[i - 1]) == g_ascii_tolower(b[j - 1]);
            guint replaced = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

GPtrArray *suggest_names(const char *typed, const GPtrArray *names)
{
    GPtrArray *near = g_ptr_array_new();
    // Two slips, or a third of a long name, are a slip; more are another name.
    guint max_distance = (guint)MAX(2, strlen(typed) / 3);
    for (guint distance = 0; distance <= max_distance; distance++) {
        for (guint i = 0; i < names->len && near->len < MAX_SUGGESTIONS; i++) {
            char *name = g_ptr_array_index(names, i);
            // A short name is not meant by each other short name.
            if (edit_distance(typed, name) == distance && distance < strlen(name)) {
                g_ptr_array_add(near, name);
            }
        }
    }
    return near;
}
