// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qapi-internal.h"

#include <string.h>

#define DOC_FENCE "##"

void qapi_expression_free(QapiExpression *expression)
{
    if (expression) {
        json_decref(expression->json);
        g_free(expression->comment);
        g_free(expression->file);
        g_free(expression);
    }
}

// One pass through a file, line by line.
typedef struct Parser {
    const char *path;
    GPtrArray *expressions;
    GString *code;    // of the definition being read, as JSON
    GString *comment; // of the "##" block being read, or the last one read
    bool in_comment;
    bool has_comment; // a block has ended and waits for its definition
    int line;
} Parser;

static bool fail(const Parser *parser, const char *what, GError **error)
{
    g_set_error(error, QAPI_ERROR, QAPI_ERROR_SCHEMA, "%s:%d: %s", parser->path, parser->line,
                what);
    return false;
}

// Appends a line of code without its comment, in JSON's quotes. QAPI's strings contain neither
// quotes nor "#".
static void append_code(GString *code, const char *line)
{
    const char *end = strchrnul(line, '#');
    for (const char *c = line; c < end; c++) {
        g_string_append_c(code, *c == '\'' ? '"' : *c);
    }
    g_string_append_c(code, '\n');
}

// Whether as many brackets are closed as were opened.
static bool is_complete(const GString *code)
{
    int depth = 0;
    for (const char *c = code->str; *c; c++) {
        depth += *c == '{' || *c == '[';
        depth -= *c == '}' || *c == ']';
    }
    return depth == 0;
}

static bool end_expression(Parser *parser, GError **error)
{
    json_error_t detail;
    json_t *json = json_loads(parser->code->str, JSON_REJECT_DUPLICATES, &detail);
    if (!json_is_object(json)) {
        json_decref(json);
        return fail(parser, json ? "not an object" : detail.text, error);
    }
    QapiExpression *expression = g_new0(QapiExpression, 1);
    expression->json = json;
    expression->file = g_strdup(parser->path);
    expression->comment = parser->has_comment ? g_strdup(parser->comment->str) : NULL;
    parser->has_comment = false;
    g_ptr_array_add(parser->expressions, expression);
    g_string_truncate(parser->code, 0);
    return true;
}

static bool take_comment_line(Parser *parser, const char *line, GError **error)
{
    if (strcmp(line, DOC_FENCE) == 0) {
        parser->in_comment = false;
        parser->has_comment = true;
        return true;
    }
    if (line[0] != '#') {
        return fail(parser, "a doc comment is not closed", error);
    }
    g_string_append_printf(parser->comment, "%s\n", line[1] == ' ' ? line + 2 : line + 1);
    return true;
}

static bool take_line(Parser *parser, const char *line, GError **error)
{
    parser->line++;
    if (parser->in_comment) {
        return take_comment_line(parser, line, error);
    }
    if (strcmp(line, DOC_FENCE) == 0) {
        if (parser->code->len > 0) {
            return fail(parser, "a definition is not complete", error);
        }
        parser->in_comment = true;
        g_string_truncate(parser->comment, 0);
        return true;
    }
    if (parser->code->len == 0 && (line[0] == '#' || line[strspn(line, " ")] == '\0')) {
        return true;
    }
    append_code(parser->code, line);
    return !is_complete(parser->code) || end_expression(parser, error);
}

GPtrArray *qapi_parse_file(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) read_error = NULL;
    if (!g_file_get_contents(path, &text, NULL, &read_error)) {
        g_set_error(error, QAPI_ERROR, QAPI_ERROR_SCHEMA, "%s", read_error->message);
        return NULL;
    }
    g_autoptr(GPtrArray) expressions =
        g_ptr_array_new_with_free_func((GDestroyNotify)qapi_expression_free);
    g_autoptr(GString) code = g_string_new(NULL);
    g_autoptr(GString) comment = g_string_new(NULL);
    Parser parser = {.path = path, .expressions = expressions, .code = code, .comment = comment};
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (!take_line(&parser, *line, error)) {
            return NULL;
        }
    }
    if (parser.in_comment || code->len > 0) {
        fail(&parser, "the file ends within a comment or definition", error);
        return NULL;
    }
    return g_steal_pointer(&expressions);
}
