// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/metrics-address.h"
#include "host-controller/metrics-families.h"
#include "host-controller/metrics-status-page.h"
#include "host-controller/metrics-text.h"
#include "protocol/error.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)

// --- helpers ----------------------------------------------------------------------------------

// A whole page; free with g_free().
static char *page_of(const MetricsSnapshot *snapshot, MetricsStepFunc *append_step)
{
    GString *text = g_string_new(NULL);
    for (size_t step = 0; append_step(snapshot, step, text); step++) {
        assert_true(step < 100000);
    }
    return g_string_free(text, FALSE);
}

static void set(GuestSample *guest, unsigned which, int64_t value)
{
    guest->value[which] = value;
    guest->present[which] = true;
}

// Guests called `name`, of which only the size is known. Free with metrics_snapshot_free().
static MetricsSnapshot *snapshot_of(const char *name, size_t count)
{
    MetricsSnapshot *snapshot = g_new0(MetricsSnapshot, 1);
    snapshot->reaction = metrics_histogram_of_reactions();
    snapshot->handover = metrics_histogram_of_handovers();
    snapshot->guests = g_new0(GuestSample, count);
    snapshot->guest_count = count;
    for (size_t i = 0; i < count; i++) {
        snapshot->guests[i].name = g_strdup(name);
        set(&snapshot->guests[i], GUEST_VALUE_SIZE, 1024 * MIB);
    }
    return snapshot;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *found = text; (found = strstr(found, part)); found++) {
        count++;
    }
    return count;
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("not found: %s\nin: %.2000s", part, text);
    }
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part)) {
        fail_msg("found: %s", part);
    }
}

// --- the text format --------------------------------------------------------------------------

static void test_a_name_is_escaped_as_the_format_wants_it(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("we\"b\\1\n\xc3\xa9{}", 1);
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    assert_contains(text, "\naerostat_guest_size_bytes{guest=\"we\\\"b\\\\1\\n\xc3\xa9{}\"} "
                          "1073741824\n");
}

static void test_a_number_that_is_not_known_has_no_line(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 2);
    set(&snapshot->guests[1], GUEST_VALUE_REPORT + REPORT_MEMORY_FREE, 0);
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    assert_int_equal(occurrences(text, "\naerostat_guest_memory_free_bytes{"), 1);
    assert_lacks(text, "\naerostat_guest_memory_available_bytes{");
    assert_lacks(text, "\naerostat_guest_report_age_seconds{");
}

static void test_values_of_one_family_are_told_apart_by_a_label(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 1);
    set(&snapshot->guests[0], GUEST_VALUE_STATE + GUEST_STATE_STALLED, 1);
    set(&snapshot->guests[0], GUEST_VALUE_REPORT + REPORT_PAGING_REFAULT_ANON, 4096);
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    assert_contains(text, "\naerostat_guest_state{guest=\"a\",state=\"stalled\"} 1\n");
    assert_contains(text, "\naerostat_guest_refault_bytes_total{guest=\"a\",kind=\"anonymous\"} "
                          "4096\n");
}

static void test_times_are_seconds(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 1);
    snapshot->host[HOST_VALUE_UPTIME] = 61000000;
    set(&snapshot->guests[0], GUEST_VALUE_REPORT_AGE, 1050);
    set(&snapshot->guests[0], GUEST_VALUE_REPORT + REPORT_PRESSURE_SOME_TOTAL, INT64_MAX);
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    assert_contains(text, "\naerostat_uptime_seconds 61.0\n");
    assert_contains(text, "\naerostat_guest_report_age_seconds{guest=\"a\"} 0.00105\n");
    assert_contains(text, "_pressure_some_seconds_total{guest=\"a\"} 9223372036854.775807\n");
}

