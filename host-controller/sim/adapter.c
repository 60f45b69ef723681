// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/adapter.h"

#include <string.h>

void adapter_clear(Adapter *adapter)
{
    g_clear_pointer(&adapter->plan, g_free);
    adapter->room = 0;
}

void adapter_forget(AdapterGuest *guest)
{
    *guest = (AdapterGuest){0};
}

void adapter_report(AdapterGuest *guest, const AdapterView *view, const MemoryReport *report,
                    int64_t now_us)
{
    if (guest->has_report && strcmp(guest->boot_id, report->boot_id) != 0) {
        guest->history = (PolicyHistory){0};
    }
    guest->has_report = true;
    guest->report_us = now_us;
    g_strlcpy(guest->boot_id, report->boot_id, sizeof guest->boot_id);
    PolicySample sample = {
        .at_us = report->monotonic_us,
        .held_bytes = memory_report_has(report, REPORT_BALLOON)
                          ? view->size_bytes - memory_report_get(report, REPORT_BALLOON)
                          : view->actual_bytes,
        .free_bytes = memory_report_get(report, REPORT_MEMORY_FREE),
        .available_bytes = memory_report_get(report, REPORT_MEMORY_AVAILABLE),
        .stall_us = memory_report_get(report, REPORT_PRESSURE_SOME_TOTAL),
        .refault_bytes = memory_report_get(report, REPORT_PAGING_REFAULT_FILE),
    };
    policy_demand_update(&guest->history, &sample, view->size_bytes, &guest->demand);
}

static void observe(PolicyGuest *policy, const AdapterView *view, const PolicyDemand *demand,
                    bool fresh)
{
    policy->demand = *demand;
    policy->size_bytes = view->size_bytes;
    policy->actual_bytes = view->actual_bytes;
    policy->target_bytes = view->target_bytes;
    policy->ceiling_bytes = view->ceiling_bytes;
    policy->min_bytes = view->min_bytes;
    policy->max_bytes = view->max_bytes;
    policy->weight = view->weight;
    policy->movable = view->movable;
    policy->fresh = fresh;
    policy->bound = POLICY_BOUND_STALE;
}

void adapter_plan(Adapter *adapter, int64_t now_us, int64_t budget_bytes, bool reclaim,
                  AdapterGuest *const *guests, const AdapterView *views, size_t count)
{
    if (count > adapter->room) {
        adapter->plan = g_renew(PolicyGuest, adapter->plan, count);
        adapter->room = count;
    }
    for (size_t i = 0; i < count; i++) {
        const AdapterGuest *guest = guests[i];
        adapter->plan[i] = guest->policy;
        observe(&adapter->plan[i], &views[i], &guest->demand,
                guest->has_report && now_us - guest->report_us < POLICY_FRESH_US);
    }
    PolicyHost host = {.budget_bytes = budget_bytes, .reclaim = reclaim};
    policy_plan(&host, adapter->plan, count);
    for (size_t i = 0; i < count; i++) {
        guests[i]->policy = adapter->plan[i];
    }
}

AdapterReason adapter_reason(const AdapterGuest *guest)
{
    const PolicyDemand *demand = &guest->policy.demand;
    return (AdapterReason){
        .demand_bytes = policy_demand_bytes(demand),
        .committed_bytes = demand->committed_bytes,
        .headroom_bytes = demand->headroom_bytes + demand->comfort_bytes,
        .cache_share_bytes = demand->cache_share_bytes,
        .fair_share_bytes = guest->policy.fair_share_bytes,
        .bound_by = policy_bound_name(guest->policy.bound),
    };
}
