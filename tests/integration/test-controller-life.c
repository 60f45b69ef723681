// SPDX-License-Identifier: Apache-2.0
//
// What happens to a guest in its life: it is paused, reset, shut down, migrated, loses its balloon,
// or has a QEMU that never says a word. Each leads to a stated behaviour, and nothing is sent where
// it makes no sense.
#include "tests/support/resident-show.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
// For what an event tells, rather than the look that is taken every ten seconds.
#define SOON_US (8 * SECOND_US)
#define BUDGET (1300 * MIB)
// Longer than a guest may go without progress before it counts as stalled.
#define LONGER_THAN_A_STALL_US (6500 * MS_US)

static void test_a_guest_paused_on_its_way_is_sent_nothing_and_not_called_stalled(void **state)
{
    Rig *rig = *state;
    RigGuest *giver = rig_add(rig, "giver", 1000 * MIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(giver->qemu, 20 * MIB);
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    wait_for(fake_qemu_actual_bytes(giver->qemu) < 1000 * MIB, PATIENCE_US);
    fake_qemu_set_running(giver->qemu, false);
    wait_for(strcmp(rig_guest_text(rig, giver, "state"), "paused") == 0, PATIENCE_US);
    unsigned commands = fake_qemu_count(giver->qemu, "balloon");
    wait_while(LONGER_THAN_A_STALL_US);
    assert_int_equal(fake_qemu_count(giver->qemu, "balloon"), commands);
    assert_false(rig_had_event(rig, "GUEST_STALLED", giver));
    fake_qemu_set_running(giver->qemu, true);
    wait_for(strcmp(rig_guest_text(rig, giver, "state"), "paused") != 0, PATIENCE_US);
    assert_string_not_equal(rig_guest_text(rig, giver, "state"), "stalled");
}

static int64_t actual_bytes(const RigGuest *guest)
{
    return fake_qemu_actual_bytes(guest->qemu);
}

static int64_t shown_bytes(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    return json_integer_value(json_object_get(view, name));
}

static int64_t host_bytes(Rig *rig, const char *name)
{
    g_autoptr(json_t) view = rig_ask(rig, "query-host", NULL);
    return json_integer_value(json_object_get(view, name));
}

static bool is_state(Rig *rig, const RigGuest *guest, const char *state)
{
    return strcmp(rig_guest_text(rig, guest, "state"), state) == 0;
}

// The guest gets no `balloon` command while another one is short of what this one could give.
static void assert_sent_nothing(const RigGuest *guest, const RigGuest *other)
{
    unsigned commands = fake_qemu_count(guest->qemu, "balloon");
    fake_agent_grow(other->agent, 800 * MIB, GIB);
    wait_while(SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), commands);
}

static RigPair start_pair(Rig *rig)
{
    RigPair pair = rig_start_pair(rig, BUDGET);
    rig_wait_until_calm(rig, 500 * MS_US);
    return pair;
}

static void assert_served_in_the_end(const RigGuest *guest)
{
    wait_for(fake_agent_guest(guest->agent)->used_bytes == 800 * MIB, PATIENCE_US);
}

// --- reset ------------------------------------------------------------------------------------

// The guest is sent to 300 MiB, and starts anew from there.
static RigGuest *start_small(Rig *rig)
{
    RigGuest *guest = rig_add(rig, "small", GIB, NULL);
    rig_run(rig, 2 * GIB);
    json_decref(rig_ask(rig, "set-target",
                        json_pack("{s:s, s:I}", "name", guest->name, "bytes", 300 * MIB)));
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", guest), PATIENCE_US);
    json_decref(rig_ask(rig, "set-target", json_pack("{s:s, s:n}", "name", guest->name, "bytes")));
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_true(actual_bytes(guest) < 400 * MIB);
    return guest;
}

// The guest starts anew, and its kernel does not come to its driver.
static void reset(Rig *rig, RigGuest *guest)
{
    fake_qemu_set_driver(guest->qemu, false);
    fake_qemu_reset_guest(guest->qemu);
    wait_for(shown_bytes(rig, guest, "actual") == GIB, PATIENCE_US);
}

