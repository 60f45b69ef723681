// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"

#include <string.h>

// --- a server to talk to ----------------------------------------------------------------------

typedef struct Server {
    int calls;
    json_t *arguments; // of the last call, owned
    const char *gated; // the name the gate was last asked for
    bool gated_unknown;
    bool gate_shut;
} Server;

static json_t *handle_echo(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    (void)error;
    Server *server = context;
    server->calls++;
    json_decref(server->arguments);
    server->arguments = json_incref(arguments);
    return json_incref(arguments);
}

static json_t *handle_failure(void *context, const QmpCommand *command, json_t *arguments,
                              GError **error)
{
    (void)context;
    (void)arguments;
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "%s does not work", command->name);
    return NULL;
}

static const QmpArgument typed_arguments[] = {
    {"text", JSON_STRING, .optional = false},
    {"number", JSON_INTEGER, .optional = true},
    {"on", JSON_TRUE, .optional = true},
    {"table", JSON_OBJECT, .optional = true},
    {"list", JSON_ARRAY, .optional = true},
    {"limit", JSON_INTEGER, .optional = true, .nullable = true},
    {0},
};

static const QmpCommand commands[] = {
    {"plain", NULL, handle_echo, 0},
    {"typed", typed_arguments, handle_echo, 7},
    {"broken", NULL, handle_failure, 0},
    {0},
};

static bool gate(void *context, const QmpCommand *command, const char *name, GError **error)
{
    Server *server = context;
    server->gated = g_intern_string(name);
    server->gated_unknown = !command;
    if (server->gate_shut) {
        g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                            "Expecting capabilities negotiation with 'qmp_capabilities'");
    }
    return !server->gate_shut;
}

// What the server answers to `line`, as text without its newline.
static char *answer(Server *server, QmpGate *asked, const char *line, size_t length)
{
    QmpResult result;
    qmp_serve_line(commands, asked, server, line, length, &result);
    assert_non_null(result.reply);
    assert_int_equal(result.succeeded, json_object_get(result.reply, "return") != NULL);
    assert_int_equal(!result.succeeded, json_object_get(result.reply, "error") != NULL);
    char *text = json_message_format(result.reply);
    qmp_result_clear(&result);
    json_decref(server->arguments);
    server->arguments = NULL;
    return g_strchomp(text);
}

static void assert_answer(const char *line, const char *expected)
{
    Server server = {0};
    g_autofree char *text = answer(&server, NULL, line, strlen(line));
    assert_string_equal(text, expected);
}

static void assert_error_answer(const char *line, const char *class, const char *desc)
{
    g_autofree char *expected =
        g_strdup_printf("{\"error\":{\"class\":\"%s\",\"desc\":\"%s\"}}", class, desc);
    assert_answer(line, expected);
}

// --- requests ---------------------------------------------------------------------------------

static void test_a_command_returns_its_value(void **state)
{
    (void)state;
    assert_answer("{\"execute\":\"plain\"}", "{\"return\":{}}");
    assert_answer("{\"execute\":\"plain\",\"arguments\":{}}", "{\"return\":{}}");
    assert_answer("{\"arguments\":{\"text\":\"a\"},\"execute\":\"typed\"}",
                  "{\"return\":{\"text\":\"a\"}}");
}

static void test_an_id_of_any_type_comes_back(void **state)
{
    (void)state;
    static const char *const ids[] = {"1",    "-9223372036854775808", "1.5",        "\"a\"", "null",
                                      "true", "[1,{\"b\":[]}]",       "{\"id\":{}}"};
    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *line = g_strdup_printf("{\"execute\":\"plain\",\"id\":%s}", ids[i]);
        g_autofree char *expected = g_strdup_printf("{\"return\":{},\"id\":%s}", ids[i]);
        assert_answer(line, expected);
    }
}

static void test_an_id_comes_back_with_every_error(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"execute\":1", "\"execute\":\"none\"", "\"execute\":\"broken\"",
        "\"x\":1",       "\"arguments\":[]",     "\"execute\":\"plain\",\"arguments\":{\"a\":1}"};
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        g_autofree char *line = g_strdup_printf("{\"id\":\"me\",%s}", members[i]);
        Server server = {0};
        g_autofree char *text = answer(&server, NULL, line, strlen(line));
        assert_true(g_str_has_prefix(text, "{\"error\":"));
        assert_true(g_str_has_suffix(text, ",\"id\":\"me\"}"));
    }
}

static void test_the_result_names_the_command(void **state)
{
    (void)state;
    static const char line[] = "{\"execute\":\"typed\",\"arguments\":{\"text\":\"\"}}";
    Server server = {0};
    QmpResult result;
    qmp_serve_line(commands, NULL, &server, line, strlen(line), &result);
    assert_string_equal(result.command->name, "typed");
    assert_int_equal(result.command->flags, 7);
    qmp_result_clear(&result);
    qmp_serve_line(commands, NULL, &server, "{\"execute\":\"none\"}", 18, &result);
    assert_null(result.command);
    qmp_result_clear(&result);
    json_decref(server.arguments);
}

