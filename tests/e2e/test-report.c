// SPDX-License-Identifier: Apache-2.0
//
// A real guest's report next to what the guest's own kernel says at the same moment: the guest
// prints its /proc files, then the report, then the files again, and each number lies between.
#include "tests/e2e/lab.h"

#include "protocol/report.h"

#define MARK "----"

typedef struct Source {
    MemoryReportField field;
    const char *key; // at the start of a line; the first number after it counts
    int64_t unit;
} Source;

static const Source meminfo[] = {
    {REPORT_MEMORY_TOTAL, "MemTotal:", 1024},         {REPORT_MEMORY_FREE, "MemFree:", 1024},
    {REPORT_MEMORY_AVAILABLE, "MemAvailable:", 1024}, {REPORT_MEMORY_BUFFERS, "Buffers:", 1024},
    {REPORT_MEMORY_CACHED, "Cached:", 1024},          {REPORT_MEMORY_SHMEM, "Shmem:", 1024},
    {REPORT_MEMORY_ANONYMOUS, "AnonPages:", 1024},    {REPORT_MEMORY_DIRTY, "Dirty:", 1024},
    {REPORT_MEMORY_SWAP_TOTAL, "SwapTotal:", 1024},   {REPORT_MEMORY_SWAP_FREE, "SwapFree:", 1024},
};

static const Source counters[] = {
    {REPORT_PAGING_SWAP_IN, "pswpin ", 4096},
    {REPORT_PAGING_SWAP_OUT, "pswpout ", 4096},
    {REPORT_PAGING_MAJOR_FAULTS, "pgmajfault ", 1},
    {REPORT_PAGING_REFAULT_FILE, "workingset_refault_file ", 4096},
    {REPORT_PAGING_REFAULT_ANON, "workingset_refault_anon ", 4096},
    {REPORT_PAGING_OOM_KILLS, "oom_kill ", 1},
};

static int64_t read_source(const char *text, const Source *source)
{
    g_autofree char *needle = g_strconcat("\n", source->key, NULL);
    const char *found = strstr(text, needle);
    assert_non_null(found);
    return g_ascii_strtoll(found + strlen(needle), NULL, 10) * source->unit;
}

// The total= of a line of /proc/pressure/memory that begins with `kind`.
static int64_t read_stall(const char *text, const char *kind)
{
    const char *line = strstr(text, kind);
    assert_non_null(line);
    const char *total = strstr(line, "total=");
    assert_non_null(total);
    return g_ascii_strtoll(total + strlen("total="), NULL, 10);
}

static int64_t reported(const MemoryReport *report, MemoryReportField field)
{
    assert_true(memory_report_has(report, field));
    return report->value[field];
}

static void assert_matches(const MemoryReport *report, const char *before, const char *after)
{
    // What the commands between the readings need of memory themselves.
    const int64_t slack_bytes = 16 * MIB;
    for (size_t i = 0; i < G_N_ELEMENTS(meminfo); i++) {
        int64_t value = reported(report, meminfo[i].field);
        int64_t first = read_source(before, &meminfo[i]);
        int64_t second = read_source(after, &meminfo[i]);
        assert_true(value >= MIN(first, second) - slack_bytes);
        assert_true(value <= MAX(first, second) + slack_bytes);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
        int64_t value = reported(report, counters[i].field);
        assert_true(value >= read_source(before, &counters[i]));
        assert_true(value <= read_source(after, &counters[i]));
    }
    assert_int_equal(reported(report, REPORT_MEMORY_TOTAL), read_source(before, &meminfo[0]));
    int64_t some_us = reported(report, REPORT_PRESSURE_SOME_TOTAL);
    assert_true(some_us >= read_stall(before, "some "));
    assert_true(some_us <= read_stall(after, "some "));
    int64_t full_us = reported(report, REPORT_PRESSURE_FULL_TOTAL);
    assert_true(full_us >= read_stall(before, "full "));
    assert_true(full_us <= read_stall(after, "full "));
}

static void report_beside_proc(Vm *vm, MemoryReport *report)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    int status = vm_run(vm,
                        "p='cat /proc/meminfo /proc/vmstat /proc/pressure/memory'; echo; $p; "
                        "echo " MARK "; aerostat-agent --report; echo " MARK "; $p",
                        VM_COMMAND_TIMEOUT_US, &output, &error);
    assert_no_error(error);
    assert_int_equal(status, 0);
    g_auto(GStrv) parts = g_strsplit(output, MARK, 3);
    assert_int_equal(g_strv_length(parts), 3);
    g_autoptr(json_t) json = json_message_parse(parts[1], strlen(parts[1]), &error);
    assert_no_error(error);
    memory_report_from_json(json, report, &error);
    assert_no_error(error);
    assert_matches(report, parts[0], parts[2]);
}

static void test_a_report_says_what_the_guests_kernel_says(void **state)
{
    Vm *vm;
    lab_boot(*state, &vm, 1, 512 * MIB);
    MemoryReport report;
    report_beside_proc(vm, &report);
    assert_int_equal(reported(&report, REPORT_BALLOON), 0);
    assert_true(report.has_deflate_on_oom);
    assert_false(report.deflate_on_oom);
}

static void test_the_balloon_in_a_report_is_what_qemu_took(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm;
    lab_boot(*state, &vm, 1, 512 * MIB);
    vm_set_target(vm, 300 * MIB, &error);
    vm_wait_actual(vm, 300 * MIB, 300 * MIB, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    MemoryReport report;
    report_beside_proc(vm, &report);
    assert_int_equal(reported(&report, REPORT_BALLOON), 212 * MIB);
}

static void test_a_report_tells_that_the_balloon_deflates_on_oom(void **state)
{
    g_autoptr(GError) error = NULL;
    VmOptions options = {.name = "alpha", .deflate_on_oom = true};
    Vm *vm = vm_lab_add(*state, &options, &error);
    assert_no_error(error);
    vm_lab_wait_ready(*state, &error);
    assert_no_error(error);
    MemoryReport report;
    report_beside_proc(vm, &report);
    assert_true(report.deflate_on_oom);
}

// libproc2 says MemFree for a MemAvailable of 0.
static void test_a_report_says_when_nothing_is_available(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm;
    lab_boot(*state, &vm, 1, 512 * MIB);
    // With watermarks that high, all that is free is below them.
    int status = vm_run(vm, "echo 350000 >/proc/sys/vm/min_free_kbytes", VM_COMMAND_TIMEOUT_US,
                        NULL, &error);
    assert_no_error(error);
    assert_int_equal(status, 0);
    MemoryReport report;
    report_beside_proc(vm, &report);
    assert_int_equal(reported(&report, REPORT_MEMORY_AVAILABLE), 0);
    assert_true(reported(&report, REPORT_MEMORY_FREE) > 100 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_report_says_what_the_guests_kernel_says),
        LAB_TEST(test_the_balloon_in_a_report_is_what_qemu_took),
        LAB_TEST(test_a_report_tells_that_the_balloon_deflates_on_oom),
        LAB_TEST(test_a_report_says_when_nothing_is_available),
    };
    return run_test_table(tests);
}
