// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/limits.h"
#include "protocol/proc-text.h"

#include <string.h>

// Lines as Linux 6.1 prints them, in its order, with others around them.
static const char vmstat_text[] = "nr_free_pages 190452\n"
                                  "nr_anon_pages 1733\n"
                                  "nr_dirty 12\n"
                                  "nr_dirty_threshold 47822\n"
                                  "workingset_refault_anon 5\n"
                                  "workingset_refault_file 610\n"
                                  "workingset_activate_file 7\n"
                                  "pswpin 21\n"
                                  "pswpout 22\n"
                                  "pgfault 90210\n"
                                  "pgmajfault 33\n"
                                  "oom_kill 2\n"
                                  "balloon_inflate 65536\n"
                                  "balloon_deflate 1024\n"
                                  "balloon_migrate 3\n";

static const char pressure_text[] =
    "some avg10=12.34 avg60=5.06 avg300=100.00 total=1234567890123\n"
    "full avg10=0.00 avg60=0.01 avg300=0.10 total=42\n";

static ProcVmstat parse_vmstat(const char *text)
{
    ProcVmstat vmstat;
    proc_vmstat_parse(text, strlen(text), &vmstat);
    return vmstat;
}

static ProcPressure parse_pressure(const char *text)
{
    ProcPressure pressure;
    proc_pressure_parse(text, strlen(text), &pressure);
    return pressure;
}

// Runs a parser on every beginning of `text`, in memory that ends where the text does, so that a
// sanitizer sees any byte read beyond it.
static void for_every_beginning(const char *text, void check(const char *text, size_t length))
{
    for (size_t length = 0; length <= strlen(text); length++) {
        char *copy = malloc(length ? length : 1);
        assert_non_null(copy);
        memcpy(copy, text, length);
        check(copy, length);
        free(copy);
    }
}

// --- /proc/vmstat -----------------------------------------------------------------------------

static void test_every_counter_of_vmstat_is_read(void **state)
{
    (void)state;
    static const int64_t expected[PROC_VMSTAT_COUNTER_COUNT] = {
        [PROC_VMSTAT_ANON_PAGES] = 1733,
        [PROC_VMSTAT_DIRTY_PAGES] = 12,
        [PROC_VMSTAT_REFAULT_ANON] = 5,
        [PROC_VMSTAT_REFAULT_FILE] = 610,
        [PROC_VMSTAT_SWAP_IN] = 21,
        [PROC_VMSTAT_SWAP_OUT] = 22,
        [PROC_VMSTAT_MAJOR_FAULTS] = 33,
        [PROC_VMSTAT_OOM_KILLS] = 2,
        [PROC_VMSTAT_BALLOON_INFLATE] = 65536,
        [PROC_VMSTAT_BALLOON_DEFLATE] = 1024,
    };
    ProcVmstat vmstat = parse_vmstat(vmstat_text);
    for (ProcVmstatCounter counter = 0; counter < PROC_VMSTAT_COUNTER_COUNT; counter++) {
        assert_int_equal(proc_vmstat_has(&vmstat, counter), counter != PROC_VMSTAT_BALLOON_PAGES);
        assert_int_equal(vmstat.value[counter], expected[counter]);
    }
}

static void test_the_refaults_of_kernels_before_5_9_are_those_of_files(void **state)
{
    (void)state;
    ProcVmstat vmstat = parse_vmstat("workingset_refault 77\n");
    assert_int_equal(vmstat.value[PROC_VMSTAT_REFAULT_FILE], 77);
    assert_false(proc_vmstat_has(&vmstat, PROC_VMSTAT_REFAULT_ANON));
}

static void check_vmstat_beginning(const char *text, size_t length)
{
    ProcVmstat whole = parse_vmstat(vmstat_text);
    ProcVmstat vmstat;
    proc_vmstat_parse(text, length, &vmstat);
    for (ProcVmstatCounter counter = 0; counter < PROC_VMSTAT_COUNTER_COUNT; counter++) {
        if (proc_vmstat_has(&vmstat, counter)) {
            assert_int_equal(vmstat.value[counter], whole.value[counter]);
        }
    }
    if (length < strlen(vmstat_text)) {
        assert_true(vmstat.present == 0 || length > strlen("nr_free_pages 190452\n"));
    }
}

static void test_a_number_cut_off_is_never_taken_for_a_number(void **state)
{
    (void)state;
    for_every_beginning(vmstat_text, check_vmstat_beginning);
}

static void test_damaged_lines_of_vmstat_are_absent(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "",
        "\n\n\n",
        "pswpin\n",
        "pswpin \n",
        "pswpin -1\n",
        "pswpin +1\n",
        "pswpin 1 \n",
        "pswpin 1x\n",
        "pswpin  1\n",
        " pswpin 1\n",
        "pswpin\t1\n",
        "Pswpin 1\n",
        "pswpinn 1\n",
        "pswpin 4611686018427387905\n",
        "pswpin 9223372036854775808\n",
        "pswpin 18446744073709551616\n",
        "pswpin 99999999999999999999999999999999999999999999999999\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(damaged); i++) {
        assert_int_equal(parse_vmstat(damaged[i]).present, 0);
    }
}

static void test_the_largest_number_allowed_is_read(void **state)
{
    (void)state;
    ProcVmstat vmstat = parse_vmstat("pswpin 4611686018427387903\n");
    assert_true(proc_vmstat_has(&vmstat, PROC_VMSTAT_SWAP_IN));
    assert_int_equal(vmstat.value[PROC_VMSTAT_SWAP_IN], LIMIT_REPORT_VALUE);
}

