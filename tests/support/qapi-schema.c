// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qapi-internal.h"

#include <string.h>

GQuark qapi_error_quark(void)
{
    return g_quark_from_static_string("aerostat-qapi-error");
}

bool qapi_fail(const QapiExpression *expression, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, QAPI_ERROR, QAPI_ERROR_SCHEMA, "%s: %s", expression->file, what);
    return false;
}

// --- definitions ------------------------------------------------------------------------------

// The word a definition starts with, such as "struct"; NULL when it is none.
static const char *kind_of(const QapiExpression *expression)
{
    static const char *const kinds[] = {"command", "event", "struct", "enum", "alternate"};
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (json_object_get(expression->json, kinds[i])) {
            return kinds[i];
        }
    }
    return NULL;
}

bool qapi_is_kind(const QapiExpression *expression, const char *kind)
{
    return g_strcmp0(kind_of(expression), kind) == 0;
}

const char *qapi_name(const QapiExpression *expression)
{
    const char *kind = kind_of(expression);
    return kind ? json_string_value(json_object_get(expression->json, kind)) : NULL;
}

json_t *qapi_data(const QapiExpression *expression)
{
    return json_object_get(expression->json, "data");
}

// Adds a definition under its name.
static bool define(QapiSchema *schema, QapiExpression *expression, GError **error)
{
    const char *name = qapi_name(expression);
    if (!name) {
        return qapi_fail(expression, error, "a definition of an unknown kind, or without name");
    }
    const char *key;
    json_t *value;
    json_object_foreach (expression->json, key, value) {
        bool known = strcmp(key, kind_of(expression)) == 0 || strcmp(key, "data") == 0 ||
                     (strcmp(key, "returns") == 0 && qapi_is_kind(expression, "command"));
        if (!known) {
            return qapi_fail(expression, error, "%s: '%s' is not understood", name, key);
        }
    }
    if (!g_hash_table_insert(schema->definitions, g_strdup(name), expression)) {
        return qapi_fail(expression, error, "%s is defined twice", name);
    }
    return true;
}

static bool load_file(QapiSchema *schema, const char *path, bool included, GError **error)
{
    if (!g_hash_table_add(schema->files, g_strdup(path))) {
        return true;
    }
    g_autoptr(GPtrArray) expressions = qapi_parse_file(path, error);
    if (!expressions) {
        return false;
    }
    while (expressions->len > 0) {
        QapiExpression *expression = g_ptr_array_steal_index(expressions, 0);
        g_ptr_array_add(schema->expressions, expression);
        expression->included = included;
        const char *include = json_string_value(json_object_get(expression->json, "include"));
        bool pragma = json_object_get(expression->json, "pragma") != NULL;
        g_autofree char *folder = g_path_get_dirname(path);
        g_autofree char *include_path = include ? g_build_filename(folder, include, NULL) : NULL;
        bool done = include  ? load_file(schema, include_path, true, error)
                    : pragma ? true
                             : define(schema, expression, error);
        if (!done) {
            return false;
        }
    }
    return true;
}

// --- types ------------------------------------------------------------------------------------

static const QapiBuiltIn built_ins[] = {
    {"str", JSON_STRING, 0, 0},
    {"bool", JSON_TRUE, 0, 0},
    {"null", JSON_NULL, 0, 0},
    {"number", JSON_REAL, 0, 0},
    {"int", JSON_INTEGER, INT64_MIN, INT64_MAX},
    {"int8", JSON_INTEGER, INT8_MIN, INT8_MAX},
    {"int16", JSON_INTEGER, INT16_MIN, INT16_MAX},
    {"int32", JSON_INTEGER, INT32_MIN, INT32_MAX},
    {"int64", JSON_INTEGER, INT64_MIN, INT64_MAX},
    {"uint8", JSON_INTEGER, 0, UINT8_MAX},
    {"uint16", JSON_INTEGER, 0, UINT16_MAX},
    {"uint32", JSON_INTEGER, 0, UINT32_MAX},
    {"uint64", JSON_INTEGER, 0, INT64_MAX}, // jansson reads no larger one
    {"size", JSON_INTEGER, 0, INT64_MAX},
};

