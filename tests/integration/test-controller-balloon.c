// SPDX-License-Identifier: Apache-2.0
//
// Balloons that do not go where they are sent: those that stall, that come under pressure on their
// way, that take memory back by themselves, and that free nothing on the host.
#include "tests/support/resident-show.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
#define BUDGET (1300 * MIB)

static int64_t actual_bytes(const RigGuest *guest)
{
    return fake_qemu_actual_bytes(guest->qemu);
}

static int64_t target_bytes(const RigGuest *guest)
{
    return fake_qemu_target_bytes(guest->qemu);
}

static bool is_state(Rig *rig, const RigGuest *guest, const char *state)
{
    return strcmp(rig_guest_text(rig, guest, "state"), state) == 0;
}

static void set_target(Rig *rig, const RigGuest *guest, int64_t bytes)
{
    json_decref(
        rig_ask(rig, "set-target", json_pack("{s:s, s:I}", "name", guest->name, "bytes", bytes)));
}

// --- lost on the way --------------------------------------------------------------------------

// The guest may go on to the target before it: as long as the lower one cannot be sent again, all
// that it was promised counts.
static void test_a_lowered_target_that_was_lost_does_not_count(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "a", 300 * MIB, NULL);
    rig_run(rig, 2 * GIB);
    fake_qemu_set_rate(guest->qemu, MIB);
    set_target(rig, guest, GIB);
    wait_for(fake_qemu_target_bytes(guest->qemu) == GIB, PATIENCE_US);
    wait_for(rig_had_event(rig, "GUEST_TARGET_CHANGED", guest), PATIENCE_US);
    fake_qemu_set_hanging(guest->qemu, true);
    set_target(rig, guest, 400 * MIB);
    wait_for(rig_had_event(rig, "GUEST_TARGET_CHANGED", guest), PATIENCE_US);
    fake_qemu_drop_client(guest->qemu);
    fake_qemu_set_running(guest->qemu, false);
    fake_qemu_set_hanging(guest->qemu, false);
    wait_for(strcmp(rig_guest_text(rig, guest, "state"), "paused") == 0, PATIENCE_US);
    assert_int_equal(fake_qemu_target_bytes(guest->qemu), GIB);
    unsigned asked = fake_qemu_count(guest->qemu, "query-balloon");
    fake_qemu_emit(guest->qemu, "BALLOON_CHANGE", NULL);
    wait_for(fake_qemu_count(guest->qemu, "query-balloon") > asked, PATIENCE_US);
    rig_wait_for_plans(rig);
    assert_int_equal(rig_ceiling_bytes(rig, guest), GIB);
    fake_qemu_set_rate(guest->qemu, GIB);
    fake_qemu_set_running(guest->qemu, true);
    wait_for(rig_ceiling_bytes(rig, guest) == 400 * MIB, PATIENCE_US);
}

// --- stalled ----------------------------------------------------------------------------------

static void test_a_guest_that_cannot_grow_is_called_stalled_and_never_arrived(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(guest->qemu, 0);
    fake_agent_grow(guest->agent, 800 * MIB, GIB);
    wait_for(rig_had_event(rig, "GUEST_STALLED", guest), PATIENCE_US);
    wait_while(500 * MS_US);
    assert_false(rig_had_event(rig, "GUEST_TARGET_REACHED", guest));
    assert_string_equal(rig_guest_text(rig, guest, "state"), "stalled");
}

// A guest that goes to its target all at once, once it has been sent so many and its QEMU has
// answered so many times after the last.
typedef struct Arrival {
    const RigGuest *guest;
    unsigned targets;
    unsigned answers;
} Arrival;

static void on_asked(void *context)
{
    Arrival *arrival = context;
    FakeQemu *qemu = arrival->guest->qemu;
    if (arrival->answers == 0) {
        fake_qemu_set_actual(qemu, fake_qemu_target_bytes(qemu));
    } else if (fake_qemu_count(qemu, "balloon") >= arrival->targets) {
        arrival->answers--;
    }
}

