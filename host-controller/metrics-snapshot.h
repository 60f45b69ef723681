// SPDX-License-Identifier: Apache-2.0
//
// Every number the metrics endpoint shows, copied at one moment: a page is written piece by piece
// while the controller goes on, and its guests may be gone before its end.
#pragma once

#include "host-controller/control-server.h"
#include "host-controller/metrics-histogram.h"

// Of the controller and its host. Sizes in bytes, times in microseconds.
typedef enum HostValue {
    HOST_VALUE_BUILD, // always 1; its version is the label
    HOST_VALUE_UPTIME,
    HOST_VALUE_MODE, // one for each ControllerMode, 1 for the one in force
    HOST_VALUE_MEMORY = HOST_VALUE_MODE + CONTROLLER_MODE_COUNT,
    HOST_VALUE_AVAILABLE,
    HOST_VALUE_BUDGET,
    HOST_VALUE_POOL,
    HOST_VALUE_HELD,
    HOST_VALUE_PROMISED,
    HOST_VALUE_TARGET,
    HOST_VALUE_OVERCOMMITTED,
    HOST_VALUE_GUESTS,
    HOST_VALUE_PLANS,
    HOST_VALUE_DROPPED_EVENTS,
    HOST_VALUE_JOURNAL_LINES,
    HOST_VALUE_JOURNAL_DROPPED,
    HOST_VALUE_JOURNAL_BYTES,
    HOST_VALUE_STATE, // one for each PolicyHostState, 1 for the one it is in
    HOST_VALUE_NON_GUEST = HOST_VALUE_STATE + POLICY_HOST_STATE_COUNT,
    HOST_VALUE_RESERVED,
    HOST_VALUE_SHARED,
    HOST_VALUE_PRESSURE_SOME,
    HOST_VALUE_PRESSURE_FULL,
    HOST_VALUE_COUNT
} HostValue;

// Of one guest, likewise.
typedef enum GuestValue {
    GUEST_VALUE_STATE, // one for each GuestState, 1 for the one it is in
    // One for each GuestSource, 1 for the one that holds.
    GUEST_VALUE_SOURCE = GUEST_VALUE_STATE + GUEST_STATE_COUNT,
    GUEST_VALUE_SIZE = GUEST_VALUE_SOURCE + GUEST_SOURCE_COUNT,
    GUEST_VALUE_ACTUAL,
    GUEST_VALUE_TARGET,
    GUEST_VALUE_MIN,
    GUEST_VALUE_MAX,
    GUEST_VALUE_WEIGHT,
    GUEST_VALUE_PINNED,
    GUEST_VALUE_FAIR_SHARE,
    GUEST_VALUE_DEMAND, // its parts, METRICS_DEMAND_PARTS of them
    GUEST_VALUE_UNDER_PRESSURE = GUEST_VALUE_DEMAND + 4,
    GUEST_VALUE_AGENT_CONNECTED,
    GUEST_VALUE_REPORT_AGE,
    GUEST_VALUE_REPORTS,
    GUEST_VALUE_REFUSED_LINES,
    GUEST_VALUE_COMMANDS,
    GUEST_VALUE_REPORT, // the numbers of its last report, one for each MemoryReportField
    GUEST_VALUE_COUNT = GUEST_VALUE_REPORT + REPORT_FIELD_COUNT
} GuestValue;

// Committed, headroom, comfort and cache share.
#define METRICS_DEMAND_PARTS (GUEST_VALUE_UNDER_PRESSURE - GUEST_VALUE_DEMAND)

typedef struct GuestSample {
    char *name;
    GuestState state;
    bool fresh; // what it told last is recent enough to act upon
    int64_t value[GUEST_VALUE_COUNT];
    bool present[GUEST_VALUE_COUNT];
} GuestSample;

typedef struct MetricsSnapshot {
    int64_t host[HOST_VALUE_COUNT];
    MetricsHistogram reaction;
    MetricsHistogram handover;
    GuestSample *guests; // in the order of the configuration
    size_t guest_count;
} MetricsSnapshot;

// Copies what is known at `now_us` (monotonic).
MetricsSnapshot *metrics_snapshot_new(const Controller *controller, const ControlServer *control,
                                      int64_t now_us);
void metrics_snapshot_free(MetricsSnapshot *snapshot);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MetricsSnapshot, metrics_snapshot_free)
