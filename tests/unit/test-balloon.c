// SPDX-License-Identifier: Apache-2.0
#include "host-controller/balloon.h"
#include "tests/test.h"

#define MIB (INT64_C(1) << 20)

static void test_an_adopted_balloon_is_settled_where_it_is(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 700 * MIB);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    assert_int_equal(balloon.target_bytes, 700 * MIB);
    assert_int_equal(balloon.ceiling_bytes, 700 * MIB);
}

static void test_an_adopted_balloon_may_go_where_it_likes(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 700 * MIB);
    assert_int_equal(balloon_observe(&balloon, 650 * MIB, 0, 1), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon_observe(&balloon, 650 * MIB, 0, 99 * BALLOON_STALL_US),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    assert_int_equal(balloon.target_bytes, 650 * MIB);
}

static void test_a_move_is_followed_until_it_is_reached(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 1000 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    assert_int_equal(balloon.state, BALLOON_SHRINKING);
    assert_int_equal(balloon_observe(&balloon, 600 * MIB, 1, 10), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon_observe(&balloon, 600 * MIB, 1, 20), BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 300 * MIB, 1, 30), BALLOON_CHANGE_REACHED);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    balloon_set_target(&balloon, 400 * MIB, 40);
    assert_int_equal(balloon.state, BALLOON_GROWING);
}

// The guest may have gone on growing after the reading: until a later one says otherwise, all that
// was promised counts.
static void test_a_lowered_target_counts_only_once_a_later_reading_confirms_it(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 300 * MIB);
    balloon_set_target(&balloon, 900 * MIB, 0);
    balloon_observe(&balloon, 400 * MIB, 1, 10);
    balloon_set_target(&balloon, 500 * MIB, 20);
    assert_int_equal(balloon.ceiling_bytes, 900 * MIB);
    // Asked before the target was lowered.
    balloon_observe(&balloon, 450 * MIB, 1, 30);
    assert_int_equal(balloon.ceiling_bytes, 900 * MIB);
    balloon_observe(&balloon, 520 * MIB, 2, 40);
    assert_int_equal(balloon.ceiling_bytes, 520 * MIB);
}

static void test_a_target_lowered_to_where_the_guest_is_wants_a_confirmation(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 300 * MIB);
    balloon_set_target(&balloon, 900 * MIB, 0);
    balloon_set_target(&balloon, 300 * MIB, 10);
    assert_true(balloon_is_moving(&balloon));
    assert_int_equal(balloon_observe(&balloon, 300 * MIB, 2, 20), BALLOON_CHANGE_REACHED);
    assert_int_equal(balloon.ceiling_bytes, 300 * MIB);
}

static void test_no_progress_for_the_limit_is_a_stall_and_progress_ends_it(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 1000 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    assert_int_equal(balloon_observe(&balloon, 900 * MIB, 1, 10), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon_observe(&balloon, 900 * MIB, 1, BALLOON_STALL_US + 9),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 900 * MIB, 1, BALLOON_STALL_US + 10),
                     BALLOON_CHANGE_STALLED);
    assert_int_equal(balloon.state, BALLOON_STALLED);
    assert_int_equal(balloon_observe(&balloon, 900 * MIB, 1, 2 * BALLOON_STALL_US),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 890 * MIB, 1, 3 * BALLOON_STALL_US),
                     BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon.state, BALLOON_SHRINKING);
}

// The question was on its way when the guest was turned round.
static void test_an_old_reading_does_not_shorten_the_time_a_guest_has(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 1000 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    balloon_observe(&balloon, 500 * MIB, 1, 10);
    balloon_set_target(&balloon, 900 * MIB, 4000);
    assert_int_equal(balloon.state, BALLOON_GROWING);
    assert_int_equal(balloon_observe(&balloon, 450 * MIB, 1, 20), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon_observe(&balloon, 450 * MIB, 2, BALLOON_STALL_US + 3999),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 450 * MIB, 2, BALLOON_STALL_US + 4000),
                     BALLOON_CHANGE_STALLED);
}

static void test_a_guest_that_was_excused_has_all_its_time_again(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 1000 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    balloon_excuse(&balloon, 2 * BALLOON_STALL_US);
    assert_int_equal(balloon_observe(&balloon, 1000 * MIB, 1, 3 * BALLOON_STALL_US - 1),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 1000 * MIB, 1, 3 * BALLOON_STALL_US),
                     BALLOON_CHANGE_STALLED);
}