// A guest sent to 800 MiB that does not move as yet.
static RigGuest *start_slow(Rig *rig)
{
    RigGuest *guest = rig_add(rig, "guest", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(guest->qemu, 0);
    set_target(rig, guest, 800 * MIB);
    wait_for(target_bytes(guest) == 800 * MIB, PATIENCE_US);
    return guest;
}

static void assert_arrives_unstalled(Rig *rig, const RigGuest *guest)
{
    wait_for(actual_bytes(guest) == 800 * MIB, PATIENCE_US);
    fake_qemu_on_asked(guest->qemu, NULL, NULL);
    wait_for(is_state(rig, guest, "settled"), PATIENCE_US);
    assert_false(rig_had_event(rig, "GUEST_STALLED", guest));
}

// Nobody looked meanwhile.
static void test_a_guest_is_not_called_stalled_because_qemu_answers_late(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_slow(rig);
    wait_while(SECOND_US);
    fake_qemu_set_hanging(guest->qemu, true);
    wait_while(4500 * MS_US);
    Arrival arrival = {.guest = guest, .answers = 1};
    fake_qemu_on_asked(guest->qemu, on_asked, &arrival);
    fake_qemu_set_hanging(guest->qemu, false);
    assert_arrives_unstalled(rig, guest);
}

static void test_a_guest_is_not_called_stalled_because_its_monitor_was_lost(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_slow(rig);
    fake_qemu_set_hanging(guest->qemu, true);
    wait_for(!fake_qemu_is_connected(guest->qemu), PATIENCE_US);
    unsigned targets = fake_qemu_count(guest->qemu, "balloon") + 1;
    Arrival arrival = {.guest = guest, .targets = targets, .answers = 3};
    fake_qemu_on_asked(guest->qemu, on_asked, &arrival);
    fake_qemu_set_hanging(guest->qemu, false);
    assert_arrives_unstalled(rig, guest);
}

static void set_mode(Rig *rig, const char *mode)
{
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", mode)));
}

static void test_a_guest_is_not_called_stalled_because_nothing_was_sent_for_long(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_slow(rig);
    set_mode(rig, "observe");
    wait_while(6 * SECOND_US);
    Arrival arrival = {.guest = guest, .answers = 3};
    fake_qemu_on_asked(guest->qemu, on_asked, &arrival);
    set_mode(rig, "balance");
    assert_arrives_unstalled(rig, guest);
}

static void test_a_guest_that_stalls_below_its_min_is_promised_no_more(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", 300 * MIB, NULL);
    fake_qemu_set_rate(guest->qemu, 0);
    rig_run(rig, 600 * MIB);
    fake_agent_grow(guest->agent, 800 * MIB, GIB);
    wait_for(fake_qemu_target_bytes(guest->qemu) > 300 * MIB, PATIENCE_US);
    json_decref(
        rig_ask(rig, "set-policy", json_pack("{s:s, s:I}", "name", guest->name, "min", 900 * MIB)));
    wait_for(rig_had_event(rig, "GUEST_STALLED", guest), PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_true(rig->most_held_bytes <= 600 * MIB);
}

static void test_a_guest_that_does_not_give_is_given_what_it_asks_for_all_the_same(void **state)
{
    Rig *rig = *state;
    RigGuest *stuck = rig_add(rig, "stuck", 700 * MIB, NULL);
    RigGuest *other = rig_add(rig, "other", 600 * MIB, NULL);
    fake_qemu_set_floor(stuck->qemu, 700 * MIB);
    rig_run(rig, BUDGET);
    fake_agent_grow(other->agent, 650 * MIB, GIB);
    wait_for(rig_had_event(rig, "GUEST_STALLED", stuck), PATIENCE_US);
    // The other one can do without again, and it is the stuck one that is short.
    FakeGuest *model = fake_agent_guest(other->agent);
    model->used_bytes = model->goal_bytes = 50 * MIB;
    fake_agent_grow(stuck->agent, 800 * MIB, GIB);
    // Long before it would be tried again.
    wait_for(fake_agent_guest(stuck->agent)->used_bytes == 800 * MIB, 9 * SECOND_US);
    assert_true(rig->most_held_bytes <= BUDGET);
}

static void test_a_stalled_guest_is_not_asked_to_give_until_it_is_tried_again(void **state)
{
    Rig *rig = *state;
    RigGuest *stuck = rig_add(rig, "stuck", 1000 * MIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(stuck->qemu, 0);
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    wait_for(rig_had_event(rig, "GUEST_STALLED", stuck), PATIENCE_US);
    wait_for(target_bytes(stuck) == actual_bytes(stuck), PATIENCE_US);
    unsigned commands = fake_qemu_count(stuck->qemu, "balloon");
    wait_while(3 * SECOND_US);
    assert_int_equal(fake_qemu_count(stuck->qemu, "balloon"), commands);
    fake_qemu_set_rate(stuck->qemu, GIB);
    wait_for(fake_agent_guest(taker->agent)->used_bytes == 800 * MIB, PATIENCE_US);
    assert_true(rig->most_held_bytes <= BUDGET);
}

// --- pressure ---------------------------------------------------------------------------------

static void test_a_shrink_that_meets_pressure_stops_at_once_and_gives_back(void **state)
{
    Rig *rig = *state;
    RigGuest *giver = rig_add(rig, "giver", 1000 * MIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    rig_wait_until_calm(rig, 500 * MS_US);
    fake_qemu_set_rate(giver->qemu, 50 * MIB);
    fake_agent_grow(taker->agent, 700 * MIB, 50 * MIB);
    wait_for(actual_bytes(giver) < 950 * MIB, PATIENCE_US);
    int64_t asked_bytes = target_bytes(giver);
    // The taker can do without again, while the giver's tasks stall.
    FakeGuest *model = fake_agent_guest(taker->agent);
    model->used_bytes = model->goal_bytes = 50 * MIB;
    fake_agent_guest(giver->agent)->stall_us += SECOND_US;
    fake_agent_grow(giver->agent, 900 * MIB, 10 * GIB);
    wait_for(target_bytes(giver) >= actual_bytes(giver), PATIENCE_US);
    // On its way, with seconds of it left.
    assert_true(actual_bytes(giver) > asked_bytes);
    wait_for(fake_agent_guest(giver->agent)->used_bytes == 900 * MIB, PATIENCE_US);
    assert_true(rig->most_held_bytes <= BUDGET);
}

// --- memory taken back ------------------------------------------------------------------------

// A guest that has taken memory back by itself, and another beside it.
static RigGuest *start_deflated(Rig *rig)
{
    RigGuest *guest = rig_add(rig, "guest", 600 * MIB, NULL);
    rig_add(rig, "other", 600 * MIB, NULL);
    rig_run(rig, BUDGET);
    set_target(rig, guest, 400 * MIB);
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", guest), PATIENCE_US);
    return guest;
}

static void test_what_a_guest_takes_back_by_itself_it_keeps_and_counts_with(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_deflated(rig);
    json_decref(rig_ask(rig, "set-target", json_pack("{s:s, s:n}", "name", guest->name, "bytes")));
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    rig_wait_until_calm(rig, 500 * MS_US);
    int64_t taken_bytes = actual_bytes(guest) + 200 * MIB;
    fake_qemu_take_back(guest->qemu, taken_bytes);
    wait_for(rig_had_event(rig, "GUEST_AUTO_DEFLATED", guest), PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "auto-deflated");
    wait_for(target_bytes(guest) == taken_bytes, PATIENCE_US);
    // Though in this mode idle memory is taken back, this is not, for a while.
    unsigned commands = fake_qemu_count(guest->qemu, "balloon");
    wait_while(5 * SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), commands);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "auto-deflated");
    wait_for(actual_bytes(guest) < taken_bytes, PATIENCE_US);
}

static void test_a_pinned_guest_that_takes_memory_back_is_told_its_target_again_later(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = start_deflated(rig);
    rig_wait_until_calm(rig, 500 * MS_US);
    unsigned commands = fake_qemu_count(guest->qemu, "balloon");
    int64_t taken_us = g_get_monotonic_time();
    fake_qemu_take_back(guest->qemu, 500 * MIB);
    wait_for(rig_had_event(rig, "GUEST_AUTO_DEFLATED", guest), PATIENCE_US);
    wait_for(actual_bytes(guest) == 400 * MIB, PATIENCE_US);
    assert_true(g_get_monotonic_time() - taken_us >= 10 * SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), commands + 1);
    wait_for(is_state(rig, guest, "settled"), PATIENCE_US);
}

// --- memory that does not come back -----------------------------------------------------------

static void test_a_guest_that_frees_nothing_is_found_out_and_left_alone(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", GIB, NULL);
    rig_run(rig, 2 * GIB);
    ResidentShow *show = resident_show_new(GIB);
    // That takes its time, in which no agent reports.
    wait_for(strcmp(rig_guest_text(rig, guest, "agent"), "connected") == 0, PATIENCE_US);
    set_target(rig, guest, 300 * MIB);
    wait_for(rig_had_event(rig, "GUEST_RECLAIM_INEFFECTIVE", guest), PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "ineffective");
    assert_true(rig_has_said(rig, "guest: ballooning it frees nothing"));
    // It is not kept short for nothing.
    wait_for(actual_bytes(guest) == GIB, PATIENCE_US);
    g_autofree char *desc = rig_ask_in_vain(
        rig, "set-target", json_pack("{s:s, s:I}", "name", guest->name, "bytes", 300 * MIB));
    assert_true(g_str_has_prefix(desc, "Guest 'guest' frees nothing"));
    unsigned commands = fake_qemu_count(guest->qemu, "balloon");
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    wait_while(2 * SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "balloon"), commands);
    // What held its memory may be gone with a device: it is tried anew.
    resident_show_free(show);
    fake_qemu_emit(guest->qemu, "DEVICE_DELETED", json_pack("{s:s}", "path", "/machine/vfio0"));
    wait_for(actual_bytes(guest) < 400 * MIB, PATIENCE_US);
    assert_false(is_state(rig, guest, "ineffective"));
}

