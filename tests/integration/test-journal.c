// SPDX-License-Identifier: Apache-2.0
//
// The decision journal of the real controller, and aerostat-sim replaying it: what was decided
// comes out again to the byte, whatever became of the files in between.
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
#define BUDGET (1300 * MIB)
// A file is full when this is over, however few plans are made in a second.
#define FULL_US (300 * SECOND_US)

static char *journal_path(const Rig *rig)
{
    return scratch_path(&rig->scratch, "log/decisions.jsonl");
}

static void configure(Rig *rig, const char *more)
{
    g_autofree char *path = journal_path(rig);
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *text = g_strdup_printf("[controller]\njournal=%s\n%s", path, more);
    g_mkdir_with_parents(folder, 0755);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/journal.conf", text, -1));
    rig_configure(rig, BUDGET, NULL);
}

// A guest with much and one that will be short, and a journal.
static RigPair start_with_journal(Rig *rig, const char *more)
{
    RigPair pair = {
        .giver = rig_add(rig, "giver", 1000 * MIB, NULL),
        .taker = rig_add(rig, "taker", 300 * MIB, NULL),
    };
    configure(rig, more);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    return pair;
}

static void hand_over(Rig *rig, const RigPair *pair, int64_t used_bytes)
{
    fake_agent_grow(pair->taker->agent, used_bytes, GIB);
    wait_for(fake_agent_guest(pair->taker->agent)->used_bytes == used_bytes, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
}

// The journal's text so far, or "".
static char *read_journal(const Rig *rig)
{
    g_autofree char *path = journal_path(rig);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static bool journal_has(const Rig *rig, const char *text)
{
    g_autofree char *journal = read_journal(rig);
    return strstr(journal, text) != NULL;
}

// --- replaying --------------------------------------------------------------------------------

// Replays all files of the journal; `set` may be NULL. The exit status, and what was found as JSON.
static json_t *replay(const Rig *rig, const char *set, int *status)
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostat-sim", NULL);
    g_autofree char *path = journal_path(rig);
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GDir) files = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
    const char *const first[] = {program, "replay", "--json", set ? "--set" : NULL, set};
    for (size_t i = 0; i < G_N_ELEMENTS(first) && first[i]; i++) {
        g_ptr_array_add(arguments, g_strdup(first[i]));
    }
    for (const char *name; (name = g_dir_read_name(files));) {
        g_ptr_array_add(arguments, g_build_filename(folder, name, NULL));
    }
    g_ptr_array_add(arguments, NULL);
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    *status =
        process_run((const char *const *)arguments->pdata, PATIENCE_US, &output, &errors, &error);
    assert_no_error(error);
    json_t *found = json_loads(output, 0, NULL);
    if (!found) {
        fail_msg("no findings: %s%s", output, errors);
    }
    return found;
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static int64_t number_of_sum(const json_t *found, const char *column, const char *name)
{
    return number(json_object_get(json_object_get(found, column), "sum"), name);
}

static json_t *assert_replays(const Rig *rig, const char *set)
{
    int status;
    json_t *found = replay(rig, set, &status);
    if (status != 0 || number(found, "differences") != 0 || number(found, "damaged-lines") != 0 ||
        number(found, "orphan-lines") != 0 || number(found, "plans") == 0) {
        g_autofree char *text = json_dumps(found, JSON_INDENT(1));
        fail_msg("exit status %d: %s", status, text);
    }
    return found;
}

// --- what is recorded -------------------------------------------------------------------------

static void test_every_command_is_recorded_and_comes_out_again(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "");
    hand_over(rig, &pair, 800 * MIB);
    json_decref(
        rig_ask(rig, "set-target", json_pack("{s:s, s:I}", "name", "giver", "bytes", 350 * MIB)));
    wait_for(fake_qemu_actual_bytes(pair.giver->qemu) == 350 * MIB, PATIENCE_US);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    fake_agent_set_silent(pair.taker->agent, true);
    wait_for(journal_has(rig, "\"fresh\":false"), PATIENCE_US);
    fake_agent_set_silent(pair.taker->agent, false);
    fake_qemu_reset_guest(pair.giver->qemu);
    rig_wait_until_calm(rig, 1500 * MS_US);
    assert_int_equal(rig_stop(rig), 0);
    // All that was sent has arrived when the connections have ended.
    wait_for(!fake_qemu_is_connected(pair.giver->qemu) && !fake_qemu_is_connected(pair.taker->qemu),
             PATIENCE_US);
    unsigned commands = rig_balloon_commands(rig);
    g_autoptr(json_t) found = assert_replays(rig, NULL);
    assert_true(commands > 5);
    assert_int_equal(number_of_sum(found, "recorded", "commands"), commands);
}

static void test_quiet_guests_have_next_to_no_lines(void **state)
{
    Rig *rig = *state;
    start_with_journal(rig, "");
    rig_wait_until_calm(rig, 4 * SECOND_US);
    g_autofree char *before = read_journal(rig);
    wait_while(5 * SECOND_US);
    g_autofree char *after = read_journal(rig);
    // Ten reports came at least, and five plans.
    assert_true(strlen(after) - strlen(before) < 1024);
}

