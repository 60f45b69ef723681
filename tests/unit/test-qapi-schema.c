// SPDX-License-Identifier: Apache-2.0
//
// The reader of schemas: whoever holds programs against a schema must notice what is wrong.
#include "tests/test.h"

#include "tests/support/qapi-schema.h"
#include "tests/support/scratch.h"

#include <string.h>

#define DOC(name, members) "##\n# @" name ":\n#\n# Text.\n#\n" members "# Since: 0.1.0\n##\n"

static const char good[] =
    "# a comment, with 'quotes'\n"
    "{ 'pragma': { 'doc-required': true } }\n"
    "##\n"
    "# @Mood:\n"
    "#\n"
    "# How it is.\n"
    "#\n"
    "# @good: well\n"
    "#\n"
    "# @bad: not\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'enum': 'Mood', 'data': [ 'good', 'bad' ] } # behind\n"
    "##\n"
    "# = A title, above nothing\n"
    "##\n"
    "##\n"
    "# @SizeOrNull:\n"
    "#\n"
    "# Either.\n"
    "#\n"
    "# @size: that\n"
    "#\n"
    "# @null: none\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'alternate': 'SizeOrNull', 'data': { 'size': 'size', 'null': 'null' } }\n"
    "##\n"
    "# @Thing:\n"
    "#\n"
    "# Any thing.\n"
    "#\n"
    "# @name: its name\n"
    "#\n"
    "# @mood:\n#     further down\n"
    "#\n"
    "# @parts: what it has\n"
    "#\n"
    "# @bytes: its size\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'struct': 'Thing',\n"
    "  'data': { 'name': 'str', '*mood': 'Mood', # one\n"
    "            '*parts': [ 'Thing' ], '*bytes': 'SizeOrNull' } }\n"
    "##\n"
    "# @query-thing:\n"
    "#\n"
    "# Ask.\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'command': 'query-thing', 'returns': 'Thing' }\n"
    "##\n"
    "# @do-nothing:\n"
    "#\n"
    "# Rest.\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'command': 'do-nothing' }\n"
    "##\n"
    "# @THING:\n"
    "#\n"
    "# It happened.\n"
    "#\n"
    "# @count: how often\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'event': 'THING', 'data': { 'count': 'uint8' } }\n"
    "##\n"
    "# @BARE:\n"
    "#\n"
    "# It did, too.\n"
    "#\n"
    "# Since: 0.1.0\n"
    "##\n"
    "{ 'event': 'BARE' }\n";

static QapiSchema *load(const Scratch *scratch, const char *text, GError **error)
{
    g_autofree char *path = scratch_write(scratch, "schema.json", text, -1);
    return qapi_schema_load(path, error);
}

static void test_a_good_schema_is_read_and_documented(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(QapiSchema) schema = load(*state, good, &error);
    assert_no_error(error);
    g_autoptr(GPtrArray) commands = qapi_schema_commands(schema);
    g_autoptr(GPtrArray) events = qapi_schema_events(schema);
    assert_int_equal(commands->len, 2);
    assert_string_equal(g_ptr_array_index(commands, 0), "query-thing");
    assert_int_equal(events->len, 2);
    qapi_schema_check_documented(schema, &error);
    assert_no_error(error);
}

static void test_an_include_lends_its_types_but_not_its_commands(void **state)
{
    const Scratch *scratch = *state;
    g_free(scratch_write(scratch, "other.json", good, -1));
    g_autoptr(GError) error = NULL;
    g_autoptr(QapiSchema) schema =
        load(scratch, "{ 'include': 'other.json' }\n{ 'command': 'mine', 'returns': 'Thing' }\n",
             &error);
    assert_no_error(error);
    g_autoptr(GPtrArray) commands = qapi_schema_commands(schema);
    assert_int_equal(commands->len, 1);
}

typedef struct Mistake {
    const char *text;
    const char *message;
} Mistake;

