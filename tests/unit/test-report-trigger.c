// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/report-guest.h"

#include "protocol/limits.h"

// --- start and heartbeat ----------------------------------------------------------------------

static void test_the_first_sample_is_due_at_once_and_reported(void **state)
{
    (void)state;
    Guest guest = {.available_bytes = 700 * MIB};
    report_trigger_init(&guest.trigger, &settings);
    assert_true(report_trigger_next_us(&guest.trigger) <= 0);
    assert_true(report_trigger_latest_us(&guest.trigger) <= 0);
    assert_int_equal(sample(&guest), REPORT_REASON_START);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_a_guest_at_rest_sends_heartbeats_and_nothing_else(void **state)
{
    (void)state;
    Guest guest = guest_with(700 * MIB);
    run(&guest, 60 * SECOND, 0);
    assert_int_equal(guest.said[REPORT_REASON_HEARTBEAT], 60);
    assert_int_equal(guest.said[REPORT_REASON_CHANGE], 0);
    assert_int_equal(guest.said[REPORT_REASON_TREND], 0);
    assert_int_equal(guest.said[REPORT_REASON_PRESSURE], 0);
}

static void test_a_heartbeat_counts_from_the_last_report_of_any_reason(void **state)
{
    (void)state;
    Guest guest = guest_with(700 * MIB);
    guest.available_bytes -= 5 * MIB;
    assert_int_equal(sample_after(&guest, 900 * MS), REPORT_REASON_CHANGE);
    assert_int_equal(sample_after(&guest, 999 * MS), NOTHING);
    assert_int_equal(sample_after(&guest, 1 * MS), REPORT_REASON_HEARTBEAT);
}

// --- change -----------------------------------------------------------------------------------

static void test_a_move_of_more_than_the_threshold_is_a_change(void **state)
{
    (void)state;
    static const struct {
        int64_t available_bytes;
        int64_t balloon_bytes;
        MemoryReportReason reason;
    } moves[] = {
        {-4 * MIB, 0, NOTHING},
        {-4 * MIB - 1, 0, REPORT_REASON_CHANGE},
        {4 * MIB, 0, NOTHING},
        {4 * MIB + 1, 0, REPORT_REASON_CHANGE},
        // The host moves the balloon: nothing is used more, but available moves.
        {-5 * MIB, 5 * MIB, REPORT_REASON_CHANGE},
        // The guest eats what the balloon gives back: only used moves.
        {0, -5 * MIB, REPORT_REASON_CHANGE},
        {0, -3 * MIB, NOTHING},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
        Guest guest = guest_with(900 * MIB);
        guest.balloon_bytes = 100 * MIB;
        sample_after(&guest, 100 * MS); // the balloon itself is news
        guest.available_bytes += moves[i].available_bytes;
        guest.balloon_bytes += moves[i].balloon_bytes;
        assert_int_equal(sample_after(&guest, 100 * MS), moves[i].reason);
    }
}

static void test_a_change_is_counted_from_the_last_report_not_from_the_last_sample(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.available_bytes -= 3 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
    guest.available_bytes -= 3 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
    guest.available_bytes -= 3 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

// --- trend ------------------------------------------------------------------------------------

static void test_fast_growth_is_a_trend_well_before_memory_is_gone(void **state)
{
    (void)state;
    static const int64_t rates_bytes_per_s[] = {20 * MIB, 170 * MIB, 500 * MIB};
    for (size_t i = 0; i < G_N_ELEMENTS(rates_bytes_per_s); i++) {
        int64_t rate = rates_bytes_per_s[i];
        Guest guest = guest_with(900 * MIB);
        while (guest.said[REPORT_REASON_TREND] == 0) {
            assert_true(guest.available_bytes > rate / 2);
            guest.available_bytes -= rate / 10;
            sample_after(&guest, 100 * MS);
        }
        assert_true(guest.available_bytes <= rate);
    }
}

static void test_a_trend_goes_on_once_an_interval_while_the_guest_grows(void **state)
{
    (void)state;
    Guest guest = guest_with(300 * MIB);
    guest.available_bytes -= 20 * MIB;
    sample_after(&guest, 100 * MS);
    guest.available_bytes = 200 * MIB;
    sample_after(&guest, 100 * MS);
    run(&guest, SECOND, -100 * MIB);
    assert_int_equal(guest.said[REPORT_REASON_TREND], 10);
}

static void test_a_trend_is_not_said_again_when_the_growth_has_stopped(void **state)
{
    (void)state;
    Guest guest = guest_with(300 * MIB);
    guest.available_bytes = 200 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_TREND);
    run(&guest, 4 * SECOND, 0);
    assert_int_equal(guest.said[REPORT_REASON_TREND], 0);
    assert_int_equal(guest.said[REPORT_REASON_HEARTBEAT], 4);
}

static void test_growth_long_past_makes_no_trend(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.available_bytes = 800 * MIB; // a burst of 1000 MiB/s
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_TREND);
    run(&guest, 11 * SECOND, 0);
    guest.available_bytes -= 6 * MIB; // 60 MiB/s: gone in 13 s
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
}

static void test_a_balloon_inflated_by_the_host_is_no_trend(void **state)
{
    (void)state;
    Guest guest = guest_with(500 * MIB);
    for (int i = 0; i < 9; i++) {
        guest.available_bytes -= 50 * MIB;
        guest.balloon_bytes += 50 * MIB;
        assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
    }
}

static void test_a_guest_that_eats_all_it_is_given_is_a_trend(void **state)
{
    (void)state;
    Guest guest = guest_with(100 * MIB);
    guest.balloon_bytes = 500 * MIB;
    sample_after(&guest, 100 * MS);
    guest.balloon_bytes -= 20 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_TREND);
}

