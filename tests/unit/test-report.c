// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/report.h"

#include <string.h>

#define BOOT_ID "3f1c0d9e-0a1b-4c2d-8e3f-001122334455"

// --- helpers ----------------------------------------------------------------------------------

static char *encode(const MemoryReport *report)
{
    GString *text = g_string_new(NULL);
    memory_report_append_json(report, text);
    return g_string_free(text, FALSE);
}

// The object in `text`, which has neither duplicate keys nor anything else wrong.
static json_t *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *object = json_message_parse(text, strlen(text), &error);
    assert_no_error(error);
    return object;
}

static void decode(const char *text, MemoryReport *report)
{
    g_autoptr(json_t) object = parse(text);
    g_autoptr(GError) error = NULL;
    memory_report_from_json(object, report, &error);
    assert_no_error(error);
}

static void assert_object_refused(const json_t *object, const char *expected)
{
    g_autoptr(GError) error = NULL;
    MemoryReport report;
    if (memory_report_from_json(object, &report, &error)) {
        g_autofree char *text = json_message_format(object);
        fail_msg("accepted: %s", text);
    }
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, expected);
}

static void assert_refused(const char *text, const char *expected)
{
    g_autoptr(json_t) object = parse(text);
    assert_object_refused(object, expected);
}

// A report with every field, none of them equal.
static MemoryReport full_report(void)
{
    MemoryReport report = {
        .sequence = 7,
        .monotonic_us = 5123456,
        .reason = REPORT_REASON_CHANGE,
        .has_deflate_on_oom = true,
        .deflate_on_oom = true,
        .boot_id = BOOT_ID,
    };
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        memory_report_set(&report, field, 100 - field);
    }
    return report;
}

// The object of `report` which holds `field`, within `root`.
static json_t *holder_of(json_t *root, MemoryReportField field)
{
    const MemoryReportFieldInfo *info = &memory_report_fields[field];
    json_t *holder = info->outer ? json_object_get(root, info->outer) : root;
    return info->inner ? json_object_get(holder, info->inner) : holder;
}

static json_t *full_object(void)
{
    MemoryReport report = full_report();
    return memory_report_to_json(&report);
}

static void assert_equal(const MemoryReport *a, const MemoryReport *b)
{
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->monotonic_us, b->monotonic_us);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->has_deflate_on_oom, b->has_deflate_on_oom);
    assert_int_equal(a->deflate_on_oom, b->deflate_on_oom);
    assert_string_equal(a->boot_id, b->boot_id);
    assert_int_equal(a->present, b->present);
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        assert_int_equal(memory_report_get(a, field), memory_report_get(b, field));
    }
}

// --- the shape on the wire --------------------------------------------------------------------

static void test_a_full_report_has_the_agreed_shape(void **state)
{
    (void)state;
    MemoryReport report = full_report();
    g_autofree char *text = encode(&report);
    assert_string_equal(
        text, "{\"sequence\":7,\"monotonic-us\":5123456,\"boot-id\":\"" BOOT_ID "\","
              "\"reason\":\"change\",\"deflate-on-oom\":true,"
              "\"memory\":{\"total\":100,\"free\":99,\"available\":98,\"buffers\":97,"
              "\"cached\":96,\"shmem\":95,\"anonymous\":94,\"dirty\":93,\"swap-total\":92,"
              "\"swap-free\":91},"
              "\"paging\":{\"swap-in\":90,\"swap-out\":89,\"major-faults\":88,"
              "\"refault-file\":87,\"refault-anon\":86,\"oom-kills\":85},"
              "\"pressure\":{\"some\":{\"avg10-permyriad\":84,\"avg60-permyriad\":83,"
              "\"avg300-permyriad\":82,\"total-us\":81},"
              "\"full\":{\"avg10-permyriad\":80,\"avg60-permyriad\":79,"
              "\"avg300-permyriad\":78,\"total-us\":77}},"
              "\"balloon\":76}");
    json_decref(parse(text));
}

static void test_what_is_absent_is_not_written(void **state)
{
    (void)state;
    MemoryReport report = {.reason = REPORT_REASON_START};
    g_autofree char *empty = encode(&report);
    assert_string_equal(empty, "{\"sequence\":0,\"monotonic-us\":0,\"reason\":\"start\"}");
    memory_report_set(&report, REPORT_PRESSURE_FULL_TOTAL, 5);
    memory_report_set(&report, REPORT_MEMORY_TOTAL, 0);
    g_autofree char *two = encode(&report);
    assert_string_equal(two, "{\"sequence\":0,\"monotonic-us\":0,\"reason\":\"start\","
                             "\"memory\":{\"total\":0},\"pressure\":{\"full\":{\"total-us\":5}}}");
}

