// SPDX-License-Identifier: Apache-2.0
//
// A plan: the numbers brought into range, then shared out, then paced.
#include "host-controller/policy/policy.h"

static const char *const bound_names[POLICY_BOUND_COUNT] = {
    [POLICY_BOUND_DEMAND] = "demand",
    [POLICY_BOUND_FAIR_SHARE] = "fair-share",
    [POLICY_BOUND_MINIMUM] = "minimum",
    [POLICY_BOUND_MAXIMUM] = "maximum",
    [POLICY_BOUND_PINNED] = "pinned",
    [POLICY_BOUND_BUDGET] = "budget",
    [POLICY_BOUND_STALE] = "stale",
    [POLICY_BOUND_PRESSURE] = "pressure",
    [POLICY_BOUND_DEAD_BAND] = "dead-band",
    [POLICY_BOUND_UNMANAGED] = "unmanaged",
    [POLICY_BOUND_STALLED] = "stalled",
    [POLICY_BOUND_PLENTY] = "plenty",
    [POLICY_BOUND_INEFFECTIVE] = "ineffective",
    [POLICY_BOUND_AUTO_DEFLATED] = "auto-deflated",
    [POLICY_BOUND_PREPARED] = "prepared",
};

const char *policy_bound_name(PolicyBound bound)
{
    return bound_names[bound];
}

// Whatever a guest or a person can send, the steps work with numbers that can be true.
static void bring_into_range(PolicyGuest *guest)
{
    guest->size_bytes = policy_clamp(guest->size_bytes, 0, POLICY_MAX_BYTES);
    guest->actual_bytes = policy_clamp(guest->actual_bytes, 0, POLICY_MAX_BYTES);
    guest->target_bytes = policy_clamp(guest->target_bytes, 0, POLICY_MAX_BYTES);
    guest->ceiling_bytes =
        policy_clamp(guest->ceiling_bytes, policy_max(guest->actual_bytes, guest->target_bytes),
                     POLICY_MAX_BYTES);
    guest->min_bytes = policy_clamp(guest->min_bytes, 0, POLICY_MAX_BYTES);
    guest->max_bytes = policy_clamp(guest->max_bytes, guest->min_bytes, POLICY_MAX_BYTES);
    guest->pinned_bytes = policy_clamp(guest->pinned_bytes, guest->min_bytes, guest->max_bytes);
    guest->weight = policy_clamp(guest->weight, 1, POLICY_MAX_WEIGHT);
    guest->step_floor_bytes = policy_clamp(guest->step_floor_bytes, 0, POLICY_MAX_BYTES);
    PolicyDemand *demand = &guest->demand;
    demand->committed_bytes = policy_clamp(demand->committed_bytes, 0, POLICY_MAX_BYTES);
    demand->headroom_bytes = policy_clamp(demand->headroom_bytes, 0, POLICY_MAX_BYTES);
    demand->comfort_bytes = policy_clamp(demand->comfort_bytes, 0, POLICY_MAX_BYTES);
    demand->cache_share_bytes = policy_clamp(demand->cache_share_bytes, 0, POLICY_MAX_BYTES);
    guest->wanted = *demand;
}

void policy_plan(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    PolicyHost bounded = {
        .budget_bytes = policy_clamp(host->budget_bytes, 0, INT64_MAX),
        .reclaim = host->reclaim,
        .adopting = host->adopting,
    };
    for (size_t i = 0; i < count; i++) {
        bring_into_range(&guests[i]);
    }
    policy_share(&bounded, guests, count);
    policy_pace(&bounded, guests, count);
}
