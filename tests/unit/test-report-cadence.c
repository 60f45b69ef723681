// SPDX-License-Identifier: Apache-2.0
//
// When samples are taken: seldom enough for a guest at rest, often enough for one that begins to
// grow.
#include "tests/unit/report-guest.h"

static void test_samples_are_rare_when_there_is_plenty_and_dense_when_it_is_tight(void **state)
{
    (void)state;
    static const struct {
        int64_t available_bytes;
        int64_t next_us;
        int64_t latest_us;
    } waits[] = {
        {64 * GIB, 1000 * MS, 1000 * MS}, // the heartbeat
        {4 * GIB, 1000 * MS, 1000 * MS},  {2 * GIB, 500 * MS, 1000 * MS},
        {512 * MIB, 125 * MS, 1000 * MS}, {256 * MIB, 62500, 1000 * MS},
        {128 * MIB, 31250, 500 * MS},     {16 * MIB, 25 * MS, 100 * MS},
        {0, 25 * MS, 100 * MS},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
        Guest guest = guest_with(waits[i].available_bytes);
        assert_int_equal(report_trigger_next_us(&guest.trigger) - guest.now_us, waits[i].next_us);
        assert_int_equal(report_trigger_latest_us(&guest.trigger) - guest.now_us,
                         waits[i].latest_us);
    }
}

static void test_an_idle_guest_is_woken_by_its_heartbeat_alone(void **state)
{
    (void)state;
    Guest guest = guest_with(256 * MIB);
    run(&guest, 600 * SECOND, 0);
    assert_int_equal(guest.samples, 600);
    assert_int_equal(guest.said[REPORT_REASON_HEARTBEAT], 600);
}

static void test_a_guest_with_plenty_sleeps_for_as_long_as_the_heartbeat_allows(void **state)
{
    (void)state;
    const ReportTriggerSettings seldom = {.interval_us = 100 * MS,
                                          .heartbeat_us = 3600 * SECOND,
                                          .change_bytes = 4 * MIB,
                                          .has_tripwire = true};
    Guest guest = {.available_bytes = 2 * GIB};
    report_trigger_init(&guest.trigger, &seldom);
    sample(&guest);
    assert_int_equal(report_trigger_latest_us(&guest.trigger), 8 * SECOND);
}

static void test_samples_are_dense_while_memory_moves(void **state)
{
    (void)state;
    Guest guest = guest_with(4 * GIB);
    guest.available_bytes -= MIB;
    assert_int_equal(sample_after(&guest, 500 * MS), NOTHING);
    assert_int_equal(report_trigger_latest_us(&guest.trigger), guest.now_us + 100 * MS);
}

static void test_four_samples_fit_before_a_guest_with_a_known_pace_is_out_of_memory(void **state)
{
    (void)state;
    Guest guest = guest_with(64 * GIB);
    guest.available_bytes -= 4 * GIB; // 40 GiB/s
    sample_after(&guest, 100 * MS);
    assert_int_equal(sample_after(&guest, 100 * MS), NOTHING);
    // 60 GiB left at 40 GiB/s are gone in 1.5 s.
    assert_int_equal(report_trigger_latest_us(&guest.trigger), guest.now_us + 375 * MS);
}

static void test_a_pace_is_remembered_for_minutes_and_forgotten_in_the_end(void **state)
{
    (void)state;
    Guest guest = guest_with(600 * MIB);
    guest.available_bytes -= 50 * MIB; // 500 MiB/s
    sample_after(&guest, 100 * MS);
    run(&guest, 60 * SECOND, 0);
    // 550 MiB at what is left of 500 MiB/s: four samples in a little over a second.
    assert_in_range(report_trigger_latest_us(&guest.trigger) - guest.now_us, 250 * MS, 400 * MS);
    run(&guest, 1200 * SECOND, 0);
    run(&guest, 60 * SECOND, 0);
    assert_int_equal(guest.samples, 60);
}

static void test_a_burst_at_a_known_pace_is_told_before_memory_is_gone_at_any_moment(void **state)
{
    (void)state;
    // It grew at this pace once, 20 s ago; now it does again, at any moment between two samples.
    static const int64_t rates[] = {100 * MIB, 170 * MIB, 300 * MIB};
    for (size_t i = 0; i < G_N_ELEMENTS(rates); i++) {
        for (int64_t begin_us = 0; begin_us < SECOND; begin_us += 7 * MS) {
            Guest guest = guest_with(600 * MIB);
            guest.available_bytes -= rates[i] / 10;
            sample_after(&guest, 100 * MS);
            run(&guest, 20 * SECOND, 0);
            int64_t start_us = guest.now_us + begin_us;
            int64_t available_bytes = guest.available_bytes;
            memset(guest.said, 0, sizeof(guest.said));
            while (guest.said[REPORT_REASON_TREND] == 0) {
                guest.now_us = report_trigger_latest_us(&guest.trigger);
                int64_t grown_us = MAX(guest.now_us - start_us, 0);
                guest.available_bytes = available_bytes - rates[i] * grown_us / SECOND;
                assert_true(guest.available_bytes > 0);
                sample(&guest);
            }
            assert_true(guest.available_bytes >= rates[i] * 35 / 100);
        }
    }
}

