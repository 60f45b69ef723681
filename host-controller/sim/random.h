// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that are the same everywhere for the same seed.
#pragma once

#include <stdint.h>

typedef struct SimRandom {
    uint64_t state;
} SimRandom;

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
static inline uint64_t sim_random_next(SimRandom *random)
{
    uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

// From `low` to `high`, both included.
static inline int64_t sim_random_between(SimRandom *random, int64_t low, int64_t high)
{
    return low + (int64_t)(sim_random_next(random) % ((uint64_t)(high - low) + 1));
}
