// SPDX-License-Identifier: Apache-2.0
//
// Share: the budget over the demands, tier by tier.
//
// What nobody can do without comes first, what is only pleasant last: each guest's min, then what
// it uses, what it may need in the next moment, comfort, the page cache it misses, and, unless idle
// memory is to be reclaimed, whatever is left up to its max, less a pool that stays with the host
// for the next one in need. Each tier is shared out weighted max-min fair: where it does not
// suffice for all, nobody gets more than another by asking for more.
#include "host-controller/policy/policy.h"

// Whether the guest takes part in the sharing; others keep what they may hold.
static bool shares(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh;
}

static int64_t in_range(const PolicyGuest *guest, int64_t bytes)
{
    return policy_clamp(bytes, guest->min_bytes, guest->max_bytes);
}

// What the guest needs of each tier: its demand cut at the borders of the tiers, and its limits.
static void work_out_needs(const PolicyHost *host, PolicyGuest *guest)
{
    int64_t *need_bytes = guest->need_bytes;
    for (int tier = 0; tier < POLICY_TIER_COUNT; tier++) {
        need_bytes[tier] = 0;
    }
    if (!shares(guest)) {
        return;
    }
    if (guest->pinned) {
        need_bytes[POLICY_TIER_USED] = guest->pinned_bytes - guest->min_bytes;
        return;
    }
    int64_t firm = policy_firm_bytes(&guest->demand);
    int64_t up_to_used = in_range(guest, policy_used_bytes(&guest->demand));
    int64_t up_to_firm = in_range(guest, firm);
    int64_t up_to_comfort = in_range(guest, firm + guest->demand.comfort_bytes);
    int64_t up_to_cache = in_range(guest, policy_demand_bytes(&guest->demand));
    need_bytes[POLICY_TIER_USED] = up_to_used - guest->min_bytes;
    need_bytes[POLICY_TIER_HEADROOM] = up_to_firm - up_to_used;
    need_bytes[POLICY_TIER_COMFORT] = up_to_comfort - up_to_firm;
    need_bytes[POLICY_TIER_CACHE] = up_to_cache - up_to_comfort;
    need_bytes[POLICY_TIER_REST] = host->reclaim ? 0 : guest->max_bytes - up_to_cache;
}

int64_t policy_at_level(const PolicyGuest *guest, PolicyTier tier, int64_t level)
{
    return policy_min(guest->need_bytes[tier], level * guest->weight);
}

// Approached from below: each round gives the weight of those who still need more all that the
// others leave over, so that the sum never passes the amount. It ends after a few rounds: each
// satisfies one more, or is the last but one.
int64_t policy_water_level(const PolicyGuest *guests, size_t count, PolicyTier tier,
                           int64_t need_bytes, int64_t amount_bytes)
{
    if (need_bytes <= amount_bytes) {
        return POLICY_MAX_BYTES;
    }
    int64_t level = 0;
    int64_t former_level;
    do {
        former_level = level;
        int64_t left_bytes = amount_bytes;
        int64_t weight = 0;
        for (size_t i = 0; i < count; i++) {
            bool satisfied = guests[i].need_bytes[tier] <= level * guests[i].weight;
            left_bytes -= satisfied ? guests[i].need_bytes[tier] : 0;
            weight += satisfied ? 0 : guests[i].weight;
        }
        level = left_bytes / policy_max(weight, 1);
    } while (level != former_level);
    return level;
}

// What guests keep that do not take part, and what all others have first.
static int64_t first_bytes(const PolicyGuest *guest)
{
    return shares(guest) ? guest->min_bytes : guest->ceiling_bytes;
}

// What of `amount_bytes`, which nobody demands, the guests may have besides: all of it when it
// suffices for everybody's max, otherwise all but the host's pool.
static int64_t beyond_the_pool(const PolicyHost *host, int64_t need_bytes, int64_t amount_bytes)
{
    return need_bytes <= amount_bytes ? amount_bytes
                                      : policy_max(amount_bytes - policy_pool_bytes(host), 0);
}

