// SPDX-License-Identifier: Apache-2.0
//
// QEMU's guest-stats as it writes them, and as a hostile guest may have them written.
#include "tests/test.h"

#include "host-controller/balloon-stats.h"
#include "tests/support/deadline.h"

#include <string.h>

#define UNKNOWN "18446744073709551615"

static bool decode(const char *text, BalloonStats *stats)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) value = json_qemu_message_parse(text, strlen(text), &error);
    assert_no_error(error);
    return balloon_stats_from_json(value, stats);
}

static void test_what_a_linux_guest_tells_is_understood(void **state)
{
    (void)state;
    BalloonStats stats;
    // As QEMU 7.2 wrote it.
    assert_true(decode("{\"stats\": {\"stat-htlb-pgalloc\": 0, \"stat-swap-out\": 0, "
                       "\"stat-available-memory\": 397193216, \"stat-htlb-pgfail\": 0, "
                       "\"stat-free-memory\": 416583680, \"stat-minor-faults\": 2123, "
                       "\"stat-major-faults\": 7, \"stat-total-memory\": 493182976, "
                       "\"stat-swap-in\": 4096, \"stat-disk-caches\": 9199616}, "
                       "\"last-update\": 1795289110}",
                       &stats));
    assert_int_equal(stats.updated_s, 1795289110);
    assert_int_equal(stats.value[BALLOON_STAT_TOTAL], 493182976);
    assert_int_equal(stats.value[BALLOON_STAT_FREE], 416583680);
    assert_int_equal(stats.value[BALLOON_STAT_CACHES], 9199616);
    assert_int_equal(stats.value[BALLOON_STAT_SWAP_IN], 4096);
    assert_int_equal(stats.value[BALLOON_STAT_MAJOR_FAULTS], 7);
    int64_t available_bytes;
    assert_true(balloon_stats_available(&stats, &available_bytes));
    assert_int_equal(available_bytes, 397193216);
}

static void test_what_the_guest_does_not_tell_is_absent(void **state)
{
    (void)state;
    BalloonStats stats;
    int64_t available_bytes;
    assert_true(decode("{\"stats\": {\"stat-total-memory\": " UNKNOWN
                       ", \"stat-available-memory\": " UNKNOWN ", \"stat-free-memory\": 7}, "
                       "\"last-update\": 0}",
                       &stats));
    assert_int_equal(stats.present, 1U << BALLOON_STAT_FREE);
    // Of an old kernel only what is free is known.
    assert_true(balloon_stats_available(&stats, &available_bytes));
    assert_int_equal(available_bytes, 7);
    assert_true(decode("{\"stats\": {}, \"last-update\": 0}", &stats));
    assert_false(balloon_stats_available(&stats, &available_bytes));
}

static void test_numbers_no_memory_can_have_are_absent(void **state)
{
    static const char *const numbers[] = {UNKNOWN,
                                          "9223372036854775808",
                                          "9223372036854775807",
                                          "4611686018427387904",
                                          "99999999999999999999999999999999999999",
                                          "-1",
                                          "1.5",
                                          "null",
                                          "\"7\"",
                                          "[]"};
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        BalloonStats stats;
        g_autofree char *text = g_strdup_printf(
            "{\"stats\": {\"stat-free-memory\": %s}, \"last-update\": 1}", numbers[i]);
        assert_true(decode(text, &stats));
        assert_int_equal(stats.present, 0);
    }
}

static void test_what_contradicts_itself_or_is_something_else_is_refused(void **state)
{
    static const char *const texts[] = {
        "{\"stats\": {\"stat-total-memory\": 1, \"stat-available-memory\": 2}, \"last-update\": 1}",
        "{\"stats\": {\"stat-total-memory\": 1, \"stat-free-memory\": 2}, \"last-update\": 1}",
        "{\"stats\": {}}",
        "{\"stats\": [], \"last-update\": 1}",
        "{\"last-update\": 1}",
        "{\"stats\": {}, \"last-update\": " UNKNOWN "}",
        "{\"stats\": {}, \"last-update\": -1}",
        "{}",
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        BalloonStats stats;
        assert_false(decode(texts[i], &stats));
    }
    BalloonStats stats;
    assert_false(balloon_stats_from_json(NULL, &stats));
}

// --- what the policy makes of it --------------------------------------------------------------

static PolicyDemand demand_of(PolicyHistory *history, int64_t at_us, int64_t used_mib, bool coarse)
{
    PolicySample sample = {
        .at_us = at_us,
        .held_bytes = 1024 * MIB,
        .available_bytes = (1024 - used_mib) * MIB,
        .free_bytes = (924 - used_mib) * MIB,
        .coarse = coarse,
    };
    PolicyDemand demand;
    policy_demand_update(history, &sample, 1024 * MIB, &demand);
    return demand;
}

static void test_coarse_news_keeps_an_eighth_of_the_size_more(void **state)
{
    (void)state;
    PolicyHistory coarse = {0};
    PolicyHistory fine = {0};
    PolicyDemand careful = demand_of(&coarse, 0, 300, true);
    PolicyDemand usual = demand_of(&fine, 0, 300, false);
    assert_int_equal(careful.headroom_bytes - usual.headroom_bytes, 128 * MIB);
    assert_int_equal(careful.caution_bytes, 128 * MIB);
    assert_int_equal(usual.caution_bytes, 0);
}

static void test_coarse_news_lets_no_cache_go(void **state)
{
    (void)state;
    PolicyHistory history = {0};
    for (int second = 0; second < 600; second++) {
        demand_of(&history, second * SECOND_US, 300, true);
    }
    assert_int_equal(demand_of(&history, 600 * SECOND_US, 300, true).cache_share_bytes, 100 * MIB);
}

static void test_coarse_news_of_growth_provides_for_two_seconds_of_it(void **state)
{
    (void)state;
    PolicyHistory history = {0};
    int64_t before_bytes = demand_of(&history, 0, 300, true).headroom_bytes;
    int64_t after_bytes = demand_of(&history, SECOND_US, 404, true).headroom_bytes;
    // 100 MiB in a second, beyond the noise.
    assert_int_equal((after_bytes - before_bytes + MIB / 2) / MIB, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_linux_guest_tells_is_understood),
        cmocka_unit_test(test_what_the_guest_does_not_tell_is_absent),
        cmocka_unit_test(test_numbers_no_memory_can_have_are_absent),
        cmocka_unit_test(test_what_contradicts_itself_or_is_something_else_is_refused),
        cmocka_unit_test(test_coarse_news_keeps_an_eighth_of_the_size_more),
        cmocka_unit_test(test_coarse_news_lets_no_cache_go),
        cmocka_unit_test(test_coarse_news_of_growth_provides_for_two_seconds_of_it),
    };
    return run_test_table(tests);
}
