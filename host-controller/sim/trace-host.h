// SPDX-License-Identifier: Apache-2.0
//
// Hosts out of a recorded trace: so many rows a host, each row a guest.
#pragma once

#include "host-controller/sim/host-setup.h"
#include "host-controller/sim/trace.h"

typedef struct TraceSettings {
    guint rows;     // how many of the trace's rows are used, from the first
    guint per_host; // guests a host; the last host may have fewer
    int64_t size_bytes;
    int64_t min_bytes;
    int64_t step_us; // between two points of the trace
    int64_t duration_us;
    bool spikes; // on top of the trace: once an hour a quarter of the size within 5 s, for 5 min
    uint64_t seed;
} TraceSettings;

// How many hosts there are.
guint trace_hosts_count(const Trace *trace, const TraceSettings *settings);

// Host `index`, its guests and its duration filled in. What the trace calls use holds all a guest
// needs, kernel and watermark included.
HostSetup *trace_host_new(const Trace *trace, const TraceSettings *settings, guint index);
