// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/framing.h"

#include <string.h>

// --- helpers ----------------------------------------------------------------------------------

// Pushes all bytes and appends to `log` a text for each event: "(LINE)", "~(LINE)" after a
// sentinel,
// "!" for a line too long.
static void push(LineFramer *framer, const char *bytes, size_t length, GString *log)
{
    LineEvent event;
    while ((event = line_framer_push(framer, &bytes, &length)) != LINE_EVENT_NONE) {
        if (event == LINE_EVENT_TOO_LONG) {
            g_string_append_c(log, '!');
            continue;
        }
        g_string_append(log, framer->after_sentinel ? "~(" : "(");
        g_string_append_len(log, framer->line->str, (gssize)framer->line->len);
        g_string_append_c(log, ')');
    }
    assert_int_equal(length, 0);
}

#define assert_log(log, expected) assert_text_equal(log, expected, sizeof expected - 1)

static void assert_text_equal(const GString *log, const char *expected, size_t length)
{
    if (log->len != length || memcmp(log->str, expected, length) != 0) {
        fail_msg("events are %s instead of %s", log->str, expected);
    }
}

// What becomes of `bytes` in pieces of `piece` bytes, the first of which has `first`.
static GString *split(size_t max_bytes, const char *bytes, size_t length, size_t first,
                      size_t piece)
{
    LineFramer framer;
    line_framer_init(&framer, max_bytes);
    GString *log = g_string_new(NULL);
    size_t size = MIN(first, length);
    push(&framer, bytes, size, log);
    for (size_t start = size; start < length; start += size) {
        size = MIN(piece, length - start);
        push(&framer, bytes + start, size, log);
    }
    line_framer_clear(&framer);
    return log;
}

static GString *whole(size_t max_bytes, const char *bytes, size_t length)
{
    return split(max_bytes, bytes, length, length, length);
}

#define assert_events(max_bytes, bytes, expected)                                                  \
    do {                                                                                           \
        g_autoptr(GString) log = whole(max_bytes, bytes, sizeof bytes - 1);                        \
        assert_log(log, expected);                                                                 \
    } while (0)

// --- lines ------------------------------------------------------------------------------------

static void test_lines_come_out_as_they_went_in(void **state)
{
    (void)state;
    assert_events(100, "{\"a\":1}\nb\n", "({\"a\":1})(b)");
}

static void test_an_unfinished_line_is_no_line(void **state)
{
    (void)state;
    assert_events(100, "a\nb", "(a)");
}

static void test_blank_lines_and_white_space_before_a_line_are_dropped(void **state)
{
    (void)state;
    assert_events(100, "\n\r\n \t a b\n", "(a b)");
}

static void test_a_closed_object_is_a_line_without_a_newline(void **state)
{
    (void)state;
    assert_events(100, "{\"a\":[{}]}{\"b\":1} {\n\"c", "({\"a\":[{}]})({\"b\":1})({)");
}

static void test_brackets_in_strings_close_nothing(void **state)
{
    (void)state;
    assert_events(100, "{\"}\\\"}\":1}x\n", "({\"}\\\"}\":1})(x)");
}

static void test_an_object_in_the_middle_of_a_line_closes_nothing(void **state)
{
    (void)state;
    assert_events(100, "x{}y\n[{}]\n", "(x{}y)([{}])");
}

static void test_carriage_returns_and_nul_bytes_stay_in_the_line(void **state)
{
    (void)state;
    assert_events(100, "a\r\nb\0c\n\0\n", "(a\r)(b\0c)(\0)");
}

static void test_the_next_line_starts_afresh(void **state)
{
    (void)state;
    LineFramer framer;
    line_framer_init(&framer, 100);
    const char *bytes = "first\nx\n";
    size_t length = strlen(bytes);
    assert_int_equal(line_framer_push(&framer, &bytes, &length), LINE_EVENT_LINE);
    assert_int_equal(length, 2);
    assert_string_equal(framer.line->str, "first");
    assert_int_equal(line_framer_push(&framer, &bytes, &length), LINE_EVENT_LINE);
    assert_string_equal(framer.line->str, "x");
    line_framer_clear(&framer);
}

