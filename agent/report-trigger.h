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
// - pressure: tasks already stall, as the kernel's own trigger tells (pressure-watch.h), or
//   as the PSI "some" total does that grew by more than 10 ms within half a second. Or the kernel
//   has killed a process for want of memory.
// - trend: at the fastest growth of `used` seen in the last 5 to 10 s, available memory would be
//   gone within the reaction horizon of one second. Guests growing by 170 MiB/s were saved every
//   time when the host was told with 60 MiB left, which is 0.35 s; the rest is room for a sample
//   just missed, a busy host and a slower balloon. A horizon too long costs a few reports, one too
//   short the guest.
// - change: available or used moved by more than `change_bytes` since the last report, or as much
//   was swapped or read again after it had been dropped (refaults).
// - heartbeat: none of it for `heartbeat_us`; the host sees that the guest lives.
//
// While trend lasts it is said again only as the guest goes on growing, and nothing is said more
// often than once an interval, but for a trend that sets in and for pressure the kernel tells of.
//
// When to sample: four times in the time in which memory would be gone. At which growth, is asked
// twice. A sample *must* be taken by the fastest growth the guest has shown, which is forgotten by
// half in about four minutes, and at least by 1/16 of the guest a second (64 MiB/s to 1 GiB/s): an
// idle guest that has a quarter to spare is woken by its heartbeat alone. It is *worth* being taken
// by 1 GiB/s, about what one processor clears, when something goes on at all, which a tripwire
// tells (agent/fault-watch.h). Without a tripwire nothing may be slept through, and samples must be
// taken by that, ten a second at most while nothing moves. docs/agent.md has the figures.
//
// While a guest grows the next sample follows after at most an interval, since growth that began
// just before a sample looks slower than it is. Samples are an interval apart at least, or a
// quarter of it while something goes on and memory may be gone within four.
#pragma once

#include "protocol/report.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ReportTriggerSettings {
    int64_t interval_us;  // shortest time between two reports
    int64_t heartbeat_us; // longest time between two reports
    int64_t change_bytes; // what makes a change
    bool has_tripwire;    // samples are taken earlier when something goes on
} ReportTriggerSettings;

// What of a sample is compared with another.
typedef struct MemoryLevels {
    int64_t available_bytes;
    int64_t used_bytes;
    int64_t paged_bytes; // swapped and refaulted since boot
    int64_t oom_kills;
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
    int64_t latest_us;

    int64_t stall_window_start_us; // PSI "some" total at the start of its window
    int64_t stall_window_total_us;

    int64_t growth_window_start_us; // fastest growth in this window and in the one before it
    int64_t growth_bytes_per_s[2];
    int64_t shown_bytes_per_s; // fastest growth of all, slowly forgotten
    bool running_out;          // the trend held at the last sample
} ReportTrigger;

// Starts a subscription: the first sample will be reported.
void report_trigger_init(ReportTrigger *trigger, const ReportTriggerSettings *settings);

// Takes in a sample taken at `now_us`, because the kernel's pressure trigger fired if `stalled`.
// Returns whether to report it, `*reason` then saying why.
bool report_trigger_sample(ReportTrigger *trigger, const MemoryReport *sample, int64_t now_us,
                           bool stalled, MemoryReportReason *reason);

// From when on a sample is worth taking if something goes on, and when it must be taken at the
// latest; right away before the first one.
int64_t report_trigger_next_us(const ReportTrigger *trigger);
int64_t report_trigger_latest_us(const ReportTrigger *trigger);
