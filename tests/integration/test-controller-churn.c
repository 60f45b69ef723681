// SPDX-License-Identifier: Apache-2.0
//
// The real controller while guests come and go in its directory all the time. tests/bench/
// bench-churn.c does the same for minutes, with more of them.
#include "tests/test.h"

#include "tests/support/churn.h"
#include "tests/support/wait.h"

#define PATIENCE_US (60 * SECOND_US)
#define PLACES 40
#define WARM_UP_US (2 * SECOND_US)
#define CHURN_US (8 * SECOND_US)
#define GROWTH_BYTES (8 * MIB)

static void test_nobody_is_missed_and_nothing_leaks_while_guests_come_and_go(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, 100 * GIB, NULL);
    rig_start(rig);
    pid_t pid = process_pid(rig->controller);
    int descriptors = process_descriptors(pid);
    g_autoptr(Churn) churn = churn_new(rig, PLACES);
    churn_run(churn, WARM_UP_US);
    churn_stop_all(churn);
    int64_t resident_bytes = process_status_bytes(pid, "VmRSS");
    do {
        churn_run(churn, CHURN_US);
    } while (churn_figures(churn)->started <= PLACES);
    churn_stop_all(churn);
    // The directory is watched since the first guest made it. Files of /proc are open for a moment.
    wait_for(process_descriptors(pid) <= descriptors + 2, PATIENCE_US);
    assert_true(process_status_bytes(pid, "VmRSS") <= resident_bytes + GROWTH_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_nobody_is_missed_and_nothing_leaks_while_guests_come_and_go, rig_set_up,
            rig_tear_down),
    };
    return run_test_table(tests);
}
