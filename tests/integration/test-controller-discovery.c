// SPDX-License-Identifier: Apache-2.0
//
// The real controller and guests that it finds in a directory.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)

// --- helpers ----------------------------------------------------------------------------------

static unsigned count_guests(Rig *rig)
{
    g_autoptr(json_t) guests = rig_ask(rig, "query-guests", NULL);
    return (unsigned)json_array_size(guests);
}

static int64_t number_of(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    return json_integer_value(json_object_get(view, name));
}

static void start(Rig *rig, int64_t budget_bytes, const char *more)
{
    rig_configure(rig, budget_bytes, more);
    rig_start(rig);
}

// How often the controller has said it.
static unsigned times_said(const Rig *rig, const char *text)
{
    g_autofree char *log = rig_log(rig);
    g_auto(GStrv) parts = g_strsplit(log, text, -1);
    return g_strv_length(parts) - 1;
}

static char *path_in(const Rig *rig, const char *file)
{
    return g_build_filename(rig->directory, file, NULL);
}

static void link_in(const Rig *rig, const char *to, const char *file)
{
    g_autofree char *path = path_in(rig, file);
    assert_int_equal(symlink(to, path), 0);
}

// --- coming and going -------------------------------------------------------------------------

static void test_a_guest_in_the_directory_is_looked_after_without_a_word(void **state)
{
    Rig *rig = *state;
    RigGuest *there = rig_add_found(rig, "there", GIB);
    rig_add_agent(there);
    start(rig, 1200 * MIB, NULL);
    RigGuest *later = rig_add_found(rig, "later", GIB);
    rig_add_agent(later);
    wait_for(rig_had_event(rig, "GUEST_ADDED", later), PATIENCE_US);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_for(fake_qemu_actual_bytes(there->qemu) + fake_qemu_actual_bytes(later->qemu) <=
                 1200 * MIB,
             PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, later, "origin"), "found");
}

static void test_a_guest_whose_monitor_is_gone_is_gone_and_its_memory_free(void **state)
{
    Rig *rig = *state;
    RigGuest *stays = rig_add_found(rig, "stays", 300 * MIB);
    RigGuest *goes = rig_add_found(rig, "goes", GIB);
    rig_add_agent(stays);
    start(rig, 1400 * MIB, NULL);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    rig_end_guest(rig, goes);
    wait_for(rig_had_event(rig, "GUEST_REMOVED", NULL), PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
    fake_agent_grow(stays->agent, 800 * MIB, GIB);
    wait_for(fake_qemu_actual_bytes(stays->qemu) > 800 * MIB, PATIENCE_US);
}

static void test_a_renamed_guest_goes_on_under_its_new_name(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "former", 700 * MIB);
    start(rig, 2 * GIB, NULL);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    g_autofree char *path = path_in(rig, "latter.qmp");
    assert_int_equal(g_rename(guest->qmp_path, path), 0);
    wait_for(rig_had_event(rig, "GUEST_REMOVED", guest), PATIENCE_US);
    g_free(guest->name);
    guest->name = g_strdup("latter");
    wait_for(rig_had_event(rig, "GUEST_ADDED", guest), PATIENCE_US);
    wait_for(number_of(rig, guest, "actual") == 700 * MIB, PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
    assert_int_equal(fake_qemu_connections(guest->qemu), 2);
}

static void test_another_qemu_under_the_same_name_is_another_guest(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "web", 500 * MIB);
    start(rig, 4 * GIB, NULL);
    wait_for(number_of(rig, guest, "size") == GIB, PATIENCE_US);
    // The former one still runs, under no name.
    g_autofree char *path = path_in(rig, "next.socket");
    FakeQemu *next = fake_qemu_new(path, 2 * GIB);
    assert_int_equal(g_rename(path, guest->qmp_path), 0);
    wait_for(number_of(rig, guest, "size") == 2 * GIB, PATIENCE_US);
    wait_for(!fake_qemu_is_connected(guest->qemu), PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
    fake_qemu_free(next);
}

static void test_an_agent_may_come_later_and_go_while_the_guest_stays(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "web", GIB);
    start(rig, 2 * GIB, NULL);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, guest, "agent"), "none");
    rig_add_agent(guest);
    wait_for(strcmp(rig_guest_text(rig, guest, "agent"), "connected") == 0, PATIENCE_US);
    g_clear_pointer(&guest->agent, fake_agent_free);
    wait_for(strcmp(rig_guest_text(rig, guest, "agent"), "none") == 0, PATIENCE_US);
    assert_true(rig_had_event(rig, "GUEST_AGENT_LOST", guest));
    assert_int_equal(fake_qemu_connections(guest->qemu), 1);
}

static void test_the_directory_may_be_made_later(void **state)
{
    Rig *rig = *state;
    start(rig, 2 * GIB, NULL);
    RigGuest *guest = rig_add_found(rig, "web", GIB);
    wait_for(fake_qemu_is_connected(guest->qemu), PATIENCE_US);
}

static void test_the_memory_of_a_silent_guest_is_that_of_the_process_told(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "web", GIB);
    g_autofree char *path = path_in(rig, "web.pid");
    assert_true(g_file_set_contents(path, "4194305", -1, NULL)); // more than any process has
    fake_qemu_set_hanging(guest->qemu, true);
    start(rig, 2 * GIB, NULL);
    wait_while(1500 * MS_US);
    assert_int_equal(number_of(rig, guest, "resident"), 0);
    g_autofree char *own = g_strdup_printf("%d\n", (int)getpid());
    assert_true(g_file_set_contents(path, own, -1, NULL));
    wait_for(number_of(rig, guest, "resident") > 0, PATIENCE_US);
}

