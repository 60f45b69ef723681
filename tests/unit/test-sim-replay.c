// SPDX-License-Identifier: Apache-2.0
//
// Reading a journal and playing it on: damage told where it is, settings read as they are written,
// and what the model says against sums done by hand.
#include "tests/test.h"

#include "host-controller/sim/replay-files.h"
#include "host-controller/sim/replay-model.h"
#include "tests/support/scratch.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define SECOND INT64_C(1000000)

// A guest of 1 GiB in mode balance, all of it held, 200 MiB of it in use.
#define GUEST                                                                                      \
    "\"size\":1073741824,\"actual\":1073741824,\"target\":1073741824,\"ceiling\":1073741824,"      \
    "\"min\":104857600,\"max\":1073741824,\"weight\":100,\"movable\":true,\"fresh\":true,"         \
    "\"committed\":209715200,\"headroom\":33554432,\"learned-started\":true,"                      \
    "\"plan\":1073741824,\"fair-share\":1073741824,\"bound-by\":\"maximum\""
#define HOST "{\"mode\":\"balance\",\"budget\":4294967296,\"total\":8589934592}"
#define FULL(line, at_us, guests)                                                                  \
    "{\"line\":" #line ",\"unix-us\":1,\"at-us\":" #at_us ",\"skipped\":0,\"full\":true,"          \
    "\"dropped\":0,\"host\":" HOST ",\"guests\":{" guests "}}"
#define PART(line, at_us, guests)                                                                  \
    "{\"line\":" #line ",\"unix-us\":1,\"at-us\":" #at_us                                          \
    ",\"skipped\":0,\"host\":{},\"guests\":{" guests "}}"

static JournalLine take(JournalReader *reader, const char *text, GError **error)
{
    return journal_reader_take(reader, text, strlen(text), error);
}

// --- lines ------------------------------------------------------------------------------------

static void test_a_damaged_line_is_refused_and_says_why(void **state)
{
    static const struct {
        const char *text;
        const char *told;
    } lines[] = {
        {"", "JSON"},
        {"[]", "JSON"},
        {"{\"line\":1", "JSON"},
        {"{}", "line"},
        {FULL(0, 1, ""), "line"},
        {FULL(1, -1, ""), "at-us"},
        {FULL(1, 1, "\"a\":1"), "guest 'a': a guest is no object"},
        {FULL(1, 1, "\"a\":{\"size\":\"much\"}"), "guest 'a': "},
        {FULL(1, 1, "\"a\":{\"bound-by\":\"whim\"}"), "'bound-by' is no reason"},
        {FULL(1, 1, "\"a\":{\"learned-cache-shift\":63}"), "learned-cache-shift"},
        {FULL(1, 1, "\"a\":{\"learned-cache-share\":-1}"), "learned-cache-share"},
        {FULL(1, 1, "\"a\":{\"reports\":{}}"), "reports is no list"},
        {FULL(1, 1, "\"a\":{\"reports\":[1]}"), "a report is no object"},
        {FULL(1, 1, "\"a\":{\"reports\":[{},{},{},{},{},{},{},{},{}]}"), "reports is no list"},
        {FULL(1, 1, "\"\":{}"), "with a name that is none"},
        {FULL(1, 1, "\"\\u001b[2J\":1"), "guest ' [2J'"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_auto(JournalReader) reader;
        journal_reader_init(&reader);
        g_autoptr(GError) error = NULL;
        assert_int_equal(take(&reader, lines[i].text, &error), JOURNAL_LINE_DAMAGED);
        if (!strstr(error->message, lines[i].told) && strcmp(lines[i].told, "JSON") != 0) {
            fail_msg("%s: %s", lines[i].text, error->message);
        }
        assert_false(reader.known);
    }
}

static void test_a_line_cut_anywhere_is_refused(void **state)
{
    (void)state;
    const char *line = FULL(1, 1, "\"a\":{" GUEST "}");
    for (size_t length = 0; length < strlen(line); length++) {
        g_auto(JournalReader) reader;
        journal_reader_init(&reader);
        g_autofree char *cut = g_strndup(line, length);
        assert_int_equal(take(&reader, cut, NULL), JOURNAL_LINE_DAMAGED);
    }
}

static void test_what_builds_on_a_missing_line_is_left_out_until_one_stands_by_itself(void **state)
{
    (void)state;
    g_auto(JournalReader) reader;
    journal_reader_init(&reader);
    assert_int_equal(take(&reader, PART(2, 2, ""), NULL), JOURNAL_LINE_ORPHAN);
    assert_int_equal(take(&reader, FULL(3, 3, "\"a\":{" GUEST "}"), NULL), JOURNAL_LINE_TAKEN);
    assert_true(reader.began);
    assert_int_equal(take(&reader, PART(4, 4, ""), NULL), JOURNAL_LINE_TAKEN);
    assert_false(reader.began);
    assert_int_equal(take(&reader, PART(6, 6, ""), NULL), JOURNAL_LINE_ORPHAN);
    assert_int_equal(take(&reader, PART(7, 7, ""), NULL), JOURNAL_LINE_ORPHAN);
    assert_int_equal(take(&reader, FULL(8, 8, ""), NULL), JOURNAL_LINE_TAKEN);
    assert_int_equal(reader.guests->len, 0);
}

// --- files ------------------------------------------------------------------------------------

static void note_line(const ReplayLine *line, void *context)
{
    g_string_append_printf(context, "%s:%d%s ", strrchr(line->path, '/') + 1, (int)line->number,
                           line->unfinished ? " unfinished" : "");
}

static void test_files_are_read_in_the_order_they_were_written(void **state)
{
    g_autofree char *newer = scratch_write(*state, "j", "{\"unix-us\":5}\n{\"unix-us\":6", -1);
    g_autofree char *older = scratch_write(*state, "j.1", "rubbish\n{\"unix-us\":3}\n", -1);
    g_autofree char *oldest = scratch_write(*state, "j.2", "{\"unix-us\":1}\n", -1);
    char *paths[] = {newer, oldest, older, NULL};
    g_autoptr(GString) lines = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    assert_true(replay_files_read(paths, note_line, NULL, lines, &error));
    assert_string_equal(lines->str, "j.2:1 j.1:1 j.1:2 j:1 j:2 unfinished ");
}

static void test_a_file_that_cannot_be_read_is_an_error_with_its_name(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *missing = scratch_path(scratch, "missing");
    char *const paths[] = {missing, scratch->folder};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        char *one[] = {paths[i], NULL};
        g_autoptr(GError) error = NULL;
        assert_false(replay_files_read(one, note_line, NULL, NULL, &error));
        assert_non_null(strstr(error->message, paths[i]));
    }
}

