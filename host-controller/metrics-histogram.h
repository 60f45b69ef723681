// SPDX-License-Identifier: Apache-2.0
//
// How long something took, counted in buckets of fixed bounds.
//
// Source: the Prometheus exposition formats, "Histograms and summaries".
#pragma once

#include <stddef.h>
#include <stdint.h>

#define METRICS_MAX_BUCKETS 16

// Zero but for its bounds is an empty histogram.
typedef struct MetricsHistogram {
    const int64_t *bounds_us; // ascending; the last bucket, without a bound, is not among them
    size_t bound_count;       // at most METRICS_MAX_BUCKETS
    uint64_t in_bucket[METRICS_MAX_BUCKETS + 1]; // at most its bound, above the one before
    int64_t sum_us;
} MetricsHistogram;

// Bounds for times from a report to a command: 100 us to 1 s.
MetricsHistogram metrics_histogram_of_reactions(void);
// Bounds for times a balloon is on its way: 10 ms to 60 s.
MetricsHistogram metrics_histogram_of_handovers(void);

// Counts one time; a negative one as 0.
void metrics_histogram_add(MetricsHistogram *histogram, int64_t duration_us);
