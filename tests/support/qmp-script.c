// SPDX-License-Identifier: Apache-2.0
#include "tests/support/qmp-script.h"

#include "protocol/json.h"

typedef struct Line {
    json_t *command;
    json_t *reply;
} Line;

static void free_line(void *data)
{
    Line *line = data;
    json_decref(line->command);
    json_decref(line->reply);
    g_free(line);
}

void qmp_script_clear(QmpScript *script)
{
    g_queue_clear_full(&script->lines, free_line);
    g_clear_pointer(&script->failure, g_free);
}

static json_t *must_parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        g_error("%s: %s", text, error.text);
    }
    return value;
}

void qmp_script_expect(QmpScript *script, const char *command, const char *reply)
{
    Line *line = g_new(Line, 1);
    *line = (Line){.command = must_parse(command), .reply = must_parse(reply)};
    g_queue_push_tail(&script->lines, line);
}

static char *format(const json_t *message)
{
    return message ? g_strchomp(json_message_format(message)) : g_strdup("nothing");
}

json_t *qmp_script_answer(QmpScript *script, const json_t *request)
{
    if (script->failure) {
        return NULL;
    }
    const json_t *id = json_object_get(request, "id");
    g_autoptr(json_t) bare = json_copy((json_t *)request);
    json_object_del(bare, "id");
    Line *line = g_queue_peek_head(&script->lines);
    if (!line || !json_equal(bare, line->command)) {
        g_autofree char *received = format(bare);
        g_autofree char *expected = format(line ? line->command : NULL);
        script->failure = g_strdup_printf("received %s, expected %s", received, expected);
        return NULL;
    }
    g_queue_pop_head(&script->lines);
    json_t *reply = json_incref(line->reply);
    if (id) {
        json_object_set(reply, "id", (json_t *)id);
    }
    free_line(line);
    return reply;
}

char *qmp_script_fault(const QmpScript *script)
{
    if (script->failure) {
        return g_strdup(script->failure);
    }
    if (!script->lines.head) {
        return NULL;
    }
    const Line *next = script->lines.head->data;
    g_autofree char *expected = format(next->command);
    return g_strdup_printf("never received %s", expected);
}
