// SPDX-License-Identifier: Apache-2.0
//
// A small reader of QAPI schemas, so that tests can hold programs against protocol/*.json.
//
// Source: QEMU, docs/devel/qapi-code-gen. Understood are include, pragma, command, event, struct
// without base, enum, alternate, arrays, optional members and the built-in types; anything else is
// an error, not a guess.
#pragma once

#include "protocol/json.h"

typedef struct QapiSchema QapiSchema;

// Error domain: one sentence that names file and definition.
#define QAPI_ERROR (qapi_error_quark())
GQuark qapi_error_quark(void);
typedef enum QapiError {
    QAPI_ERROR_SCHEMA, // the schema itself is wrong or cannot be read
    QAPI_ERROR_VALUE,  // a value does not fit its type
} QapiError;

// Reads the schema at `path` and what it includes. Every type referred to must be defined. Returns
// NULL with QAPI_ERROR_SCHEMA.
QapiSchema *qapi_schema_load(const char *path, GError **error);
void qapi_schema_free(QapiSchema *schema);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(QapiSchema, qapi_schema_free)

// The names of all commands or events that the file itself defines, not those it includes, in its
// order. The array is new, the names are borrowed.
GPtrArray *qapi_schema_commands(const QapiSchema *schema);
GPtrArray *qapi_schema_events(const QapiSchema *schema);

// Checks that each definition, in included files too, stands below a "##" block that is named after
// it, describes each of its members with at least a word and says since when it exists.
bool qapi_schema_check_documented(const QapiSchema *schema, GError **error);

// Checks a JSON value against a type: nothing required missing, nothing undeclared, all types and
// enum values right, all the way down.
bool qapi_schema_check_value(const QapiSchema *schema, const char *type, json_t *value,
                             GError **error);
// The same for what a command returned (an empty object if nothing is declared) and for a whole
// event message with its timestamp.
bool qapi_schema_check_return(const QapiSchema *schema, const char *command, json_t *value,
                              GError **error);
bool qapi_schema_check_event(const QapiSchema *schema, json_t *event, GError **error);