static void test_buckets_of_a_histogram_are_cumulative(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 0);
    const int64_t durations_us[] = {-5, 100, 101, 300, 999999, 2000000};
    for (size_t i = 0; i < G_N_ELEMENTS(durations_us); i++) {
        metrics_histogram_add(&snapshot->reaction, durations_us[i]);
    }
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    assert_contains(text, "# TYPE aerostat_reaction_seconds histogram\n"
                          "aerostat_reaction_seconds_bucket{le=\"0.0001\"} 2\n"
                          "aerostat_reaction_seconds_bucket{le=\"0.00025\"} 3\n"
                          "aerostat_reaction_seconds_bucket{le=\"0.0005\"} 4\n"
                          "aerostat_reaction_seconds_bucket{le=\"0.001\"} 4\n");
    assert_contains(text, "aerostat_reaction_seconds_bucket{le=\"1.0\"} 5\n"
                          "aerostat_reaction_seconds_bucket{le=\"+Inf\"} 6\n"
                          "aerostat_reaction_seconds_sum 3.0005\n"
                          "aerostat_reaction_seconds_count 6\n");
}

static void test_each_family_is_announced_once_however_many_guests(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 100);
    g_autofree char *text = page_of(snapshot, metrics_prometheus_step);
    for (size_t i = 0; i < metrics_guest_family_count; i++) {
        const MetricsFamily *family = &metrics_guest_families[i];
        g_autofree char *line = g_strdup_printf(
            "# TYPE %s%s ", family->name, family->type == METRICS_TYPE_COUNTER ? "_total" : "");
        assert_int_equal(occurrences(text, line), 1);
    }
    assert_int_equal(occurrences(text, "\naerostat_guest_size_bytes{"), 100);
}

static void test_openmetrics_names_the_counter_by_its_family_and_ends_with_eof(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 1);
    g_autofree char *text = page_of(snapshot, metrics_openmetrics_step);
    assert_contains(text, "# TYPE aerostat_plans counter\naerostat_plans_total 0\n");
    assert_contains(text, "# UNIT aerostat_guest_size_bytes bytes\n");
    assert_true(g_str_has_suffix(text, "\n# EOF\n"));
    g_autofree char *plain = page_of(snapshot, metrics_prometheus_step);
    assert_contains(plain, "# TYPE aerostat_plans_total counter\naerostat_plans_total 0\n");
    assert_lacks(plain, "# UNIT");
    assert_lacks(plain, "# EOF");
}

// The rules of both formats that tools rely on: the unit ends the name, and _total is a counter's.
static void assert_well_named(const MetricsFamily *family)
{
    static const char *const units[] = {"", "_bytes", "_seconds"};
    assert_true(g_str_has_prefix(family->name, "aerostat_"));
    assert_true(g_str_has_suffix(family->name, units[family->unit]));
    assert_false(g_str_has_suffix(family->name, "_total"));
    assert_true(g_str_has_suffix(family->help, "."));
    assert_null(strpbrk(family->help, "\\\n"));
    assert_true(family->count == 1 || family->label);
}

static void test_every_family_is_well_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < metrics_host_family_count; i++) {
        assert_well_named(&metrics_host_families[i]);
    }
    for (size_t i = 0; i < metrics_guest_family_count; i++) {
        assert_well_named(&metrics_guest_families[i]);
    }
}

// --- the status page --------------------------------------------------------------------------

static void test_a_name_is_no_markup(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("<script>'\"&", 1);
    g_autofree char *text = page_of(snapshot, metrics_status_page_step);
    assert_lacks(text, "<script");
    assert_contains(text, "<b title=\"&lt;script&gt;&apos;&quot;&amp;\">&lt;script&gt;");
}

static void test_the_page_shows_used_available_and_target(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 1);
    GuestSample *guest = &snapshot->guests[0];
    guest->state = GUEST_STATE_SHRINKING;
    guest->fresh = true;
    set(guest, GUEST_VALUE_ACTUAL, 768 * MIB);
    set(guest, GUEST_VALUE_DEMAND, 256 * MIB);
    set(guest, GUEST_VALUE_TARGET, 512 * MIB);
    g_autofree char *text = page_of(snapshot, metrics_status_page_step);
    assert_contains(text, "256 MiB used, 768 MiB of 1024 MiB");
    assert_contains(text, "class=\"used\" style=\"width:25.0%\"");
    assert_contains(text, "class=\"free\" style=\"width:50.0%\"");
    assert_contains(text, "class=\"target\" style=\"left:50.0%\"");
    assert_contains(text, "1 guest · 1&nbsp;shrinking</p>");
}

