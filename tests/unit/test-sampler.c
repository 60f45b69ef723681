// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "agent/sampler.h"
#include "tests/support/scratch.h"

#include <string.h>
#include <unistd.h>

#define BOOT_ID "3f1c2d4e-0000-4000-8000-0123456789ab"
#define FEATURES "sys/bus/virtio/drivers/virtio_balloon/virtio3/features"

static MemoryReport read_below(const Scratch *scratch)
{
    MemoryReport report;
    g_autoptr(GError) error = NULL;
    g_autoptr(Sampler) sampler = sampler_new(scratch->folder, &error);
    assert_no_error(error);
    sampler_read(sampler, &report, &error);
    assert_no_error(error);
    return report;
}

static void write_file(const Scratch *scratch, const char *name, const char *text)
{
    g_free(scratch_write(scratch, name, text, -1));
}

// --- samples ----------------------------------------------------------------------------------

static void test_every_file_finds_its_way_into_the_report(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, "proc/vmstat",
               "workingset_refault_anon 2\nworkingset_refault_file 3\npswpin 4\npswpout 5\n"
               "pgmajfault 6\noom_kill 7\nballoon_inflate 10\nballoon_deflate 2\n");
    write_file(scratch, "proc/pressure/memory",
               "some avg10=0.01 avg60=0.02 avg300=0.03 total=4\n"
               "full avg10=0.05 avg60=0.06 avg300=0.07 total=8\n");
    write_file(scratch, "proc/sys/kernel/random/boot_id", BOOT_ID "\n");
    write_file(scratch, FEATURES, "0010000000000000\n");
    MemoryReport report = read_below(scratch);
    int64_t page_bytes = sysconf(_SC_PAGESIZE);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_REFAULT_ANON), 2 * page_bytes);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_REFAULT_FILE), 3 * page_bytes);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_SWAP_IN), 4 * page_bytes);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_SWAP_OUT), 5 * page_bytes);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_MAJOR_FAULTS), 6);
    assert_int_equal(memory_report_get(&report, REPORT_PAGING_OOM_KILLS), 7);
    assert_int_equal(memory_report_get(&report, REPORT_BALLOON), 8 * page_bytes);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(memory_report_get(&report, REPORT_PRESSURE_SOME_AVG10 + i), 1 + i);
        assert_int_equal(memory_report_get(&report, REPORT_PRESSURE_FULL_AVG10 + i), 5 + i);
    }
    assert_string_equal(report.boot_id, BOOT_ID);
    assert_true(report.has_deflate_on_oom);
    assert_true(report.deflate_on_oom);
}

static void test_what_the_kernel_lacks_is_absent(void **state)
{
    MemoryReport report = read_below(*state);
    for (MemoryReportField field = REPORT_PAGING_SWAP_IN; field < REPORT_FIELD_COUNT; field++) {
        assert_false(memory_report_has(&report, field));
    }
    assert_false(report.has_deflate_on_oom);
    assert_string_equal(report.boot_id, "");
    assert_true(memory_report_get(&report, REPORT_MEMORY_TOTAL) > 0);
    assert_in_range(memory_report_get(&report, REPORT_MEMORY_AVAILABLE), 1,
                    memory_report_get(&report, REPORT_MEMORY_TOTAL));
}

static void test_numbers_too_large_in_bytes_are_absent(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, "proc/vmstat",
               "pswpin 4611686018427387903\nballoon_deflate 0\n"
               "balloon_inflate 4611686018427387903\n");
    MemoryReport report = read_below(scratch);
    assert_false(memory_report_has(&report, REPORT_PAGING_SWAP_IN));
    assert_false(memory_report_has(&report, REPORT_BALLOON));
}

static void test_a_boot_id_that_is_none_is_absent(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, "proc/sys/kernel/random/boot_id", "\",\"forged\":\"1\n");
    assert_string_equal(read_below(scratch).boot_id, "");
}

static void test_deflate_on_oom_is_the_third_feature(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, FEATURES, "1101111111111111\n");
    MemoryReport report = read_below(scratch);
    assert_true(report.has_deflate_on_oom);
    assert_false(report.deflate_on_oom);
    write_file(scratch, FEATURES, "01");
    assert_false(read_below(scratch).has_deflate_on_oom);
}

static void test_a_balloon_device_that_comes_later_is_found_by_a_refresh(void **state)
{
    const Scratch *scratch = *state;
    g_autoptr(Sampler) sampler = sampler_new(scratch->folder, NULL);
    MemoryReport report;
    write_file(scratch, FEATURES, "0010\n");
    assert_true(sampler_read(sampler, &report, NULL));
    assert_false(report.has_deflate_on_oom);
    sampler_refresh(sampler);
    assert_true(sampler_read(sampler, &report, NULL));
    assert_true(report.deflate_on_oom);
}

// --- the running system -----------------------------------------------------------------------

// A number of the running system's /proc/vmstat; -1 when it has none of this name.
static int64_t vmstat_number(const char *name)
{
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents("/proc/vmstat", &text, NULL, NULL));
    g_autofree char *start = g_strdup_printf("\n%s ", name);
    const char *found = strstr(text, start);
    return found ? g_ascii_strtoll(found + strlen(start), NULL, 10) : -1;
}

static void test_the_running_system_is_read_anew_each_time(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        MemoryReportField field;
    } counters[] = {
        {"pswpin", REPORT_PAGING_SWAP_IN},
        {"pswpout", REPORT_PAGING_SWAP_OUT},
        {"workingset_refault_file", REPORT_PAGING_REFAULT_FILE},
        {"pgmajfault", REPORT_PAGING_MAJOR_FAULTS},
        {"oom_kill", REPORT_PAGING_OOM_KILLS},
    };
    g_autoptr(Sampler) sampler = sampler_new("", NULL);
    MemoryReport report;
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
        bool in_bytes = memory_report_fields[counters[i].field].unit == REPORT_UNIT_BYTES;
        int64_t unit = in_bytes ? sysconf(_SC_PAGESIZE) : 1;
        int64_t before = vmstat_number(counters[i].name) * unit;
        assert_true(sampler_read(sampler, &report, NULL));
        int64_t after = vmstat_number(counters[i].name) * unit;
        assert_in_range(memory_report_get(&report, counters[i].field), before, after);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_file_finds_its_way_into_the_report),
        TEST(test_what_the_kernel_lacks_is_absent),
        TEST(test_numbers_too_large_in_bytes_are_absent),
        TEST(test_a_boot_id_that_is_none_is_absent),
        TEST(test_deflate_on_oom_is_the_third_feature),
        TEST(test_a_balloon_device_that_comes_later_is_found_by_a_refresh),
        cmocka_unit_test(test_the_running_system_is_read_anew_each_time),
    };
    return run_test_table(tests);
}
