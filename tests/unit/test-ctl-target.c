// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/json.h"
#include "tests/support/ctl-fixture.h"
#include "tests/support/deadline.h"

#include <string.h>

// --- setting a target -------------------------------------------------------------------------

static void test_a_target_is_set_without_waiting(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_target, "web1", "300M", CTL_EXIT_OK,
                            "web1 has 824 MiB, its target is 300 MiB\n", "");
}

static void test_a_refused_target_is_told_in_the_controllers_words_made_harmless(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_target, "web1", "10M", CTL_EXIT_ERROR, "",
                            "aerostatctl: 256 MiB is the minimum [2J\n");
}

static void test_a_size_that_is_none_is_a_usage_error(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_target, "web1", "10Q", CTL_EXIT_USAGE, "", NULL);
}

static void test_waiting_ends_when_the_guest_is_there_with_the_controllers_time(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.says_reached = true;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_OK,
                            "web1 has 300 MiB after 1.50 s\n", "");
}

static void test_waiting_does_not_depend_on_the_event(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_OK, NULL, "");
    assert_true(g_str_has_prefix(fixture->out, "web1 has 300 MiB after "));
}

static void test_waiting_for_what_is_there_already_returns_at_once(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "1G", CTL_EXIT_OK,
                            "web1 has 1024 MiB already\n", "");
}

static void test_waiting_in_json_gives_the_guest_and_the_time(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->context.json = true;
    fixture->fake.says_reached = true;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_OK, NULL, "");
    g_autoptr(json_t) guest = json_loads(fixture->out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(guest, "actual")), 300 * MIB);
    assert_int_equal(json_integer_value(json_object_get(guest, "elapsed-us")), 1500000);
}

static void test_waiting_for_auto_ends_with_a_target_worked_out_anew(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.pinned = true;
    fixture->fake.actual_bytes = 800 * MIB;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "auto", CTL_EXIT_OK, NULL, "");
    assert_true(fixture->fake.looks_since_auto > 2);
}

static void test_a_stall_ends_the_waiting(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.step_bytes = 0;
    fixture->fake.event_at_set = "GUEST_STALLED";
    ctl_fixture_assert_runs(
        fixture, ctl_target, "web1", "300M", CTL_EXIT_TIMEOUT, "",
        "aerostatctl: web1 does not get there: it has 1024 MiB on its way to 300 MiB "
        "(shrinking)\n");
}

static void test_a_stall_from_before_does_not_end_the_waiting(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.first_state = "stalled";
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_OK, NULL, "");
}

static void test_waiting_ends_when_its_time_is_over(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->context.timeout_us = 20 * MS_US;
    fixture->fake.step_bytes = 0;
    ctl_fixture_assert_runs(
        fixture, ctl_target, "web1", "300M", CTL_EXIT_TIMEOUT, "",
        "aerostatctl: web1 is not there in time: it has 1024 MiB on its way to 300 MiB "
        "(shrinking)\n");
}

static void test_a_target_that_is_held_back_is_explained(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->context.timeout_us = 20 * MS_US;
    fixture->fake.held_by = "stale";
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_TIMEOUT, "",
                            "aerostatctl: web1 is not there in time: it has 1024 MiB on its way to "
                            "300 MiB (without a fresh report it is not shrunk)\n");
}

static void test_a_controller_that_goes_ends_the_waiting(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.leaves_at_set = true;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_LOST, "",
                            "aerostatctl: the controller has gone away\n");
}

static void test_progress_is_drawn_over_itself_and_erased(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->context.show_progress = true;
    fixture->context.err_style.width = 60;
    ctl_fixture_assert_runs(fixture, ctl_target, "web1", "300M", CTL_EXIT_OK, NULL, NULL);
    assert_true(g_str_has_prefix(fixture->err, "\rweb1 824 MiB ---"));
    assert_non_null(strstr(fixture->err, "\rweb1 624 MiB ###"));
    assert_true(g_str_has_suffix(fixture->err, "\r\033[K"));
    assert_null(strchr(fixture->err, '\n'));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ctl_fixture_set_up, ctl_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_target_is_set_without_waiting),
        TEST(test_a_refused_target_is_told_in_the_controllers_words_made_harmless),
        TEST(test_a_size_that_is_none_is_a_usage_error),
        TEST(test_waiting_ends_when_the_guest_is_there_with_the_controllers_time),
        TEST(test_waiting_does_not_depend_on_the_event),
        TEST(test_waiting_for_what_is_there_already_returns_at_once),
        TEST(test_waiting_in_json_gives_the_guest_and_the_time),
        TEST(test_waiting_for_auto_ends_with_a_target_worked_out_anew),
        TEST(test_a_stall_ends_the_waiting),
        TEST(test_a_stall_from_before_does_not_end_the_waiting),
        TEST(test_waiting_ends_when_its_time_is_over),
        TEST(test_a_target_that_is_held_back_is_explained),
        TEST(test_a_controller_that_goes_ends_the_waiting),
        TEST(test_progress_is_drawn_over_itself_and_erased),
    };
    return run_test_table(tests);
}
