// SPDX-License-Identifier: Apache-2.0
#include "protocol/qmp.h"

#include "protocol/error.h"

#include <string.h>

// --- the answering side -----------------------------------------------------------------------

const QmpCommand *qmp_command_find(const QmpCommand *commands, const char *name)
{
    for (const QmpCommand *command = commands; command->name; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

static bool refuse_name(GError **error, const char *before, const char *name, const char *after)
{
    g_autofree char *shown = json_text_for_people(name);
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "%s '%s' %s", before, shown, after);
    return false;
}

static const char *type_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "object";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_ARRAY:
        return "array";
    case JSON_REAL:
    case JSON_NULL:
        break;
    }
    return "value";
}

static bool type_matches(const QmpArgument *argument, const json_t *value)
{
    json_type type = json_typeof(value);
    if (type == JSON_NULL) {
        return argument->nullable;
    }
    return type == argument->type || (argument->type == JSON_TRUE && type == JSON_FALSE);
}

static const QmpArgument *find_argument(const QmpArgument *arguments, const char *name)
{
    for (const QmpArgument *argument = arguments; argument && argument->name; argument++) {
        if (strcmp(argument->name, name) == 0) {
            return argument;
        }
    }
    return NULL;
}

static bool check_arguments(const QmpArgument *expected, json_t *given, GError **error)
{
    const char *name;
    json_t *value;
    json_object_foreach (given, name, value) {
        const QmpArgument *argument = find_argument(expected, name);
        if (!argument) {
            return refuse_name(error, "Parameter", name, "is unexpected");
        }
        if (!type_matches(argument, value)) {
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                        "Invalid parameter type for '%s', expected: %s", argument->name,
                        type_name(argument->type));
            return false;
        }
    }
    for (const QmpArgument *argument = expected; argument && argument->name; argument++) {
        if (!argument->optional && !json_object_get(given, argument->name)) {
            return refuse_name(error, "Parameter", argument->name, "is missing");
        }
    }
    return true;
}

typedef struct Request {
    const char *name;
    json_t *arguments; // owned
} Request;

static bool parse_request(json_t *root, Request *request, GError **error)
{
    const char *name;
    json_t *value;
    json_object_foreach (root, name, value) {
        if (strcmp(name, "execute") == 0) {
            if (!json_is_string(value)) {
                return refuse_name(error, "QMP input member", name, "must be a string");
            }
            request->name = json_string_value(value);
        } else if (strcmp(name, "arguments") == 0) {
            if (!json_is_object(value)) {
                return refuse_name(error, "QMP input member", name, "must be an object");
            }
            request->arguments = json_incref(value);
        } else if (strcmp(name, "id") != 0) {
            return refuse_name(error, "QMP input member", name, "is unexpected");
        }
    }
    if (!request->name) {
        g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                            "QMP input lacks member 'execute'");
        return false;
    }
    if (!request->arguments) {
        request->arguments = json_object();
    }
    return true;
}

static json_t *serve(const QmpCommand *commands, QmpGate *gate, void *context,
                     const Request *request, QmpResult *result, GError **error)
{
    const QmpCommand *command = qmp_command_find(commands, request->name);
    result->command = command;
    if (gate && !gate(context, command, request->name, error)) {
        return NULL;
    }
    if (!command) {
        g_autofree char *shown = json_text_for_people(request->name);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                    "The command %s has not been found", shown);
        return NULL;
    }
    if (!check_arguments(command->arguments, request->arguments, error)) {
        return NULL;
    }
    return command->handler(context, command, request->arguments, error);
}

void qmp_serve_line(const QmpCommand *commands, QmpGate *gate, void *context, const char *line,
                    size_t length, QmpResult *result)
{
    *result = (QmpResult){0};
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) root = json_message_parse(line, length, &error);
    Request request = {0};
    json_t *value = NULL;
    if (root && parse_request(root, &request, &error)) {
        value = serve(commands, gate, context, &request, result, &error);
    }
    json_decref(request.arguments);

    result->succeeded = value != NULL;
    if (value) {
        result->reply = json_object();
        json_object_set_new(result->reply, "return", value);
    } else {
        result->reply = qmp_error_reply(error);
    }
    json_t *id = root ? json_object_get(root, "id") : NULL;
    if (id) {
        json_object_set(result->reply, "id", id);
    }
}

void qmp_result_clear(QmpResult *result)
{
    json_decref(result->reply);
    *result = (QmpResult){0};
}

json_t *qmp_error_reply(const GError *error)
{
    const char *class = g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND)
                            ? "CommandNotFound"
                            : "GenericError";
    return json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", error->message);
}

json_t *qmp_event_new(const char *name, json_t *data, int64_t realtime_us)
{
    return json_pack("{s:s, s:o*, s:{s:I, s:I}}", "event", name, "data", data, "timestamp",
                     "seconds", (json_int_t)(realtime_us / G_USEC_PER_SEC), "microseconds",
                     (json_int_t)(realtime_us % G_USEC_PER_SEC));
}

// --- the asking side --------------------------------------------------------------------------

char *qmp_command_format(const char *name, json_t *arguments, int64_t id)
{
    g_autoptr(json_t) command = json_pack("{s:s, s:I}", "execute", name, "id", (json_int_t)id);
    if (arguments) {
        json_object_set_new(command, "arguments", arguments);
    }
    return json_message_format(command);
}

bool qmp_message_parse(const json_t *root, QmpMessage *message, GError **error)
{
    *message = (QmpMessage){0};
    json_t *id = json_object_get(root, "id");
    message->has_id = json_is_integer(id);
    message->id = json_integer_value(id);

    json_t *member;
    if ((member = json_object_get(root, "return"))) {
        message->type = QMP_MESSAGE_RETURN;
        message->value = member;
    } else if ((member = json_object_get(root, "error"))) {
        message->type = QMP_MESSAGE_ERROR;
        message->error_desc = json_string_value(json_object_get(member, "desc"));
        message->error_desc = message->error_desc ? message->error_desc : "no description";
    } else if (json_is_string(member = json_object_get(root, "event"))) {
        message->type = QMP_MESSAGE_EVENT;
        message->event = json_string_value(member);
        message->value = json_object_get(root, "data");
    } else if ((member = json_object_get(root, "QMP"))) {
        message->type = QMP_MESSAGE_GREETING;
        message->value = member;
    } else {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "message is no greeting, reply, error or event");
        return false;
    }
    return true;
}
