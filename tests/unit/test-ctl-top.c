// SPDX-License-Identifier: Apache-2.0
//
// The screen of aerostatctl top, drawn without a terminal.
#include "tests/test.h"

#include "host-controller/ctl/top-render.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)

// --- a host -----------------------------------------------------------------------------------

// A guest of 1024 MiB that has `actual_mib`, of which it uses `used_mib`; the rest is half cache,
// half free.
static json_t *guest_of(const char *name, int64_t actual_mib, int64_t used_mib, const char *state,
                        int permyriad)
{
    int64_t available_bytes = (actual_mib - used_mib) * MIB;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:{s:{s:I, s:I}, s:{s:{s:i}}}}", "name", name,
                     "state", state, "size", (json_int_t)(1024 * MIB), "actual",
                     (json_int_t)(actual_mib * MIB), "target", (json_int_t)(actual_mib * MIB),
                     "agent", "connected", "report", "memory", "available",
                     (json_int_t)available_bytes, "free", (json_int_t)(available_bytes / 2),
                     "pressure", "some", "avg10-permyriad", permyriad);
}

static json_t *some_guests(void)
{
    return json_pack("[o, o, o, {s:s, s:s}]", guest_of("database", 1024, 512, "settled", 0),
                     guest_of("web1", 512, 384, "growing", 1234),
                     guest_of("web2", 256, 128, "stalled", 0), "name", "absent", "state",
                     "connecting");
}

static void refresh(TopModel *model, json_t *guests)
{
    g_autoptr(json_t) status =
        json_pack("{s:s, s:s, s:I, s:i, s:i}", "version", "0.1.0", "mode", "balance", "uptime-us",
                  (json_int_t)7320000000, "guests", 4, "reporting", 3);
    g_autoptr(json_t) host =
        json_pack("{s:I, s:I, s:I, s:I}", "budget", (json_int_t)(2048 * MIB), "sum-actual",
                  (json_int_t)(1792 * MIB), "sum-target", (json_int_t)(1792 * MIB), "available",
                  (json_int_t)(4096 * MIB));
    top_model_refresh(model, status, host, guests);
    json_decref(guests);
}

static void add_event(TopModel *model, const char *event)
{
    top_model_add_event(model, json_pack("{s:s, s:{s:s}}", "event", event, "data", "name", "web1"));
}

static int set_up(void **state)
{
    TopModel *model = g_new(TopModel, 1);
    top_model_init(model, TOP_SORT_STATE);
    *state = model;
    return 0;
}

static int tear_down(void **state)
{
    top_model_clear(*state);
    g_free(*state);
    return 0;
}

// --- looking at a screen ----------------------------------------------------------------------

// The screen's rows as plain text, one a line, blanks at their ends left out.
static char *draw(const TopModel *model, int rows, int columns, bool unicode)
{
    const TextStyle style = {.width = columns, .unicode = unicode};
    g_autoptr(GArray) spans = top_render(model, &style, rows);
    g_autofree char **row = g_new0(char *, (gsize)rows + 1);
    for (int i = 0; i < rows; i++) {
        row[i] = g_strdup("");
    }
    for (guint i = 0; i < spans->len; i++) {
        const TopSpan *span = &g_array_index(spans, TopSpan, i);
        assert_in_range(span->row, 0, rows - 1);
        g_autofree char *former = row[span->row];
        row[span->row] = g_strconcat(former, span->text, NULL);
    }
    GString *screen = g_string_new(NULL);
    for (int i = 0; i < rows; i++) {
        if (text_columns(row[i]) > columns) {
            fail_msg("row %d is wider than %d: %s", i, columns, row[i]);
        }
        g_string_append_printf(screen, "%s\n", g_strchomp(row[i]));
        g_free(row[i]);
    }
    return g_string_free(screen, FALSE);
}