// Adopted at 700 MiB, sent to 300 MiB and there.
static Balloon settled_at_300_mib(void)
{
    Balloon balloon;
    balloon_adopt(&balloon, 700 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    assert_int_equal(balloon_observe(&balloon, 300 * MIB, 1, 10), BALLOON_CHANGE_REACHED);
    return balloon;
}

// Somebody else may have told it to take everything.
static void test_a_balloon_taken_over_counts_with_all_until_a_target_is_confirmed(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_take_over(&balloon, 1000 * MIB);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    assert_int_equal(balloon.target_bytes, 300 * MIB);
    // Asked before, and asked since, but before a target was sent.
    balloon_observe(&balloon, 310 * MIB, 1, 20);
    balloon_observe(&balloon, 320 * MIB, 1, 30);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
    balloon_set_target(&balloon, 320 * MIB, 40);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
    balloon_observe(&balloon, 320 * MIB, balloon.commands, 50);
    assert_int_equal(balloon.ceiling_bytes, 320 * MIB);
}

// A guest can have QEMU say that it has nothing.
static void test_what_is_taken_over_is_a_target_that_qemu_takes(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_observe(&balloon, 0, balloon.commands, 20);
    balloon_take_over(&balloon, 1000 * MIB);
    assert_true(balloon.target_bytes > 0);
}

// --- memory taken back ------------------------------------------------------------------------

static void
test_a_settled_guest_that_takes_memory_back_counts_with_it_and_is_never_stalled(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    assert_int_equal(balloon_observe(&balloon, 301 * MIB, 1, 20), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon.state, BALLOON_AUTO_DEFLATED);
    assert_int_equal(balloon.ceiling_bytes, 301 * MIB);
    assert_true(balloon_is_moving(&balloon));
    assert_int_equal(balloon_observe(&balloon, 301 * MIB, 1, 9 * BALLOON_STALL_US),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon.state, BALLOON_AUTO_DEFLATED);
    // Its target is raised to what it has, and that settles it.
    balloon_set_target(&balloon, 301 * MIB, 9 * BALLOON_STALL_US);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
}

static void
test_a_guest_that_takes_memory_back_on_its_way_down_is_told_from_one_that_overshoots(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 700 * MIB);
    balloon_set_target(&balloon, 300 * MIB, 0);
    balloon_observe(&balloon, 500 * MIB, 1, 10);
    balloon_observe(&balloon, 501 * MIB, 1, 20);
    assert_int_equal(balloon.state, BALLOON_SHRINKING);
    balloon_observe(&balloon, 504 * MIB, 1, 30);
    assert_int_equal(balloon.state, BALLOON_AUTO_DEFLATED);
    // It gives again: it is on its way.
    balloon_observe(&balloon, 450 * MIB, 1, 40);
    assert_int_equal(balloon.state, BALLOON_SHRINKING);
}

static void test_a_guest_that_passes_a_lowered_target_has_taken_nothing_by_itself(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 300 * MIB);
    balloon_set_target(&balloon, 900 * MIB, 0);
    balloon_observe(&balloon, 400 * MIB, 1, 10);
    balloon_set_target(&balloon, 450 * MIB, 20);
    balloon_observe(&balloon, 520 * MIB, 2, 30);
    assert_int_equal(balloon.state, BALLOON_SHRINKING);
}

// --- reset ------------------------------------------------------------------------------------

static void test_after_a_reset_what_a_former_driver_left_is_not_believed(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_restart(&balloon, 1000 * MIB, 20);
    assert_int_equal(balloon.actual_bytes, 1000 * MIB);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
    // The former driver had come a little further than was known.
    balloon_observe(&balloon, 290 * MIB, 1, 30);
    balloon_observe(&balloon, 290 * MIB, 1, 40);
    assert_int_equal(balloon.actual_bytes, 1000 * MIB);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
    // The new one says something.
    assert_int_equal(balloon_observe(&balloon, 999 * MIB, 1, 50), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon.ceiling_bytes, 999 * MIB);
    assert_int_equal(balloon_observe(&balloon, 290 * MIB, 1, 60), BALLOON_CHANGE_PROGRESS);
    assert_int_equal(balloon.actual_bytes, 290 * MIB);
}

