// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qapi-internal.h"

#include <string.h>

static bool check_type(const QapiSchema *schema, const json_t *type, json_t *value, GError **error);

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, QAPI_ERROR, QAPI_ERROR_VALUE, what);
    return false;
}

// --- objects ----------------------------------------------------------------------------------

// What `members` declares under `name`, whether as optional or not.
static const json_t *declared_type(const json_t *members, const char *name)
{
    g_autofree char *optional = g_strdup_printf("*%s", name);
    const json_t *type = json_object_get(members, name);
    return type ? type : json_object_get(members, optional);
}

// `members` is the "data" of a struct, command or event.
static bool check_members(const QapiSchema *schema, json_t *members, json_t *value, GError **error)
{
    if (!json_is_object(value)) {
        return fail(error, "no object");
    }
    const char *name;
    json_t *type;
    json_object_foreach (members, name, type) {
        if (name[0] != '*' && !json_object_get(value, name)) {
            return fail(error, "member '%s' is missing", name);
        }
    }
    json_t *member;
    json_object_foreach (value, name, member) {
        const json_t *declared = declared_type(members, name);
        if (!declared) {
            return fail(error, "member '%s' is not declared", name);
        }
        if (!check_type(schema, declared, member, error)) {
            g_prefix_error(error, "%s: ", name);
            return false;
        }
    }
    return true;
}

// --- other types ------------------------------------------------------------------------------

static bool check_built_in(const QapiBuiltIn *built_in, json_t *value, GError **error)
{
    json_type type = json_typeof(value);
    bool right = type == built_in->type || (built_in->type == JSON_TRUE && type == JSON_FALSE) ||
                 (built_in->type == JSON_REAL && type == JSON_INTEGER);
    if (!right) {
        return fail(error, "no %s", built_in->name);
    }
    if (built_in->type == JSON_INTEGER &&
        (json_integer_value(value) < built_in->min || json_integer_value(value) > built_in->max)) {
        return fail(error, "%" JSON_INTEGER_FORMAT " is out of range for %s",
                    json_integer_value(value), built_in->name);
    }
    return true;
}

static bool check_enum(const QapiExpression *definition, json_t *value, GError **error)
{
    const char *word = json_string_value(value);
    size_t index;
    json_t *known;
    json_array_foreach (qapi_data(definition), index, known) {
        if (g_strcmp0(json_string_value(known), word) == 0) {
            return true;
        }
    }
    return fail(error, "'%s' is no value of %s", word ? word : "(no string)",
                qapi_name(definition));
}

static bool check_alternate(const QapiSchema *schema, const QapiExpression *definition,
                            json_t *value, GError **error)
{
    const char *branch;
    json_t *type;
    json_object_foreach (qapi_data(definition), branch, type) {
        if (check_type(schema, type, value, NULL)) {
            return true;
        }
    }
    return fail(error, "no alternative of %s fits", qapi_name(definition));
}

static bool check_array(const QapiSchema *schema, const json_t *element_type, json_t *value,
                        GError **error)
{
    if (!json_is_array(value)) {
        return fail(error, "no array");
    }
    size_t index;
    json_t *element;
    json_array_foreach (value, index, element) {
        if (!check_type(schema, element_type, element, error)) {
            g_prefix_error(error, "[%zu]: ", index);
            return false;
        }
    }
    return true;
}

static bool check_type(const QapiSchema *schema, const json_t *type, json_t *value, GError **error)
{
    if (json_is_array(type)) {
        return check_array(schema, json_array_get(type, 0), value, error);
    }
    return qapi_schema_check_value(schema, json_string_value(type), value, error);
}

// --- the interface ----------------------------------------------------------------------------

bool qapi_schema_check_value(const QapiSchema *schema, const char *type, json_t *value,
                             GError **error)
{
    const QapiBuiltIn *built_in = qapi_find_built_in(type);
    if (built_in) {
        return check_built_in(built_in, value, error);
    }
    const QapiExpression *definition = g_hash_table_lookup(schema->definitions, type);
    if (definition && qapi_is_kind(definition, "struct")) {
        return check_members(schema, qapi_data(definition), value, error);
    }
    if (definition && qapi_is_kind(definition, "enum")) {
        return check_enum(definition, value, error);
    }
    if (definition && qapi_is_kind(definition, "alternate")) {
        return check_alternate(schema, definition, value, error);
    }
    return fail(error, "there is no type '%s'", type);
}

bool qapi_schema_check_return(const QapiSchema *schema, const char *command, json_t *value,
                              GError **error)
{
    const QapiExpression *definition = g_hash_table_lookup(schema->definitions, command);
    if (!definition || !qapi_is_kind(definition, "command")) {
        return fail(error, "there is no command '%s'", command);
    }
    const json_t *type = json_object_get(definition->json, "returns");
    bool fits =
        type ? check_type(schema, type, value, error) : check_members(schema, NULL, value, error);
    if (!fits) {
        g_prefix_error(error, "%s: ", command);
    }
    return fits;
}

static bool check_event_data(const QapiSchema *schema, const QapiExpression *definition,
                             json_t *event, GError **error)
{
    json_t *declared = qapi_data(definition);
    json_t *data = json_object_get(event, "data");
    if (!data) {
        return !declared || fail(error, "member 'data' is missing");
    }
    return json_is_string(declared) ? check_type(schema, declared, data, error)
                                    : check_members(schema, declared, data, error);
}

bool qapi_schema_check_event(const QapiSchema *schema, json_t *event, GError **error)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const QapiExpression *definition = name ? g_hash_table_lookup(schema->definitions, name) : NULL;
    if (!definition || !qapi_is_kind(definition, "event")) {
        return fail(error, "there is no event '%s'", name ? name : "(no string)");
    }
    g_autoptr(json_t) time_members =
        json_pack("{s:s, s:s}", "seconds", "int", "microseconds", "int");
    json_t *timestamp = json_object_get(event, "timestamp");
    size_t member_count = json_object_get(event, "data") ? 3 : 2;
    bool fits = (timestamp || fail(error, "member 'timestamp' is missing")) &&
                (json_object_size(event) == member_count ||
                 fail(error, "a member beside event, data and timestamp")) &&
                check_members(schema, time_members, timestamp, error) &&
                check_event_data(schema, definition, event, error);
    if (!fits) {
        g_prefix_error(error, "%s: ", name);
    }
    return fits;
}