static void test_what_is_no_request_is_refused_in_qemus_words(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *desc;
    } cases[] = {
        {"[]", "QMP input must be a JSON object"},
        {"{}", "QMP input lacks member 'execute'"},
        {"{\"id\":1.5,\"arguments\":{}}", "QMP input lacks member 'execute'"},
        {"{\"execute\":null}", "QMP input member 'execute' must be a string"},
        {"{\"execute\":\"plain\",\"arguments\":null}",
         "QMP input member 'arguments' must be an object"},
        {"{\"execute\":\"plain\",\"arguments\":[]}",
         "QMP input member 'arguments' must be an object"},
        {"{\"execute\":\"plain\",\"argument\":{}}", "QMP input member 'argument' is unexpected"},
        {"{\"Execute\":\"plain\"}", "QMP input member 'Execute' is unexpected"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Server server = {0};
        g_autofree char *text = answer(&server, NULL, cases[i].line, strlen(cases[i].line));
        g_autofree char *expected = g_strdup_printf("\"desc\":\"%s\"}", cases[i].desc);
        if (!strstr(text, "{\"class\":\"GenericError\",") || !strstr(text, expected)) {
            fail_msg("%s was answered with %s", cases[i].line, text);
        }
    }
}

static void test_an_unknown_command_has_an_error_class_of_its_own(void **state)
{
    (void)state;
    assert_error_answer("{\"execute\":\"plai\"}", "CommandNotFound",
                        "The command plai has not been found");
    assert_error_answer("{\"execute\":\"plain \"}", "CommandNotFound",
                        "The command plain  has not been found");
    assert_error_answer("{\"execute\":\"\"}", "CommandNotFound", "The command  has not been found");
}

static void test_a_handlers_error_is_the_answer(void **state)
{
    (void)state;
    assert_error_answer("{\"execute\":\"broken\"}", "GenericError", "broken does not work");
}

static void test_text_of_the_peer_is_shortened_and_cleaned_in_errors(void **state)
{
    (void)state;
    g_autofree char *name = g_strnfill(60000, 'x');
    g_autofree char *line = g_strdup_printf("{\"execute\":\"\\u001b%s\"}", name);
    Server server = {0};
    g_autofree char *text = answer(&server, NULL, line, strlen(line));
    assert_true(strlen(text) < LIMIT_TEXT_BYTES + 200);
    assert_null(strstr(text, "u001b"));
}

// --- arguments --------------------------------------------------------------------------------

static void test_arguments_of_the_right_type_pass(void **state)
{
    (void)state;
    static const char *const arguments[] = {
        "{\"text\":\"\"}",
        "{\"text\":\"a\",\"number\":-1,\"on\":true,\"table\":{},\"list\":[],\"limit\":1}",
        "{\"on\":false,\"limit\":null,\"text\":\"a\"}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(arguments); i++) {
        g_autofree char *line =
            g_strdup_printf("{\"execute\":\"typed\",\"arguments\":%s}", arguments[i]);
        g_autofree char *expected = g_strdup_printf("{\"return\":%s}", arguments[i]);
        assert_answer(line, expected);
    }
}

static void test_arguments_that_do_not_fit_are_refused_in_qemus_words(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        const char *desc;
    } cases[] = {
        {"{}", "Parameter 'text' is missing"},
        {"{\"number\":1}", "Parameter 'text' is missing"},
        {"{\"text\":1}", "Invalid parameter type for 'text', expected: string"},
        {"{\"text\":null}", "Invalid parameter type for 'text', expected: string"},
        {"{\"text\":\"\",\"number\":1.0}",
         "Invalid parameter type for 'number', expected: integer"},
        {"{\"text\":\"\",\"number\":\"1\"}",
         "Invalid parameter type for 'number', expected: integer"},
        {"{\"text\":\"\",\"number\":null}",
         "Invalid parameter type for 'number', expected: integer"},
        {"{\"text\":\"\",\"on\":1}", "Invalid parameter type for 'on', expected: boolean"},
        {"{\"text\":\"\",\"table\":[]}", "Invalid parameter type for 'table', expected: object"},
        {"{\"text\":\"\",\"list\":{}}", "Invalid parameter type for 'list', expected: array"},
        {"{\"text\":\"\",\"limit\":false}",
         "Invalid parameter type for 'limit', expected: integer"},
        {"{\"text\":\"\",\"txt\":\"\"}", "Parameter 'txt' is unexpected"},
        {"{\"text\":\"\",\"\\u0007\":1}", "Parameter ' ' is unexpected"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *line =
            g_strdup_printf("{\"execute\":\"typed\",\"arguments\":%s}", cases[i].arguments);
        assert_error_answer(line, "GenericError", cases[i].desc);
    }
    assert_error_answer("{\"execute\":\"plain\",\"arguments\":{\"a\":1}}", "GenericError",
                        "Parameter 'a' is unexpected");
}

