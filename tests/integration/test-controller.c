// SPDX-License-Identifier: Apache-2.0
//
// The real controller among fake guests: what it moves, and what it leaves alone.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <signal.h>
#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
// Nothing is sent for this long: nothing will be.
#define CALM_US (700 * MS_US)

static int64_t used_bytes(const RigGuest *guest)
{
    return fake_agent_guest(guest->agent)->used_bytes;
}

// No guest's processes were ever left without what they had.
static void assert_no_shortage(const Rig *rig)
{
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        FakeGuest *model = fake_agent_guest(guest->agent);
        fake_guest_advance(model, g_get_monotonic_time());
        assert_int_equal(model->shortage_bytes, 0);
    }
}

// --- adopting ---------------------------------------------------------------------------------

// That QEMU was asked does not tell that its answer has arrived.
static void assert_is_adopted_at(Rig *rig, const RigGuest *guest, int64_t bytes)
{
    wait_for(strcmp(rig_guest_text(rig, guest, "state"), "settled") == 0, PATIENCE_US);
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    assert_int_equal(json_integer_value(json_object_get(view, "size")), GIB);
    assert_int_equal(json_integer_value(json_object_get(view, "actual")), bytes);
    assert_int_equal(json_integer_value(json_object_get(view, "target")), bytes);
}

static void test_balloons_are_adopted_where_they_are(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 700 * MIB, NULL);
    RigGuest *b = rig_add(rig, "b", 300 * MIB, NULL);
    fake_agent_close(a->agent);
    fake_agent_close(b->agent);
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    assert_is_adopted_at(rig, a, 700 * MIB);
    assert_is_adopted_at(rig, b, 300 * MIB);
}

static void test_nothing_is_sent_before_there_are_reports(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    RigGuest *b = rig_add(rig, "b", GIB, NULL);
    fake_agent_set_silent(a->agent, true);
    fake_agent_close(b->agent);
    // Far above the budget: everything would have to move.
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    wait_for(fake_qemu_count(b->qemu, "query-balloon") > 0, PATIENCE_US);
    wait_while(CALM_US);
    assert_int_equal(rig_balloon_commands(rig), 0);
    assert_string_equal(rig_guest_text(rig, b, "agent"), "connecting");
}

static void test_a_guest_that_is_not_managed_is_never_touched(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    RigGuest *other = rig_add(rig, "other", GIB, "manage=no");
    rig_run(rig, 3 * GIB / 2);
    // The one that may be moved has to make all the room.
    wait_for(fake_qemu_actual_bytes(a->qemu) <= 512 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, CALM_US);
    assert_int_equal(fake_qemu_count(other->qemu, "balloon"), 0);
    assert_string_equal(rig_guest_text(rig, other, "state"), "unmanaged");
}

static void test_a_guest_without_a_balloon_device_counts_with_its_size(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    RigGuest *rigid = rig_add(rig, "rigid", GIB, NULL);
    fake_qemu_set_device(rigid->qemu, false);
    rig_run(rig, 3 * GIB / 2);
    wait_for(fake_qemu_actual_bytes(a->qemu) <= 512 * MIB, PATIENCE_US);
    assert_int_equal(fake_qemu_count(rigid->qemu, "balloon"), 0);
    assert_string_equal(rig_guest_text(rig, rigid, "state"), "unmanageable");
}

// --- moving -----------------------------------------------------------------------------------

static void test_constant_need_leads_to_calm(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "a", GIB, NULL);
    rig_add(rig, "b", 300 * MIB, NULL);
    rig_add(rig, "c", 500 * MIB, NULL);
    rig_run(rig, 2 * GIB);
    rig_wait_until_calm(rig, CALM_US);
    unsigned commands = rig_balloon_commands(rig);
    wait_while(2 * SECOND_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
    assert_true(rig->most_held_bytes <= 2 * GIB);
}

static void test_the_idle_guest_gives_to_the_one_that_asks(void **state)
{
    Rig *rig = *state;
    RigGuest *idle = rig_add(rig, "idle", 1000 * MIB, NULL);
    RigGuest *busy = rig_add(rig, "busy", 300 * MIB, NULL);
    rig_run(rig, 1300 * MIB);
    fake_agent_grow(busy->agent, 700 * MIB, 500 * MIB);
    wait_for(used_bytes(busy) == 700 * MIB, PATIENCE_US);
    assert_true(fake_qemu_actual_bytes(idle->qemu) < 600 * MIB);
    assert_true(rig->most_held_bytes <= 1300 * MIB);
    assert_no_shortage(rig);
}