static void test_a_screen_of_80_by_24_shows_it_all(void **state)
{
    TopModel *model = *state;
    refresh(model, some_guests());
    add_event(model, "GUEST_AGENT_CONNECTED");
    g_autofree char *screen = draw(model, 24, 80, false);
    assert_string_equal(
        screen, "aerostat 0.1.0  balance  4 guests, 3 reporting  up 2 h 2 min\n"
                "budget 2048 MiB  held 1792 MiB  host available 4096 MiB  to be held 1792 MiB\n"
                "# in use = cache - free . balloon  sort name use actual target pressure state\n"
                "NAME          STATE          ACTUAL   TARGET   STALL MEMORY           LAST 4 MIN\n"
                "web2          stalled       256 MiB  256 MiB   0.0 % ##=-............          _\n"
                "absent        connecting          -        -       -\n"
                "web1          growing       512 MiB  512 MiB  12.3 % ######=-........          :\n"
                "database      settled      1024 MiB 1024 MiB   0.0 % ########====----          -\n"
                "\n\n\n\n\n\n\n\n\n"
                "--------------------------------------------------------------------------------\n"
                "              web1  agent connected\n"
                "\n\n\n\n\n");
}

// What does not fit whole is left out rather than cut in its middle.
static void test_a_narrow_screen_leaves_out_what_does_not_fit(void **state)
{
    TopModel *model = *state;
    refresh(model, some_guests());
    g_autofree char *narrow = draw(model, 20, 60, false);
    assert_true(g_str_has_prefix(narrow,
                                 "aerostat 0.1.0  balance  4 guests, 3 reporting  up 2 h 2 min\n"
                                 "budget 2048 MiB  held 1792 MiB  host available 4096 MiB\n"
                                 "# in use = cache - free . balloon  sort state\n"
                                 "NAME          STATE          ACTUAL   TARGET   STALL MEMORY\n"
                                 "web2          stalled       256 MiB  256 MiB   0.0 % #-....\n"));
    g_autofree char *narrower = draw(model, 20, 50, false);
    assert_true(g_str_has_prefix(narrower, "aerostat 0.1.0  balance  4 guests, 3 reporting\n"
                                           "budget 2048 MiB  held 1792 MiB\n"
                                           "sort name use actual target pressure state\n"
                                           "NAME          STATE          ACTUAL   TARGET\n"));
}

static void test_no_row_is_wider_than_the_screen_and_none_below_it(void **state)
{
    TopModel *model = *state;
    refresh(model, some_guests());
    add_event(model, "GUEST_AGENT_CONNECTED");
    for (int rows = 1; rows < 60; rows += 3) {
        for (int columns = 1; columns < 200; columns++) {
            g_free(draw(model, rows, columns, true));
        }
    }
}

// In use 128 MiB, cache 256, free 128; the bar is 16 wide and stands for 1024.
static void test_a_guest_without_an_agent_is_drawn_by_its_statistics(void **state)
{
    static const struct {
        json_int_t available_mib;
        json_int_t free_mib; // -1: not told
        const char *bar;
    } cases[] = {
        {384, 128, " ##====--........"},
        {384, -1, " ##------........"},
        {-1, 128, " ######--........"},
        {-1, -1, " ????????........"},
    };
    TopModel *model = *state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        json_t *stats = json_object();
        if (cases[i].available_mib >= 0) {
            json_object_set_new(stats, "available", json_integer(cases[i].available_mib * MIB));
        }
        if (cases[i].free_mib >= 0) {
            json_object_set_new(stats, "free", json_integer(cases[i].free_mib * MIB));
        }
        refresh(model, json_pack("[{s:s, s:s, s:I, s:I, s:o}]", "name", "old", "state", "settled",
                                 "size", (json_int_t)(1024 * MIB), "actual",
                                 (json_int_t)(512 * MIB), "guest-stats", stats));
        g_autofree char *screen = draw(model, 24, 80, false);
        assert_non_null(strstr(screen, cases[i].bar));
    }
}

static void test_the_order_follows_the_key(void **state)
{
    static const struct {
        TopSort sort;
        const char *first;
    } cases[] = {
        {TOP_SORT_NAME, "absent"},   {TOP_SORT_USE, "database"}, {TOP_SORT_ACTUAL, "database"},
        {TOP_SORT_PRESSURE, "web1"}, {TOP_SORT_STATE, "web2"},
    };
    TopModel *model = *state;
    refresh(model, some_guests());
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        top_model_set_sort(model, cases[i].sort);
        const json_t *first = g_ptr_array_index(model->guests, 0);
        assert_string_equal(json_string_value(json_object_get(first, "name")), cases[i].first);
    }
    TopSort sort;
    assert_true(top_sort_parse("use", &sort) && sort == TOP_SORT_USE);
    assert_false(top_sort_parse("weight", &sort));
}