static void test_a_handler_is_not_called_with_arguments_that_do_not_fit(void **state)
{
    (void)state;
    Server server = {0};
    static const char line[] = "{\"execute\":\"typed\",\"arguments\":{\"number\":1}}";
    g_free(answer(&server, NULL, line, strlen(line)));
    assert_int_equal(server.calls, 0);
}

// --- the gate ---------------------------------------------------------------------------------

static void test_a_shut_gate_answers_in_place_of_the_command(void **state)
{
    (void)state;
    Server server = {.gate_shut = true};
    g_autofree char *text = answer(&server, gate, "{\"execute\":\"plain\"}", 19);
    assert_string_equal(text, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting "
                              "capabilities negotiation with 'qmp_capabilities'\"}}");
    assert_int_equal(server.calls, 0);
    assert_string_equal(server.gated, "plain");
    assert_false(server.gated_unknown);
}

static void test_the_gate_is_asked_before_a_command_is_known_to_exist(void **state)
{
    (void)state;
    Server server = {.gate_shut = true};
    g_free(answer(&server, gate, "{\"execute\":\"none\"}", 18));
    assert_string_equal(server.gated, "none");
    assert_true(server.gated_unknown);
}

static void test_an_open_gate_changes_nothing(void **state)
{
    (void)state;
    Server server = {0};
    g_autofree char *known = answer(&server, gate, "{\"execute\":\"plain\"}", 19);
    g_autofree char *unknown = answer(&server, gate, "{\"execute\":\"none\"}", 18);
    assert_string_equal(known, "{\"return\":{}}");
    assert_non_null(strstr(unknown, "CommandNotFound"));
}

// --- garbage ----------------------------------------------------------------------------------

static void test_every_input_gets_an_answer(void **state)
{
    (void)state;
    static const char line[] = "{\"execute\":\"typed\",\"arguments\":{\"text\":\"ä\"},\"id\":[1]}";
    const size_t length = sizeof line - 1;
    for (size_t cut = 0; cut < length; cut++) {
        Server server = {0};
        g_free(answer(&server, NULL, line, cut));
        assert_int_equal(server.calls, 0);
        for (unsigned byte = 0; byte < 256; byte++) {
            char changed[sizeof line];
            memcpy(changed, line, length);
            changed[cut] = (char)byte;
            g_free(answer(&server, NULL, changed, length));
        }
    }
}

// --- events and commands ----------------------------------------------------------------------

static void test_an_event_has_the_time_in_two_parts(void **state)
{
    (void)state;
    g_autoptr(json_t) event =
        qmp_event_new("GUEST_ADDED", json_pack("{s:i}", "a", 1), INT64_C(1795289110000006));
    g_autofree char *text = json_message_format(event);
    assert_string_equal(text, "{\"event\":\"GUEST_ADDED\",\"data\":{\"a\":1},"
                              "\"timestamp\":{\"seconds\":1795289110,\"microseconds\":6}}\n");
}

static void test_an_event_may_have_no_data(void **state)
{
    (void)state;
    g_autoptr(json_t) event = qmp_event_new("STOP", NULL, 0);
    g_autofree char *text = json_message_format(event);
    assert_string_equal(text,
                        "{\"event\":\"STOP\",\"timestamp\":{\"seconds\":0,\"microseconds\":0}}\n");
}

static void test_a_command_is_one_line_with_its_id(void **state)
{
    (void)state;
    g_autofree char *bare = qmp_command_format("query-balloon", NULL, 5);
    g_autofree char *full =
        qmp_command_format("balloon", json_pack("{s:i}", "value", 1), INT64_MAX);
    assert_string_equal(bare, "{\"execute\":\"query-balloon\",\"id\":5}\n");
    assert_string_equal(full, "{\"execute\":\"balloon\",\"id\":9223372036854775807,"
                              "\"arguments\":{\"value\":1}}\n");
}

// --- the asking side --------------------------------------------------------------------------

static json_t *parse(const char *text)
{
    json_t *root = json_message_parse(text, strlen(text), NULL);
    assert_non_null(root);
    return root;
}