// The small one has been reset, and its agent says nothing.
static RigGuest *start_reset(Rig *rig)
{
    RigGuest *guest = start_small(rig);
    fake_agent_set_silent(guest->agent, true);
    wait_for(rig_has_heard_all(rig, guest), PATIENCE_US);
    reset(rig, guest);
    return guest;
}

static void test_a_reset_guest_counts_with_all_its_memory_whatever_qemu_says(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_reset(rig);
    assert_int_equal(host_bytes(rig, "sum-actual"), GIB);
    // It boots with all it has, and is shrunk again when it has said what it needs.
    wait_for(fake_qemu_target_bytes(guest->qemu) == GIB, PATIENCE_US);
    fake_qemu_set_driver(guest->qemu, true);
    wait_while(500 * MS_US);
    assert_int_equal(actual_bytes(guest), GIB);
    fake_agent_set_silent(guest->agent, false);
    wait_for(actual_bytes(guest) < 400 * MIB, PATIENCE_US);
    wait_for(is_state(rig, guest, "settled"), PATIENCE_US);
    assert_true(shown_bytes(rig, guest, "actual") < 400 * MIB);
}

// A report of the guest with that much left to it, by a kernel of that id and age.
static void say_held(RigGuest *guest, int64_t held_bytes, const char *boot_id, int64_t uptime_us)
{
    g_autofree char *report = g_strdup_printf(
        "{\"event\":\"GUEST_MEMORY_REPORT\",\"timestamp\":{\"seconds\":1,\"microseconds\":0},"
        "\"data\":{\"sequence\":1,\"monotonic-us\":%" G_GINT64_FORMAT ",\"boot-id\":\"%s\","
        "\"reason\":\"heartbeat\",\"memory\":{\"total\":%d,\"free\":%d,\"available\":%d},"
        "\"balloon\":%d}}\n",
        uptime_us, boot_id, (int)held_bytes, (int)(100 * MIB), (int)(100 * MIB),
        (int)(GIB - held_bytes));
    fake_agent_send(guest->agent, report, strlen(report));
}

static void test_what_a_guest_said_before_a_reset_is_not_believed_after_it(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    int64_t held_bytes = actual_bytes(guest);
    fake_agent_set_silent(guest->agent, true);
    wait_for(rig_has_heard_all(rig, guest), PATIENCE_US);
    say_held(guest, held_bytes, "aa", 60 * SECOND_US);
    // Its sequence is one that the fake's own does not have any more.
    wait_for(!rig_has_heard_all(rig, guest), PATIENCE_US);
    reset(rig, guest);
    // However long the controller was kept from reading it.
    say_held(guest, held_bytes, "aa", 60 * SECOND_US + 100 * MS_US);
    say_held(guest, held_bytes, "aa", 3600 * SECOND_US);
    wait_while(500 * MS_US);
    assert_int_equal(shown_bytes(rig, guest, "actual"), GIB);
    // Another kernel's word is, once its agent has been asked.
    unsigned asked = fake_agent_count(guest->agent, "guest-memory-subscribe");
    fake_agent_set_silent(guest->agent, false);
    wait_for(fake_agent_count(guest->agent, "guest-memory-subscribe") > asked, PATIENCE_US);
    fake_agent_set_silent(guest->agent, true);
    say_held(guest, held_bytes, "bb", SECOND_US);
    wait_for(shown_bytes(rig, guest, "actual") < 400 * MIB, PATIENCE_US);
}

// QEMU tells first that the agent's port was closed, and that the guest was reset only then. What
// the former agent was asked may be answered by it.
static void test_an_agent_that_is_being_asked_when_the_guest_is_reset_is_asked_again(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    unsigned asked = fake_agent_count(guest->agent, "guest-sync-delimited");
    fake_agent_set_delay(guest->agent, SECOND_US);
    fake_qemu_emit(guest->qemu, "VSERPORT_CHANGE",
                   json_pack("{s:s, s:b}", "id", "channel0", "open", 0));
    reset(rig, guest);
    wait_for(fake_agent_count(guest->agent, "guest-sync-delimited") == asked + 2, SOON_US);
}

static void test_memory_plugged_in_after_a_reset_is_not_taken_for_a_drivers_word(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_reset(rig);
    fake_qemu_plug(guest->qemu, 512 * MIB);
    wait_for(shown_bytes(rig, guest, "actual") != GIB, PATIENCE_US);
    assert_int_equal(shown_bytes(rig, guest, "actual"), GIB + 512 * MIB);
    assert_int_equal(host_bytes(rig, "sum-actual"), GIB + 512 * MIB);
}

