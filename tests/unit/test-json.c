// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/error.h"
#include "protocol/json.h"
#include "protocol/limits.h"

#include <string.h>

// --- helpers ----------------------------------------------------------------------------------

static json_t *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *message = json_message_parse(text, strlen(text), &error);
    assert_no_error(error);
    assert_non_null(message);
    return message;
}

static void assert_refused(const char *text, size_t length, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) message = json_message_parse(text, length, &error);
    if (message) {
        fail_msg("accepted: %.*s", (int)MIN(length, 200), text);
    }
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, expected);
    assert_true(strlen(error->message) < 400);
    for (const char *c = error->message; *c; c++) {
        assert_false(g_ascii_iscntrl(*c));
    }
}

// `count` times `open`, a value, and as many times `close`.
static char *nest(const char *open, const char *value, const char *close, size_t count)
{
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < count; i++) {
        g_string_append(text, open);
    }
    g_string_append(text, value);
    for (size_t i = 0; i < count; i++) {
        g_string_append(text, close);
    }
    return g_string_free(text, FALSE);
}

// --- parsing ----------------------------------------------------------------------------------

static void test_a_message_may_be_as_deep_as_the_limit(void **state)
{
    (void)state;
    g_autofree char *text = nest("{\"a\":", "1", "}", LIMIT_JSON_DEPTH);
    g_autoptr(json_t) message = parse(text);
    assert_true(json_is_object(message));
}

static void test_a_message_above_the_limit_of_depth_is_refused(void **state)
{
    (void)state;
    g_autofree char *objects = nest("{\"a\":", "1", "}", LIMIT_JSON_DEPTH + 1);
    g_autofree char *arrays = nest("[", "1", "]", LIMIT_JSON_DEPTH);
    g_autofree char *mixed = g_strdup_printf("{\"a\":%s}", arrays);
    assert_refused(objects, strlen(objects), "JSON nested deeper than 32 levels");
    assert_refused(mixed, strlen(mixed), "JSON nested deeper than 32 levels");
}

static void test_brackets_in_strings_are_no_depth(void **state)
{
    (void)state;
    g_autofree char *brackets = nest("[{\\\"", "", "\\\\", 100);
    g_autofree char *text = g_strdup_printf("{\"%s\":\"%s\"}", brackets, brackets);
    g_autoptr(json_t) message = parse(text);
    assert_int_equal(json_object_size(message), 1);
}

static void test_brackets_side_by_side_are_no_depth(void **state)
{
    (void)state;
    g_autofree char *pairs = nest("[],", "{}", "", 1000);
    g_autofree char *text = g_strdup_printf("{\"a\":[%s]}", pairs);
    g_autoptr(json_t) message = parse(text);
    assert_int_equal(json_array_size(json_object_get(message, "a")), 1001);
}

static void test_a_hundred_thousand_brackets_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *open;
        const char *close;
    } cases[] = {{"[", ""},  {"[", "]"}, {"{\"a\":", "}"}, {"{", ""},    {"]", "["},
                 {"}", "{"}, {"]", ""},  {"[]", "["},      {"\"[", "["}, {"[\"]", "["}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = nest(cases[i].open, "", cases[i].close, 100000);
        assert_refused(text, strlen(text), "JSON");
    }
}

static void test_a_duplicate_key_is_refused_at_any_depth(void **state)
{
    (void)state;
    assert_refused("{\"a\":1,\"a\":1}", 13, "duplicate object key");
    assert_refused("{\"b\":[{\"a\":1,\"a\":2}]}", 21, "duplicate object key");
    assert_refused("{\"a\":1,\"\\u0061\":1}", 18, "duplicate object key");
}

static void test_a_message_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"execute\":\"guest-sync\",\"id\":[1,-2.5e3,\"\\u00e4\\n\"],"
                               "\"arguments\":{\"on\":true,\"off\":false,\"none\":null,\"ä\":{}}}";
    for (size_t length = 0; length < sizeof text - 1; length++) {
        assert_refused(text, length, "JSON parse error, ");
    }
    json_decref(parse(text));
}