static void test_nothing_is_written_when_no_journal_is_configured(void **state)
{
    Rig *rig = *state;
    RigPair pair = rig_start_pair(rig, BUDGET);
    hand_over(rig, &pair, 800 * MIB);
    g_autofree char *path = journal_path(rig);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_its_files_are_for_owner_and_group_alone(void **state)
{
    Rig *rig = *state;
    mode_t before = umask(0077);
    start_with_journal(rig, "");
    umask(before);
    wait_for(journal_has(rig, "\n"), PATIENCE_US);
    g_autofree char *path = journal_path(rig);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
}

// --- what becomes of the files ----------------------------------------------------------------

static void
test_a_controller_killed_at_once_leaves_lines_that_the_next_one_goes_on_from(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "");
    fake_agent_grow(pair.taker->agent, 800 * MIB, GIB);
    wait_for(journal_has(rig, "\"why\":\"sent\""), PATIENCE_US);
    rig_kill(rig);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    hand_over(rig, &pair, 800 * MIB);
    assert_int_equal(rig_stop(rig), 0);
    json_decref(assert_replays(rig, NULL));
}

static void test_files_are_renamed_when_full_and_replay_in_order(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "journal-size=1M\n");
    g_autofree char *path = journal_path(rig);
    g_autofree char *former = g_strconcat(path, ".1", NULL);
    int64_t deadline_us = deadline_after(FULL_US);
    while (!g_file_test(former, G_FILE_TEST_EXISTS)) {
        assert_true(deadline_left_us(deadline_us) > 0);
        fake_agent_grow(pair.taker->agent, 800 * MIB, 4 * GIB);
        wait_for(fake_agent_guest(pair.taker->agent)->used_bytes == 800 * MIB, PATIENCE_US);
        fake_agent_guest(pair.taker->agent)->used_bytes = 100 * MIB;
        fake_agent_grow(pair.taker->agent, 100 * MIB, GIB);
        wait_while(300 * MS_US);
    }
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_int_equal(rig_stop(rig), 0);
    g_autoptr(json_t) found = assert_replays(rig, NULL);
    assert_true(number(found, "plans") > 100);
}

static void test_a_file_renamed_by_others_is_left_to_them(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "");
    hand_over(rig, &pair, 700 * MIB);
    g_autofree char *path = journal_path(rig);
    g_autofree char *renamed = g_strconcat(path, "-20261122", NULL);
    assert_int_equal(g_rename(path, renamed), 0);
    rig_signal(rig, SIGHUP);
    wait_for(journal_has(rig, "\"full\":true"), PATIENCE_US);
    hand_over(rig, &pair, 800 * MIB);
    assert_int_equal(rig_stop(rig), 0);
    assert_false(rig_has_said(rig, "decisions are not recorded"));
    g_autoptr(json_t) found = assert_replays(rig, NULL);
    assert_int_equal(number(found, "dropped-lines"), 0);
}

static void test_a_folder_that_goes_is_told_of_once_and_used_again_when_it_is_back(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "");
    wait_for(journal_has(rig, "\n"), PATIENCE_US);
    g_autofree char *path = journal_path(rig);
    g_autofree char *folder = g_path_get_dirname(path);
    // At once with its file, which would be made again.
    g_autofree char *away = g_strconcat(folder, ".away", NULL);
    assert_int_equal(g_rename(folder, away), 0);
    hand_over(rig, &pair, 700 * MIB);
    wait_for(rig_has_said(rig, "decisions are not recorded"), PATIENCE_US);
    wait_while(3 * SECOND_US);
    assert_int_equal(g_mkdir(folder, 0755), 0);
    wait_for(rig_has_said(rig, "decisions are recorded again"), PATIENCE_US);
    hand_over(rig, &pair, 800 * MIB);
    assert_int_equal(rig_stop(rig), 0);
    g_autofree char *log = rig_log(rig);
    assert_null(strstr(strstr(log, "are not recorded") + 1, "are not recorded"));
    g_autoptr(json_t) found = assert_replays(rig, NULL);
    assert_true(number(found, "dropped-lines") > 0);
}

// --- other settings ---------------------------------------------------------------------------

static void test_a_larger_budget_would_have_left_the_giver_alone(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "");
    hand_over(rig, &pair, 800 * MIB);
    assert_int_equal(rig_stop(rig), 0);
    g_autoptr(json_t) found = assert_replays(rig, "budget=2G");
    assert_true(number_of_sum(found, "unchanged", "shrinks") > 0);
    assert_int_equal(number_of_sum(found, "changed", "shrinks"), 0);
    assert_true(number_of_sum(found, "changed", "most-held-bytes") > BUDGET);
    assert_true(number_of_sum(found, "unchanged", "most-held-bytes") <= BUDGET);
}

static void test_a_time_of_mode_observe_tells_what_balance_would_have_done(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_with_journal(rig, "mode=observe\n");
    fake_agent_grow(pair.taker->agent, 260 * MIB, GIB);
    wait_for(journal_has(rig, "\"why\":\"wanted\""), PATIENCE_US);
    wait_while(2 * SECOND_US);
    assert_int_equal(rig_stop(rig), 0);
    g_autoptr(json_t) found = assert_replays(rig, "mode=balance");
    assert_int_equal(number_of_sum(found, "recorded", "commands"), 0);
    assert_int_equal(number_of_sum(found, "unchanged", "commands"), 0);
    assert_true(number_of_sum(found, "changed", "commands") > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_command_is_recorded_and_comes_out_again),
        TEST(test_quiet_guests_have_next_to_no_lines),
        TEST(test_nothing_is_written_when_no_journal_is_configured),
        TEST(test_its_files_are_for_owner_and_group_alone),
        TEST(test_a_controller_killed_at_once_leaves_lines_that_the_next_one_goes_on_from),
        TEST(test_files_are_renamed_when_full_and_replay_in_order),
        TEST(test_a_file_renamed_by_others_is_left_to_them),
        TEST(test_a_folder_that_goes_is_told_of_once_and_used_again_when_it_is_back),
        TEST(test_a_larger_budget_would_have_left_the_giver_alone),
        TEST(test_a_time_of_mode_observe_tells_what_balance_would_have_done),
    };
    return run_test_table(tests);
}
