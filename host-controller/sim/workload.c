// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/workload.h"

void workload_init(Workload *workload)
{
    *workload = (Workload){0};
    curve_init(&workload->anonymous);
    curve_init(&workload->working_set);
    curve_init(&workload->scan);
}

void workload_clear(Workload *workload)
{
    curve_clear(&workload->anonymous);
    curve_clear(&workload->working_set);
    curve_clear(&workload->scan);
    g_clear_pointer(&workload->events, g_array_unref);
}

void workload_add_event(Workload *workload, int64_t at_us, WorkloadEventType type)
{
    if (!workload->events) {
        workload->events = g_array_new(FALSE, FALSE, sizeof(WorkloadEvent));
    }
    WorkloadEvent event = {.at_us = at_us, .type = type};
    g_array_append_val(workload->events, event);
}
