// SPDX-License-Identifier: Apache-2.0
//
// A guest in virtual time, whose samples go through the agent's trigger.
#pragma once

#include "tests/test.h"

#include "agent/report-trigger.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define MS INT64_C(1000)
#define SECOND INT64_C(1000000)

static const ReportTriggerSettings settings = {
    .interval_us = 100 * MS,
    .heartbeat_us = SECOND,
    .change_bytes = 4 * MIB,
    .has_tripwire = true,
};

#define NOTHING REPORT_REASON_COUNT

// A guest in virtual time.
typedef struct Guest {
    ReportTrigger trigger;
    int64_t now_us;
    int64_t available_bytes;
    int64_t balloon_bytes;
    int64_t stalled_us;
    int64_t swapped_bytes;
    int64_t refaulted_bytes;
    int64_t oom_kills;
    bool without_pressure;
    bool alarmed; // the kernel's pressure trigger fired
    unsigned samples;
    unsigned said[REPORT_REASON_COUNT];
} Guest;

// Takes a sample now; returns the reason of the report made of it, or NOTHING.
static inline MemoryReportReason sample(Guest *guest)
{
    MemoryReport report = {0};
    memory_report_set(&report, REPORT_MEMORY_TOTAL, GIB);
    memory_report_set(&report, REPORT_MEMORY_AVAILABLE, guest->available_bytes);
    memory_report_set(&report, REPORT_BALLOON, guest->balloon_bytes);
    memory_report_set(&report, REPORT_PAGING_SWAP_OUT, guest->swapped_bytes);
    memory_report_set(&report, REPORT_PAGING_REFAULT_FILE, guest->refaulted_bytes);
    memory_report_set(&report, REPORT_PAGING_OOM_KILLS, guest->oom_kills);
    guest->samples++;
    if (!guest->without_pressure) {
        memory_report_set(&report, REPORT_PRESSURE_SOME_TOTAL, guest->stalled_us);
    }
    MemoryReportReason reason;
    if (!report_trigger_sample(&guest->trigger, &report, guest->now_us, guest->alarmed, &reason)) {
        return NOTHING;
    }
    guest->said[reason]++;
    return reason;
}

// Lets time pass and takes a sample.
static inline MemoryReportReason sample_after(Guest *guest, int64_t elapsed_us)
{
    guest->now_us += elapsed_us;
    return sample(guest);
}

// Samples as late as allowed for `duration_us`, while available memory moves steadily.
static inline void run(Guest *guest, int64_t duration_us, int64_t available_bytes_per_s)
{
    int64_t end_us = guest->now_us + duration_us;
    memset(guest->said, 0, sizeof(guest->said));
    guest->samples = 0;
    while (report_trigger_latest_us(&guest->trigger) <= end_us) {
        int64_t next_us = report_trigger_latest_us(&guest->trigger);
        assert_true(next_us > guest->now_us);
        assert_true(next_us >= report_trigger_next_us(&guest->trigger));
        int64_t moved_bytes = available_bytes_per_s * (next_us - guest->now_us) / SECOND;
        guest->available_bytes = MAX(guest->available_bytes + moved_bytes, 0);
        guest->now_us = next_us;
        sample(guest);
    }
}

// A guest whose first report has been sent.
static inline Guest guest_with(int64_t available_bytes)
{
    Guest guest = {.now_us = 5 * SECOND, .available_bytes = available_bytes};
    report_trigger_init(&guest.trigger, &settings);
    sample(&guest);
    return guest;
}
