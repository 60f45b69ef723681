// SPDX-License-Identifier: Apache-2.0
//
// The step filter: plans for good lines, precise errors for others, and it goes on.
#include "tests/test.h"

#include "host-controller/sim/step-filter.h"
#include "protocol/json.h"

#include <string.h>

#define REPORT(available)                                                                          \
    "\"report\":{\"sequence\":1,\"monotonic-us\":5,\"reason\":\"change\",\"memory\":{"             \
    "\"total\":1000000000,\"free\":0,\"available\":" available "},\"balloon\":0}"
#define GUEST(name, more)                                                                          \
    "{\"name\":\"" name "\",\"actual\":1073741824,\"size\":1073741824" more "}"
#define LINE(guests) "{\"now-us\":1000,\"host\":{\"budget\":2000000000},\"guests\":[" guests "]}"

static json_t *ask(StepFilter *filter, const char *line)
{
    g_autofree char *answer = step_filter_answer(filter, line, strlen(line), false);
    assert_int_equal(answer[strlen(answer) - 1], '\n');
    return json_loads(answer, 0, NULL);
}

static void good_lines_get_a_plan(void **unused)
{
    (void)unused;
    static const struct {
        const char *line;
        size_t guests;
    } table[] = {
        {LINE(""), 0},
        {LINE(GUEST("a", "")), 1},
        {LINE(GUEST("a", ",\"min\":0,\"max\":1073741824,\"weight\":1,\"target\":0")), 1},
        {LINE(GUEST("a", "," REPORT("500000000")) "," GUEST("b", "," REPORT("0"))), 2},
        {LINE(GUEST("a", ",\"colour\":\"blue\"")), 1},
        {"{\"now-us\":0,\"host\":{\"budget\":0,\"mode\":\"reclaim\"},\"guests\":[]}", 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        StepFilter *filter = step_filter_new();
        g_autoptr(json_t) answer = ask(filter, table[i].line);
        assert_true(json_is_array(json_object_get(answer, "guests")));
        assert_int_equal(json_array_size(json_object_get(answer, "guests")), table[i].guests);
        step_filter_free(filter);
    }
}

static void bad_lines_get_an_error_that_says_where(void **unused)
{
    (void)unused;
    static const struct {
        const char *line;
        const char *text;
    } table[] = {
        {"", "line 1: "},
        {"[]", "line 1: "},
        {"{\"now-us\":1", "line 1: "},
        {"{\"host\":{\"budget\":1},\"guests\":[]}", "now-us"},
        {"{\"now-us\":-1,\"host\":{\"budget\":1},\"guests\":[]}", "now-us"},
        {"{\"now-us\":1,\"guests\":[]}", "host"},
        {"{\"now-us\":1,\"host\":{},\"guests\":[]}", "budget"},
        {"{\"now-us\":1,\"host\":{\"budget\":1.5},\"guests\":[]}", "budget"},
        {"{\"now-us\":1,\"host\":{\"budget\":1,\"mode\":\"x\"},\"guests\":[]}", "mode"},
        {"{\"now-us\":1,\"host\":{\"budget\":1,\"mode\":2},\"guests\":[]}", "mode"},
        {"{\"now-us\":1,\"host\":{\"budget\":1}}", "guests"},
        {"{\"now-us\":1,\"host\":{\"budget\":1},\"guests\":{}}", "guests"},
        {LINE("7"), "guests[0]: "},
        {LINE(GUEST("a", "") "," GUEST("a", "")), "one name"},
        {LINE(GUEST("", "")), "guests[0]: name"},
        {LINE(GUEST("a", "") ",{\"name\":\"b\"}"), "guests[1]: Parameter 'actual'"},
        {LINE("{\"actual\":1}"), "guests[0]: Parameter 'name'"},
        {LINE(GUEST("a", ",\"weight\":0")), "weight"},
        {LINE(GUEST("a", ",\"min\":5,\"max\":4")), "min is above max"},
        {LINE(GUEST("a", ",\"max\":9223372036854775807")), "max"},
        {LINE(GUEST("a", ",\"report\":{}")), "guests[0]: Parameter 'sequence'"},
        {LINE(GUEST("a", ",\"report\":3")), "report"},
        {LINE(GUEST("a", "," REPORT("-1"))), "available"},
        {LINE(GUEST("a", "," REPORT("9999999999"))), "available"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        StepFilter *filter = step_filter_new();
        g_autoptr(json_t) answer = ask(filter, table[i].line);
        const json_t *error = json_object_get(answer, "error");
        assert_non_null(error);
        const char *text = json_string_value(json_object_get(error, "desc"));
        if (!strstr(text, table[i].text)) {
            fail_msg("'%s' lacks '%s'", text, table[i].text);
        }
        // And it goes on.
        g_autoptr(json_t) next = ask(filter, LINE(GUEST("a", "")));
        assert_non_null(json_object_get(next, "guests"));
        step_filter_free(filter);
    }
}

static void a_line_cut_off_anywhere_is_an_error(void **unused)
{
    (void)unused;
    static const char line[] = LINE(GUEST("a", "," REPORT("500000000")));
    StepFilter *filter = step_filter_new();
    for (size_t length = 0; length + 1 < sizeof line - 1; length++) {
        g_autofree char *text = step_filter_answer(filter, line, length, false);
        assert_non_null(strstr(text, "\"error\""));
    }
    step_filter_free(filter);
}

static void a_line_too_long_is_an_error(void **unused)
{
    (void)unused;
    StepFilter *filter = step_filter_new();
    g_autofree char *answer = step_filter_answer(filter, "{}", 2, true);
    assert_non_null(strstr(answer, "longer than"));
    step_filter_free(filter);
}

static const char *bound_of(const json_t *answer)
{
    const json_t *guest = json_array_get(json_object_get(answer, "guests"), 0);
    return json_string_value(json_object_get(json_object_get(guest, "reason"), "bound-by"));
}

static int64_t target_of(const json_t *answer)
{
    const json_t *guest = json_array_get(json_object_get(answer, "guests"), 0);
    return json_integer_value(json_object_get(guest, "target"));
}

static json_t *ask_at(StepFilter *filter, int64_t now_us, const char *more)
{
    g_autofree char *line = g_strdup_printf(
        "{\"now-us\":%" G_GINT64_FORMAT ",\"host\":{\"budget\":600000000},\"guests\":["
        "{\"name\":\"a\",\"actual\":1073741824,\"size\":1073741824%s}]}",
        now_us, more);
    return ask(filter, line);
}

// A guest is known by its name from line to line: its report holds for three seconds.
static void a_report_is_remembered_for_as_long_as_it_is_fresh(void **unused)
{
    (void)unused;
    StepFilter *filter = step_filter_new();
    g_autoptr(json_t) silent = ask_at(filter, 1000000, "");
    assert_string_equal(bound_of(silent), "stale");
    g_autoptr(json_t) heard = ask_at(filter, 2000000, "," REPORT("900000000"));
    assert_true(target_of(heard) < 1073741824);
    g_autoptr(json_t) later = ask_at(filter, 4000000, "");
    assert_string_not_equal(bound_of(later), "stale");
    g_autoptr(json_t) stale = ask_at(filter, 5000000, "");
    assert_string_equal(bound_of(stale), "stale");
    assert_int_equal(target_of(stale), 1073741824);
    step_filter_free(filter);
}

static void a_guest_not_named_is_forgotten(void **unused)
{
    (void)unused;
    StepFilter *filter = step_filter_new();
    g_autoptr(json_t) heard = ask_at(filter, 2000000, "," REPORT("900000000"));
    assert_string_not_equal(bound_of(heard), "stale");
    g_autoptr(json_t) others = ask(filter, LINE(GUEST("b", "")));
    assert_non_null(json_object_get(others, "guests"));
    g_autoptr(json_t) again = ask_at(filter, 2100000, "");
    assert_string_equal(bound_of(again), "stale");
    step_filter_free(filter);
}

static void the_parts_of_a_demand_add_up(void **unused)
{
    (void)unused;
    StepFilter *filter = step_filter_new();
    g_autoptr(json_t) answer = ask_at(filter, 2000000, "," REPORT("400000000"));
    const json_t *guest = json_array_get(json_object_get(answer, "guests"), 0);
    const json_t *reason = json_object_get(guest, "reason");
    assert_int_equal(json_integer_value(json_object_get(reason, "demand")),
                     json_integer_value(json_object_get(reason, "committed")) +
                         json_integer_value(json_object_get(reason, "headroom")) +
                         json_integer_value(json_object_get(reason, "cache-share")));
    assert_int_equal(json_integer_value(json_object_get(reason, "committed")),
                     1073741824 - 400000000);
    step_filter_free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines_get_a_plan),
        cmocka_unit_test(bad_lines_get_an_error_that_says_where),
        cmocka_unit_test(a_line_cut_off_anywhere_is_an_error),
        cmocka_unit_test(a_line_too_long_is_an_error),
        cmocka_unit_test(a_report_is_remembered_for_as_long_as_it_is_fresh),
        cmocka_unit_test(a_guest_not_named_is_forgotten),
        cmocka_unit_test(the_parts_of_a_demand_add_up),
    };
    return run_test_table(tests);
}