// --- pressure ---------------------------------------------------------------------------------

static void test_more_than_10_ms_of_stall_is_pressure(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.stalled_us += 10 * MS;
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
    guest.stalled_us += 1;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_PRESSURE);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_short_stalls_far_apart_are_no_pressure(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    for (int i = 0; i < 100; i++) {
        guest.stalled_us += 9 * MS;
        assert_int_not_equal(sample_after(&guest, 500 * MS), REPORT_REASON_PRESSURE);
    }
}

static void test_pressure_is_said_once_an_interval_while_it_lasts(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    for (int i = 0; i < 10; i++) {
        guest.stalled_us += 50 * MS;
        assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_PRESSURE);
        assert_int_equal(report_trigger_next_us(&guest.trigger), guest.now_us + 100 * MS);
    }
}

static void test_a_trigger_that_fires_is_pressure_however_little_was_seen_of_it(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.alarmed = true;
    assert_int_equal(sample_after(&guest, 1 * MS), REPORT_REASON_PRESSURE);
    guest.alarmed = false;
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_a_process_killed_for_want_of_memory_is_pressure(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.oom_kills++;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_PRESSURE);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_swapping_and_refaults_are_a_change_though_nothing_else_moves(void **state)
{
    (void)state;
    Guest guest = guest_with(900 * MIB);
    guest.swapped_bytes += 2 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
    guest.refaulted_bytes += 2 * MIB + 1;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_stalls_before_the_subscription_do_not_count(void **state)
{
    (void)state;
    Guest guest = {.available_bytes = 900 * MIB, .stalled_us = 60 * SECOND};
    report_trigger_init(&guest.trigger, &settings);
    assert_int_equal(sample(&guest), REPORT_REASON_START);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
}

static void test_a_kernel_without_pressure_is_served_all_the_same(void **state)
{
    (void)state;
    Guest guest = {.available_bytes = 900 * MIB, .without_pressure = true};
    report_trigger_init(&guest.trigger, &settings);
    assert_int_equal(sample(&guest), REPORT_REASON_START);
    guest.available_bytes -= 5 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
}

static void test_of_several_reasons_the_strongest_is_told(void **state)
{
    (void)state;
    Guest guest = guest_with(300 * MIB);
    guest.available_bytes = 50 * MIB;
    guest.stalled_us += 50 * MS;
    assert_int_equal(sample_after(&guest, 2 * SECOND), REPORT_REASON_PRESSURE);
    guest.available_bytes = 30 * MIB;
    assert_int_equal(sample_after(&guest, 2 * SECOND), REPORT_REASON_TREND);
}

// --- robustness -------------------------------------------------------------------------------

static void test_no_numbers_and_no_clock_overflow(void **state)
{
    (void)state;
    static const int64_t extremes[] = {0, 1, LIMIT_REPORT_VALUE - 1, LIMIT_REPORT_VALUE};
    static const int64_t steps_us[] = {0, 1, -SECOND, 100 * MS, INT64_C(1) << 61};
    Guest guest = guest_with(0);
    unsigned turn = 0;
    for (size_t a = 0; a < G_N_ELEMENTS(extremes); a++) {
        for (size_t b = 0; b < G_N_ELEMENTS(extremes); b++) {
            for (size_t s = 0; s < G_N_ELEMENTS(extremes); s++) {
                int64_t step_us = steps_us[turn++ % G_N_ELEMENTS(steps_us)];
                guest.now_us = guest.now_us > SECOND << 40 ? 0 : guest.now_us + step_us;
                guest.available_bytes = extremes[a];
                guest.balloon_bytes = extremes[b];
                guest.stalled_us = extremes[s];
                sample(&guest);
                assert_true(report_trigger_next_us(&guest.trigger) > guest.now_us);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_sample_is_due_at_once_and_reported),
        cmocka_unit_test(test_a_guest_at_rest_sends_heartbeats_and_nothing_else),
        cmocka_unit_test(test_a_heartbeat_counts_from_the_last_report_of_any_reason),
        cmocka_unit_test(test_a_move_of_more_than_the_threshold_is_a_change),
        cmocka_unit_test(test_a_change_is_counted_from_the_last_report_not_from_the_last_sample),
        cmocka_unit_test(test_fast_growth_is_a_trend_well_before_memory_is_gone),
        cmocka_unit_test(test_a_trend_goes_on_once_an_interval_while_the_guest_grows),
        cmocka_unit_test(test_a_trend_is_not_said_again_when_the_growth_has_stopped),
        cmocka_unit_test(test_growth_long_past_makes_no_trend),
        cmocka_unit_test(test_a_balloon_inflated_by_the_host_is_no_trend),
        cmocka_unit_test(test_a_guest_that_eats_all_it_is_given_is_a_trend),
        cmocka_unit_test(test_more_than_10_ms_of_stall_is_pressure),
        cmocka_unit_test(test_short_stalls_far_apart_are_no_pressure),
        cmocka_unit_test(test_pressure_is_said_once_an_interval_while_it_lasts),
        cmocka_unit_test(test_a_trigger_that_fires_is_pressure_however_little_was_seen_of_it),
        cmocka_unit_test(test_a_process_killed_for_want_of_memory_is_pressure),
        cmocka_unit_test(test_swapping_and_refaults_are_a_change_though_nothing_else_moves),
        cmocka_unit_test(test_stalls_before_the_subscription_do_not_count),
        cmocka_unit_test(test_a_kernel_without_pressure_is_served_all_the_same),
        cmocka_unit_test(test_of_several_reasons_the_strongest_is_told),
        cmocka_unit_test(test_no_numbers_and_no_clock_overflow),
    };
    return run_test_table(tests);
}