static void test_only_one_object_is_a_message(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "[{}]", "1", "\"a\"", "true", "null"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_refused(texts[i], strlen(texts[i]), "JSON");
    }
    assert_refused("[]", 2, "QMP input must be a JSON object");
    static const char *const rest[] = {"{}{}", "{} x", "{},", "{}]", "x{}", "{}\xFF"};
    for (size_t i = 0; i < G_N_ELEMENTS(rest); i++) {
        assert_refused(rest[i], strlen(rest[i]), "JSON parse error, ");
    }
}

static void test_blanks_around_a_message_do_not_matter(void **state)
{
    (void)state;
    json_decref(parse(" \t\r{ \"a\" : 1 }\r "));
}

static void test_what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "}",
                                        "{a:1}",
                                        "{'a':1}",
                                        "{\"a\":01}",
                                        "{\"a\":.5}",
                                        "{\"a\":+1}",
                                        "{\"a\":1,}",
                                        "{\"a\"}",
                                        "{\"a\":NaN}",
                                        "{\"a\":Infinity}",
                                        "{\"a\":0x10}",
                                        "{\"a\":\"\t\"}",
                                        "{\"a\":\"\\x\"}",
                                        "{\"a\":tru}",
                                        "{\"a\":1 2}",
                                        "{1:2}",
                                        "{/**/}",
                                        "\xEF\xBB\xBF{}"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_refused(texts[i], strlen(texts[i]), "JSON parse error, ");
    }
}

static void test_a_nul_byte_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    assert_refused("{\"a\0\":1}", 8, "JSON parse error, ");
    assert_refused("{\"a\":\0}", 7, "JSON parse error, ");
    assert_refused("{}\0", 3, "JSON parse error, ");
    assert_refused("{\"a\":\"\\u0000\"}", 14, "JSON parse error, ");
    assert_refused("{\"\\u0000\":1}", 12, "JSON parse error, ");
}

static void test_invalid_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bytes[] = {
        "\x80",             // continuation without a start
        "\xC3",             // start without its continuation
        "\xC3\x28",         // continuation that is none
        "\xC0\x80",         // overlong NUL
        "\xE0\x80\xAF",     // overlong slash
        "\xED\xA0\x80",     // surrogate
        "\xF4\x90\x80\x80", // above U+10FFFF
        "\xF8\x88\x80\x80\x80",
        "\xFE",
        "\xFF",
        "\\ud800",
        "\\udc00x",
        "\\ud800\\u0041",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bytes); i++) {
        g_autofree char *in_value = g_strdup_printf("{\"a\":\"%s\"}", bytes[i]);
        g_autofree char *in_key = g_strdup_printf("{\"%s\":1}", bytes[i]);
        assert_refused(in_value, strlen(in_value), "JSON parse error, ");
        assert_refused(in_key, strlen(in_key), "JSON parse error, ");
    }
}

static void test_numbers_too_large_are_refused(void **state)
{
    (void)state;
    g_autofree char *digits = g_strnfill(100000, '9');
    g_autofree char *many = g_strdup_printf("{\"a\":%s}", digits);
    g_autofree char *exponent = g_strdup_printf("{\"a\":1e%s}", digits);
    assert_refused("{\"a\":9223372036854775808}", 25, "JSON parse error, too big integer");
    assert_refused("{\"a\":-9223372036854775809}", 26,
                   "JSON parse error, too big negative integer");
    assert_refused("{\"a\":1e400}", 11, "JSON parse error, real number overflow");
    assert_refused(many, strlen(many), "JSON parse error, too big integer");
    assert_refused(exponent, strlen(exponent), "JSON parse error, real number overflow");
}

static void test_the_largest_numbers_are_exact(void **state)
{
    (void)state;
    g_autoptr(json_t) message = parse("{\"a\":9223372036854775807,\"b\":-9223372036854775808}");
    assert_true(json_integer_value(json_object_get(message, "a")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(message, "b")) == INT64_MIN);
}

// --- formatting -------------------------------------------------------------------------------

static void test_a_message_is_written_on_one_line(void **state)
{
    (void)state;
    g_autoptr(json_t) message = parse("{ \"a\\nb\" : [ 1, \"\\r\\n\" ], \"ä\" : { } }");
    g_autofree char *text = json_message_format(message);
    assert_string_equal(text, "{\"a\\nb\":[1,\"\\r\\n\"],\"ä\":{}}\n");
}

