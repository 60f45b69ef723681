// SPDX-License-Identifier: Apache-2.0
//
// The names of all metrics, each with its type, unit and meaning: one table for the host, one for
// guests. A new number is a line here and its value in the snapshot.
#pragma once

#include "host-controller/metrics-snapshot.h"

typedef enum MetricsType {
    METRICS_TYPE_GAUGE,
    METRICS_TYPE_COUNTER, // its samples are called NAME_total
} MetricsType;

typedef enum MetricsUnit {
    METRICS_UNIT_NONE,
    METRICS_UNIT_BYTES,
    METRICS_UNIT_SECONDS, // its values are microseconds
} MetricsUnit;

typedef struct MetricsFamily {
    const char *name;
    MetricsType type;
    MetricsUnit unit;
    const char *help; // plain text without backslash or newline
    size_t first;     // of its values in the snapshot's HostValue or GuestValue
    size_t count;     // how many there are; above 1 the label tells them apart
    const char *label;
    const char *(*label_value)(size_t index);
} MetricsFamily;

extern const MetricsFamily metrics_host_families[];
extern const size_t metrics_host_family_count;
extern const MetricsFamily metrics_guest_families[];
extern const size_t metrics_guest_family_count;