static void test_every_reason_has_its_word(void **state)
{
    (void)state;
    static const char *const words[REPORT_REASON_COUNT] = {"start", "heartbeat", "change",
                                                           "trend", "pressure",  "request"};
    for (MemoryReportReason reason = 0; reason < REPORT_REASON_COUNT; reason++) {
        assert_string_equal(memory_report_reason_name(reason), words[reason]);
    }
}

static void test_the_encoder_reuses_the_room_it_has(void **state)
{
    (void)state;
    MemoryReport report = full_report();
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        memory_report_set(&report, field, LIMIT_REPORT_VALUE);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    memory_report_append_json(&report, text);
    const char *room = text->str;
    size_t size = text->allocated_len;
    for (int i = 0; i < 1000; i++) {
        g_string_truncate(text, 0);
        memory_report_append_json(&report, text);
    }
    assert_ptr_equal(text->str, room);
    assert_int_equal(text->allocated_len, size);
}

static void test_the_largest_report_fits_an_agents_line(void **state)
{
    (void)state;
    MemoryReport report = full_report();
    report.sequence = report.monotonic_us = INT64_MAX;
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        memory_report_set(&report, field, LIMIT_REPORT_VALUE);
    }
    g_autofree char *text = encode(&report);
    assert_true(strlen(text) < 1536);
}

// --- round trip -------------------------------------------------------------------------------

static int64_t random_up_to(GRand *random, int64_t most)
{
    uint64_t bits = (uint64_t)g_rand_int(random) << 32 | g_rand_int(random);
    // Numbers of all magnitudes.
    bits >>= g_rand_int_range(random, 0, 64);
    return (int64_t)(bits % ((uint64_t)most + 1));
}

static MemoryReport random_report(GRand *random)
{
    MemoryReport report = {
        .sequence = random_up_to(random, INT64_MAX - 1),
        .monotonic_us = random_up_to(random, INT64_MAX - 1),
        .reason = (MemoryReportReason)g_rand_int_range(random, 0, REPORT_REASON_COUNT),
        .has_deflate_on_oom = g_rand_boolean(random),
    };
    report.deflate_on_oom = report.has_deflate_on_oom && g_rand_boolean(random);
    if (g_rand_boolean(random)) {
        g_strlcpy(report.boot_id, BOOT_ID, sizeof report.boot_id);
    }
    uint64_t wanted =
        (uint64_t)g_rand_int(random) | 1 << REPORT_MEMORY_TOTAL | 1 << REPORT_MEMORY_AVAILABLE;
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        int64_t most = LIMIT_REPORT_VALUE;
        if (field == REPORT_MEMORY_FREE || field == REPORT_MEMORY_AVAILABLE) {
            most = report.value[REPORT_MEMORY_TOTAL];
        } else if (field == REPORT_MEMORY_SWAP_FREE) {
            most = report.value[REPORT_MEMORY_SWAP_TOTAL];
        }
        if (wanted >> field & 1) {
            memory_report_set(&report, field, random_up_to(random, most));
        }
    }
    return report;
}

static void test_any_report_comes_back_as_it_was(void **state)
{
    (void)state;
    uint32_t seed = g_random_int();
    print_message("seed %u\n", seed);
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    for (int i = 0; i < 20000; i++) {
        MemoryReport report = random_report(random);
        g_autofree char *text = encode(&report);
        MemoryReport again;
        decode(text, &again);
        assert_equal(&report, &again);
    }
}

static void test_the_object_for_the_control_socket_is_what_was_sent(void **state)
{
    (void)state;
    MemoryReport report = full_report();
    g_autoptr(json_t) object = memory_report_to_json(&report);
    g_autofree char *text = encode(&report);
    g_autoptr(json_t) parsed = parse(text);
    assert_true(json_equal(object, parsed));
}

static void test_a_report_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    MemoryReport report = full_report();
    g_autofree char *text = encode(&report);
    for (size_t length = 0; length < strlen(text); length++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) object = json_message_parse(text, length, &error);
        assert_null(object);
        assert_true(g_error_matches(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX));
    }
}

// --- what must be there -----------------------------------------------------------------------

#define HEAD "\"sequence\":1,\"monotonic-us\":2,\"reason\":\"start\""

