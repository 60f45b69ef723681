// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/trace-host.h"

#include "host-controller/sim/quantity.h"
#include "host-controller/sim/random.h"

#define SPIKE_SIZE_DIVISOR 4
#define SPIKE_RISE_US (5 * SIM_S)
#define SPIKE_HOLD_US (300 * SIM_S)
#define SPIKE_FALL_US SIM_S
#define DEFAULT_WEIGHT 100

static guint rows_used(const Trace *trace, const TraceSettings *settings)
{
    return MIN(settings->rows, trace->rows->len);
}

guint trace_hosts_count(const Trace *trace, const TraceSettings *settings)
{
    guint rows = rows_used(trace, settings);
    return (rows + settings->per_host - 1) / settings->per_host;
}

static void add_use(Curve *curve, const TraceRow *row, const TraceSettings *settings,
                    const GuestTraits *traits)
{
    int64_t own_bytes = traits->kernel_bytes + traits->min_watermark_bytes;
    for (guint i = 0; i < row->permille->len; i++) {
        int64_t permille = g_array_index(row->permille, int16_t, i);
        curve_add_point(curve, i * settings->step_us,
                        sim_scale(traits->size_bytes, permille, 1000) - own_bytes);
    }
    curve->low = 0;
    curve->high = traits->size_bytes - own_bytes;
}

static void add_spikes(Curve *curve, const TraceSettings *settings, guint row)
{
    SimRandom random = {.state = settings->seed};
    for (guint i = 0; i <= row; i++) {
        random.state = sim_random_next(&random);
    }
    Curve spikes;
    curve_init(&spikes);
    int64_t height = settings->size_bytes / SPIKE_SIZE_DIVISOR;
    int64_t length_us = SPIKE_RISE_US + SPIKE_HOLD_US + SPIKE_FALL_US;
    curve_add_point(&spikes, 0, 0);
    for (int64_t hour = 0; hour + SIM_HOUR <= settings->duration_us; hour += SIM_HOUR) {
        int64_t start_us =
            hour + sim_random_between(&random, 0, (SIM_HOUR - length_us) / SIM_MS) * SIM_MS;
        curve_add_point(&spikes, start_us, 0);
        curve_add_point(&spikes, start_us + SPIKE_RISE_US, height);
        curve_add_point(&spikes, start_us + SPIKE_RISE_US + SPIKE_HOLD_US, height);
        curve_add_point(&spikes, start_us + length_us, 0);
    }
    curve_add_curve(curve, &spikes);
    curve_clear(&spikes);
}

static GuestSetup *new_guest(const Trace *trace, const TraceSettings *settings, guint index)
{
    const TraceRow *row = g_ptr_array_index(trace->rows, index);
    GuestSetup *guest = g_new0(GuestSetup, 1);
    guest->name = g_strdup(row->name);
    guest->traits = guest_traits_of_size(settings->size_bytes);
    guest->min_bytes = settings->min_bytes;
    guest->max_bytes = settings->size_bytes;
    guest->weight = DEFAULT_WEIGHT;
    workload_init(&guest->workload);
    add_use(&guest->workload.anonymous, row, settings, &guest->traits);
    if (settings->spikes) {
        add_spikes(&guest->workload.anonymous, settings, index);
    }
    return guest;
}

HostSetup *trace_host_new(const Trace *trace, const TraceSettings *settings, guint index)
{
    HostSetup *setup = host_setup_new();
    guint end = MIN((index + 1) * settings->per_host, rows_used(trace, settings));
    for (guint i = index * settings->per_host; i < end; i++) {
        g_ptr_array_add(setup->guests, new_guest(trace, settings, i));
    }
    setup->duration_us = settings->duration_us;
    setup->seed = settings->seed;
    return setup;
}