// --- settings ---------------------------------------------------------------------------------

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "mode",
        "mode=",
        "mode=hard",
        "budget=",
        "budget=x",
        "guest.a=1",
        "guest..min=1G",
        "guest.a.min=",
        "guest.a.size=1G",
        "weight=5",
        "guest.a.max=-1",
        "guest.a.weight=0",
        "guest.a.weight=10001",
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_auto(ReplaySettings) settings;
        replay_settings_init(&settings);
        g_autoptr(GError) error = NULL;
        if (replay_settings_add(&settings, texts[i], &error)) {
            fail_msg("'%s' was taken", texts[i]);
        }
        assert_non_null(error);
    }
}

static bool add(ReplaySettings *settings, const char *text)
{
    return replay_settings_add(settings, text, NULL);
}

static void test_settings_change_what_they_name_and_nothing_else(void **state)
{
    (void)state;
    g_auto(ReplaySettings) settings;
    replay_settings_init(&settings);
    assert_true(add(&settings, "budget=25%") && add(&settings, "guest.*.weight=7") &&
                add(&settings, "guest.web.1.min=50%") && add(&settings, "guest.web.1.weight=9"));
    JournalHost host = replay_settings_host(
        &settings, &(JournalHost){.total_bytes = 8 * GIB, .mode = CONTROLLER_MODE_RECLAIM});
    assert_int_equal(host.budget_bytes, 2 * GIB);
    assert_int_equal(host.mode, CONTROLLER_MODE_RECLAIM);
    PolicyGuest named = {.size_bytes = GIB, .min_bytes = 1, .max_bytes = 2, .weight = 100};
    PolicyGuest other = named;
    replay_settings_apply(&settings, "web.1", &named);
    replay_settings_apply(&settings, "web.2", &other);
    assert_int_equal(named.min_bytes, GIB / 2);
    assert_int_equal(named.max_bytes, GIB / 2); // never below min
    assert_int_equal(named.weight, 9);
    assert_int_equal(other.min_bytes, 1);
    assert_int_equal(other.max_bytes, 2);
    assert_int_equal(other.weight, 7);
}

// --- the model --------------------------------------------------------------------------------

typedef struct Play {
    JournalReader reader;
    ReplaySettings settings;
    ReplayModel *recorded;
    ReplayModel *changed;
} Play;

static int set_up(void **state)
{
    Play *play = g_new0(Play, 1);
    journal_reader_init(&play->reader);
    replay_settings_init(&play->settings);
    play->recorded = replay_model_new(NULL);
    play->changed = replay_model_new(&play->settings);
    *state = play;
    return 0;
}

static int tear_down(void **state)
{
    Play *play = *state;
    journal_reader_clear(&play->reader);
    replay_settings_clear(&play->settings);
    replay_model_free(play->recorded);
    replay_model_free(play->changed);
    g_free(play);
    return 0;
}

