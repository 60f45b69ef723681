// SPDX-License-Identifier: Apache-2.0
//
// Members of structures as members of JSON objects, by table: the journal's writer and its reader
// walk the same one, so that they cannot differ.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// How a member is kept, and what may be read into it. Sizes and times are int64_t.
typedef enum JournalKind {
    JOURNAL_KIND_ANY,   // every int64_t: whoever uses it brings it into range
    JOURNAL_KIND_COUNT, // 0 to 2^62
    JOURNAL_KIND_BYTES, // 0 to POLICY_MAX_BYTES
    JOURNAL_KIND_SHIFT, // an int, 0 to 62
    JOURNAL_KIND_BOOL,
    JOURNAL_KIND_BOUND, // a PolicyBound, by its name
    JOURNAL_KIND_MODE,  // a ControllerMode, by its name
} JournalKind;

typedef struct JournalField {
    const char *name; // NULL ends a table
    JournalKind kind;
    size_t offset;
} JournalField;

// Appends `"name":value` for each member of `now` that differs from the same member of `before`,
// with commas between them.
void journal_fields_append(GString *out, const JournalField *fields, const void *before,
                           const void *now);

// Reads the members that `object` has into `target` and leaves the others. PROTOCOL_ERROR_INVALID,
// with `target` half read, when one is not what the table says; others than its own are ignored.
bool journal_fields_read(const json_t *object, const JournalField *fields, void *target,
                         GError **error);

// Whether all members of the table are the same.
bool journal_fields_equal(const JournalField *fields, const void *a, const void *b);
