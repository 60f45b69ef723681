// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "agent/report-trigger.h"
#include "protocol/limits.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

static const ReportTriggerSettings settings = {
    .interval_us = 100 * MS,
    .heartbeat_us = SECOND,
    .change_bytes = 4 * MIB,
};

#define NOTHING REPORT_REASON_COUNT

// A guest in virtual time.
typedef struct Guest {
    ReportTrigger trigger;
    int64_t now_us;
    int64_t available_bytes;
    int64_t balloon_bytes;
    int64_t stalled_us;
    int64_t swapped_bytes;
    int64_t refaulted_bytes;
    int64_t oom_kills;
    bool without_pressure;
    bool alarmed; // the kernel's pressure trigger fired
    unsigned samples;
    unsigned said[REPORT_REASON_COUNT];
} Guest;

// Takes a sample now; returns the reason of the report made of it, or NOTHING.
static MemoryReportReason sample(Guest *guest)
{
    MemoryReport report = {0};
    memory_report_set(&report, REPORT_MEMORY_TOTAL, GIB);
    memory_report_set(&report, REPORT_MEMORY_AVAILABLE, guest->available_bytes);
    memory_report_set(&report, REPORT_BALLOON, guest->balloon_bytes);
    memory_report_set(&report, REPORT_PAGING_SWAP_OUT, guest->swapped_bytes);
    memory_report_set(&report, REPORT_PAGING_REFAULT_FILE, guest->refaulted_bytes);
    memory_report_set(&report, REPORT_PAGING_OOM_KILLS, guest->oom_kills);
    guest->samples++;
    if (!guest->without_pressure) {
        memory_report_set(&report, REPORT_PRESSURE_SOME_TOTAL, guest->stalled_us);
    }
    MemoryReportReason reason;
    if (!report_trigger_sample(&guest->trigger, &report, guest->now_us, guest->alarmed, &reason)) {
        return NOTHING;
    }
    guest->said[reason]++;
    return reason;
}

// Lets time pass and takes a sample.
static MemoryReportReason sample_after(Guest *guest, int64_t elapsed_us)
{
    guest->now_us += elapsed_us;
    return sample(guest);
}

// Samples as late as allowed for `duration_us`, while available memory moves steadily.
static void run(Guest *guest, int64_t duration_us, int64_t available_bytes_per_s)
{
    int64_t end_us = guest->now_us + duration_us;
    memset(guest->said, 0, sizeof(guest->said));
    guest->samples = 0;
    while (report_trigger_latest_us(&guest->trigger) <= end_us) {
        int64_t next_us = report_trigger_latest_us(&guest->trigger);
        assert_true(next_us > guest->now_us);
        assert_true(next_us >= report_trigger_next_us(&guest->trigger));
        int64_t moved_bytes = available_bytes_per_s * (next_us - guest->now_us) / SECOND;
        guest->available_bytes = MAX(guest->available_bytes + moved_bytes, 0);
        guest->now_us = next_us;
        sample(guest);
    }
}

// A guest whose first report has been sent.
static Guest guest_with(int64_t available_bytes)
{
    Guest guest = {.now_us = 5 * SECOND, .available_bytes = available_bytes};
    report_trigger_init(&guest.trigger, &settings);
    sample(&guest);
    return guest;
}

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

// --- cadence ----------------------------------------------------------------------------------

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
        {512 * MIB, 125 * MS, 1000 * MS}, {256 * MIB, 100 * MS, 1000 * MS},
        {128 * MIB, 100 * MS, 500 * MS},  {16 * MIB, 100 * MS, 100 * MS},
        {0, 100 * MS, 100 * MS},
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
    const ReportTriggerSettings seldom = {
        .interval_us = 100 * MS, .heartbeat_us = 3600 * SECOND, .change_bytes = 4 * MIB};
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

static void
test_the_pace_of_a_guest_is_remembered_for_minutes_and_forgotten_in_the_end(void **state)
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
        cmocka_unit_test(test_samples_are_rare_when_there_is_plenty_and_dense_when_it_is_tight),
        cmocka_unit_test(test_an_idle_guest_is_woken_by_its_heartbeat_alone),
        cmocka_unit_test(test_a_guest_with_plenty_sleeps_for_as_long_as_the_heartbeat_allows),
        cmocka_unit_test(test_samples_are_dense_while_memory_moves),
        cmocka_unit_test(test_four_samples_fit_before_a_guest_with_a_known_pace_is_out_of_memory),
        cmocka_unit_test(
            test_the_pace_of_a_guest_is_remembered_for_minutes_and_forgotten_in_the_end),
        cmocka_unit_test(test_a_burst_at_a_known_pace_is_told_before_memory_is_gone_at_any_moment),
        cmocka_unit_test(test_a_heartbeat_shorter_than_the_interval_is_kept),
        cmocka_unit_test(test_no_numbers_and_no_clock_overflow),
    };
    return run_test_table(tests);
}
