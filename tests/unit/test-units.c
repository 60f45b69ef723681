// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/error.h"
#include "protocol/units.h"

#include <string.h>

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

// --- sizes ------------------------------------------------------------------------------------

static void test_sizes_are_read_in_powers_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"4096", 4096},
        {"4096B", 4096},
        {"7b", 7},
        {"1K", KIB},
        {"1k", KIB},
        {"1KiB", KIB},
        {"512M", 512 * MIB},
        {"512m", 512 * MIB},
        {"512MiB", 512 * MIB},
        {"512 M", 512 * MIB},
        {"4G", 4 * GIB},
        {"4g", 4 * GIB},
        {"4GiB", 4 * GIB},
        {"2T", 2 * TIB},
        {"2t", 2 * TIB},
        {"2TiB", 2 * TIB},
        {"1.5G", 1536 * MIB},
        {"0.5K", 512},
        {"0M", 0},
        {"007K", 7 * KIB},
        {"1048576T", 1048576 * TIB},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        int64_t bytes;
        size_parse(cases[i].text, &bytes, &error);
        assert_no_error(error);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",     " ",    "M",  "-1",    "+1",  "1e3", "0x10", "1.2.3", ".5",  "1,5",
        "1 K ", " 1K",  "1P", "1KB",   "1kB", "1 0", "ten",  "1%",    "1Gi", "NaN",
        "inf",  "1K\n", "١",  "1\xFF", "1..", "1KK", "1ms",  "..",    ".",   "1K1",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        int64_t bytes;
        if (size_parse(texts[i], &bytes, &error)) {
            fail_msg("accepted: '%s'", texts[i]);
        }
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                              "is not a size such as 512M or 4G");
    }
}

static void test_a_size_above_1_eib_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"1048577T", "99999999999999999999", "1152921504606850000",
                                        "9999999999999999999T"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        int64_t bytes;
        assert_false(size_parse(texts[i], &bytes, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                              "is not a size below 1 EiB");
    }
    g_autofree char *digits = g_strnfill(100000, '9');
    int64_t bytes;
    assert_false(size_parse(digits, &bytes, NULL));
}

// --- relative sizes ---------------------------------------------------------------------------

static void test_a_percentage_is_kept_in_permyriad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t permyriad;
    } cases[] = {{"0%", 0},    {"25%", 2500},    {"100%", 10000},    {"12.5%", 1250},
                 {"0.01%", 1}, {"33.33%", 3333}, {"99.999%", 10000}, {"25 %", 2500}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        RelativeSize size;
        relative_size_parse(cases[i].text, &size, &error);
        assert_no_error(error);
        assert_true(size.relative);
        assert_int_equal(size.permyriad, cases[i].permyriad);
    }
}

static void test_a_size_without_percent_is_absolute(void **state)
{
    (void)state;
    RelativeSize size;
    assert_true(relative_size_parse("512M", &size, NULL));
    assert_false(size.relative);
    assert_int_equal(size.bytes, 512 * MIB);
    assert_int_equal(relative_size_of(&size, 5), 512 * MIB);
}

static void test_what_is_no_percentage_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"%",    "101%", "100.01%", "-1%",    "1%%", "1M%",
                                        "1e1%", "x%",   " 5%",     "5.5.5%", "% %"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        RelativeSize size;
        if (relative_size_parse(texts[i], &size, &error)) {
            fail_msg("accepted: '%s'", texts[i]);
        }
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                              "is not a percentage from 0% to 100%");
    }
    g_autoptr(GError) error = NULL;
    RelativeSize size;
    assert_false(relative_size_parse("5% ", &size, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "is not a size");
}

static void test_a_percentage_of_any_whole_is_exact(void **state)
{
    (void)state;
    static const struct {
        int64_t permyriad;
        int64_t whole;
        int64_t part;
    } cases[] = {
        {10000, INT64_MAX, INT64_MAX},
        {0, INT64_MAX, 0},
        {5000, 3, 1},
        {2500, 4 * GIB, GIB},
        {1, 10000, 1},
        {1, 9999, 0},
        {3333, 1000001, 333300},
        {9999, INT64_C(1) << 60, 1152806212456386291},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        RelativeSize size = {.relative = true, .permyriad = cases[i].permyriad};
        assert_int_equal(relative_size_of(&size, cases[i].whole), cases[i].part);
    }
}

// --- times ------------------------------------------------------------------------------------

static void test_times_are_read_in_microseconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t duration_us;
    } cases[] = {{"0s", 0},         {"500ms", 500000},
                 {"5s", 5000000},   {"2min", 120000000},
                 {"1.5s", 1500000}, {"0.001ms", 1},
                 {"5 s", 5000000},  {"1000000000min", INT64_C(60000000000000000)}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        int64_t duration_us;
        duration_parse(cases[i].text, &duration_us, &error);
        assert_no_error(error);
        assert_int_equal(duration_us, cases[i].duration_us);
    }
}

static void test_what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     "5",  "s",    "-1s",  "1m",  "1h",         "1us",
                                        "1 s ", "1S", "1e3s", "1,5s", "5ss", "1000000001s"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        int64_t duration_us;
        if (duration_parse(texts[i], &duration_us, &error)) {
            fail_msg("accepted: '%s'", texts[i]);
        }
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                              "is not a time such as 500ms, 5s or 2min");
    }
}

// --- sizes for people -------------------------------------------------------------------------

static void test_sizes_are_written_for_people(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {MIB - 1, "1024 KiB"},
        {MIB, "1 MiB"},
        {612 * MIB, "612 MiB"},
        {MIB * 3 / 2, "1.5 MiB"},
        {4 * GIB, "4096 MiB"},
        {10 * GIB, "10 GiB"},
        {GIB * 21 / 2, "10.5 GiB"},
        {64 * TIB, "64 TiB"},
        {-512 * MIB, "-512 MiB"},
        {INT64_MAX, "8192 PiB"},
        {INT64_MIN, "-8192 PiB"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        char text[SIZE_TEXT_SIZE];
        assert_ptr_equal(size_format(cases[i].bytes, text), text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_read_in_powers_of_1024),
        cmocka_unit_test(test_what_is_no_size_is_refused),
        cmocka_unit_test(test_a_size_above_1_eib_is_refused),
        cmocka_unit_test(test_a_percentage_is_kept_in_permyriad),
        cmocka_unit_test(test_a_size_without_percent_is_absolute),
        cmocka_unit_test(test_what_is_no_percentage_is_refused),
        cmocka_unit_test(test_a_percentage_of_any_whole_is_exact),
        cmocka_unit_test(test_times_are_read_in_microseconds),
        cmocka_unit_test(test_what_is_no_time_is_refused),
        cmocka_unit_test(test_sizes_are_written_for_people),
    };
    return run_test_table(tests);
}
