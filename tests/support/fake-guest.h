// SPDX-License-Identifier: Apache-2.0
//
// A small model of a guest's memory, from which a fake agent reports.
//
// What the guest has is its size without the balloon of its fake QEMU. A part of that the kernel
// keeps, a part the processes use, the rest is available. Processes that want more than there is
// wait for it, and the waiting counts as pressure.
#pragma once

#include "protocol/report.h"
#include "tests/support/fake-qemu.h"

// The test may write any member but `at_us` at any time.
typedef struct FakeGuest {
    FakeQemu *qemu;
    int64_t kernel_bytes;       // never part of MemTotal
    int64_t used_bytes;         // of processes
    int64_t goal_bytes;         // they want this much,
    int64_t growth_bytes_per_s; // and take it as fast as this
    int64_t cache_bytes;        // page cache, as far as there is room for it
    int64_t swap_total_bytes;
    int64_t swap_used_bytes;
    int64_t stall_us;       // time processes waited so far
    int64_t shortage_bytes; // the most that processes used beyond what there was: 0 if all is well
    bool deflate_on_oom;
    bool without_psi; // its kernel does not measure pressure
    int64_t at_us;    // the model stands there
} FakeGuest;

// A guest of `qemu` with a twentieth of its size for the kernel and another one in use.
void fake_guest_init(FakeGuest *guest, FakeQemu *qemu);

// Lets the time until `now_us` (monotonic) pass. True while processes still want more.
bool fake_guest_advance(FakeGuest *guest, int64_t now_us);

// What is there for processes, used or not.
int64_t fake_guest_capacity_bytes(const FakeGuest *guest);

// Fills in every number of a report but its sequence and reason.
void fake_guest_report(const FakeGuest *guest, MemoryReport *report);