static void test_every_split_gives_the_same_events(void **state)
{
    (void)state;
    static const char stream[] =
        "one\n\ntwo\r\n\xFF\xFFthree\nfo\xFFur\nmuch too long a line\nfive\n"
        "\xFF\nsi\0x\nmuch too long a line again\n\xFFseven\n{\"a\":1}\xFF{\"}\":2}{}\nrest";
    static const char expected[] = "(one)(two\r)~(three)~(ur)!(five)~(si\0x)!~(seven)"
                                   "({\"a\":1})~({\"}\":2})({})";
    for (size_t piece = 1; piece <= sizeof stream - 1; piece++) {
        for (size_t first = 0; first <= piece; first++) {
            g_autoptr(GString) log = split(12, stream, sizeof stream - 1, first, piece);
            assert_log(log, expected);
        }
    }
}

// --- the cap ----------------------------------------------------------------------------------

static void test_a_line_may_be_as_long_as_the_cap(void **state)
{
    (void)state;
    assert_events(5, "12345\n", "(12345)");
}

static void test_a_line_above_the_cap_is_told_once_and_skipped(void **state)
{
    (void)state;
    static const char stream[] = "123456789012345678901234567890\nnext\n";
    for (size_t piece = 1; piece < sizeof stream; piece++) {
        g_autoptr(GString) log = split(5, stream, sizeof stream - 1, 0, piece);
        assert_log(log, "!(next)");
    }
}

static void test_a_line_one_byte_above_the_cap_is_too_long(void **state)
{
    (void)state;
    assert_events(5, "123456\nnext\n", "!(next)");
}

static void test_lines_too_long_follow_each_other(void **state)
{
    (void)state;
    assert_events(3, "aaaa\nbbbb\nc\ndddd\n", "!!(c)!");
}

static void test_memory_stays_near_the_cap_whatever_comes(void **state)
{
    (void)state;
    const size_t cap = 65536;
    LineFramer framer;
    line_framer_init(&framer, cap);
    g_autofree char *block = g_strnfill(1000, 'x');
    size_t most = 0;
    for (int i = 0; i < 10000; i++) {
        const char *bytes = block;
        size_t length = 1000;
        line_framer_push(&framer, &bytes, &length);
        most = MAX(most, framer.line->allocated_len);
    }
    assert_true(most <= 2 * cap);
    assert_true(framer.line->allocated_len <= 4096);
    line_framer_clear(&framer);
}

static void test_a_long_lines_memory_is_given_back_with_the_next(void **state)
{
    (void)state;
    LineFramer framer;
    line_framer_init(&framer, 65536);
    g_autoptr(GString) log = g_string_new(NULL);
    g_autofree char *line = g_strnfill(60000, 'x');
    push(&framer, line, 60000, log);
    push(&framer, "\na", 2, log);
    assert_true(framer.line->allocated_len <= 4096);
    line_framer_clear(&framer);
}

// --- the sentinel -----------------------------------------------------------------------------

static void test_a_sentinel_drops_what_stood_before_it_on_its_line(void **state)
{
    (void)state;
    static const char line[] = "abcdef";
    for (size_t place = 0; place <= 6; place++) {
        g_autofree char *stream =
            g_strdup_printf("x\n%.*s\xFF%s\ny\n", (int)place, line, line + place);
        // A sentinel at the end of a line leaves nothing of it and stands before the next.
        g_autofree char *expected =
            place < 6 ? g_strdup_printf("(x)~(%s)(y)", line + place) : g_strdup("(x)~(y)");
        for (size_t piece = 1; piece <= strlen(stream); piece++) {
            g_autoptr(GString) log = split(100, stream, strlen(stream), 0, piece);
            assert_text_equal(log, expected, strlen(expected));
        }
    }
}