static void test_a_guest_that_never_used_its_memory_is_not_called_ineffective(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", GIB, NULL);
    rig_run(rig, 2 * GIB);
    set_target(rig, guest, 300 * MIB);
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", guest), PATIENCE_US);
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    assert_true(json_integer_value(json_object_get(view, "resident")) > 0);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "settled");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_lowered_target_that_was_lost_does_not_count),
        TEST(test_a_guest_that_cannot_grow_is_called_stalled_and_never_arrived),
        TEST(test_a_guest_is_not_called_stalled_because_qemu_answers_late),
        TEST(test_a_guest_is_not_called_stalled_because_its_monitor_was_lost),
        TEST(test_a_guest_is_not_called_stalled_because_nothing_was_sent_for_long),
        TEST(test_a_guest_that_stalls_below_its_min_is_promised_no_more),
        TEST(test_a_guest_that_does_not_give_is_given_what_it_asks_for_all_the_same),
        TEST(test_a_stalled_guest_is_not_asked_to_give_until_it_is_tried_again),
        TEST(test_a_shrink_that_meets_pressure_stops_at_once_and_gives_back),
        TEST(test_what_a_guest_takes_back_by_itself_it_keeps_and_counts_with),
        TEST(test_a_pinned_guest_that_takes_memory_back_is_told_its_target_again_later),
        TEST(test_a_guest_that_frees_nothing_is_found_out_and_left_alone),
        TEST(test_a_guest_that_never_used_its_memory_is_not_called_ineffective),
    };
    return run_test_table(tests);
}