static void test_guests_that_want_looking_at_come_first(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 70);
    for (size_t i = 0; i < 69; i++) {
        snapshot->guests[i].fresh = true;
        snapshot->guests[i].state = GUEST_STATE_SETTLED;
    }
    g_free(snapshot->guests[69].name);
    snapshot->guests[69].name = g_strdup("silent");
    snapshot->guests[69].state = GUEST_STATE_SETTLED;
    g_autofree char *text = page_of(snapshot, metrics_status_page_step);
    assert_contains(text, "1 to look at");
    assert_true(strstr(text, ">silent</b>") < strstr(text, ">a</b>"));
    assert_int_equal(occurrences(text, "<li"), 70);
}

static void test_pages_without_guests_are_whole(void **state)
{
    (void)state;
    g_autoptr(MetricsSnapshot) snapshot = snapshot_of("a", 0);
    g_autofree char *status = page_of(snapshot, metrics_status_page_step);
    assert_true(g_str_has_suffix(status, "</html>\n"));
    g_autofree char *text = page_of(snapshot, metrics_openmetrics_step);
    assert_true(g_str_has_suffix(text, "# EOF\n"));
}

// --- addresses --------------------------------------------------------------------------------

static void test_numeric_addresses_with_a_port_are_understood(void **state)
{
    (void)state;
    static const char *const texts[] = {"127.0.0.1:9786", "0.0.0.0:1", "[::1]:65535", "[::]:80"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct sockaddr_storage address;
        socklen_t length;
        g_autoptr(GError) error = NULL;
        metrics_address_parse(texts[i], &address, &length, &error);
        assert_no_error(error);
    }
}

static void test_any_other_address_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wrong;
    } cases[] = {
        {"9786", "not ADDRESS:PORT"},       {"127.0.0.1", "not ADDRESS:PORT"},
        {"127.0.0.1:", "not ADDRESS:PORT"}, {"127.0.0.1:0", "not ADDRESS:PORT"},
        {"127.0.0.1:65536", "not ADDRESS"}, {"127.0.0.1:9786x", "not ADDRESS:PORT"},
        {":9786", "not a numeric address"}, {"localhost:9786", "not a numeric address"},
        {"::1:9786", "not a numeric"},      {"[127.0.0.1]:9786", "not a numeric address"},
        {"[]:9786", "not a numeric"},       {"]:9786", "not a numeric address"},
        {"[:9786", "not a numeric"},        {"1.2.3:9786", "not a numeric address"},
        {"", "not ADDRESS:PORT"},           {"[::1]:-1", "not ADDRESS:PORT"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct sockaddr_storage address;
        socklen_t length;
        g_autoptr(GError) error = NULL;
        assert_false(metrics_address_parse(cases[i].text, &address, &length, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, cases[i].wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_escaped_as_the_format_wants_it),
        cmocka_unit_test(test_a_number_that_is_not_known_has_no_line),
        cmocka_unit_test(test_values_of_one_family_are_told_apart_by_a_label),
        cmocka_unit_test(test_times_are_seconds),
        cmocka_unit_test(test_buckets_of_a_histogram_are_cumulative),
        cmocka_unit_test(test_each_family_is_announced_once_however_many_guests),
        cmocka_unit_test(test_openmetrics_names_the_counter_by_its_family_and_ends_with_eof),
        cmocka_unit_test(test_every_family_is_well_named),
        cmocka_unit_test(test_a_name_is_no_markup),
        cmocka_unit_test(test_the_page_shows_used_available_and_target),
        cmocka_unit_test(test_guests_that_want_looking_at_come_first),
        cmocka_unit_test(test_pages_without_guests_are_whole),
        cmocka_unit_test(test_numeric_addresses_with_a_port_are_understood),
        cmocka_unit_test(test_any_other_address_is_refused),
    };
    return run_test_table(tests);
}