// QEMU's target has moved along, though the guest has been reset: what its driver says next does
// not tell how far it may go.
static void test_memory_plugged_in_after_a_reset_counts_until_a_target_is_sent(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_reset(rig);
    wait_for(fake_qemu_target_bytes(guest->qemu) == GIB, PATIENCE_US);
    fake_qemu_set_running(guest->qemu, false);
    wait_for(is_state(rig, guest, "paused"), PATIENCE_US);
    fake_qemu_plug(guest->qemu, 512 * MIB);
    fake_qemu_emit(guest->qemu, "MEMORY_DEVICE_SIZE_CHANGE", NULL);
    wait_for(shown_bytes(rig, guest, "actual") == GIB + 512 * MIB, PATIENCE_US);
    fake_qemu_set_driver(guest->qemu, true);
    fake_qemu_set_actual(guest->qemu, 400 * MIB);
    wait_for(shown_bytes(rig, guest, "actual") == 400 * MIB, PATIENCE_US);
    assert_int_equal(rig_ceiling_bytes(rig, guest), GIB + 512 * MIB);
}

// QEMU moves the target along. Until the guest can be sent it again, it counts with all it may
// take.
static void test_a_guest_that_memory_is_plugged_into_is_sent_its_target_again(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    int64_t before_bytes = fake_qemu_target_bytes(guest->qemu);
    fake_qemu_set_running(guest->qemu, false);
    wait_for(is_state(rig, guest, "paused"), PATIENCE_US);
    fake_qemu_plug(guest->qemu, 512 * MIB);
    fake_qemu_emit(guest->qemu, "MEMORY_DEVICE_SIZE_CHANGE", NULL);
    wait_for(rig_ceiling_bytes(rig, guest) == GIB + 512 * MIB, PATIENCE_US);
    assert_int_equal(fake_qemu_target_bytes(guest->qemu), before_bytes + 512 * MIB);
    fake_qemu_set_running(guest->qemu, true);
    wait_for(rig_ceiling_bytes(rig, guest) < 400 * MIB, PATIENCE_US);
    assert_true(fake_qemu_target_bytes(guest->qemu) < 400 * MIB);
    assert_false(rig_had_event(rig, "GUEST_AUTO_DEFLATED", guest));
}

static void test_a_size_that_nobody_told_of_is_seen_while_the_balloon_never_rests(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "restless", GIB, NULL);
    rig_run(rig, 2 * GIB);
    fake_qemu_set_rate(guest->qemu, MIB);
    json_decref(rig_ask(rig, "set-target",
                        json_pack("{s:s, s:I}", "name", guest->name, "bytes", 300 * MIB)));
    wait_for(is_state(rig, guest, "shrinking"), PATIENCE_US);
    fake_qemu_plug(guest->qemu, 512 * MIB);
    wait_for(shown_bytes(rig, guest, "size") == GIB + 512 * MIB, PATIENCE_US);
    wait_for(is_state(rig, guest, "shrinking"), PATIENCE_US);
}

static void test_a_guest_rebooted_without_a_driver_is_found_out_and_counts_in_full(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    fake_qemu_set_driver(guest->qemu, false);
    fake_qemu_reset_guest(guest->qemu);
    wait_for(rig_had_event(rig, "GUEST_STALLED", guest), PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "stalled");
    assert_int_equal(shown_bytes(rig, guest, "actual"), GIB);
    assert_int_equal(fake_qemu_target_bytes(guest->qemu), GIB);
}

static void test_a_reset_that_nobody_heard_of_is_known_by_the_guests_own_count(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    rig_kill(rig);
    fake_qemu_set_driver(guest->qemu, false);
    fake_qemu_reset_guest(guest->qemu);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_for(shown_bytes(rig, guest, "actual") == GIB, PATIENCE_US);
}

static void test_a_reset_that_nobody_heard_of_is_known_though_nothing_is_decided(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "observe")));
    fake_qemu_drop_client(guest->qemu);
    reset(rig, guest);
}

