// SPDX-License-Identifier: Apache-2.0
#include "host-controller/host-files.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#include <unistd.h>

#define KIB INT64_C(1024)
#define MIB (INT64_C(1) << 20)
#define GROUP "sys/fs/cgroup/machine.slice/"

static void put(const Scratch *scratch, const char *path, const char *text)
{
    g_free(scratch_write(scratch, path, text, -1));
}

static void test_the_running_system_can_be_read(void **state)
{
    (void)state;
    HostMemory memory = {0};
    assert_true(host_files_read_memory("", &memory));
    assert_true(memory.total_bytes > 0);
    assert_in_range(memory.available_bytes, 1, memory.total_bytes);
}

static void test_what_the_kernel_tells_of_memory_is_read(void **state)
{
    const Scratch *scratch = *state;
    put(scratch, "proc/meminfo",
        "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    600 kB\nSwapTotal: 5 kB\n");
    put(scratch, "proc/vmstat", "pgpgin 7\npswpin 1\npswpout 3\n");
    put(scratch, "proc/pressure/memory",
        "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n"
        "full avg10=0.25 avg60=0.00 avg300=0.00 total=5\n");
    put(scratch, "sys/kernel/mm/ksm/pages_sharing", "2\n");
    HostMemory memory = {0};
    assert_true(host_files_read_memory(scratch->folder, &memory));
    assert_int_equal(memory.total_bytes, 1000 * KIB);
    assert_int_equal(memory.available_bytes, 600 * KIB);
    assert_int_equal(memory.swapped_out_bytes, 3 * sysconf(_SC_PAGESIZE));
    assert_int_equal(memory.shared_bytes, 2 * sysconf(_SC_PAGESIZE));
    assert_int_equal(memory.pressure.some.avg10_permyriad, 150);
    assert_int_equal(memory.pressure.full.total_us, 5);
}

static void test_a_text_that_does_not_tell_leaves_the_numbers_alone(void **state)
{
    const Scratch *scratch = *state;
    static const char *const texts[] = {
        "",
        "MemTotal:",
        "MemTotal: 1000 kB\n",
        "MemAvailable: 1000 kB\n",
        "MemTotal: many kB\nMemAvailable: 5 kB\n",
        "MemTotal: 99999999999999999999999 kB\nMemAvailable: 5 kB\n",
        "NotMemTotal: 5 kB\nMemAvailable: 5 kB\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        HostMemory memory = {.total_bytes = 7, .available_bytes = 5};
        put(scratch, "proc/meminfo", texts[i]);
        assert_false(host_files_read_memory(scratch->folder, &memory));
        assert_int_equal(memory.total_bytes, 7);
        assert_int_equal(memory.available_bytes, 5);
    }
    // More available than there is cannot be.
    HostMemory memory = {0};
    put(scratch, "proc/meminfo", "MemTotal: 10 kB\nMemAvailable: 4000000000000000000 kB\n");
    assert_true(host_files_read_memory(scratch->folder, &memory));
    assert_int_equal(memory.available_bytes, 10 * KIB);
}

static void test_a_groups_page_cache_is_available(void **state)
{
    const Scratch *scratch = *state;
    put(scratch, GROUP "memory.max", "104857600\n");
    put(scratch, GROUP "memory.high", "max\n");
    put(scratch, GROUP "memory.current", "62914560\n");
    put(scratch, GROUP "memory.stat",
        "anon 1\nfile 9999\ninactive_file 10485760\nactive_file 5242880\n"
        "slab_reclaimable 5242880\n");
    HostGroup group;
    assert_true(host_files_read_group(scratch->folder, "/machine.slice", &group));
    assert_int_equal(group.limit_bytes, 100 * MIB);
    assert_int_equal(group.available_bytes, 60 * MIB);
    assert_false(group.pressure.some.present);
    // The lower of the two limits counts.
    put(scratch, GROUP "memory.high", "52428800\n");
    assert_true(host_files_read_group(scratch->folder, "/machine.slice", &group));
    assert_int_equal(group.limit_bytes, 50 * MIB);
    assert_int_equal(group.available_bytes, 10 * MIB);
}

static void test_a_group_without_a_limit_limits_nothing(void **state)
{
    const Scratch *scratch = *state;
    HostGroup group;
    assert_false(host_files_read_group(scratch->folder, "/machine.slice", &group));
    put(scratch, GROUP "memory.max", "max\n");
    put(scratch, GROUP "memory.high", "max\n");
    put(scratch, GROUP "memory.current", "62914560\n");
    assert_false(host_files_read_group(scratch->folder, "/machine.slice", &group));
}

static void test_a_number_is_written_over_the_one_before(void **state)
{
    const Scratch *scratch = *state;
    put(scratch, "run", "100000\n");
    assert_true(host_files_write_number(scratch->folder, "/run", 7));
    int64_t number = 0;
    assert_true(host_files_read_number(scratch->folder, "/run", &number));
    assert_int_equal(number, 7);
    // What is not there is not made.
    assert_false(host_files_write_number(scratch->folder, "/other", 7));
    assert_false(host_files_read_number(scratch->folder, "/other", &number));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_running_system_can_be_read),
        TEST(test_what_the_kernel_tells_of_memory_is_read),
        TEST(test_a_text_that_does_not_tell_leaves_the_numbers_alone),
        TEST(test_a_groups_page_cache_is_available),
        TEST(test_a_group_without_a_limit_limits_nothing),
        TEST(test_a_number_is_written_over_the_one_before),
    };
    return run_test_table(tests);
}