static void test_the_least_report_is_total_and_available(void **state)
{
    (void)state;
    MemoryReport report;
    decode("{" HEAD ",\"memory\":{\"total\":4,\"available\":3}}", &report);
    assert_int_equal(report.present, 1 << REPORT_MEMORY_TOTAL | 1 << REPORT_MEMORY_AVAILABLE);
    assert_int_equal(report.value[REPORT_MEMORY_TOTAL], 4);
    assert_int_equal(report.value[REPORT_MEMORY_AVAILABLE], 3);
    assert_false(report.has_deflate_on_oom);
    assert_string_equal(report.boot_id, "");
}

static void test_a_report_that_lacks_what_must_be_there_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"sequence", "monotonic-us", "reason"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(json_t) object = full_object();
        json_object_del(object, names[i]);
        g_autofree char *expected = g_strdup_printf("Parameter '%s' is missing", names[i]);
        assert_object_refused(object, expected);
    }
    assert_refused("{" HEAD "}", "report: memory lacks total or available");
    assert_refused("{" HEAD ",\"memory\":{}}", "report: memory lacks total or available");
    assert_refused("{" HEAD ",\"memory\":{\"total\":1}}",
                   "report: memory lacks total or available");
    assert_refused("{" HEAD ",\"memory\":{\"available\":0}}",
                   "report: memory lacks total or available");
}

static void test_any_other_number_may_be_absent(void **state)
{
    (void)state;
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        if (field == REPORT_MEMORY_TOTAL || field == REPORT_MEMORY_AVAILABLE ||
            field == REPORT_MEMORY_SWAP_TOTAL) {
            continue;
        }
        g_autoptr(json_t) object = full_object();
        json_object_del(holder_of(object, field), memory_report_fields[field].name);
        MemoryReport report;
        g_autoptr(GError) error = NULL;
        memory_report_from_json(object, &report, &error);
        assert_no_error(error);
        assert_false(memory_report_has(&report, field));
        assert_int_equal(memory_report_get(&report, field), 0);
    }
}

// --- what must not ----------------------------------------------------------------------------

static void test_a_number_of_another_type_is_refused(void **state)
{
    (void)state;
    static const char *const values[] = {"\"1\"", "1.0", "true", "null", "{}", "[]"};
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
            const char *name = memory_report_fields[field].name;
            g_autoptr(json_t) object = full_object();
            json_object_set_new(holder_of(object, field), name,
                                json_loads(values[i], JSON_DECODE_ANY, NULL));
            g_autofree char *expected =
                g_strdup_printf("report: Invalid parameter type for '%s', expected: integer", name);
            assert_object_refused(object, expected);
        }
    }
}

static void test_a_number_out_of_range_is_refused(void **state)
{
    (void)state;
    static const int64_t values[] = {-1, INT64_MIN, LIMIT_REPORT_VALUE + 1, INT64_MAX};
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
            const char *name = memory_report_fields[field].name;
            g_autoptr(json_t) object = full_object();
            json_object_set_new(holder_of(object, field), name, json_integer(values[i]));
            g_autofree char *expected =
                g_strdup_printf("report: Parameter '%s' expects a value from 0 to ", name);
            assert_object_refused(object, expected);
        }
    }
}

static void test_a_group_that_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const values[] = {"1", "null", "[]", "\"a\"", "true"};
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        static const char *const names[] = {"memory", "paging", "pressure"};
        for (size_t j = 0; j < G_N_ELEMENTS(names); j++) {
            g_autoptr(json_t) object = full_object();
            json_object_set_new(object, names[j], json_loads(values[i], JSON_DECODE_ANY, NULL));
            g_autofree char *expected = g_strdup_printf("report: %s is not an object", names[j]);
            assert_object_refused(object, expected);
        }
        g_autoptr(json_t) object = full_object();
        json_object_set_new(json_object_get(object, "pressure"), "some",
                            json_loads(values[i], JSON_DECODE_ANY, NULL));
        assert_object_refused(object, "report: some is not an object");
    }
}

static void test_numbers_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *memory;
        const char *expected;
    } cases[] = {
        {"\"total\":4,\"available\":5", "report: available is above its total"},
        {"\"total\":4,\"available\":1,\"free\":5", "report: free is above its total"},
        {"\"total\":4,\"available\":1,\"swap-total\":1,\"swap-free\":2",
         "report: swap-free is above its total"},
        {"\"total\":4,\"available\":1,\"swap-free\":1", "report: swap-free is above its total"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("{" HEAD ",\"memory\":{%s}}", cases[i].memory);
        assert_refused(text, cases[i].expected);
    }
}

