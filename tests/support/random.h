// SPDX-License-Identifier: Apache-2.0
//
// Reproducible random numbers for property tests: the seed is printed, and one from the environment
// (AEROSTAT_SEED) runs the same states again.
#pragma once

#include "host-controller/sim/random.h"

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

typedef SimRandom Random;

static inline Random random_begin(const char *what)
{
    const char *given = g_getenv("AEROSTAT_SEED");
    uint64_t seed = given ? g_ascii_strtoull(given, NULL, 0) : (uint64_t)g_get_real_time();
    fprintf(stderr, "%s: AEROSTAT_SEED=%" G_GUINT64_FORMAT "\n", what, seed);
    return (Random){.state = seed};
}

// From `low` to `high`, both included.
static inline int64_t random_between(Random *random, int64_t low, int64_t high)
{
    return sim_random_between(random, low, high);
}

static inline bool random_chance(Random *random, int percent)
{
    return random_between(random, 1, 100) <= percent;
}

// A size from 2^low_bits to 2^high_bits, every magnitude as likely as another.
static inline int64_t random_size(Random *random, int low_bits, int high_bits)
{
    int64_t magnitude = INT64_C(1) << random_between(random, low_bits, high_bits - 1);
    return random_between(random, magnitude, 2 * magnitude);
}
