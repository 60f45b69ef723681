// SPDX-License-Identifier: Apache-2.0
//
// The journal's files: rotated and bounded, whole lines whatever the disk does.
#include "tests/test.h"

#include "host-controller/journal/writer.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PATIENCE_US (60 * SECOND_US)
#define KIB 1024

typedef struct Fixture {
    Scratch scratch;
    char *path;
    JournalWriter *writer;
    unsigned next; // the number of the next line
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    fixture->path = scratch_path(&fixture->scratch, "journal");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    journal_writer_free(fixture->writer, PATIENCE_US);
    scratch_clear(&fixture->scratch);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

static void begin(Fixture *fixture, int64_t size_bytes)
{
    fixture->writer = journal_writer_new(fixture->path, size_bytes);
}

// Ends the writer once everything is written.
static void end(Fixture *fixture)
{
    journal_writer_free(g_steal_pointer(&fixture->writer), PATIENCE_US);
}

// Puts a line of 1 KiB: its number, whether it stands by itself, and dots.
static void put(Fixture *fixture)
{
    bool full = journal_writer_state(fixture->writer) != JOURNAL_STATE_READY;
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_printf(line, "%06u %s ", fixture->next++, full ? "full" : "part");
    while (line->len < KIB - 1) {
        g_string_append_c(line, '.');
    }
    g_string_append_c(line, '\n');
    journal_writer_put(fixture->writer, line, full);
}

static void wait_until_settled(Fixture *fixture)
{
    wait_for(journal_writer_tally(fixture->writer).lines +
                     journal_writer_tally(fixture->writer).dropped ==
                 fixture->next,
             PATIENCE_US);
}

static void put_and_wait(Fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put(fixture);
        wait_until_settled(fixture);
    }
}

static char *read_file(const Fixture *fixture, const char *suffix)
{
    g_autofree char *path = g_strconcat(fixture->path, suffix, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static void test_lines_come_in_the_order_they_were_put(void **state)
{
    Fixture *fixture = *state;
    begin(fixture, 100 * KIB * KIB);
    for (int i = 0; i < 1000; i++) {
        put(fixture);
    }
    end(fixture);
    g_autofree char *text = read_file(fixture, "");
    assert_int_equal(strlen(text), 1000 * KIB);
    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *start = g_strdup_printf("%06u %s", i, i == 0 ? "full" : "part");
        assert_memory_equal(text + (gsize)i * KIB, start, strlen(start));
    }
}

static void test_files_are_bounded_in_size_and_number_and_begin_with_a_full_line(void **state)
{
    Fixture *fixture = *state;
    begin(fixture, 80 * KIB);
    put_and_wait(fixture, 200);
    end(fixture);
    int64_t sum = 0;
    unsigned newest = 199;
    for (int age = 0; age < JOURNAL_FILES; age++) {
        g_autofree char *suffix = age ? g_strdup_printf(".%d", age) : g_strdup("");
        g_autofree char *text = read_file(fixture, suffix);
        assert_non_null(text);
        assert_int_equal(strncmp(text + 7, "full", 4), 0);
        sum += (int64_t)strlen(text);
        assert_int_equal(atoi(text + strlen(text) - KIB), newest);
        newest = (unsigned)atoi(text) - 1;
    }
    assert_true(sum <= 80 * KIB);
    g_autofree char *beyond = read_file(fixture, ".8");
    assert_null(beyond);
}

static void test_a_full_disk_costs_lines_but_leaves_none_in_part(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    begin(fixture, 100 * KIB * KIB);
    put_and_wait(fixture, 10);
    // As a disk does that has no room but for half a line.
    struct rlimit full = {.rlim_cur = 10 * KIB + KIB / 2, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    put_and_wait(fixture, 5);
    assert_int_equal(journal_writer_state(fixture->writer), JOURNAL_STATE_FAILS);
    assert_int_equal(journal_writer_tally(fixture->writer).dropped, 5);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    put_and_wait(fixture, 2);
    end(fixture);
    g_autofree char *text = read_file(fixture, "");
    assert_int_equal(strlen(text), 12 * KIB);
    assert_memory_equal(text + 10 * KIB, "000015 full", 11);
    assert_memory_equal(text + 11 * KIB, "000016 part", 11);
}

static void test_a_line_torn_by_a_kill_is_ended_before_the_next(void **state)
{
    Fixture *fixture = *state;
    g_free(scratch_write(&fixture->scratch, "journal", "whole\n{\"line\":", -1));
    begin(fixture, 100 * KIB * KIB);
    put(fixture);
    end(fixture);
    g_autofree char *text = read_file(fixture, "");
    assert_true(g_str_has_prefix(text, "whole\n{\"line\":\n000000 full"));
}

static void test_a_torn_line_is_ended_even_when_the_disk_was_full_at_first(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    g_free(scratch_write(&fixture->scratch, "journal", "torn", -1));
    struct rlimit full = {.rlim_cur = KIB / 2, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    begin(fixture, 100 * KIB * KIB);
    put_and_wait(fixture, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    put_and_wait(fixture, 1);
    end(fixture);
    g_autofree char *text = read_file(fixture, "");
    assert_true(g_str_has_prefix(text, "torn\n000001 full"));
}

static void test_what_is_no_file_is_not_written_to(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    begin(fixture, 100 * KIB * KIB);
    put_and_wait(fixture, 1);
    assert_int_equal(journal_writer_tally(fixture->writer).dropped, 1);
}

static void test_what_does_not_fit_into_the_queue_is_dropped_and_the_next_line_is_full(void **state)
{
    Fixture *fixture = *state;
    begin(fixture, INT64_C(1) << 40);
    put_and_wait(fixture, 2);
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_set_size(line, (gsize)17 * KIB * KIB);
    memset(line->str, '.', line->len);
    journal_writer_put(fixture->writer, line, true);
    fixture->next++;
    assert_int_equal(journal_writer_tally(fixture->writer).dropped, 1);
    assert_int_equal(journal_writer_state(fixture->writer), JOURNAL_STATE_FAILS);
    put_and_wait(fixture, 1);
    assert_int_equal(journal_writer_state(fixture->writer), JOURNAL_STATE_READY);
    end(fixture);
    g_autofree char *text = read_file(fixture, "");
    assert_int_equal(strlen(text), 3 * KIB);
    assert_memory_equal(text + 2 * KIB, "000003 full", 11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_come_in_the_order_they_were_put),
        TEST(test_files_are_bounded_in_size_and_number_and_begin_with_a_full_line),
        TEST(test_a_full_disk_costs_lines_but_leaves_none_in_part),
        TEST(test_a_line_torn_by_a_kill_is_ended_before_the_next),
        TEST(test_a_torn_line_is_ended_even_when_the_disk_was_full_at_first),
        TEST(test_what_is_no_file_is_not_written_to),
        TEST(test_what_does_not_fit_into_the_queue_is_dropped_and_the_next_line_is_full),
    };
    return run_test_table(tests);
}
