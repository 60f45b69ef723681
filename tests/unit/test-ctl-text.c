// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/ctl/progress.h"
#include "host-controller/ctl/suggest.h"
#include "host-controller/ctl/table.h"
#include "tests/support/deadline.h"

#include <string.h>

static const TextStyle plain = {0};
static const TextStyle unicode = {.unicode = true};

// --- columns ----------------------------------------------------------------------------------

static void test_columns_are_counted_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_columns(""), 0);
    assert_int_equal(text_columns("web1"), 4);
    assert_int_equal(text_columns("m\u00fcsli"), 5);
    assert_int_equal(text_columns("\u7db2\u7ad9"), 4);
    assert_int_equal(text_columns("e\u0301"), 1);
}

static void test_a_text_is_made_to_fit(void **state)
{
    static const struct {
        const char *text;
        int columns;
        bool right;
        const char *fitted;
    } cases[] = {
        {"web", 5, false, "web  "},
        {"web", 5, true, "  web"},
        {"web", 3, false, "web"},
        {"web", 2, false, "w\u2026"},
        {"web", 1, true, "\u2026"},
        {"web", 0, false, ""},
        {"\u7db2\u7ad9", 4, false, "\u7db2\u7ad9"},
        // Half of a wide character cannot be shown: a blank takes its place.
        {"\u7db2\u7ad9\u7db2", 5, false, "\u7db2\u7ad9\u2026"},
        {"\u7db2\u7ad9\u7db2", 4, false, "\u7db2\u2026 "},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *fitted =
            text_fit(&unicode, cases[i].text, cases[i].columns, cases[i].right);
        assert_string_equal(fitted, cases[i].fitted);
    }
    g_autofree char *ascii = text_fit(&plain, "website", 4, false);
    assert_string_equal(ascii, "web~");
}

static void test_text_is_wrapped_at_blanks_and_indented(void **state)
{
    const TextStyle narrow = {.width = 24};
    (void)state;
    g_autoptr(GString) out = g_string_new("    ");
    text_append_wrapped(out, &narrow, 4, "one two three four five six seven");
    assert_string_equal(out->str, "    one two three four\n    five six seven");
    g_autoptr(GString) unlimited = g_string_new(NULL);
    text_append_wrapped(unlimited, &plain, 4, "one two three four five six seven");
    assert_string_equal(unlimited->str, "one two three four five six seven");
}

static void test_colours_are_used_only_where_they_are_understood(void **state)
{
    const TextStyle colourful = {.colour = true};
    (void)state;
    g_autoptr(GString) out = g_string_new(NULL);
    text_append_coloured(out, &plain, TEXT_ALARM, "a");
    text_append_coloured(out, &colourful, TEXT_PLAIN, "b");
    text_append_coloured(out, &colourful, TEXT_ALARM, "c");
    assert_string_equal(out->str, "ab\033[31mc\033[0m");
}

// --- the table --------------------------------------------------------------------------------

static char *render_table(int width)
{
    static const TableColumn columns[] = {
        {"NAME", false, 0}, {"SIZE", true, 1}, {"NOTE", false, 2}};
    static const char *const cells[] = {"web", "1 MiB", "fine", "a-long-name", "20 MiB", "so so"};
    const TextStyle style = {.width = width};
    g_autoptr(Table) table = table_new(columns, G_N_ELEMENTS(columns));
    for (size_t i = 0; i < G_N_ELEMENTS(cells); i++) {
        table_add(table, g_strdup(cells[i]), TEXT_PLAIN);
    }
    GString *out = g_string_new(NULL);
    table_render(table, &style, out);
    return g_string_free(out, FALSE);
}

static void test_a_table_is_aligned_without_trailing_blanks(void **state)
{
    (void)state;
    g_autofree char *text = render_table(0);
    assert_string_equal(text, "NAME           SIZE  NOTE\n"
                              "web           1 MiB  fine\n"
                              "a-long-name  20 MiB  so so\n");
}