static void test_messages_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        QmpMessageType type;
    } cases[] = {
        {"{\"QMP\":{\"version\":{},\"capabilities\":[]}}", QMP_MESSAGE_GREETING},
        {"{\"return\":{}}", QMP_MESSAGE_RETURN},
        {"{\"return\":null}", QMP_MESSAGE_RETURN},
        {"{\"return\":[],\"id\":1}", QMP_MESSAGE_RETURN},
        {"{\"error\":{\"class\":\"GenericError\",\"desc\":\"x\"}}", QMP_MESSAGE_ERROR},
        {"{\"error\":null}", QMP_MESSAGE_ERROR},
        {"{\"event\":\"STOP\",\"timestamp\":{}}", QMP_MESSAGE_EVENT},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_t) root = parse(cases[i].text);
        QmpMessage message;
        assert_true(qmp_message_parse(root, &message, NULL));
        assert_int_equal(message.type, cases[i].type);
    }
}

static void test_what_is_none_of_them_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"id\":1}", "{\"event\":1}", "{\"Return\":{}}"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(json_t) root = parse(texts[i]);
        QmpMessage message;
        g_autoptr(GError) error = NULL;
        assert_false(qmp_message_parse(root, &message, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                              "message is no greeting, reply, error or event");
    }
}

static void test_only_a_whole_number_counts_as_an_id(void **state)
{
    (void)state;
    g_autoptr(json_t) with = parse("{\"return\":{},\"id\":-3}");
    QmpMessage message;
    assert_true(qmp_message_parse(with, &message, NULL));
    assert_true(message.has_id);
    assert_int_equal(message.id, -3);
    static const char *const texts[] = {"{\"return\":{}}", "{\"return\":{},\"id\":\"1\"}",
                                        "{\"return\":{},\"id\":1.0}",
                                        "{\"return\":{},\"id\":null}"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(json_t) without = parse(texts[i]);
        assert_true(qmp_message_parse(without, &message, NULL));
        assert_false(message.has_id);
    }
}

static void test_a_message_gives_access_to_its_parts(void **state)
{
    (void)state;
    QmpMessage message;
    g_autoptr(json_t) event = parse("{\"event\":\"E\",\"data\":{\"a\":1}}");
    assert_true(qmp_message_parse(event, &message, NULL));
    assert_string_equal(message.event, "E");
    assert_int_equal(json_integer_value(json_object_get(message.value, "a")), 1);
    g_autoptr(json_t) bare = parse("{\"event\":\"E\"}");
    assert_true(qmp_message_parse(bare, &message, NULL));
    assert_null(message.value);
    g_autoptr(json_t) reply = parse("{\"return\":[2]}");
    assert_true(qmp_message_parse(reply, &message, NULL));
    assert_int_equal(json_array_size(message.value), 1);
}

static void test_an_error_always_has_a_description(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"error\":null}", "{\"error\":[]}", "{\"error\":{}}",
                                        "{\"error\":{\"desc\":1}}"};
    QmpMessage message;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(json_t) root = parse(texts[i]);
        assert_true(qmp_message_parse(root, &message, NULL));
        assert_string_equal(message.error_desc, "no description");
    }
    g_autoptr(json_t) root = parse("{\"error\":{\"class\":\"C\",\"desc\":\"D\"}}");
    assert_true(qmp_message_parse(root, &message, NULL));
    assert_string_equal(message.error_desc, "D");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_returns_its_value),
        cmocka_unit_test(test_an_id_of_any_type_comes_back),
        cmocka_unit_test(test_an_id_comes_back_with_every_error),
        cmocka_unit_test(test_the_result_names_the_command),
        cmocka_unit_test(test_what_is_no_request_is_refused_in_qemus_words),
        cmocka_unit_test(test_an_unknown_command_has_an_error_class_of_its_own),
        cmocka_unit_test(test_a_handlers_error_is_the_answer),
        cmocka_unit_test(test_text_of_the_peer_is_shortened_and_cleaned_in_errors),
        cmocka_unit_test(test_arguments_of_the_right_type_pass),
        cmocka_unit_test(test_arguments_that_do_not_fit_are_refused_in_qemus_words),
        cmocka_unit_test(test_a_handler_is_not_called_with_arguments_that_do_not_fit),
        cmocka_unit_test(test_a_shut_gate_answers_in_place_of_the_command),
        cmocka_unit_test(test_the_gate_is_asked_before_a_command_is_known_to_exist),
        cmocka_unit_test(test_an_open_gate_changes_nothing),
        cmocka_unit_test(test_every_input_gets_an_answer),
        cmocka_unit_test(test_an_event_has_the_time_in_two_parts),
        cmocka_unit_test(test_an_event_may_have_no_data),
        cmocka_unit_test(test_a_command_is_one_line_with_its_id),
        cmocka_unit_test(test_messages_are_told_apart),
        cmocka_unit_test(test_what_is_none_of_them_is_refused),
        cmocka_unit_test(test_only_a_whole_number_counts_as_an_id),
        cmocka_unit_test(test_a_message_gives_access_to_its_parts),
        cmocka_unit_test(test_an_error_always_has_a_description),
    };
    return run_test_table(tests);
}
