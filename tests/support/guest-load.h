// SPDX-License-Identifier: Apache-2.0
//
// The program that needs memory in a guest (tests/guest/load.c), and when by the host's clock it
// did what.
#pragma once

#include "tests/support/vm.h"

// The guest's monotonic clock on the host's.
typedef struct GuestClock {
    int64_t offset_us; // add to the guest's time
    int64_t error_us;  // either way
} GuestClock;

// Compares the clocks a few times and keeps the closest look.
bool guest_clock_align(Vm *vm, GuestClock *clock, GError **error);

// When a `load touch` began and ended, by the host's clock.
typedef struct GuestLoadTimes {
    int64_t began_us;
    int64_t ended_us;
} GuestLoadTimes;

// Reads what `load touch` printed. False with PROTOCOL_ERROR_CLOSED when it printed nothing because
// it was killed.
bool guest_load_parse(const char *output, const GuestClock *clock, GuestLoadTimes *times,
                      GError **error);
