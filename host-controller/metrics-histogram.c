// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-histogram.h"

#include <glib.h>

static const int64_t reaction_bounds_us[] = {100,   250,   500,    1000,   2500,   5000,   10000,
                                             25000, 50000, 100000, 250000, 500000, 1000000};
static const int64_t handover_bounds_us[] = {10000,   25000,    50000,    100000,
                                             250000,  500000,   1000000,  2500000,
                                             5000000, 10000000, 30000000, 60000000};

G_STATIC_ASSERT(G_N_ELEMENTS(reaction_bounds_us) <= METRICS_MAX_BUCKETS);
G_STATIC_ASSERT(G_N_ELEMENTS(handover_bounds_us) <= METRICS_MAX_BUCKETS);

MetricsHistogram metrics_histogram_of_reactions(void)
{
    return (MetricsHistogram){
        .bounds_us = reaction_bounds_us,
        .bound_count = G_N_ELEMENTS(reaction_bounds_us),
    };
}

MetricsHistogram metrics_histogram_of_handovers(void)
{
    return (MetricsHistogram){
        .bounds_us = handover_bounds_us,
        .bound_count = G_N_ELEMENTS(handover_bounds_us),
    };
}

void metrics_histogram_add(MetricsHistogram *histogram, int64_t duration_us)
{
    size_t bucket = 0;
    while (bucket < histogram->bound_count && duration_us > histogram->bounds_us[bucket]) {
        bucket++;
    }
    histogram->in_bucket[bucket]++;
    histogram->sum_us += MAX(duration_us, 0);
}
