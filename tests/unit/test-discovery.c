// SPDX-License-Identifier: Apache-2.0
//
// Guests found in a directory.
#include "tests/test.h"

#include "host-controller/discovery.h"
#include "protocol/limits.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)

typedef struct Fixture {
    Scratch scratch;
    char *folder;
    Discovery *discovery;
    GString *told; // since it was last looked at: "+NAME", with " agent" and the pid, or "-NAME"
} Fixture;

static void on_found(const GuestConfig *found, void *context)
{
    Fixture *fixture = context;
    g_autofree char *qmp_path = g_strdup_printf("%s/%s.qmp", fixture->folder, found->name);
    assert_string_equal(found->qmp_path, qmp_path);
    g_string_append_printf(fixture->told, "+%s%s", found->name, found->agent_path ? " agent" : "");
    if (found->pid) {
        g_string_append_printf(fixture->told, " %d", (int)found->pid);
    }
    g_string_append_c(fixture->told, '\n');
}

static void on_lost(const char *name, void *context)
{
    Fixture *fixture = context;
    g_string_append_printf(fixture->told, "-%s\n", name);
}

static const DiscoveryHandlers handlers = {.found = on_found, .lost = on_lost};

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    fixture->folder = scratch_path(&fixture->scratch, "guests");
    g_mkdir(fixture->folder, 0755);
    fixture->told = g_string_new(NULL);
    fixture->discovery = discovery_new(fixture->folder, &handlers, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    discovery_free(fixture->discovery);
    g_string_free(fixture->told, TRUE);
    g_free(fixture->folder);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

// --- the directory's content ------------------------------------------------------------------

static char *path_in(const Fixture *fixture, const char *file)
{
    return g_build_filename(fixture->folder, file, NULL);
}

static void add_socket(const Fixture *fixture, const char *file)
{
    g_autofree char *path = path_in(fixture, file);
    g_autoptr(GError) error = NULL;
    int fd = unix_socket_listen(path, 0600, &error);
    assert_no_error(error);
    close(fd);
}

static void add_link(const Fixture *fixture, const char *file)
{
    g_autofree char *path = path_in(fixture, file);
    assert_int_equal(symlink("/nowhere/socket", path), 0);
}

static void write_file(const Fixture *fixture, const char *file, const char *text)
{
    g_autofree char *path = path_in(fixture, file);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void remove_file(const Fixture *fixture, const char *file)
{
    g_autofree char *path = path_in(fixture, file);
    assert_int_equal(unlink(path), 0);
}

static void rename_file(const Fixture *fixture, const char *from, const char *to)
{
    g_autofree char *former = path_in(fixture, from);
    g_autofree char *path = path_in(fixture, to);
    assert_int_equal(rename(former, path), 0);
}

// Waits until exactly this has been told since the last time.
static void expect(Fixture *fixture, const char *told)
{
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (fixture->told->len < strlen(told) && deadline_left_us(deadline_us) > 0) {
        wait_while(5 * MS_US);
    }
    assert_string_equal(fixture->told->str, told);
    g_string_truncate(fixture->told, 0);
}

// Nothing has been told: a guest that appears afterwards is the next that is told of.
static void expect_nothing(Fixture *fixture)
{
    add_link(fixture, "zz-mark.qmp");
    expect(fixture, "+zz-mark\n");
    remove_file(fixture, "zz-mark.qmp");
    expect(fixture, "-zz-mark\n");
}

// --- tests ------------------------------------------------------------------------------------

static void test_what_is_there_at_the_start_is_found_at_once(void **state)
{
    Fixture *fixture = *state;
    add_socket(fixture, "web 1.qmp");
    add_socket(fixture, "web 1.agent");
    write_file(fixture, "web 1.pid", "4711\n");
    discovery_start(fixture->discovery);
    assert_string_equal(fixture->told->str, "+web 1 agent 4711\n");
}

static void test_a_guest_appears_and_vanishes_with_its_monitor(void **state)
{
    Fixture *fixture = *state;
    discovery_start(fixture->discovery);
    add_socket(fixture, "a.agent");
    expect_nothing(fixture);
    add_socket(fixture, "a.qmp");
    expect(fixture, "+a agent\n");
    remove_file(fixture, "a.qmp");
    expect(fixture, "-a\n");
}

static void test_the_agent_and_the_process_may_come_and_go(void **state)
{
    Fixture *fixture = *state;
    discovery_start(fixture->discovery);
    add_socket(fixture, "a.qmp");
    expect(fixture, "+a\n");
    add_socket(fixture, "a.agent");
    expect(fixture, "+a agent\n");
    write_file(fixture, "a.pid", "12");
    expect(fixture, "+a agent 12\n");
    write_file(fixture, "a.pid", "13");
    expect(fixture, "+a agent 13\n");
    remove_file(fixture, "a.agent");
    expect(fixture, "+a 13\n");
    remove_file(fixture, "a.pid");
    expect(fixture, "+a\n");
}

static void test_an_agents_port_that_is_replaced_is_lost_first(void **state)
{
    Fixture *fixture = *state;
    add_socket(fixture, "a.qmp");
    add_socket(fixture, "a.agent");
    add_socket(fixture, "next.socket");
    discovery_start(fixture->discovery);
    expect(fixture, "+a agent\n");
    rename_file(fixture, "next.socket", "a.agent");
    expect(fixture, "+a\n+a agent\n");
}

static void test_a_renamed_guest_is_another_one(void **state)
{
    Fixture *fixture = *state;
    add_socket(fixture, "a.qmp");
    discovery_start(fixture->discovery);
    expect(fixture, "+a\n");
    rename_file(fixture, "a.qmp", "b.qmp");
    expect(fixture, "-a\n+b\n");
}

static void test_a_guest_that_is_replaced_is_lost_first(void **state)
{
    Fixture *fixture = *state;
    add_socket(fixture, "a.qmp");
    add_socket(fixture, "next.socket");
    discovery_start(fixture->discovery);
    expect(fixture, "+a\n");
    rename_file(fixture, "next.socket", "a.qmp");
    expect(fixture, "-a\n+a\n");
    // And however fast it goes.
    remove_file(fixture, "a.qmp");
    add_socket(fixture, "a.qmp");
    expect(fixture, "-a\n+a\n");
}

static void test_only_sockets_and_links_are_guests(void **state)
{
    Fixture *fixture = *state;
    add_link(fixture, "link.qmp");
    write_file(fixture, "text.qmp", "");
    g_autofree char *folder = path_in(fixture, "folder.qmp");
    g_mkdir(folder, 0755);
    add_link(fixture, ".hidden.qmp");
    add_link(fixture, "other");
    discovery_start(fixture->discovery);
    expect(fixture, "+link\n");
}

static void test_a_process_id_that_is_none_is_not_believed(void **state)
{
    static const char *const texts[] = {"", "x", "-1", "0", "99999999999", "1 2", "\xff"};
    Fixture *fixture = *state;
    add_link(fixture, "a.qmp");
    discovery_start(fixture->discovery);
    expect(fixture, "+a\n");
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        write_file(fixture, "a.pid", texts[i]);
        expect_nothing(fixture);
    }
    remove_file(fixture, "a.pid");
    g_autofree char *pipe = path_in(fixture, "a.pid");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    expect_nothing(fixture);
}

static void test_a_name_that_cannot_be_a_guests_is_ignored(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *long_name = g_strnfill(LIMIT_NAME_BYTES + 1, 'x');
    g_autofree char *long_file = g_strconcat(long_name, ".qmp", NULL);
    add_link(fixture, long_file);
    add_link(fixture, "a*.qmp");
    add_link(fixture, "a\x1b[31m.qmp");
    add_link(fixture, "a\xff.qmp");
    add_link(fixture, " a.qmp");
    add_link(fixture, "good.qmp");
    discovery_start(fixture->discovery);
    expect(fixture, "+good\n");
}

static void test_the_directory_may_come_go_and_come_back(void **state)
{
    Fixture *fixture = *state;
    g_rmdir(fixture->folder);
    discovery_start(fixture->discovery);
    g_mkdir(fixture->folder, 0755);
    add_link(fixture, "a.qmp");
    expect(fixture, "+a\n");
    remove_file(fixture, "a.qmp");
    g_rmdir(fixture->folder);
    expect(fixture, "-a\n");
    g_mkdir(fixture->folder, 0755);
    add_link(fixture, "b.qmp");
    expect(fixture, "+b\n");
    g_autofree char *aside = g_strconcat(fixture->folder, ".old", NULL);
    assert_int_equal(rename(fixture->folder, aside), 0);
    expect(fixture, "-b\n");
    assert_int_equal(rename(aside, fixture->folder), 0);
    expect(fixture, "+b\n");
}

static void test_a_directory_that_everybody_may_write_to_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    add_link(fixture, "a.qmp");
    chmod(fixture->folder, 01777);
    discovery_start(fixture->discovery);
    assert_string_equal(fixture->told->str, "");
    chmod(fixture->folder, 0775);
    expect(fixture, "+a\n");
    chmod(fixture->folder, 0777);
    expect(fixture, "-a\n");
}