// It took memory back by itself before, and nothing was done about it.
static void test_such_a_reset_is_known_though_the_guest_is_not_where_it_was_sent(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "observe")));
    fake_qemu_take_back(guest->qemu, 500 * MIB);
    fake_qemu_emit(guest->qemu, "BALLOON_CHANGE", NULL);
    wait_for(shown_bytes(rig, guest, "actual") == 500 * MIB, PATIENCE_US);
    fake_qemu_drop_client(guest->qemu);
    reset(rig, guest);
}

// --- shutdown and migration -------------------------------------------------------------------

static void test_a_guest_that_shuts_down_is_sent_nothing_and_counts_until_qemu_ends(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_pair(rig);
    fake_qemu_emit(pair.giver->qemu, "SHUTDOWN",
                   json_pack("{s:b, s:s}", "guest", 1, "reason", "guest-shutdown"));
    wait_for(is_state(rig, pair.giver, "paused"), PATIENCE_US);
    // Who looks sees it, too.
    fake_qemu_set_running(pair.giver->qemu, false);
    assert_sent_nothing(pair.giver, pair.taker);
    fake_qemu_quit(pair.giver->qemu);
    assert_served_in_the_end(pair.taker);
}

static void test_a_guest_that_is_sent_away_is_left_alone_until_it_stays(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_pair(rig);
    fake_qemu_set_migration(pair.giver->qemu, "setup");
    wait_for(is_state(rig, pair.giver, "migrating"), SOON_US);
    fake_qemu_set_migration(pair.giver->qemu, "active");
    assert_sent_nothing(pair.giver, pair.taker);
    fake_qemu_set_migration(pair.giver->qemu, "cancelled");
    assert_served_in_the_end(pair.taker);
    assert_true(rig->most_held_bytes <= BUDGET);
}

static void test_a_guest_that_has_been_sent_away_is_sent_nothing_any_more(void **state)
{
    Rig *rig = *state;
    RigPair pair = start_pair(rig);
    fake_qemu_set_migration(pair.giver->qemu, "active");
    fake_qemu_set_running(pair.giver->qemu, false);
    fake_qemu_set_migration(pair.giver->qemu, "completed");
    wait_for(is_state(rig, pair.giver, "paused"), SOON_US);
    assert_sent_nothing(pair.giver, pair.taker);
}

static void test_a_guest_that_arrives_is_left_alone_and_then_taken_as_it_came(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", GIB, NULL);
    fake_qemu_set_running(guest->qemu, false);
    fake_qemu_set_migration(guest->qemu, "active");
    fake_agent_set_silent(guest->agent, true);
    rig_configure(rig, 600 * MIB, NULL);
    rig_start(rig);
    wait_for(is_state(rig, guest, "migrating"), SOON_US);
    // QEMU refused to tell of the end, since the controller asked too late: it is seen all the
    // same.
    fake_qemu_set_actual(guest->qemu, 400 * MIB);
    fake_qemu_set_migration(guest->qemu, "completed");
    fake_qemu_set_running(guest->qemu, true);
    fake_agent_set_silent(guest->agent, false);
    wait_for(is_state(rig, guest, "settled"), SOON_US);
    wait_for(shown_bytes(rig, guest, "actual") == 400 * MIB, PATIENCE_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), 0);
    // From now on it will be told.
    wait_for(fake_qemu_count(guest->qemu, "migrate-set-capabilities") > 1, PATIENCE_US);
    fake_qemu_set_migration(guest->qemu, "setup");
    wait_for(is_state(rig, guest, "migrating"), SOON_US);
}

// --- devices and processes --------------------------------------------------------------------

static void test_a_guest_whose_balloon_is_unplugged_counts_with_its_size(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    fake_qemu_set_device(guest->qemu, false);
    fake_qemu_emit(guest->qemu, "DEVICE_DELETED",
                   json_pack("{s:s, s:s}", "device", "balloon0", "path", "/machine/balloon0"));
    wait_for(is_state(rig, guest, "unmanageable"), SOON_US);
    assert_int_equal(host_bytes(rig, "sum-actual"), GIB);
}