static void test_each_mistake_in_a_schema_is_found(void **state)
{
    static const Mistake mistakes[] = {
        {"{ 'struct': 'A', 'data': { 'b': 'Nothing' } }\n", "no type 'Nothing'"},
        {"{ 'command': 'a', 'returns': [ 'B' ] }\n", "no type 'B'"},
        {"{ 'command': 'a', 'returns': [ 'int', 'int' ] }\n", "a type is not understood"},
        {"{ 'command': 'a' }\n{ 'struct': 'B', 'data': { 'c': 'a' } }\n", "no type 'a'"},
        {"{ 'command': 'a' }\n{ 'command': 'a' }\n", "defined twice"},
        {"{ 'command': 'a', 'boxed': true }\n", "'boxed' is not understood"},
        {"{ 'union': 'A', 'data': {} }\n", "unknown kind"},
        {"{ 'enum': 'A', 'data': [] }\n", "no values"},
        {"{ 'enum': 'A', 'data': [ 1 ] }\n", "no string"},
        {"{ 'command': 'a'\n", "ends within"},
        {"##\n# @a:", "ends within"},
        {"##\n# @a:\n{ 'command': 'a' }\n##\n", "not closed"},
        {"{ 'command': a }\n", "schema.json:1"},
        {"{ 'include': 'missing.json' }\n", "missing.json"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(QapiSchema) schema = load(*state, mistakes[i].text, &error);
        assert_null(schema);
        assert_error_contains(error, QAPI_ERROR, QAPI_ERROR_SCHEMA, mistakes[i].message);
    }
}

static void test_each_gap_in_the_documentation_is_found(void **state)
{
    static const Mistake mistakes[] = {
        {"{ 'command': 'a' }\n", "a is not documented"},
        {DOC("b", "") "{ 'command': 'a' }\n", "something else"},
        {DOC("a", "") "\n{ 'command': 'a', 'data': { '*m': 'int' } }\n", "'m' is not documented"},
        {DOC("a", "# @m:\n#\n") "{ 'command': 'a', 'data': { 'm': 'int' } }\n", "'m' is not"},
        {DOC("A", "# @x: x\n#\n") "{ 'enum': 'A', 'data': [ 'x', 'y' ] }\n", "'y' is not"},
        {DOC("a", "# @gone: was here\n#\n") "{ 'command': 'a' }\n", "no member 'gone'"},
        {"##\n# @a:\n#\n# Text.\n##\n{ 'command': 'a' }\n", "since when"},
        {"##\n# @a:\n#\n# Since: 0.1.0\n##\n{ 'command': 'a' }\n", "what it is"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(QapiSchema) schema = load(*state, mistakes[i].text, &error);
        assert_no_error(error);
        assert_false(qapi_schema_check_documented(schema, &error));
        assert_error_contains(error, QAPI_ERROR, QAPI_ERROR_SCHEMA, mistakes[i].message);
    }
}

typedef struct Value {
    const char *json;  // ' standing for "
    const char *wrong; // NULL: nothing
} Value;

static json_t *parse(const char *text)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
    json_t *value = json_loads(quoted, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static void assert_verdict(bool fits, const GError *error, const Value *value)
{
    if (!value->wrong) {
        assert_no_error(error);
        assert_true(fits);
        return;
    }
    if (fits) {
        fail_msg("%s passed", value->json);
    }
    assert_error_contains(error, QAPI_ERROR, QAPI_ERROR_VALUE, value->wrong);
}

static void test_values_are_held_against_their_type(void **state)
{
    static const Value values[] = {
        {"{'name': 'x'}", NULL},
        {"{'name': 'x', 'mood': 'bad', 'parts': [{'name': 'y'}], 'bytes': null}", NULL},
        {"{'name': 'x', 'bytes': 7}", NULL},
        {"{}", "'name' is missing"},
        {"[]", "no object"},
        {"{'name': 1}", "name: no str"},
        {"{'name': 'x', 'more': 1}", "'more' is not declared"},
        {"{'name': 'x', 'mood': 'so-so'}", "'so-so' is no value of Mood"},
        {"{'name': 'x', 'mood': 1}", "no value of Mood"},
        {"{'name': 'x', 'parts': {}}", "parts: no array"},
        {"{'name': 'x', 'parts': [{'name': 'y'}, {}]}", "parts: [1]: member 'name'"},
        {"{'name': 'x', 'bytes': -1}", "no alternative"},
        {"{'name': 'x', 'bytes': 'much'}", "no alternative"},
    };
    g_autoptr(QapiSchema) schema = load(*state, good, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) value = parse(values[i].json);
        bool fits = qapi_schema_check_return(schema, "query-thing", value, &error);
        assert_verdict(fits, error, &values[i]);
    }
}

static void test_a_command_without_a_value_returns_an_empty_object(void **state)
{
    static const Value values[] = {{"{}", NULL}, {"{'x': 1}", "not declared"}, {"1", "no object"}};
    g_autoptr(QapiSchema) schema = load(*state, good, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) value = parse(values[i].json);
        bool fits = qapi_schema_check_return(schema, "do-nothing", value, &error);
        assert_verdict(fits, error, &values[i]);
    }
}

static void test_events_are_held_against_their_declaration(void **state)
{
#define STAMP "'timestamp': {'seconds': 1, 'microseconds': 2}"
    static const Value values[] = {
        {"{'event': 'THING', 'data': {'count': 255}, " STAMP "}", NULL},
        {"{'event': 'BARE', " STAMP "}", NULL},
        {"{'event': 'THING', 'data': {'count': 256}, " STAMP "}", "out of range"},
        {"{'event': 'THING', 'data': {'count': true}, " STAMP "}", "count: no uint8"},
        {"{'event': 'THING', " STAMP "}", "'data' is missing"},
        {"{'event': 'THING', 'data': {'count': 1}}", "'timestamp' is missing"},
        {"{'event': 'BARE', 'timestamp': {'seconds': 1}}", "'microseconds' is missing"},
        {"{'event': 'BARE', 'more': 1, " STAMP "}", "beside"},
        {"{'event': 'BARE', 'data': {'x': 1}, " STAMP "}", "not declared"},
        {"{'event': 'OTHER', " STAMP "}", "no event 'OTHER'"},
    };
    g_autoptr(QapiSchema) schema = load(*state, good, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) value = parse(values[i].json);
        bool fits = qapi_schema_check_event(schema, value, &error);
        assert_verdict(fits, error, &values[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_good_schema_is_read_and_documented),
        TEST(test_an_include_lends_its_types_but_not_its_commands),
        TEST(test_each_mistake_in_a_schema_is_found),
        TEST(test_each_gap_in_the_documentation_is_found),
        TEST(test_values_are_held_against_their_type),
        TEST(test_a_command_without_a_value_returns_an_empty_object),
        TEST(test_events_are_held_against_their_declaration),
    };
    return run_test_table(tests);
}
