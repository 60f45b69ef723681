// SPDX-License-Identifier: Apache-2.0
//
// The loop of a program that is fuzzed, in virtual time: stands in the place of GLib's clocks and
// of protocol/transport's timers, descriptor watches and unix sockets, which are not linked beside
// it.
//
// The clock moves only when it is told to, from one moment at which something is due to the next,
// so that hours cost nothing and the same input gives the same run. A connection is a pair of
// virtual sockets whose other end the fuzzer holds. The log goes nowhere; a critical message ends
// the program.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Functions the program may call in one moment: more is a loop that spins.
#define VIRTUAL_LOOP_MOST_STEPS 5000

// The world around the program, which lives in the same loop. Any may be NULL.
typedef struct VirtualWorld {
    // One timer or descriptor has been handled.
    void (*stepped)(void *context);
    // It connects to `path`; with 0, `fd`, the other end, non-blocking, is taken over, and `*pid`
    // is who listens there (0: cannot be told). Otherwise an errno.
    int (*connected)(const char *path, int fd, pid_t *pid, void *context);
} VirtualWorld;

// Begins a run at one and the same moment. Whatever a former run armed or watched must be gone.
void virtual_loop_begin(const VirtualWorld *world, void *context);

// Lets everything go on until nothing is left to do at this moment.
void virtual_loop_rest(void);
// Lets time pass, and things happen at their moments: as many as `most_moments`, after which the
// clock leaps to the end, as it does for a program that was stopped. From one moment to the next it
// goes by `stride_us` at least, twice as far each time, up to a second: more and more is late, as
// on a busy machine, and long stretches have few moments. 0: nothing is late. How many there were.
unsigned virtual_loop_pass(int64_t us, int64_t stride_us, unsigned most_moments);