static void test_numbers_at_their_bounds_do_not_contradict_each_other(void **state)
{
    (void)state;
    MemoryReport report;
    decode("{" HEAD ",\"memory\":{\"total\":4,\"available\":4,\"free\":4,\"swap-total\":0,"
           "\"swap-free\":0}}",
           &report);
    decode("{" HEAD ",\"memory\":{\"total\":0,\"available\":0}}", &report);
    // Free memory above available is how the kernel counts its reserves.
    decode("{" HEAD ",\"memory\":{\"total\":4,\"available\":1,\"free\":3}}", &report);
}

static void test_a_head_out_of_shape_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *expected;
    } cases[] = {
        {"sequence", "-1", "'sequence' expects a value from 0"},
        {"sequence", "1.5", "'sequence', expected: integer"},
        {"monotonic-us", "-1", "'monotonic-us' expects a value from 0"},
        {"monotonic-us", "\"1\"", "'monotonic-us', expected: integer"},
        {"reason", "1", "'reason', expected: string"},
        {"deflate-on-oom", "1", "'deflate-on-oom', expected: boolean"},
        {"deflate-on-oom", "null", "'deflate-on-oom', expected: boolean"},
        {"boot-id", "1", "'boot-id', expected: string"},
        {"boot-id", "\"" BOOT_ID "\\n\"", "report: boot-id is not a UUID"},
        {"boot-id", "\"x\"", "report: boot-id is not a UUID"},
        {"boot-id", "\"" BOOT_ID "6677\"", "report: boot-id is not a UUID"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_t) object = full_object();
        json_object_set_new(object, cases[i].name,
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        assert_object_refused(object, cases[i].expected);
    }
}

// --- a newer agent ----------------------------------------------------------------------------

static void test_members_nobody_knows_are_ignored(void **state)
{
    (void)state;
    MemoryReport before = full_report();
    g_autoptr(json_t) object = memory_report_to_json(&before);
    json_object_set_new(object, "numa", json_pack("[{s:i}]", "node", 1));
    json_object_set_new(json_object_get(object, "memory"), "zswap", json_string("much"));
    json_object_set_new(json_object_get(object, "pressure"), "cpu", json_null());
    json_object_set_new(holder_of(object, REPORT_PRESSURE_SOME_AVG10), "avg1", json_real(0.5));
    MemoryReport after;
    g_autoptr(GError) error = NULL;
    memory_report_from_json(object, &after, &error);
    assert_no_error(error);
    assert_equal(&before, &after);
}

static void test_a_reason_nobody_knows_is_a_change(void **state)
{
    (void)state;
    MemoryReport report;
    decode("{\"sequence\":1,\"monotonic-us\":2,\"reason\":\"moon\","
           "\"memory\":{\"total\":4,\"available\":3}}",
           &report);
    assert_int_equal(report.reason, REPORT_REASON_CHANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_report_has_the_agreed_shape),
        cmocka_unit_test(test_what_is_absent_is_not_written),
        cmocka_unit_test(test_every_reason_has_its_word),
        cmocka_unit_test(test_the_encoder_reuses_the_room_it_has),
        cmocka_unit_test(test_the_largest_report_fits_an_agents_line),
        cmocka_unit_test(test_any_report_comes_back_as_it_was),
        cmocka_unit_test(test_the_object_for_the_control_socket_is_what_was_sent),
        cmocka_unit_test(test_a_report_cut_at_any_byte_is_refused),
        cmocka_unit_test(test_the_least_report_is_total_and_available),
        cmocka_unit_test(test_a_report_that_lacks_what_must_be_there_is_refused),
        cmocka_unit_test(test_any_other_number_may_be_absent),
        cmocka_unit_test(test_a_number_of_another_type_is_refused),
        cmocka_unit_test(test_a_number_out_of_range_is_refused),
        cmocka_unit_test(test_a_group_that_is_no_object_is_refused),
        cmocka_unit_test(test_numbers_that_contradict_each_other_are_refused),
        cmocka_unit_test(test_numbers_at_their_bounds_do_not_contradict_each_other),
        cmocka_unit_test(test_a_head_out_of_shape_is_refused),
        cmocka_unit_test(test_members_nobody_knows_are_ignored),
        cmocka_unit_test(test_a_reason_nobody_knows_is_a_change),
    };
    return run_test_table(tests);
}
