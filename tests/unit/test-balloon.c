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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_adopted_balloon_is_settled_where_it_is),
        cmocka_unit_test(test_an_adopted_balloon_may_go_where_it_likes),
        cmocka_unit_test(test_a_move_is_followed_until_it_is_reached),
        cmocka_unit_test(test_a_lowered_target_counts_only_once_a_later_reading_confirms_it),
        cmocka_unit_test(test_a_target_lowered_to_where_the_guest_is_wants_a_confirmation),
        cmocka_unit_test(test_no_progress_for_the_limit_is_a_stall_and_progress_ends_it),
    };
    return run_test_table(tests);
}
