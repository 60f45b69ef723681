// SPDX-License-Identifier: Apache-2.0
//
// Bytes and microseconds of the simulator. Integers throughout: the same input gives the same
// output bit for bit, whatever the compiler does with floating point.
#pragma once

#include <stdint.h>

#define SIM_MIB (INT64_C(1) << 20)
#define SIM_GIB (INT64_C(1) << 30)
#define SIM_MS INT64_C(1000)
#define SIM_S INT64_C(1000000)
#define SIM_HOUR (INT64_C(3600) * SIM_S)

// value * multiplier / divisor, of numbers whose result fits; divisor at least 1.
static inline int64_t sim_scale(int64_t value, int64_t multiplier, int64_t divisor)
{
    int64_t product;
    if (!__builtin_mul_overflow(value, multiplier, &product)) {
        return product / divisor;
    }
    return (int64_t)((__int128)value * multiplier / divisor);
}

static inline int64_t sim_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t sim_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t sim_clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}
