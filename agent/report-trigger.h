// SPDX-License-Identifier: Apache-2.0
//
// Decides when a sample is worth a report, and when to take the next sample. Pure: samples and the
// clock are passed in.
//
// Used memory is looked at as -(available + balloon), which is the guest's size less a constant: it
// moves when processes take or return memory and stays when the host moves the balloon, whether or
// not MemTotal follows the balloon (deflate-on-oom). A guest that eats what the host gives it at
// the same pace shows a level `available`; only `used` tells.
//
// The reasons, the strongest first; only one report is made of a sample:
//
// - pressure: the PSI "some" total grew by more than 10 ms within half a second. Tasks already
//   stall.
// - trend: at the fastest growth of `used` seen in the last 5 to 10 s, available memory would be
//   gone within the reaction horizon of one second. Guests growing by 170 MiB/s were saved every
//   time when the host was told with 60 MiB left, which is 0.35 s; the rest is room for a sample
//   just missed, a busy host and a slower balloon. A horizon too long costs a few reports, one too
//   short the guest.
// - change: available or used moved by more than `change_bytes` since the last report.
// - heartbeat: none of it for `heartbeat_us`; the host sees that the guest lives.
//
// While trend lasts it is said again only as the guest goes on growing, and no reason is said more
// often than samples are taken, once an interval.
//
// Sampling is as fast as `interval_us` while memory moves or is tight. Otherwise there are four
// samples to the time in which it would be gone at the fastest growth seen lately, or at 1 GiB/s if
// that is faster: about what one processor clears, since a quiet guest may start at any time.
#pragma once

#include "protocol/report.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ReportTriggerSettings {
    int64_t interval_us;  // shortest time between two samples
    int64_t heartbeat_us; // longest time between two reports
    int64_t change_bytes; // what makes a change
} ReportTriggerSettings;

// What of a sample is compared with another.
typedef struct MemoryLevels {
    int64_t available_bytes;
    int64_t used_bytes;
} MemoryLevels;

// State of one subscription; private.
typedef struct ReportTrigger {
    ReportTriggerSettings settings;
    bool started;

    MemoryLevels reported; // the last report
    int64_t reported_us;
    MemoryLevels sampled; // the last sample
    int64_t sampled_us;
    int64_t next_us;

    int64_t stall_window_start_us; // PSI "some" total at the start of its window
    int64_t stall_window_total_us;

    int64_t growth_window_start_us; // fastest growth in this window and in the one before it
    int64_t growth_bytes_per_s[2];
    bool running_out; // the trend held at the last sample
} ReportTrigger;

// Starts a subscription: the first sample will be reported.
void report_trigger_init(ReportTrigger *trigger, const ReportTriggerSettings *settings);

// Takes in a sample taken at `now_us`. Returns whether to report it, `*reason` then saying why.
bool report_trigger_sample(ReportTrigger *trigger, const MemoryReport *sample, int64_t now_us,
                           MemoryReportReason *reason);

// When the next sample is due; right away before the first one.
int64_t report_trigger_next_us(const ReportTrigger *trigger);