// Finds the level of each tier, of which all together need `need_bytes`. One that does not suffice
// leaves nothing for the next, not even the last bytes that could not be divided.
static void find_levels(const PolicyHost *host, const PolicyGuest *guests, size_t count,
                        const int64_t *need_bytes, int64_t amount_bytes, int64_t *levels)
{
    for (PolicyTier tier = POLICY_TIER_USED; tier < POLICY_TIER_COUNT; tier++) {
        if (tier == POLICY_TIER_REST) {
            amount_bytes = beyond_the_pool(host, need_bytes[tier], amount_bytes);
        }
        levels[tier] = policy_water_level(guests, count, tier, need_bytes[tier], amount_bytes);
        amount_bytes = levels[tier] < POLICY_MAX_BYTES ? 0 : amount_bytes - need_bytes[tier];
    }
}

// Gives the guest what it gets of each tier.
static void grant(PolicyGuest *guest, const int64_t *levels)
{
    guest->fair_share_bytes = first_bytes(guest);
    for (PolicyTier tier = POLICY_TIER_USED; tier < POLICY_TIER_COUNT; tier++) {
        int64_t need_bytes = guest->need_bytes[tier];
        int64_t part_bytes = policy_at_level(guest, tier, levels[tier]);
        guest->fair_share_bytes += part_bytes;
        guest->tier_bytes[tier] = part_bytes;
        if (part_bytes < need_bytes) {
            guest->bound = POLICY_BOUND_FAIR_SHARE;
        } else if (need_bytes > 0) {
            guest->bound = POLICY_BOUND_DEMAND;
        }
    }
}

int64_t policy_shortfall_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += policy_least_bytes(&guests[i]);
    }
    return policy_max(sum - policy_max(host->budget_bytes, 0), 0);
}

// Leaves in the demand what of it could be granted, down to what is in use and a little.
static void note_granted(PolicyGuest *guest)
{
    PolicyDemand *demand = &guest->demand;
    int64_t left = policy_max(guest->fair_share_bytes - policy_used_bytes(&guest->demand), 0);
    int64_t least = policy_min(demand->headroom_bytes, POLICY_FREE_BYTES);
    int64_t further = policy_min(demand->headroom_bytes - least, left);
    demand->headroom_bytes = least + further;
    left -= further;
    demand->comfort_bytes = policy_min(demand->comfort_bytes, left);
    demand->cache_share_bytes = policy_min(demand->cache_share_bytes, left - demand->comfort_bytes);
}

static void name_limits(PolicyGuest *guest)
{
    if (guest->pinned && guest->fair_share_bytes == guest->pinned_bytes) {
        guest->bound = POLICY_BOUND_PINNED;
    } else if (guest->fair_share_bytes >= guest->max_bytes) {
        guest->bound = POLICY_BOUND_MAXIMUM;
    } else if (guest->fair_share_bytes <= guest->min_bytes) {
        guest->bound = POLICY_BOUND_MINIMUM;
    }
}

void policy_share(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t need_bytes[POLICY_TIER_COUNT] = {0};
    int64_t levels[POLICY_TIER_COUNT];
    int64_t rest_bytes = host->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        work_out_needs(host, &guests[i]);
        rest_bytes -= first_bytes(&guests[i]);
        for (int tier = 0; tier < POLICY_TIER_COUNT; tier++) {
            need_bytes[tier] += guests[i].need_bytes[tier];
        }
    }
    find_levels(host, guests, count, need_bytes, policy_max(rest_bytes, 0), levels);
    for (size_t i = 0; i < count; i++) {
        grant(&guests[i], levels);
        if (shares(&guests[i])) {
            name_limits(&guests[i]);
            note_granted(&guests[i]);
        }
    }
}