static void test_memory_goes_back_when_the_need_turns_around(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 900 * MIB, NULL);
    RigGuest *b = rig_add(rig, "b", 400 * MIB, NULL);
    rig_run(rig, 1300 * MIB);
    fake_agent_grow(b->agent, 700 * MIB, GIB);
    wait_for(used_bytes(b) == 700 * MIB, PATIENCE_US);
    // How fast a balloon on its way is turned round is no matter here.
    rig_wait_until_calm(rig, CALM_US);
    FakeGuest *model = fake_agent_guest(b->agent);
    model->used_bytes = model->goal_bytes = 50 * MIB;
    fake_agent_grow(a->agent, 700 * MIB, GIB);
    wait_for(used_bytes(a) == 700 * MIB, PATIENCE_US);
    assert_true(rig->most_held_bytes <= 1300 * MIB);
    assert_no_shortage(rig);
}

static void test_a_slow_giver_is_waited_for(void **state)
{
    Rig *rig = *state;
    RigGuest *slow = rig_add(rig, "slow", 1000 * MIB, NULL);
    RigGuest *busy = rig_add(rig, "busy", 300 * MIB, NULL);
    fake_qemu_set_rate(slow->qemu, 200 * MIB);
    rig_run(rig, 1300 * MIB);
    fake_agent_grow(busy->agent, 600 * MIB, 10 * GIB);
    wait_for(used_bytes(busy) == 600 * MIB, PATIENCE_US);
    // 300 MiB at 200 MiB/s: promised before it had come back, it would have been over the budget.
    assert_true(rig->most_held_bytes <= 1300 * MIB);
}

static void test_the_budget_holds_whatever_the_guests_do(void **state)
{
    Rig *rig = *state;
    static const int count = 8;
    const int64_t budget_bytes = count * 600 * MIB;
    uint32_t seed = g_random_int();
    print_message("seed %u\n", seed);
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    for (int i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("g%d", i);
        RigGuest *guest = rig_add(rig, name, 600 * MIB, NULL);
        fake_qemu_set_rate(guest->qemu, g_rand_int_range(random, 100, 4000) * MIB);
    }
    rig_run(rig, budget_bytes);
    for (int turn = 0; turn < 60; turn++) {
        RigGuest *guest = g_ptr_array_index(rig->guests, g_rand_int_range(random, 0, count));
        FakeGuest *model = fake_agent_guest(guest->agent);
        if (g_rand_boolean(random)) {
            model->used_bytes = model->goal_bytes = 50 * MIB;
        } else {
            fake_agent_grow(guest->agent, g_rand_int_range(random, 50, 950) * MIB,
                            g_rand_int_range(random, 100, 2000) * MIB);
        }
        wait_while(g_rand_int_range(random, 0, 100) * MS_US);
        assert_true(rig->most_held_bytes <= budget_bytes);
    }
    wait_for(rig_balloon_commands(rig) > 0, PATIENCE_US);
}

static void test_a_hundred_guests_find_their_place(void **state)
{
    Rig *rig = *state;
    for (int i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("g%d", i);
        rig_add(rig, name, 200 * MIB, "min=64M");
    }
    rig_run(rig, 100 * 200 * MIB);
    RigGuest *busy = g_ptr_array_index(rig->guests, 50);
    fake_agent_grow(busy->agent, 800 * MIB, GIB);
    wait_for(used_bytes(busy) == 800 * MIB, PATIENCE_US);
    assert_true(rig->most_held_bytes <= 100 * 200 * MIB);
    assert_no_shortage(rig);
}

// --- targets and modes ------------------------------------------------------------------------

static void set_target(Rig *rig, const RigGuest *guest, int64_t bytes)
{
    json_decref(
        rig_ask(rig, "set-target", json_pack("{s:s, s:I}", "name", guest->name, "bytes", bytes)));
}

static void test_a_set_target_is_walked_to_and_told_of(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    rig_wait_until_calm(rig, CALM_US);
    set_target(rig, a, 300 * MIB);
    wait_for(rig_had_event(rig, "GUEST_TARGET_CHANGED", a), PATIENCE_US);
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", a), PATIENCE_US);
    assert_int_equal(fake_qemu_actual_bytes(a->qemu), 300 * MIB);
    g_autoptr(json_t) view = rig_query_guest(rig, a);
    assert_true(json_is_true(json_object_get(view, "pinned")));
    assert_int_equal(json_integer_value(json_object_get(view, "actual")), 300 * MIB);
    set_target(rig, a, GIB);
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", a), PATIENCE_US);
    assert_int_equal(fake_qemu_actual_bytes(a->qemu), GIB);
}

static void test_a_guest_whose_target_is_released_is_sized_by_need_again(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    set_target(rig, a, 300 * MIB);
    wait_for(fake_qemu_actual_bytes(a->qemu) == 300 * MIB, PATIENCE_US);
    json_decref(rig_ask(rig, "set-target", json_pack("{s:s, s:n}", "name", a->name, "bytes")));
    wait_for(fake_qemu_actual_bytes(a->qemu) == GIB, PATIENCE_US);
}