static void test_a_narrow_table_loses_spare_columns_then_cuts_the_first(void **state)
{
    static const struct {
        int width;
        const char *text;
    } cases[] = {
        {26, "NAME           SIZE  NOTE\nweb           1 MiB  fine\na-long-name  20 MiB  so so\n"},
        {25, "NAME           SIZE\nweb           1 MiB\na-long-name  20 MiB\n"},
        {19, "NAME           SIZE\nweb           1 MiB\na-long-name  20 MiB\n"},
        {18, "NAME\nweb\na-long-name\n"},
        {8, "NAME\nweb\na-long-~\n"},
        {1, "NAME\nweb\na-l~\n"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = render_table(cases[i].width);
        assert_string_equal(text, cases[i].text);
    }
}

// --- progress ---------------------------------------------------------------------------------

static Progress shrinking(int64_t actual_mib)
{
    return (Progress){
        .name = "web1",
        .from_bytes = 1000 * MIB,
        .actual_bytes = actual_mib * MIB,
        .target_bytes = 200 * MIB,
        .elapsed_us = 1500000,
        .note = "shrinking",
    };
}

static void test_progress_runs_from_start_to_target_either_way(void **state)
{
    (void)state;
    Progress progress = shrinking(1000);
    assert_int_equal(progress_permille(&progress), 0);
    progress.actual_bytes = 400 * MIB;
    assert_int_equal(progress_permille(&progress), 750);
    progress.actual_bytes = 200 * MIB;
    assert_int_equal(progress_permille(&progress), 1000);
    progress.actual_bytes = 1100 * MIB;
    assert_int_equal(progress_permille(&progress), 0);
    Progress growing = {
        .from_bytes = 200 * MIB, .actual_bytes = 300 * MIB, .target_bytes = MIB * 400};
    assert_int_equal(progress_permille(&growing), 500);
    Progress nowhere = {.from_bytes = MIB, .actual_bytes = MIB, .target_bytes = MIB};
    assert_int_equal(progress_permille(&nowhere), 1000);
}

static void test_the_bar_takes_what_the_words_leave(void **state)
{
    const TextStyle style = {.width = 60};
    (void)state;
    Progress progress = shrinking(600);
    g_autoptr(GString) line = g_string_new(NULL);
    progress_render(&progress, &style, line);
    assert_string_equal(line->str, "web1 600 MiB #########---------- 200 MiB  1.50 s  shrinking");
    assert_true(text_columns(line->str) < style.width);
}

static void test_a_progress_line_never_reaches_the_last_column(void **state)
{
    (void)state;
    for (int width = 1; width < 200; width++) {
        const TextStyle style = {.width = width, .unicode = true};
        Progress progress = shrinking(300);
        g_autoptr(GString) line = g_string_new(NULL);
        progress_render(&progress, &style, line);
        assert_true(text_columns(line->str) < width);
    }
}

// --- suggestions ------------------------------------------------------------------------------

static void test_near_names_are_suggested_nearest_first(void **state)
{
    static const struct {
        const char *typed;
        const char *suggested;
    } cases[] = {
        {"web1", "web1,web10,web2"}, {"wbe1", "web1"}, {"WEB2", "web2,web1,web10"},
        {"databaes", "database"},    {"x", ""},        {"zzzzzz", ""},
        {"databse", "database"},     {"", ""},
    };
    (void)state;
    static const char *const known[] = {"web1", "web10", "web2", "database", "a"};
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        g_ptr_array_add(names, (gpointer)known[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) near = suggest_names(cases[i].typed, names);
        g_ptr_array_add(near, NULL);
        g_autofree char *list = g_strjoinv(",", (char **)near->pdata);
        assert_string_equal(list, cases[i].suggested);
    }
}

static void test_names_longer_than_any_are_no_danger(void **state)
{
    (void)state;
    g_autofree char *huge = g_strnfill(100000, 'a');
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_ptr_array_add(names, huge);
    g_ptr_array_add(names, (gpointer) "a");
    g_autoptr(GPtrArray) near = suggest_names(huge, names);
    assert_int_equal(near->len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_counted_not_bytes),
        cmocka_unit_test(test_a_text_is_made_to_fit),
        cmocka_unit_test(test_text_is_wrapped_at_blanks_and_indented),
        cmocka_unit_test(test_colours_are_used_only_where_they_are_understood),
        cmocka_unit_test(test_a_table_is_aligned_without_trailing_blanks),
        cmocka_unit_test(test_a_narrow_table_loses_spare_columns_then_cuts_the_first),
        cmocka_unit_test(test_progress_runs_from_start_to_target_either_way),
        cmocka_unit_test(test_the_bar_takes_what_the_words_leave),
        cmocka_unit_test(test_a_progress_line_never_reaches_the_last_column),
        cmocka_unit_test(test_near_names_are_suggested_nearest_first),
        cmocka_unit_test(test_names_longer_than_any_are_no_danger),
    };
    return run_test_table(tests);
}