static void test_a_heartbeat_shorter_than_the_interval_is_kept(void **state)
{
    (void)state;
    const ReportTriggerSettings slow = {
        .interval_us = 10 * SECOND, .heartbeat_us = 100 * MS, .change_bytes = MIB};
    Guest guest = {.available_bytes = GIB};
    report_trigger_init(&guest.trigger, &slow);
    sample(&guest);
    run(&guest, SECOND, 0);
    assert_int_equal(guest.said[REPORT_REASON_HEARTBEAT], 10);
}

static void
test_without_a_tripwire_samples_are_due_as_if_growth_might_begin_at_any_moment(void **state)
{
    (void)state;
    const ReportTriggerSettings blind = {
        .interval_us = 100 * MS, .heartbeat_us = SECOND, .change_bytes = 4 * MIB};
    static const struct {
        int64_t available_bytes;
        int64_t latest_us;
    } waits[] = {{4 * GIB, 1000 * MS}, {1 * GIB, 250 * MS}, {256 * MIB, 100 * MS}};
    for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
        Guest guest = {.available_bytes = waits[i].available_bytes};
        report_trigger_init(&guest.trigger, &blind);
        sample(&guest);
        assert_int_equal(report_trigger_latest_us(&guest.trigger), waits[i].latest_us);
    }
}

static void test_growth_near_the_end_is_sampled_four_times_an_interval(void **state)
{
    (void)state;
    static const struct {
        int64_t available_bytes;
        int64_t latest_us;
    } waits[] = {{4 * GIB, 100 * MS}, {201 * MIB, 48828}, {51 * MIB, 25 * MS}};
    for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
        Guest guest = guest_with(waits[i].available_bytes);
        guest.available_bytes -= MIB;
        sample_after(&guest, 100 * MS);
        assert_int_equal(report_trigger_latest_us(&guest.trigger) - guest.now_us,
                         waits[i].latest_us);
    }
}

static void test_reports_stay_an_interval_apart_however_dense_the_samples(void **state)
{
    (void)state;
    Guest guest = guest_with(400 * MIB);
    memset(guest.said, 0, sizeof(guest.said));
    for (int i = 0; i < 40; i++) {
        guest.available_bytes -= 5 * MIB; // each a change, and from 200 MiB on a trend
        sample_after(&guest, 25 * MS);
    }
    assert_int_equal(guest.said[REPORT_REASON_CHANGE] + guest.said[REPORT_REASON_TREND], 10);
}

static void test_a_trend_that_sets_in_waits_for_no_interval(void **state)
{
    (void)state;
    Guest guest = guest_with(300 * MIB);
    guest.available_bytes -= 5 * MIB;
    assert_int_equal(sample_after(&guest, 100 * MS), REPORT_REASON_CHANGE);
    guest.available_bytes -= 10 * MIB; // 400 MiB/s
    assert_int_equal(sample_after(&guest, 25 * MS), REPORT_REASON_TREND);
    guest.available_bytes -= 10 * MIB;
    assert_int_equal(sample_after(&guest, 25 * MS), NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pace_is_remembered_for_minutes_and_forgotten_in_the_end),
        cmocka_unit_test(test_samples_are_rare_when_there_is_plenty_and_dense_when_it_is_tight),
        cmocka_unit_test(test_an_idle_guest_is_woken_by_its_heartbeat_alone),
        cmocka_unit_test(test_a_guest_with_plenty_sleeps_for_as_long_as_the_heartbeat_allows),
        cmocka_unit_test(test_samples_are_dense_while_memory_moves),
        cmocka_unit_test(test_four_samples_fit_before_a_guest_with_a_known_pace_is_out_of_memory),
        cmocka_unit_test(test_a_burst_at_a_known_pace_is_told_before_memory_is_gone_at_any_moment),
        cmocka_unit_test(test_a_heartbeat_shorter_than_the_interval_is_kept),
        cmocka_unit_test(
            test_without_a_tripwire_samples_are_due_as_if_growth_might_begin_at_any_moment),
        cmocka_unit_test(test_growth_near_the_end_is_sampled_four_times_an_interval),
        cmocka_unit_test(test_reports_stay_an_interval_apart_however_dense_the_samples),
        cmocka_unit_test(test_a_trend_that_sets_in_waits_for_no_interval),
    };
    return run_test_table(tests);
}
