// SPDX-License-Identifier: Apache-2.0
//
// What the processes of one guest do over time, and what befalls the guest.
#pragma once

#include "host-controller/sim/curve.h"

#include <stdbool.h>

typedef enum WorkloadEventType {
    WORKLOAD_AGENT_DIES,        // no reports from now on
    WORKLOAD_AGENT_RETURNS,     // and again
    WORKLOAD_AGENT_OVERSTATES,  // claims to have nothing left
    WORKLOAD_AGENT_UNDERSTATES, // claims that everything is free
    WORKLOAD_AGENT_RAVES,       // numbers at random
    WORKLOAD_REBOOT,            // all memory is lost, no reports until the boot is over
} WorkloadEventType;

typedef struct WorkloadEvent {
    int64_t at_us;
    WorkloadEventType type;
} WorkloadEvent;

typedef struct Workload {
    Curve anonymous;          // bytes of anonymous memory the processes want
    Curve working_set;        // bytes of files read again and again
    Curve scan;               // bytes a second of files read once: backups, searches
    int64_t read_bytes_per_s; // speed of reading the working set
    GArray *events;           // of WorkloadEvent, in order of time; NULL: none
} Workload;

// A guest that does nothing.
void workload_init(Workload *workload);
void workload_clear(Workload *workload);

// Appends an event, no earlier than the last one.
void workload_add_event(Workload *workload, int64_t at_us, WorkloadEventType type);