static void test_a_damaged_line_does_not_spoil_the_next(void **state)
{
    (void)state;
    static const char text[] = "pswpin \0\xff\npswpout 4\n";
    ProcVmstat vmstat;
    proc_vmstat_parse(text, sizeof(text) - 1, &vmstat);
    assert_false(proc_vmstat_has(&vmstat, PROC_VMSTAT_SWAP_IN));
    assert_int_equal(vmstat.value[PROC_VMSTAT_SWAP_OUT], 4);
}

// --- the balloon ------------------------------------------------------------------------------

static void test_the_balloon_is_what_was_inflated_less_what_was_deflated(void **state)
{
    (void)state;
    ProcVmstat vmstat =
        parse_vmstat("nr_balloon_pages 90\nballoon_inflate 150\nballoon_deflate 50\n");
    int64_t pages;
    assert_true(proc_vmstat_balloon_pages(&vmstat, &pages));
    assert_int_equal(pages, 100);
}

static void test_without_its_events_the_balloon_is_what_the_kernel_sums_up(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "nr_balloon_pages 90\n",
        "nr_balloon_pages 90\nballoon_inflate 150\n",
        "nr_balloon_pages 90\nballoon_inflate 50\nballoon_deflate 150\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        ProcVmstat vmstat = parse_vmstat(texts[i]);
        int64_t pages;
        assert_true(proc_vmstat_balloon_pages(&vmstat, &pages));
        assert_int_equal(pages, 90);
    }
}

static void test_a_kernel_without_balloon_counters_tells_no_balloon(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "pswpin 1\n",
        "balloon_inflate 150\n",
        "balloon_inflate 50\nballoon_deflate 150\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        ProcVmstat vmstat = parse_vmstat(texts[i]);
        int64_t pages;
        assert_false(proc_vmstat_balloon_pages(&vmstat, &pages));
    }
}

// --- /proc/meminfo ----------------------------------------------------------------------------

static void test_available_memory_is_read_in_bytes_even_when_there_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; // -1: not told
    } rows[] = {
        {"MemTotal:  1000 kB\nMemFree:   60000 kB\nMemAvailable:      0 kB\nBuffers: 1 kB\n", 0},
        {"MemTotal:  1000 kB\nMemAvailable:    614 kB\n", 614 * 1024},
        {"MemAvailable:614 kB\n", 614 * 1024},
        {"MemTotal:  1000 kB\nMemFree:   60000 kB\n", -1},
        {"MemAvailable:    614 kB", -1}, // cut off
        {"MemAvailable:    614\n", -1},
        {"MemAvailable:    kB\n", -1},
        {"MemAvailable:    -1 kB\n", -1},
        {"MemAvailable: 99999999999999999999 kB\n", -1},
        {"MemAvailable: 9007199254740991 kB\n", -1},
        {"", -1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int64_t bytes = -1;
        bool told = proc_meminfo_available(rows[i].text, strlen(rows[i].text), &bytes);
        assert_int_equal(told, rows[i].bytes >= 0);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

// --- /proc/pressure/memory --------------------------------------------------------------------

static void test_both_lines_of_pressure_are_read(void **state)
{
    (void)state;
    ProcPressure pressure = parse_pressure(pressure_text);
    assert_true(pressure.some.present);
    assert_int_equal(pressure.some.avg10_permyriad, 1234);
    assert_int_equal(pressure.some.avg60_permyriad, 506);
    assert_int_equal(pressure.some.avg300_permyriad, 10000);
    assert_int_equal(pressure.some.total_us, INT64_C(1234567890123));
    assert_true(pressure.full.present);
    assert_int_equal(pressure.full.avg10_permyriad, 0);
    assert_int_equal(pressure.full.avg60_permyriad, 1);
    assert_int_equal(pressure.full.avg300_permyriad, 10);
    assert_int_equal(pressure.full.total_us, 42);
}

static void check_pressure_beginning(const char *text, size_t length)
{
    ProcPressure pressure;
    proc_pressure_parse(text, length, &pressure);
    size_t first_line = (size_t)(strchr(pressure_text, '\n') + 1 - pressure_text);
    assert_int_equal(pressure.some.present, length >= first_line);
    assert_int_equal(pressure.full.present, length == strlen(pressure_text));
}

static void test_a_pressure_line_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    for_every_beginning(pressure_text, check_pressure_beginning);
}

static void test_damaged_lines_of_pressure_are_absent(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "",
        "some\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1 \n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=99999999999999999999\n",
        "some avg10=0.0 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=0.000 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=.00 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=101.00 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=nan avg60=0.00 avg300=0.00 total=1\n",
        "some avg60=0.00 avg10=0.00 avg300=0.00 total=1\n",
        "someavg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
        " some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(damaged); i++) {
        assert_false(parse_pressure(damaged[i]).some.present);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_counter_of_vmstat_is_read),
        cmocka_unit_test(test_available_memory_is_read_in_bytes_even_when_there_is_none),
        cmocka_unit_test(test_the_refaults_of_kernels_before_5_9_are_those_of_files),
        cmocka_unit_test(test_a_number_cut_off_is_never_taken_for_a_number),
        cmocka_unit_test(test_damaged_lines_of_vmstat_are_absent),
        cmocka_unit_test(test_the_largest_number_allowed_is_read),
        cmocka_unit_test(test_a_damaged_line_does_not_spoil_the_next),
        cmocka_unit_test(test_the_balloon_is_what_was_inflated_less_what_was_deflated),
        cmocka_unit_test(test_without_its_events_the_balloon_is_what_the_kernel_sums_up),
        cmocka_unit_test(test_a_kernel_without_balloon_counters_tells_no_balloon),
        cmocka_unit_test(test_both_lines_of_pressure_are_read),
        cmocka_unit_test(test_a_pressure_line_is_read_whole_or_not_at_all),
        cmocka_unit_test(test_damaged_lines_of_pressure_are_absent),
    };
    return run_test_table(tests);
}