// --- members ----------------------------------------------------------------------------------

static void test_an_integer_within_its_bounds_is_read(void **state)
{
    (void)state;
    g_autoptr(json_t) object =
        parse("{\"a\":5,\"b\":-9223372036854775808,\"c\":9223372036854775807}");
    int64_t value;
    assert_true(json_member_int(object, "a", 5, 5, &value, NULL));
    assert_int_equal(value, 5);
    assert_true(json_member_int(object, "b", INT64_MIN, INT64_MAX, &value, NULL));
    assert_true(value == INT64_MIN);
    assert_true(json_member_int(object, "c", INT64_MIN, INT64_MAX, &value, NULL));
    assert_true(value == INT64_MAX);
}

static void test_an_integer_out_of_bounds_is_refused(void **state)
{
    (void)state;
    g_autoptr(json_t) object = parse("{\"low\":4,\"high\":8}");
    static const char *const names[] = {"low", "high"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        int64_t value;
        assert_false(json_member_int(object, names[i], 5, 7, &value, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                              "' expects a value from 5 to 7");
    }
}

// Every reader refuses every value but those of its type, and a missing one.
static void test_a_member_of_another_type_is_refused(void **state)
{
    (void)state;
    g_autoptr(json_t) object =
        parse("{\"integer\":1,\"real\":1.0,\"boolean\":false,\"string\":\"\","
              "\"object\":{},\"array\":[],\"null\":null}");
    static const char *const wanted[] = {"integer", "boolean", "string", "object"};
    const char *name;
    json_t *member;
    json_object_foreach (object, name, member) {
        for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
            int64_t integer;
            bool boolean;
            const char *string;
            json_t *value;
            g_autoptr(GError) error = NULL;
            bool read = i == 0   ? json_member_int(object, name, 0, 9, &integer, &error)
                        : i == 1 ? json_member_bool(object, name, &boolean, &error)
                        : i == 2 ? json_member_string(object, name, &string, &error)
                                 : json_member_object(object, name, &value, &error);
            assert_int_equal(read, strcmp(name, wanted[i]) == 0);
            if (!read) {
                g_autofree char *expected = g_strdup_printf(
                    "Invalid parameter type for '%s', expected: %s", name, wanted[i]);
                assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, expected);
            }
        }
    }
}

static void test_a_missing_member_is_refused(void **state)
{
    (void)state;
    g_autoptr(json_t) object = parse("{}");
    g_autoptr(GError) error = NULL;
    const char *string;
    assert_false(json_member_string(object, "a", &string, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                          "Parameter 'a' is missing");
}

static void test_booleans_and_strings_are_read(void **state)
{
    (void)state;
    g_autoptr(json_t) object = parse("{\"yes\":true,\"no\":false,\"text\":\"ä\"}");
    bool value;
    const char *text;
    assert_true(json_member_bool(object, "yes", &value, NULL));
    assert_true(value);
    assert_true(json_member_bool(object, "no", &value, NULL));
    assert_false(value);
    assert_true(json_member_string(object, "text", &text, NULL));
    assert_string_equal(text, "ä");
}

// --- text for people --------------------------------------------------------------------------

static void test_text_for_people_has_nothing_that_steers_a_terminal(void **state)
{
    (void)state;
    g_autofree char *shown = json_text_for_people("a\x1b[31mb\nc\x7f"
                                                  "d\xC2\x9B"
                                                  "e\xE2\x80\xAE"
                                                  "f\xE2\x80\xA8"
                                                  "ä");
    assert_string_equal(shown, "a [31mb c d e f ä");
}

static void test_text_for_people_is_valid_utf8_of_bounded_length(void **state)
{
    (void)state;
    for (size_t length = LIMIT_TEXT_BYTES - 8; length <= LIMIT_TEXT_BYTES + 8; length++) {
        static const char *const letters[] = {"x", "\xFF", "ä", "€", "😀", "\xF0\x9F"};
        for (size_t i = 0; i < G_N_ELEMENTS(letters); i++) {
            g_autoptr(GString) text = g_string_new(NULL);
            while (text->len < length) {
                g_string_append(text, letters[i]);
            }
            g_autofree char *shown = json_text_for_people(text->str);
            assert_true(strlen(shown) <= LIMIT_TEXT_BYTES);
            assert_true(g_utf8_validate(shown, -1, NULL));
        }
    }
}

static void test_text_for_people_leaves_plain_text_alone(void **state)
{
    (void)state;
    g_autofree char *shown = json_text_for_people("web-1 (Büro) '%s'");
    g_autofree char *nothing = json_text_for_people("");
    assert_string_equal(shown, "web-1 (Büro) '%s'");
    assert_string_equal(nothing, "");
}

static void test_numbers_beyond_int64_in_a_message_of_qemu_become_null(void **state)
{
    static const char text[] =
        "{\"a\": 18446744073709551615, \"b\": [9223372036854775807, 9223372036854775808], "
        "\"c\": \"18446744073709551615 \\\" 99999999999999999999\", \"d\":99999999999999999999}";
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) message = json_qemu_message_parse(text, strlen(text), &error);
    assert_no_error(error);
    assert_true(json_is_null(json_object_get(message, "a")));
    const json_t *list = json_object_get(message, "b");
    assert_true(json_integer_value(json_array_get(list, 0)) == INT64_MAX);
    assert_true(json_is_null(json_array_get(list, 1)));
    assert_string_equal(json_string_value(json_object_get(message, "c")),
                        "18446744073709551615 \" 99999999999999999999");
    assert_true(json_is_null(json_object_get(message, "d")));
    // Nobody else may send such.
    assert_null(json_message_parse(text, strlen(text), NULL));
}

