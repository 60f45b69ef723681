// SPDX-License-Identifier: Apache-2.0
#include "host-controller/process-memory.h"
#include "tests/support/resident-show.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#include <unistd.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

// Reads `text` as /proc/7/status below a root of its own.
static bool read_text(const char *text, int64_t *bytes)
{
    Scratch scratch;
    scratch_init(&scratch);
    g_free(scratch_write(&scratch, "proc/7/status", text, -1));
    bool read = process_memory_read(scratch.folder, 7, bytes);
    scratch_clear(&scratch);
    return read;
}

static void test_resident_memory_is_read_with_huge_pages(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(read_text("Name:\tqemu\nVmHWM:\t  900 kB\nVmRSS:\t  100 kB\nRssAnon:\t 90 kB\n"
                          "HugetlbPages:\t  2048 kB\n",
                          &bytes));
    assert_int_equal(bytes, 2148 * 1024);
    assert_true(read_text("Name:\tqemu\nVmRSS:\t  100 kB\n", &bytes));
    assert_int_equal(bytes, 100 * 1024);
}

static void test_what_cannot_be_read_is_not_known(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "Name:\tqemu\n",
        "Name:\tqemu\nVmRSS:",
        "Name:\tqemu\nVmRSS:\tmuch kB\n",
        "Name:\tqemu\nVmRSS:\t99999999999999999999999 kB\n",
    };
    int64_t bytes = 5;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_false(read_text(texts[i], &bytes));
    }
    assert_false(process_memory_read("/nowhere", 7, &bytes));
    assert_false(process_memory_read("", 0, &bytes));
    assert_int_equal(bytes, 5);
}

// The same for what a guest of 1 GiB has in use.
static bool read_guest(const char *text, int64_t *bytes)
{
    Scratch scratch;
    scratch_init(&scratch);
    g_free(scratch_write(&scratch, "proc/7/status", text, -1));
    bool read = process_memory_read_guest(scratch.folder, 7, GIB, bytes);
    scratch_clear(&scratch);
    return read;
}

static void test_what_a_guest_uses_is_there_and_cannot_be_dropped(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(read_guest("Name:\tqemu-system-x86\nVmSize:\t 1100000 kB\nVmRSS:\t 999 kB\n"
                           "RssAnon:\t 100 kB\nRssFile:\t 50 kB\nRssShmem:\t 20 kB\n"
                           "VmSwap:\t 3 kB\nHugetlbPages:\t 2048 kB\n",
                           &bytes));
    assert_int_equal(bytes, 2168 * 1024);
    assert_true(read_guest("Name:\tkvm\nVmSize:\t 1100000 kB\nRssAnon:\t 7 kB\n", &bytes));
    assert_int_equal(bytes, 7 * 1024);
}

static void test_a_process_that_cannot_be_the_guests_is_not_taken_for_it(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        // A manager, which handed QEMU its socket.
        "Name:\tlibvirtd\nVmSize:\t 1100000 kB\nRssAnon:\t 100 kB\n",
        "Name:\tkvmtool\nVmSize:\t 1100000 kB\nRssAnon:\t 100 kB\n",
        // One that does not map as much as the guest has, or nothing any more.
        "Name:\tqemu-img\nVmSize:\t 1000000 kB\nRssAnon:\t 100 kB\n",
        "Name:\tqemu-system-x86\nState:\tZ (zombie)\n",
    };
    int64_t bytes = 5;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_false(read_guest(texts[i], &bytes));
    }
    assert_int_equal(bytes, 5);
}

static void test_our_own_process_is_seen_to_grow(void **state)
{
    (void)state;
    int64_t before_bytes = 0;
    int64_t after_bytes = 0;
    assert_true(process_memory_read("", getpid(), &before_bytes));
    ResidentShow *show = resident_show_new(64 * MIB);
    assert_true(process_memory_read("", getpid(), &after_bytes));
    resident_show_free(show);
    assert_true(after_bytes - before_bytes >= 60 * MIB);
}

static void test_only_what_cannot_be_otherwise_is_called_ineffective(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int64_t size_bytes;
        int64_t actual_bytes;
        int64_t resident_bytes;
        bool no_reclaim;
    } cases[] = {
        {"all is locked", GIB, 300 * MIB, GIB + 60 * MIB, true},
        {"half of a large guest, huge pages", 64 * GIB, 32 * GIB, 65 * GIB, true},
        {"all came back", GIB, 300 * MIB, 340 * MIB, false},
        {"a fresh guest that never touched its memory", GIB, 300 * MIB, 200 * MIB, false},
        {"one that touched exactly what it is left", GIB, 600 * MIB, 700 * MIB, false},
        {"a large QEMU", GIB, 600 * MIB, 900 * MIB, false},
        {"a small balloon", GIB, 800 * MIB, GIB + 60 * MIB, false},
        {"a balloon small for the guest", 64 * GIB, 60 * GIB, 65 * GIB, false},
        {"no balloon", GIB, GIB, 2 * GIB, false},
        {"more than its size", GIB, 2 * GIB, 3 * GIB, false},
        {"not known", GIB, 300 * MIB, 0, false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool verdict = process_memory_shows_no_reclaim(cases[i].size_bytes, cases[i].actual_bytes,
                                                       cases[i].resident_bytes);
        if (verdict != cases[i].no_reclaim) {
            fail_msg("%s", cases[i].what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resident_memory_is_read_with_huge_pages),
        cmocka_unit_test(test_what_cannot_be_read_is_not_known),
        cmocka_unit_test(test_what_a_guest_uses_is_there_and_cannot_be_dropped),
        cmocka_unit_test(test_a_process_that_cannot_be_the_guests_is_not_taken_for_it),
        cmocka_unit_test(test_our_own_process_is_seen_to_grow),
        cmocka_unit_test(test_only_what_cannot_be_otherwise_is_called_ineffective),
    };
    return run_test_table(tests);
}