static void test_300_guests_can_be_scrolled_through(void **state)
{
    TopModel *model = *state;
    json_t *guests = json_array();
    for (int i = 0; i < 300; i++) {
        g_autofree char *name = g_strdup_printf("guest-%03d", i);
        json_array_append_new(guests, guest_of(name, 512, 256, "settled", 0));
    }
    refresh(model, guests);
    guint visible = top_visible_guests(24);
    assert_int_equal(visible, 13);
    g_autofree char *top = draw(model, 24, 80, false);
    assert_non_null(strstr(top, "guest-000 "));
    assert_non_null(strstr(top, "-- guests 1 to 13 of 300 ---"));
    top_model_scroll(model, 1000, visible);
    g_autofree char *bottom = draw(model, 24, 80, false);
    assert_non_null(strstr(bottom, "guest-299 "));
    assert_non_null(strstr(bottom, "-- guests 288 to 300 of 300 ---"));
    top_model_scroll(model, -1000, visible);
    assert_int_equal(model->first, 0);
    // Most of them go while the last are looked at.
    top_model_scroll(model, 1000, visible);
    refresh(model, some_guests());
    g_autofree char *few = draw(model, 24, 80, false);
    assert_non_null(strstr(few, "web2 "));
}

static void test_the_course_moves_to_the_left(void **state)
{
    TopModel *model = *state;
    for (int i = 0; i < 100; i++) {
        refresh(model, json_pack("[o]", guest_of("a", 1024, i < 50 ? 1000 : 100, "settled", 0)));
    }
    g_autofree char *screen = draw(model, 24, 80, false);
    // 25 refreshes a column: the first two have seen much.
    assert_non_null(strstr(screen, "      ##__\n"));
    refresh(model, json_pack("[o]", guest_of("a", 1024, 100, "settled", 0)));
    g_autofree char *later = draw(model, 24, 80, false);
    assert_non_null(strstr(later, "     ##___\n"));
}

static void test_a_guest_that_is_gone_leaves_nothing_behind(void **state)
{
    TopModel *model = *state;
    refresh(model, some_guests());
    refresh(model, json_pack("[o]", guest_of("web1", 512, 256, "settled", 0)));
    assert_int_equal(g_hash_table_size(model->histories), 1);
}

static void test_only_the_last_events_are_kept(void **state)
{
    TopModel *model = *state;
    for (int i = 0; i < 1000; i++) {
        add_event(model, "GUEST_AGENT_LOST");
    }
    assert_int_equal(g_queue_get_length(&model->events), TOP_EVENTS);
    add_event(model, "GUEST_AGENT_CONNECTED");
    g_autofree char *screen = draw(model, 24, 80, false);
    assert_non_null(strstr(screen, "agent lost\n              web1  agent connected\n"));
}

static void test_a_controller_that_is_away_is_said_to_be(void **state)
{
    TopModel *model = *state;
    refresh(model, some_guests());
    top_model_set_notice(model, "the controller is away");
    g_autofree char *away = draw(model, 24, 80, false);
    assert_non_null(strstr(away, "\nthe controller is away\n"));
    // What was last known stays.
    assert_non_null(strstr(away, "database "));
    top_model_set_notice(model, NULL);
    g_autofree char *back = draw(model, 24, 80, false);
    assert_non_null(strstr(back, "\nbudget 2048 MiB"));
}

static void test_nothing_is_needed_to_draw(void **state)
{
    g_autofree char *screen = draw(*state, 24, 80, true);
    assert_true(g_str_has_prefix(screen, "aerostat -  -  0 guests, 0 reporting  up 0.0 ms\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_screen_of_80_by_24_shows_it_all),
        TEST(test_a_narrow_screen_leaves_out_what_does_not_fit),
        TEST(test_no_row_is_wider_than_the_screen_and_none_below_it),
        TEST(test_a_guest_without_an_agent_is_drawn_by_its_statistics),
        TEST(test_the_order_follows_the_key),
        TEST(test_300_guests_can_be_scrolled_through),
        TEST(test_the_course_moves_to_the_left),
        TEST(test_a_guest_that_is_gone_leaves_nothing_behind),
        TEST(test_only_the_last_events_are_kept),
        TEST(test_a_controller_that_is_away_is_said_to_be),
        TEST(test_nothing_is_needed_to_draw),
    };
    return run_test_table(tests);
}
