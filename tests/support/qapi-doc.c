// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qapi-internal.h"

#include <string.h>

// The text below "@NAME:" in a doc comment, up to the next paragraph. NULL when there is none; new
// string otherwise.
static char *description_of(const char *comment, const char *name)
{
    g_autofree char *start = g_strdup_printf("@%s:", name);
    g_auto(GStrv) lines = g_strsplit(comment, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, start)) {
            continue;
        }
        g_autoptr(GString) text = g_string_new(*line + strlen(start));
        for (char **next = line + 1; *next && **next != '\0' && **next != '@'; next++) {
            g_string_append_printf(text, " %s", *next);
        }
        return g_strstrip(g_strdup(text->str));
    }
    return NULL;
}

static bool check_member(const QapiExpression *expression, const char *member, GError **error)
{
    const char *name = member[0] == '*' ? member + 1 : member;
    g_autofree char *text = description_of(expression->comment, name);
    return (text && *text) || qapi_fail(expression, error, "%s: member '%s' is not documented",
                                        qapi_name(expression), name);
}

// Whether the definition has what a line of its comment describes.
static bool has_member(const QapiExpression *expression, const char *name)
{
    json_t *data = qapi_data(expression);
    g_autofree char *optional = g_strdup_printf("*%s", name);
    size_t index;
    json_t *value;
    json_array_foreach (data, index, value) {
        if (strcmp(json_string_value(value), name) == 0) {
            return true;
        }
    }
    return json_object_get(data, name) || json_object_get(data, optional);
}

// Whether all that is described exists.
static bool check_no_surplus(const QapiExpression *expression, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(expression->comment, "\n", -1);
    for (char **line = lines; *line; line++) {
        const char *colon = **line == '@' ? strchr(*line, ':') : NULL;
        if (!colon) {
            continue;
        }
        g_autofree char *name = g_strndup(*line + 1, (gsize)(colon - *line - 1));
        if (strcmp(name, qapi_name(expression)) != 0 && !has_member(expression, name)) {
            return qapi_fail(expression, error, "%s: there is no member '%s' to document",
                             qapi_name(expression), name);
        }
    }
    return true;
}

static bool check_members(const QapiExpression *expression, GError **error)
{
    json_t *data = qapi_data(expression);
    size_t index;
    json_t *value;
    json_array_foreach (data, index, value) {
        if (!check_member(expression, json_string_value(value), error)) {
            return false;
        }
    }
    const char *name;
    json_object_foreach (data, name, value) {
        if (!check_member(expression, name, error)) {
            return false;
        }
    }
    return true;
}

static bool check_definition(const QapiExpression *expression, GError **error)
{
    const char *name = qapi_name(expression);
    g_autofree char *title = g_strdup_printf("@%s:\n", name);
    if (!expression->comment) {
        return qapi_fail(expression, error, "%s is not documented", name);
    }
    const char *comment = expression->comment + strspn(expression->comment, "\n");
    if (!g_str_has_prefix(comment, title)) {
        return qapi_fail(expression, error, "the comment above %s is about something else", name);
    }
    const char *text = comment + strlen(title);
    text += strspn(text, "\n");
    if (*text == '@' || g_str_has_prefix(text, "Since:")) {
        return qapi_fail(expression, error, "%s: what it is is not said", name);
    }
    if (!strstr(comment, "\nSince: ")) {
        return qapi_fail(expression, error, "%s: since when it exists is not said", name);
    }
    return check_members(expression, error) && check_no_surplus(expression, error);
}

bool qapi_schema_check_documented(const QapiSchema *schema, GError **error)
{
    for (guint i = 0; i < schema->expressions->len; i++) {
        const QapiExpression *expression = g_ptr_array_index(schema->expressions, i);
        if (qapi_name(expression) && !check_definition(expression, error)) {
            return false;
        }
    }
    return true;
}
