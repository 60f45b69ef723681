// SPDX-License-Identifier: Apache-2.0
//
// What a simulation found, as JSON. Whole numbers only, their units in their names.
#pragma once

#include "host-controller/sim/host-model.h"

#include <jansson.h>

// The sum of two results: counts added, extremes kept.
void host_result_add(HostResult *sum, const HostResult *result);

// All figures of a host, or of a sum of them. New reference.
json_t *host_result_to_json(const HostResult *result);
// The figures of one guest. New reference.
json_t *guest_counters_to_json(const char *name, const GuestCounters *counters);

// The course of a simulation, one value a tick: for plots.
typedef struct Series {
    int64_t every_us;
    int64_t next_us;
    json_t *seconds;
    json_t *needed;
    json_t *held;
    json_t *guests; // of objects
} Series;

// Begins a series of one value every `every_us` for the guests of `setup`.
void series_init(Series *series, const HostSetup *setup, int64_t every_us);
// A HostWatch; `context` is the Series.
void series_watch(int64_t now_us, const GuestModel *const *guests, size_t count, void *context);
// The series as JSON, sizes in MiB. New reference; the series is then empty.
json_t *series_take_json(Series *series);