static void play_line(Play *play, const char *text)
{
    assert_int_equal(take(&play->reader, text, NULL), JOURNAL_LINE_TAKEN);
    replay_model_take(play->recorded, &play->reader);
    replay_model_take(play->changed, &play->reader);
}

static void test_reclaim_would_have_returned_what_is_idle(void **state)
{
    Play *play = *state;
    assert_true(add(&play->settings, "mode=reclaim"));
    play_line(play, FULL(1, 1000000, "\"a\":{" GUEST "}"));
    play_line(play, PART(2, 101000000, ""));
    ReplayTally recorded = replay_model_tally(play->recorded);
    ReplayTally changed = replay_model_tally(play->changed);
    assert_int_equal(replay_model_duration_us(play->changed), 100 * SECOND);
    assert_int_equal(recorded.commands, 0);
    assert_int_equal(recorded.returned_mib_s, 0);
    // 200 MiB in use and 32 of headroom are kept: 792 MiB come back, at 1 GiB/s within 0.77 s.
    assert_int_equal(changed.commands, 1);
    assert_int_equal(changed.shrinks, 1);
    assert_int_equal(changed.most_held_bytes, GIB);
    assert_true(changed.returned_mib_s > 792 * 99 && changed.returned_mib_s < 792 * 100);
    assert_int_equal(changed.short_us, 0);
}

static void test_a_guest_with_less_than_it_needs_is_short_for_as_long(void **state)
{
    Play *play = *state;
    assert_true(add(&play->settings, "budget=128M"));
    play_line(play, FULL(1, 1000000, "\"a\":{" GUEST "}"));
    play_line(play, PART(2, 101000000, ""));
    ReplayTally changed = replay_model_tally(play->changed);
    // 232 MiB wanted, 127 had (a share is whole mebibytes below what can be divided), once it has
    // given back the rest.
    assert_true(changed.short_us > 99 * SECOND && changed.short_us < 100 * SECOND);
    assert_true(changed.short_mib_s > 104 * 99 && changed.short_mib_s <= 105 * 100);
    assert_int_equal(replay_model_tally(play->recorded).short_us, 0);
}

static void test_a_max_below_what_a_guest_needs_leaves_it_short(void **state)
{
    Play *play = *state;
    assert_true(add(&play->settings, "guest.a.max=200M"));
    play_line(play, FULL(1, 1000000, "\"a\":{" GUEST "}"));
    play_line(play, PART(2, 101000000, ""));
    ReplayTally changed = replay_model_tally(play->changed);
    assert_true(changed.short_us > 99 * SECOND);
    assert_true(changed.short_mib_s > 32 * 99 && changed.short_mib_s <= 32 * 100);
}

static void test_time_that_nobody_recorded_is_not_counted(void **state)
{
    Play *play = *state;
    play_line(play, FULL(1, 1000000, "\"a\":{" GUEST "}"));
    play_line(play, PART(2, 2000000, ""));
    // Another controller, or a gap.
    play_line(play, FULL(1, 90000000, "\"a\":{" GUEST "}"));
    play_line(play, PART(2, 92000000, ""));
    assert_int_equal(replay_model_duration_us(play->recorded), 3 * SECOND);
    assert_int_equal(replay_model_duration_us(play->changed), 3 * SECOND);
}

static void test_a_guest_that_cannot_be_moved_stays_where_it_was(void **state)
{
    Play *play = *state;
    assert_true(add(&play->settings, "mode=reclaim"));
    play_line(play, FULL(1, 1000000, "\"a\":{" GUEST ",\"x\":1}"));
    play_line(play, PART(2, 1000001, "\"a\":{\"movable\":false}"));
    play_line(play, PART(3, 101000000, ""));
    assert_int_equal(replay_model_tally(play->changed).returned_mib_s, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)
#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_damaged_line_is_refused_and_says_why),
        TEST(test_a_line_cut_anywhere_is_refused),
        TEST(test_what_builds_on_a_missing_line_is_left_out_until_one_stands_by_itself),
        TEST(test_files_are_read_in_the_order_they_were_written),
        TEST(test_a_file_that_cannot_be_read_is_an_error_with_its_name),
        TEST(test_settings_that_make_no_sense_are_refused),
        TEST(test_settings_change_what_they_name_and_nothing_else),
        PLAY(test_reclaim_would_have_returned_what_is_idle),
        PLAY(test_a_guest_with_less_than_it_needs_is_short_for_as_long),
        PLAY(test_a_max_below_what_a_guest_needs_leaves_it_short),
        PLAY(test_time_that_nobody_recorded_is_not_counted),
        PLAY(test_a_guest_that_cannot_be_moved_stays_where_it_was),
    };
    return run_test_table(tests);
}
