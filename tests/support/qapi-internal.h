// SPDX-License-Identifier: Apache-2.0
//
// What the files of qapi-schema share: qapi-parse.c reads text, qapi-schema.c definitions,
// qapi-doc.c checks comments and qapi-value.c values.
#pragma once

#include "tests/support/qapi-schema.h"

// A definition, or an include or pragma.
typedef struct QapiExpression {
    json_t *json;  // the object itself, owned
    char *comment; // the "##" block right above it without its "#"s; NULL: none
    char *file;    // where it stands
    bool included; // not in the file asked for, but in one that it includes
} QapiExpression;

void qapi_expression_free(QapiExpression *expression);

// Reads `path`. Returns its QapiExpression* in their order, or NULL with QAPI_ERROR_SCHEMA.
GPtrArray *qapi_parse_file(const char *path, GError **error);

struct QapiSchema {
    GPtrArray *expressions;  // QapiExpression*, in the order of the text
    GHashTable *definitions; // name -> QapiExpression*, borrowed
    GHashTable *files;       // paths read so far, owned
};

// Whether it is a definition of `kind`: "command", "event", "struct", "enum" or "alternate".
bool qapi_is_kind(const QapiExpression *expression, const char *kind);
// The name it defines; NULL for an include or pragma.
const char *qapi_name(const QapiExpression *expression);
// Its "data"; NULL without.
json_t *qapi_data(const QapiExpression *expression);

// Sets QAPI_ERROR_SCHEMA with the file before the message. Always false.
bool qapi_fail(const QapiExpression *expression, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

// A type that every schema has.
typedef struct QapiBuiltIn {
    const char *name;
    json_type type; // JSON_TRUE stands for both booleans
    int64_t min;    // of integers
    int64_t max;
} QapiBuiltIn;

// NULL when there is none.
const QapiBuiltIn *qapi_find_built_in(const char *name);
