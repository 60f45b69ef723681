// SPDX-License-Identifier: Apache-2.0
#include "host-controller/last-resort.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define QEMU 7
#define SCOPE "/machine.slice/qemu-a.scope"
#define QEMU_STATUS "Name:\tqemu-system-x86\nVmRSS:\t 100 kB\n"

static void put(const Scratch *scratch, const char *path, const char *text)
{
    g_free(scratch_write(scratch, path, text, -1));
}

// A host on which QEMU is in the group `own`, and SCOPE, which can be reclaimed from, holds
// `processes`.
static void set_up_group(const Scratch *scratch, const char *own, const char *processes)
{
    g_autofree char *cgroup = g_strdup_printf("1:name=systemd:/x\n0::%s\n", own);
    put(scratch, "proc/7/cgroup", cgroup);
    put(scratch, "proc/7/status", QEMU_STATUS);
    put(scratch, "sys/fs/cgroup" SCOPE "/memory.reclaim", "");
    put(scratch, "sys/fs/cgroup" SCOPE "/cgroup.procs", processes);
}

static char *find(const Scratch *scratch)
{
    LastResort *resort = last_resort_new(scratch->folder);
    g_autoptr(GError) error = NULL;
    char *group = last_resort_find_group(resort, QEMU, &error);
    assert_true(group || g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT));
    last_resort_free(resort);
    return group;
}

static void assert_found(const Scratch *scratch)
{
    g_autofree char *group = find(scratch);
    assert_non_null(group);
    assert_string_equal(group, SCOPE);
}

static void test_a_group_that_qemu_is_alone_in_is_found(void **state)
{
    set_up_group(*state, SCOPE, "7\n");
    assert_found(*state);
}

static void test_the_groups_of_its_threads_lie_below_it(void **state)
{
    set_up_group(*state, SCOPE "/libvirt/emulator", "7\n");
    assert_found(*state);
}

static void test_threads_of_the_kernel_are_nobody_else(void **state)
{
    set_up_group(*state, SCOPE, "7\n16\n");
    put(*state, "proc/16/status", "Name:\tvhost-7\nState:\tS (sleeping)\nThreads:\t1\n");
    assert_found(*state);
}

static void test_a_group_with_others_in_it_is_not_touched(void **state)
{
    static const char *const processes[] = {"7\n16\n", "16\n7\n", "16\n", "", "77\n", "17\n"};
    put(*state, "proc/16/status", "Name:\tswtpm\nVmRSS:\t 5 kB\n");
    for (size_t i = 0; i < G_N_ELEMENTS(processes); i++) {
        set_up_group(*state, SCOPE, processes[i]);
        g_autofree char *group = find(*state);
        assert_null(group);
    }
    // Nor one with somebody who cannot be looked at.
    set_up_group(*state, SCOPE, "7\n8\n");
    g_autofree char *group = find(*state);
    assert_null(group);
}

static void test_without_a_group_of_its_own_there_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "0::/\n",
        "0::/elsewhere\n",
        "4:memory:" SCOPE "\n",
    };
    set_up_group(*state, SCOPE, "7\n");
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        put(*state, "proc/7/cgroup", texts[i]);
        g_autofree char *group = find(*state);
        assert_null(group);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_group_that_qemu_is_alone_in_is_found),
        TEST(test_the_groups_of_its_threads_lie_below_it),
        TEST(test_threads_of_the_kernel_are_nobody_else),
        TEST(test_a_group_with_others_in_it_is_not_touched),
        TEST(test_without_a_group_of_its_own_there_is_none),
    };
    return run_test_table(tests);
}
