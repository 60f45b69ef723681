// SPDX-License-Identifier: Apache-2.0
//
// Deadlines on the monotonic clock, for code that waits with poll().
#pragma once

#include <glib.h>
#include <stdint.h>

#define MS_US INT64_C(1000)
#define SECOND_US INT64_C(1000000)
#define MIB (INT64_C(1) << 20)

// The moment `timeout_us` from now.
static inline int64_t deadline_after(int64_t timeout_us)
{
    return g_get_monotonic_time() + timeout_us;
}

// Microseconds left, never negative.
static inline int64_t deadline_left_us(int64_t deadline_us)
{
    int64_t left_us = deadline_us - g_get_monotonic_time();
    return MAX(left_us, 0);
}

// Milliseconds left as poll() wants them, rounded up so that it does not return early.
static inline int deadline_left_ms(int64_t deadline_us)
{
    int64_t left_ms = (deadline_left_us(deadline_us) + 999) / 1000;
    return (int)MIN(left_ms, G_MAXINT);
}