// Firmware resets several times while it starts.
static void test_each_reset_makes_what_was_left_be_looked_at_anew(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_restart(&balloon, 1000 * MIB, 20);
    balloon_observe(&balloon, 300 * MIB, 1, 30);
    balloon_restart(&balloon, 1000 * MIB, 40);
    balloon_observe(&balloon, 280 * MIB, 1, 50);
    assert_int_equal(balloon.actual_bytes, 1000 * MIB);
}

static void test_a_guest_without_a_driver_stalls_with_all_its_memory(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_restart(&balloon, 1000 * MIB, 20);
    assert_int_equal(balloon_observe(&balloon, 300 * MIB, 1, BALLOON_STALL_US),
                     BALLOON_CHANGE_NONE);
    assert_int_equal(balloon_observe(&balloon, 300 * MIB, 1, BALLOON_STALL_US + 20),
                     BALLOON_CHANGE_STALLED);
    balloon_set_target(&balloon, 1000 * MIB, BALLOON_STALL_US + 30);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
}

static void test_the_guests_own_count_brings_the_belief_back(void **state)
{
    (void)state;
    Balloon balloon = settled_at_300_mib();
    balloon_restart(&balloon, 1000 * MIB, 20);
    balloon_observe(&balloon, 300 * MIB, 1, 30);
    balloon_confirm(&balloon, 1000 * MIB);
    balloon_observe(&balloon, 300 * MIB, 1, 40);
    assert_int_equal(balloon.actual_bytes, 1000 * MIB);
    balloon_confirm(&balloon, 301 * MIB);
    balloon_observe(&balloon, 300 * MIB, 1, 50);
    assert_int_equal(balloon.actual_bytes, 300 * MIB);
}

static void test_an_adopted_guest_is_reset_to_where_it_is(void **state)
{
    (void)state;
    Balloon balloon;
    balloon_adopt(&balloon, 300 * MIB);
    balloon_restart(&balloon, 1000 * MIB, 10);
    balloon_observe(&balloon, 300 * MIB, 0, 20);
    assert_int_equal(balloon.state, BALLOON_SETTLED);
    assert_int_equal(balloon.target_bytes, 1000 * MIB);
    assert_int_equal(balloon.ceiling_bytes, 1000 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_adopted_balloon_is_settled_where_it_is),
        cmocka_unit_test(test_an_adopted_balloon_may_go_where_it_likes),
        cmocka_unit_test(test_a_move_is_followed_until_it_is_reached),
        cmocka_unit_test(test_a_lowered_target_counts_only_once_a_later_reading_confirms_it),
        cmocka_unit_test(test_a_target_lowered_to_where_the_guest_is_wants_a_confirmation),
        cmocka_unit_test(test_a_balloon_taken_over_counts_with_all_until_a_target_is_confirmed),
        cmocka_unit_test(test_what_is_taken_over_is_a_target_that_qemu_takes),
        cmocka_unit_test(test_no_progress_for_the_limit_is_a_stall_and_progress_ends_it),
        cmocka_unit_test(test_an_old_reading_does_not_shorten_the_time_a_guest_has),
        cmocka_unit_test(test_a_guest_that_was_excused_has_all_its_time_again),
        cmocka_unit_test(
            test_a_settled_guest_that_takes_memory_back_counts_with_it_and_is_never_stalled),
        cmocka_unit_test(
            test_a_guest_that_takes_memory_back_on_its_way_down_is_told_from_one_that_overshoots),
        cmocka_unit_test(test_a_guest_that_passes_a_lowered_target_has_taken_nothing_by_itself),
        cmocka_unit_test(test_after_a_reset_what_a_former_driver_left_is_not_believed),
        cmocka_unit_test(test_each_reset_makes_what_was_left_be_looked_at_anew),
        cmocka_unit_test(test_a_guest_without_a_driver_stalls_with_all_its_memory),
        cmocka_unit_test(test_the_guests_own_count_brings_the_belief_back),
        cmocka_unit_test(test_an_adopted_guest_is_reset_to_where_it_is),
    };
    return run_test_table(tests);
}