static void test_a_message_of_qemu_is_refused_for_all_other_reasons(void **state)
{
    static const char *const texts[] = {"",
                                        "[]",
                                        "{",
                                        "{\"a\": -18446744073709551615}",
                                        "{\"a\": 18446744073709551615, \"a\": 1}",
                                        "{\"a\": 018446744073709551615}",
                                        "{\"a\": 1e999}"};
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(json_qemu_message_parse(texts[i], strlen(texts[i]), &error));
        assert_non_null(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_may_be_as_deep_as_the_limit),
        cmocka_unit_test(test_a_message_above_the_limit_of_depth_is_refused),
        cmocka_unit_test(test_brackets_in_strings_are_no_depth),
        cmocka_unit_test(test_brackets_side_by_side_are_no_depth),
        cmocka_unit_test(test_a_hundred_thousand_brackets_are_refused),
        cmocka_unit_test(test_a_duplicate_key_is_refused_at_any_depth),
        cmocka_unit_test(test_a_message_cut_at_any_byte_is_refused),
        cmocka_unit_test(test_only_one_object_is_a_message),
        cmocka_unit_test(test_blanks_around_a_message_do_not_matter),
        cmocka_unit_test(test_what_is_no_json_is_refused),
        cmocka_unit_test(test_a_nul_byte_is_refused_wherever_it_stands),
        cmocka_unit_test(test_invalid_utf8_is_refused),
        cmocka_unit_test(test_numbers_too_large_are_refused),
        cmocka_unit_test(test_the_largest_numbers_are_exact),
        cmocka_unit_test(test_a_message_is_written_on_one_line),
        cmocka_unit_test(test_an_integer_within_its_bounds_is_read),
        cmocka_unit_test(test_an_integer_out_of_bounds_is_refused),
        cmocka_unit_test(test_a_member_of_another_type_is_refused),
        cmocka_unit_test(test_a_missing_member_is_refused),
        cmocka_unit_test(test_booleans_and_strings_are_read),
        cmocka_unit_test(test_text_for_people_has_nothing_that_steers_a_terminal),
        cmocka_unit_test(test_text_for_people_is_valid_utf8_of_bounded_length),
        cmocka_unit_test(test_text_for_people_leaves_plain_text_alone),
        cmocka_unit_test(test_numbers_beyond_int64_in_a_message_of_qemu_become_null),
        cmocka_unit_test(test_a_message_of_qemu_is_refused_for_all_other_reasons),
    };
    return run_test_table(tests);
}