// It is another balloon than the one whose target was in doubt.
static void test_a_balloon_that_is_plugged_in_is_taken_as_it_is(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    fake_qemu_set_device(guest->qemu, false);
    fake_qemu_drop_client(guest->qemu);
    wait_for(is_state(rig, guest, "unmanageable"), SOON_US);
    unsigned commands = fake_qemu_count(guest->qemu, "balloon");
    fake_qemu_set_device(guest->qemu, true);
    fake_qemu_emit(guest->qemu, "BALLOON_CHANGE", NULL);
    wait_for(is_state(rig, guest, "settled"), SOON_US);
    rig_wait_for_plans(rig);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), commands);
}

static void test_a_balloon_that_is_plugged_in_is_not_stalled_as_the_one_before(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_small(rig);
    fake_qemu_set_rate(guest->qemu, 0);
    fake_agent_grow(guest->agent, 800 * MIB, GIB);
    wait_for(is_state(rig, guest, "stalled"), PATIENCE_US);
    fake_qemu_set_device(guest->qemu, false);
    fake_qemu_emit(guest->qemu, "DEVICE_DELETED", json_pack("{s:s}", "path", "/machine/balloon0"));
    wait_for(is_state(rig, guest, "unmanageable"), SOON_US);
    fake_qemu_set_device(guest->qemu, true);
    fake_qemu_emit(guest->qemu, "BALLOON_CHANGE", NULL);
    wait_for(!is_state(rig, guest, "unmanageable"), SOON_US);
    assert_string_not_equal(rig_guest_text(rig, guest, "state"), "stalled");
}

static void test_a_qemu_that_was_never_heard_counts_with_what_its_process_holds(void **state)
{
    Rig *rig = *state;
    RigGuest *silent = rig_add(rig, "silent", GIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    fake_qemu_set_hanging(silent->qemu, true);
    ResidentShow *show = resident_show_new(500 * MIB);
    rig_configure(rig, BUDGET, NULL);
    rig_start(rig);
    wait_for(shown_bytes(rig, silent, "resident") >= 500 * MIB, PATIENCE_US);
    wait_for(fake_agent_is_subscribed(taker->agent), PATIENCE_US);
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    // Under sanitizers the test itself is large, too.
    wait_for(actual_bytes(taker) > 310 * MIB, PATIENCE_US);
    wait_while(SECOND_US);
    assert_true(actual_bytes(taker) <= BUDGET - 500 * MIB);
    wait_for(host_bytes(rig, "sum-actual") >= 500 * MIB + actual_bytes(taker), PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, silent, "state"), "connecting");
    resident_show_free(show);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_guest_paused_on_its_way_is_sent_nothing_and_not_called_stalled),
        TEST(test_a_reset_guest_counts_with_all_its_memory_whatever_qemu_says),
        TEST(test_what_a_guest_said_before_a_reset_is_not_believed_after_it),
        TEST(test_an_agent_that_is_being_asked_when_the_guest_is_reset_is_asked_again),
        TEST(test_memory_plugged_in_after_a_reset_counts_until_a_target_is_sent),
        TEST(test_memory_plugged_in_after_a_reset_is_not_taken_for_a_drivers_word),
        TEST(test_a_guest_that_memory_is_plugged_into_is_sent_its_target_again),
        TEST(test_a_size_that_nobody_told_of_is_seen_while_the_balloon_never_rests),
        TEST(test_a_guest_rebooted_without_a_driver_is_found_out_and_counts_in_full),
        TEST(test_a_reset_that_nobody_heard_of_is_known_by_the_guests_own_count),
        TEST(test_a_reset_that_nobody_heard_of_is_known_though_nothing_is_decided),
        TEST(test_such_a_reset_is_known_though_the_guest_is_not_where_it_was_sent),
        TEST(test_a_guest_that_shuts_down_is_sent_nothing_and_counts_until_qemu_ends),
        TEST(test_a_guest_that_is_sent_away_is_left_alone_until_it_stays),
        TEST(test_a_guest_that_has_been_sent_away_is_sent_nothing_any_more),
        TEST(test_a_guest_that_arrives_is_left_alone_and_then_taken_as_it_came),
        TEST(test_a_guest_whose_balloon_is_unplugged_counts_with_its_size),
        TEST(test_a_balloon_that_is_plugged_in_is_taken_as_it_is),
        TEST(test_a_balloon_that_is_plugged_in_is_not_stalled_as_the_one_before),
        TEST(test_a_qemu_that_was_never_heard_counts_with_what_its_process_holds),
    };
    return run_test_table(tests);
}