static void test_the_last_sentinel_of_a_line_counts(void **state)
{
    (void)state;
    assert_events(100,
                  "a\xFF"
                  "b\xFF\xFF"
                  "c\n",
                  "~(c)");
}

static void test_a_sentinel_ends_the_skipping_of_a_long_line(void **state)
{
    (void)state;
    LineFramer framer;
    line_framer_init(&framer, 5);
    g_autoptr(GString) log = g_string_new(NULL);
    push(&framer, "1234567890", 10, log);
    push(&framer,
         "123\xFF"
         "ab\n",
         7, log);
    assert_log(log, "!~(ab)");
    line_framer_clear(&framer);
}

static void test_a_sentinel_does_not_lift_the_cap(void **state)
{
    (void)state;
    assert_events(5,
                  "\xFF"
                  "123456\nab\n",
                  "!(ab)");
}

// --- state ------------------------------------------------------------------------------------

static void test_reset_forgets_what_a_former_peer_sent(void **state)
{
    (void)state;
    static const char *const before[] = {"half", "\xFF", "\xFFhalf", "much too long", "whole\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(before); i++) {
        LineFramer framer;
        line_framer_init(&framer, 10);
        g_autoptr(GString) log = g_string_new(NULL);
        push(&framer, before[i], strlen(before[i]), log);
        line_framer_reset(&framer);
        assert_false(line_framer_has_partial(&framer));
        g_string_truncate(log, 0);
        push(&framer, "new\n", 4, log);
        assert_log(log, "(new)");
        line_framer_clear(&framer);
    }
}

static void test_a_rest_is_owed_from_the_first_byte_to_the_newline(void **state)
{
    (void)state;
    LineFramer framer;
    line_framer_init(&framer, 5);
    g_autoptr(GString) log = g_string_new(NULL);
    assert_false(line_framer_has_partial(&framer));
    push(&framer, "a", 1, log);
    assert_true(line_framer_has_partial(&framer));
    push(&framer, "b\n", 2, log);
    assert_false(line_framer_has_partial(&framer));
    push(&framer, "123456", 6, log);
    assert_true(line_framer_has_partial(&framer));
    push(&framer, "\n", 1, log);
    assert_false(line_framer_has_partial(&framer));
    line_framer_clear(&framer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_out_as_they_went_in),
        cmocka_unit_test(test_an_unfinished_line_is_no_line),
        cmocka_unit_test(test_blank_lines_and_white_space_before_a_line_are_dropped),
        cmocka_unit_test(test_a_closed_object_is_a_line_without_a_newline),
        cmocka_unit_test(test_brackets_in_strings_close_nothing),
        cmocka_unit_test(test_an_object_in_the_middle_of_a_line_closes_nothing),
        cmocka_unit_test(test_carriage_returns_and_nul_bytes_stay_in_the_line),
        cmocka_unit_test(test_the_next_line_starts_afresh),
        cmocka_unit_test(test_every_split_gives_the_same_events),
        cmocka_unit_test(test_a_line_may_be_as_long_as_the_cap),
        cmocka_unit_test(test_a_line_above_the_cap_is_told_once_and_skipped),
        cmocka_unit_test(test_a_line_one_byte_above_the_cap_is_too_long),
        cmocka_unit_test(test_lines_too_long_follow_each_other),
        cmocka_unit_test(test_memory_stays_near_the_cap_whatever_comes),
        cmocka_unit_test(test_a_long_lines_memory_is_given_back_with_the_next),
        cmocka_unit_test(test_a_sentinel_drops_what_stood_before_it_on_its_line),
        cmocka_unit_test(test_the_last_sentinel_of_a_line_counts),
        cmocka_unit_test(test_a_sentinel_ends_the_skipping_of_a_long_line),
        cmocka_unit_test(test_a_sentinel_does_not_lift_the_cap),
        cmocka_unit_test(test_reset_forgets_what_a_former_peer_sent),
        cmocka_unit_test(test_a_rest_is_owed_from_the_first_byte_to_the_newline),
    };
    return run_test_table(tests);
}