static void test_a_target_that_cannot_be_is_refused(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, "max=768M");
    rig_run(rig, 2 * GIB);
    static const int64_t sizes[] = {0, -1, 255 * MIB, 769 * MIB, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *desc = rig_ask_in_vain(
            rig, "set-target", json_pack("{s:s, s:I}", "name", a->name, "bytes", sizes[i]));
        assert_true(g_str_has_prefix(desc, "Guest 'a' may have from 256 MiB to 768 MiB, not "));
    }
    g_autofree char *desc =
        rig_ask_in_vain(rig, "set-target", json_pack("{s:s, s:i}", "name", "nobody", "bytes", 1));
    assert_string_equal(desc, "Guest 'nobody' is not known");
}

static void test_nothing_is_sent_in_mode_observe(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "idle", 1000 * MIB, NULL);
    RigGuest *busy = rig_add(rig, "busy", 300 * MIB, NULL);
    rig_run(rig, 1300 * MIB);
    rig_wait_until_calm(rig, CALM_US);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "observe")));
    unsigned commands = rig_balloon_commands(rig);
    fake_agent_grow(busy->agent, 700 * MIB, GIB);
    wait_while(SECOND_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "balance")));
    wait_for(used_bytes(busy) == 700 * MIB, PATIENCE_US);
}

static void test_idle_memory_is_taken_back_in_mode_reclaim(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    rig_wait_until_calm(rig, CALM_US);
    assert_int_equal(fake_qemu_actual_bytes(a->qemu), GIB);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    wait_for(fake_qemu_actual_bytes(a->qemu) < 400 * MIB, PATIENCE_US);
    assert_no_shortage(rig);
}

// --- the controller's own end -----------------------------------------------------------------

// Kills the controller and starts the next: neither sends a command, and no balloon moves.
static void assert_a_restart_moves_nothing(Rig *rig, const RigGuest *a, const RigGuest *b)
{
    int64_t a_bytes = fake_qemu_actual_bytes(a->qemu);
    int64_t b_bytes = fake_qemu_actual_bytes(b->qemu);
    unsigned commands = rig_balloon_commands(rig);
    rig_kill(rig);
    wait_while(CALM_US);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_while(2 * SECOND_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
    assert_int_equal(fake_qemu_actual_bytes(a->qemu), a_bytes);
    assert_int_equal(fake_qemu_actual_bytes(b->qemu), b_bytes);
}

static void test_a_killed_controller_moves_nothing_and_neither_does_the_next(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 1000 * MIB, NULL);
    RigGuest *b = rig_add(rig, "b", 300 * MIB, NULL);
    FakeGuest *model = fake_agent_guest(b->agent);
    model->used_bytes = model->goal_bytes = 200 * MIB;
    rig_run(rig, 1200 * MIB);
    wait_for(fake_qemu_actual_bytes(b->qemu) > 400 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, CALM_US);
    assert_a_restart_moves_nothing(rig, a, b);
}

// The next controller does not know that b has just grown fast; what b has it keeps all the same.
static void test_a_restart_after_a_burst_moves_nothing(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 1000 * MIB, NULL);
    RigGuest *b = rig_add(rig, "b", 300 * MIB, NULL);
    rig_run(rig, 1300 * MIB);
    fake_agent_grow(b->agent, 600 * MIB, GIB);
    wait_for(fake_agent_guest(b->agent)->used_bytes == 600 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, CALM_US);
    assert_a_restart_moves_nothing(rig, a, b);
}

static void test_a_controller_that_ends_leaves_balloons_where_they_are(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_add(rig, "b", 400 * MIB, NULL);
    rig_run(rig, 1300 * MIB);
    wait_for(fake_qemu_actual_bytes(a->qemu) <= 900 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, CALM_US);
    unsigned commands = rig_balloon_commands(rig);
    assert_int_equal(rig_stop(rig), 0);
    wait_while(CALM_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
    assert_false(g_file_test(rig->socket_path, G_FILE_TEST_EXISTS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_balloons_are_adopted_where_they_are),
        TEST(test_nothing_is_sent_before_there_are_reports),
        TEST(test_a_guest_that_is_not_managed_is_never_touched),
        TEST(test_a_guest_without_a_balloon_device_counts_with_its_size),
        TEST(test_constant_need_leads_to_calm),
        TEST(test_the_idle_guest_gives_to_the_one_that_asks),
        TEST(test_memory_goes_back_when_the_need_turns_around),
        TEST(test_a_slow_giver_is_waited_for),
        TEST(test_the_budget_holds_whatever_the_guests_do),
        TEST(test_a_hundred_guests_find_their_place),
        TEST(test_a_set_target_is_walked_to_and_told_of),
        TEST(test_a_guest_whose_target_is_released_is_sized_by_need_again),
        TEST(test_a_target_that_cannot_be_is_refused),
        TEST(test_nothing_is_sent_in_mode_observe),
        TEST(test_idle_memory_is_taken_back_in_mode_reclaim),
        TEST(test_a_killed_controller_moves_nothing_and_neither_does_the_next),
        TEST(test_a_restart_after_a_burst_moves_nothing),
        TEST(test_a_controller_that_ends_leaves_balloons_where_they_are),
    };
    return run_test_table(tests);
}
