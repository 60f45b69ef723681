// SPDX-License-Identifier: Apache-2.0
//
// The end of a controller that is to give everything back (on-exit=release).
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <signal.h>
#include <string.h>

#define PATIENCE_US (60 * SECOND_US)

// Two guests of 400 MiB that need no more.
typedef struct Pair {
    RigGuest *a;
    RigGuest *b;
} Pair;

static Pair start_pair(Rig *rig, int64_t budget_bytes, const char *mode)
{
    Pair pair = {
        .a = rig_add(rig, "a", 400 * MIB, NULL),
        .b = rig_add(rig, "b", 400 * MIB, NULL),
    };
    g_autofree char *text = g_strdup_printf("[controller]\non-exit=release\nmode=%s\n", mode);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/exit.conf", text, -1));
    rig_run(rig, budget_bytes);
    rig_wait_until_calm(rig, 500 * MS_US);
    return pair;
}

static int64_t actual_bytes(const RigGuest *guest)
{
    return fake_qemu_actual_bytes(guest->qemu);
}

static void test_everything_is_given_back_at_the_end(void **state)
{
    Rig *rig = *state;
    Pair pair = start_pair(rig, 3 * GIB, "reclaim");
    assert_true(actual_bytes(pair.a) < 500 * MIB);
    assert_int_equal(rig_stop(rig), 0);
    assert_int_equal(actual_bytes(pair.a), GIB);
    assert_int_equal(actual_bytes(pair.b), GIB);
    assert_true(rig_has_said(rig, "balloons released: 0 B withheld"));
}

static void test_no_more_than_the_budget_is_given_back(void **state)
{
    Rig *rig = *state;
    Pair pair = start_pair(rig, 1300 * MIB, "reclaim");
    assert_int_equal(rig_stop(rig), 0);
    assert_true(rig->most_held_bytes <= 1300 * MIB);
    assert_true(actual_bytes(pair.a) >= 649 * MIB);
    assert_true(actual_bytes(pair.b) >= 649 * MIB);
}

static void test_a_guest_that_does_not_follow_holds_up_the_end_for_a_bounded_time(void **state)
{
    Rig *rig = *state;
    Pair pair = start_pair(rig, 3 * GIB, "reclaim");
    fake_qemu_set_rate(pair.a->qemu, 0);
    fake_agent_close(pair.b->agent);
    assert_int_equal(rig_stop(rig), 0);
    assert_int_equal(actual_bytes(pair.b), GIB);
}

static void test_a_second_signal_ends_at_once(void **state)
{
    Rig *rig = *state;
    Pair pair = start_pair(rig, 3 * GIB, "reclaim");
    fake_qemu_set_rate(pair.a->qemu, 10 * MIB);
    rig_signal(rig, SIGTERM);
    wait_for(fake_qemu_target_bytes(pair.a->qemu) == GIB, PATIENCE_US);
    assert_int_equal(rig_stop(rig), 0);
    // Which it says when all has arrived, or the time for that is up.
    assert_false(rig_has_said(rig, "balloons released"));
}

static void test_in_mode_observe_nothing_is_released_either(void **state)
{
    Rig *rig = *state;
    Pair pair = start_pair(rig, 3 * GIB, "observe");
    assert_int_equal(rig_stop(rig), 0);
    assert_int_equal(rig_balloon_commands(rig), 0);
    assert_int_equal(actual_bytes(pair.a), 400 * MIB);
}

// It was started with more than its max, and without an agent it must not be shrunk.
static void test_nobody_is_shrunk_at_the_end(void **state)
{
    Rig *rig = *state;
    RigGuest *big = rig_add(rig, "big", 900 * MIB, "max=500M\n");
    fake_agent_close(big->agent);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/exit.conf",
                         "[controller]\non-exit=release\n", -1));
    rig_configure(rig, 3 * GIB, NULL);
    rig_start(rig);
    wait_for(strcmp(rig_guest_text(rig, big, "state"), "settled") == 0, PATIENCE_US);
    assert_int_equal(rig_stop(rig), 0);
    assert_int_equal(actual_bytes(big), 900 * MIB);
    assert_int_equal(rig_balloon_commands(rig), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_everything_is_given_back_at_the_end),
        TEST(test_no_more_than_the_budget_is_given_back),
        TEST(test_a_guest_that_does_not_follow_holds_up_the_end_for_a_bounded_time),
        TEST(test_a_second_signal_ends_at_once),
        TEST(test_nobody_is_shrunk_at_the_end),
        TEST(test_in_mode_observe_nothing_is_released_either),
    };
    return run_test_table(tests);
}