const QapiBuiltIn *qapi_find_built_in(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(built_ins); i++) {
        if (strcmp(built_ins[i].name, name) == 0) {
            return &built_ins[i];
        }
    }
    return NULL;
}

// A type is a name, or an array of one.
static bool check_type_exists(const QapiSchema *schema, const QapiExpression *user,
                              const json_t *type, GError **error)
{
    const json_t *element = json_is_array(type) ? json_array_get(type, 0) : type;
    const char *name = json_string_value(element);
    if (!name || (json_is_array(type) && json_array_size(type) != 1)) {
        return qapi_fail(user, error, "%s: a type is not understood", qapi_name(user));
    }
    const QapiExpression *definition = g_hash_table_lookup(schema->definitions, name);
    if (!qapi_find_built_in(name) &&
        (!definition || qapi_is_kind(definition, "command") || qapi_is_kind(definition, "event"))) {
        return qapi_fail(user, error, "%s: there is no type '%s'", qapi_name(user), name);
    }
    return true;
}

static bool check_enum(const QapiExpression *expression, GError **error)
{
    size_t index;
    json_t *value;
    json_array_foreach (qapi_data(expression), index, value) {
        if (!json_is_string(value)) {
            return qapi_fail(expression, error, "%s: a value is no string", qapi_name(expression));
        }
    }
    return json_array_size(qapi_data(expression)) > 0 ||
           qapi_fail(expression, error, "%s has no values", qapi_name(expression));
}

static bool check_types(const QapiSchema *schema, const QapiExpression *expression, GError **error)
{
    if (qapi_is_kind(expression, "enum")) {
        return check_enum(expression, error);
    }
    json_t *data = qapi_data(expression);
    const json_t *returns = json_object_get(expression->json, "returns");
    if (returns && !check_type_exists(schema, expression, returns, error)) {
        return false;
    }
    if (json_is_string(data)) {
        return check_type_exists(schema, expression, data, error);
    }
    const char *name;
    json_t *type;
    json_object_foreach (data, name, type) {
        if (!check_type_exists(schema, expression, type, error)) {
            return false;
        }
    }
    return true;
}

// --- the interface ----------------------------------------------------------------------------

QapiSchema *qapi_schema_load(const char *path, GError **error)
{
    g_autoptr(QapiSchema) schema = g_new0(QapiSchema, 1);
    schema->expressions = g_ptr_array_new_with_free_func((GDestroyNotify)qapi_expression_free);
    schema->definitions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    schema->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!load_file(schema, path, false, error)) {
        return NULL;
    }
    for (guint i = 0; i < schema->expressions->len; i++) {
        const QapiExpression *expression = g_ptr_array_index(schema->expressions, i);
        if (kind_of(expression) && !check_types(schema, expression, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&schema);
}

void qapi_schema_free(QapiSchema *schema)
{
    if (schema) {
        g_hash_table_unref(schema->definitions);
        g_hash_table_unref(schema->files);
        g_ptr_array_unref(schema->expressions);
        g_free(schema);
    }
}

static GPtrArray *own_names(const QapiSchema *schema, const char *kind)
{
    GPtrArray *names = g_ptr_array_new();
    for (guint i = 0; i < schema->expressions->len; i++) {
        const QapiExpression *expression = g_ptr_array_index(schema->expressions, i);
        if (!expression->included && qapi_is_kind(expression, kind)) {
            g_ptr_array_add(names, (gpointer)qapi_name(expression));
        }
    }
    return names;
}

GPtrArray *qapi_schema_commands(const QapiSchema *schema)
{
    return own_names(schema, "command");
}

GPtrArray *qapi_schema_events(const QapiSchema *schema)
{
    return own_names(schema, "event");
}
