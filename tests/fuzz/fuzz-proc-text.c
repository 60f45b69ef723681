// SPDX-License-Identifier: Apache-2.0
//
// Whatever a kernel prints as /proc/vmstat and /proc/pressure/memory: what is read is a number that
// can be, and no byte beyond the text is looked at.
#include "protocol/proc-text.h"

#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const ProcPressureLine *line)
{
    if (line->present) {
        g_assert_cmpint(line->avg10_permyriad, >=, 0);
        g_assert_cmpint(line->avg60_permyriad, >=, 0);
        g_assert_cmpint(line->avg300_permyriad, >=, 0);
        g_assert_cmpint(line->total_us, >=, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // libFuzzer's copy ends where the input does, so the sanitizer sees a byte too many.
    ProcVmstat vmstat;
    proc_vmstat_parse((const char *)data, size, &vmstat);
    for (int i = 0; i < PROC_VMSTAT_COUNTER_COUNT; i++) {
        g_assert_true(!proc_vmstat_has(&vmstat, (ProcVmstatCounter)i) || vmstat.value[i] >= 0);
    }
    int64_t pages;
    g_assert_true(!proc_vmstat_balloon_pages(&vmstat, &pages) || pages >= 0);

    ProcPressure pressure;
    proc_pressure_parse((const char *)data, size, &pressure);
    check_line(&pressure.some);
    check_line(&pressure.full);
    return 0;
}