// --- settings ---------------------------------------------------------------------------------

static void test_settings_come_from_the_groups_that_match_the_name(void **state)
{
    Rig *rig = *state;
    RigGuest *web = rig_add_found(rig, "web1", GIB);
    RigGuest *database = rig_add_found(rig, "db", GIB);
    start(rig, 4 * GIB, "[guest web*]\nweight=300\nmin=512M\n[guest db]\nmanage=no\n");
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_for(number_of(rig, web, "min") == 512 * MIB, PATIENCE_US);
    assert_int_equal(number_of(rig, web, "weight"), 300);
    wait_for(strcmp(rig_guest_text(rig, database, "state"), "unmanaged") == 0, PATIENCE_US);
    rig_configure(rig, 4 * GIB, "[guest web*]\nweight=200\n");
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(number_of(rig, web, "weight"), 200);
    // It was not disturbed for that.
    assert_int_equal(fake_qemu_connections(web->qemu), 1);
}

static void test_another_directory_has_other_guests(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "web", GIB);
    start(rig, 4 * GIB, NULL);
    wait_for(fake_qemu_is_connected(guest->qemu), PATIENCE_US);
    g_autofree char *text = g_strdup_printf(
        "[controller]\nsocket=%s\n[discovery directory]\npath=\n", rig->socket_path);
    g_free(scratch_write(&rig->scratch, "controller.conf", text, -1));
    rig_signal(rig, SIGHUP);
    wait_for(rig_had_event(rig, "GUEST_REMOVED", guest), PATIENCE_US);
    rig_configure(rig, 4 * GIB, NULL);
    rig_signal(rig, SIGHUP);
    wait_for(rig_had_event(rig, "GUEST_ADDED", guest), PATIENCE_US);
}

// --- told of twice ----------------------------------------------------------------------------

static void test_a_configured_guest_that_lies_in_the_directory_too_is_one_guest(void **state)
{
    Rig *rig = *state;
    RigGuest *web = rig_add_found(rig, "web", GIB);
    rig_add_agent(web);
    web->keys = g_strdup("weight=7\n");
    link_in(rig, web->qmp_path, "alias.qmp");
    start(rig, 2 * GIB, NULL);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
    assert_int_equal(number_of(rig, web, "weight"), 7);
    assert_string_equal(rig_guest_text(rig, web, "origin"), "configured");
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(count_guests(rig), 1);
    assert_int_equal(times_said(rig, "alias.qmp is ignored: that is the monitor of web"), 1);
    assert_int_equal(times_said(rig, "web.qmp is ignored"), 0);
    assert_int_equal(fake_qemu_connections(web->qemu), 1);
}

static void test_a_configured_guest_keeps_its_name_from_one_that_is_found(void **state)
{
    Rig *rig = *state;
    RigGuest *web = rig_add(rig, "web", GIB, NULL);
    RigGuest *other = rig_add_found(rig, "web", GIB);
    start(rig, 2 * GIB, NULL);
    wait_for(fake_qemu_is_connected(web->qemu), PATIENCE_US);
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(count_guests(rig), 1);
    assert_int_equal(fake_qemu_connections(other->qemu), 0);
    assert_int_equal(times_said(rig, "the guest of that name has another monitor"), 1);
    // Once the configuration lets go of the name, it is the other's.
    g_clear_pointer(&web->keys, g_free);
    rig_configure(rig, 2 * GIB, NULL);
    json_decref(rig_ask(rig, "reload", NULL));
    wait_for(fake_qemu_is_connected(other->qemu), PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
}

static void test_of_two_links_to_one_monitor_the_second_waits_for_the_first_to_go(void **state)
{
    Rig *rig = *state;
    RigGuest *web = rig_add(rig, "outside", GIB, NULL);
    g_clear_pointer(&web->keys, g_free);
    g_mkdir_with_parents(rig->directory, 0755);
    link_in(rig, web->qmp_path, "a.qmp");
    start(rig, 2 * GIB, NULL);
    wait_for(fake_qemu_is_connected(web->qemu), PATIENCE_US);
    link_in(rig, web->qmp_path, "b.qmp");
    wait_for(times_said(rig, "b.qmp is ignored: that is the monitor of a") == 1, PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
    g_autofree char *path = path_in(rig, "a.qmp");
    assert_int_equal(unlink(path), 0);
    wait_for(fake_qemu_connections(web->qemu) == 2, PATIENCE_US);
    assert_int_equal(count_guests(rig), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_guest_in_the_directory_is_looked_after_without_a_word),
        TEST(test_a_guest_whose_monitor_is_gone_is_gone_and_its_memory_free),
        TEST(test_a_renamed_guest_goes_on_under_its_new_name),
        TEST(test_another_qemu_under_the_same_name_is_another_guest),
        TEST(test_an_agent_may_come_later_and_go_while_the_guest_stays),
        TEST(test_the_directory_may_be_made_later),
        TEST(test_the_memory_of_a_silent_guest_is_that_of_the_process_told),
        TEST(test_settings_come_from_the_groups_that_match_the_name),
        TEST(test_another_directory_has_other_guests),
        TEST(test_a_configured_guest_that_lies_in_the_directory_too_is_one_guest),
        TEST(test_a_configured_guest_keeps_its_name_from_one_that_is_found),
        TEST(test_of_two_links_to_one_monitor_the_second_waits_for_the_first_to_go),
    };
    return run_test_table(tests);
}