static void test_nothing_is_missed_when_events_overflow(void **state)
{
    // More than the kernel keeps (fs.inotify.max_queued_events, 16384 unless changed).
    const int changes = 20000;
    Fixture *fixture = *state;
    add_link(fixture, "goes.qmp");
    discovery_start(fixture->discovery);
    expect(fixture, "+goes\n");
    for (int i = 0; i < changes / 2; i++) {
        write_file(fixture, "noise", "");
    }
    remove_file(fixture, "goes.qmp");
    add_link(fixture, "comes.qmp");
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (fixture->told->len < strlen("-goes\n+comes\n") && deadline_left_us(deadline_us) > 0) {
        wait_while(5 * MS_US);
    }
    assert_non_null(strstr(fixture->told->str, "-goes\n"));
    assert_non_null(strstr(fixture->told->str, "+comes\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    // Of what is ignored it says so.
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_there_at_the_start_is_found_at_once),
        TEST(test_a_guest_appears_and_vanishes_with_its_monitor),
        TEST(test_the_agent_and_the_process_may_come_and_go),
        TEST(test_an_agents_port_that_is_replaced_is_lost_first),
        TEST(test_a_renamed_guest_is_another_one),
        TEST(test_a_guest_that_is_replaced_is_lost_first),
        TEST(test_only_sockets_and_links_are_guests),
        TEST(test_a_process_id_that_is_none_is_not_believed),
        TEST(test_a_name_that_cannot_be_a_guests_is_ignored),
        TEST(test_the_directory_may_come_go_and_come_back),
        TEST(test_a_directory_that_everybody_may_write_to_is_left_alone),
        TEST(test_nothing_is_missed_when_events_overflow),
    };
    return run_test_table(tests);
}
