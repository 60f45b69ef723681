// SPDX-License-Identifier: Apache-2.0
//
// On the running system's kernel, which may permit page faults to be watched or not: each case
// asserts what then has to be.
#include "tests/test.h"

#include "agent/fault-watch.h"
#include "tests/support/deadline.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION_BYTES ((size_t)8 << 20)

static void on_fired(void *context)
{
    unsigned *fired = context;
    (*fired)++;
}

// Touches fresh memory, in small pages.
static void fault(void)
{
    char *region =
        mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(region != MAP_FAILED);
    madvise(region, REGION_BYTES, MADV_NOHUGEPAGE);
    memset(region, 1, REGION_BYTES);
    munmap(region, REGION_BYTES);
}

static void run_until(const unsigned *fired, unsigned count)
{
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    while (*fired < count && deadline_left_us(deadline_us) > 0) {
        g_main_context_iteration(NULL, FALSE);
    }
}

static void test_memory_that_is_touched_trips_the_wire_once_until_it_is_armed(void **state)
{
    (void)state;
    unsigned fired = 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(FaultWatch) watch = fault_watch_new(on_fired, &fired, &error);
    if (!watch) {
        // The caller has something to tell.
        assert_int_equal(error->domain, G_FILE_ERROR);
        assert_string_not_equal(error->message, "");
        return;
    }
    for (unsigned round = 1; round <= 3; round++) {
        fault();
        run_until(&fired, round);
        // One processor's signal may have followed another's, each has one.
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        assert_in_range(fired, round, round - 1 + sysconf(_SC_NPROCESSORS_CONF));
        fired = round;
        fault();
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        assert_int_equal(fired, round);
        fault_watch_arm(watch);
    }
}

static void test_watches_come_and_go_without_leaving_a_signal_to_die_of(void **state)
{
    (void)state;
    unsigned fired = 0;
    for (int i = 0; i < 100; i++) {
        FaultWatch *watch = fault_watch_new(on_fired, &fired, NULL);
        fault();
        fault_watch_free(watch);
    }
    // Nobody is called that is gone.
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    assert_int_equal(fired, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_is_touched_trips_the_wire_once_until_it_is_armed),
        cmocka_unit_test(test_watches_come_and_go_without_leaving_a_signal_to_die_of),
    };
    return run_test_table(tests);
}
