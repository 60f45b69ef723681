// SPDX-License-Identifier: Apache-2.0
//
// Share: the budget over the demands, tier by tier.
//
// What nobody can do without comes first, what is only pleasant last: each guest's min, then what
// it uses and needs at hand (firm), then comfort, then the page cache it misses, and, unless idle
// memory is to be reclaimed, whatever is left up to its max. Each tier is shared out weighted
// max-min fair: where it does not suffice for all, nobody gets more than another by asking for
// more.
#include "host-controller/policy/policy.h"

#define MAX_ROUNDS 100

// Whether the guest takes part in the sharing; others keep what they may hold.
static bool shares(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh;
}

static int64_t in_range(const PolicyGuest *guest, int64_t bytes)
{
    return policy_clamp(bytes, guest->min_bytes, guest->max_bytes);
}

// What the guest has once it has all of a tier and of those before it.
static int64_t up_to_firm(const PolicyGuest *guest)
{
    return in_range(guest, guest->pinned ? guest->pinned_bytes : policy_firm_bytes(guest));
}

static int64_t up_to_comfort(const PolicyGuest *guest)
{
    return guest->pinned ? up_to_firm(guest)
                         : in_range(guest, policy_firm_bytes(guest) + guest->demand.comfort_bytes);
}

static int64_t up_to_cache(const PolicyGuest *guest)
{
    return guest->pinned ? up_to_firm(guest) : in_range(guest, policy_demand_bytes(&guest->demand));
}

static int64_t need_firm(const PolicyGuest *guest)
{
    return shares(guest) ? up_to_firm(guest) - guest->min_bytes : 0;
}

static int64_t need_comfort(const PolicyGuest *guest)
{
    return shares(guest) ? up_to_comfort(guest) - up_to_firm(guest) : 0;
}

static int64_t need_cache(const PolicyGuest *guest)
{
    return shares(guest) ? up_to_cache(guest) - up_to_comfort(guest) : 0;
}

static int64_t need_rest(const PolicyGuest *guest)
{
    return shares(guest) && !guest->pinned ? guest->max_bytes - up_to_cache(guest) : 0;
}

// The tiers in the order in which they are served; the last only as long as idle memory is not to
// be reclaimed.
#define TIERS_BEYOND_DEMAND 1
typedef struct Tier {
    int64_t (*need)(const PolicyGuest *guest);
    PolicyBound bound; // what a guest is bound by that gets all of this tier and nothing after it
} Tier;

static const Tier tiers[] = {
    {need_firm, POLICY_BOUND_DEMAND},
    {need_comfort, POLICY_BOUND_DEMAND},
    {need_cache, POLICY_BOUND_DEMAND},
    {need_rest, POLICY_BOUND_FAIR_SHARE},
};

int64_t policy_at_level(const PolicyGuest *guest, int64_t level)
{
    return policy_min(guest->need_bytes, level * guest->weight);
}

// Approached from below: each round gives the weight of those who still need more all that the
// others leave over, so that the sum never passes the amount. It ends after a few rounds; the cap
// only keeps a contrived set of needs from making it long.
int64_t policy_water_level(PolicyGuest *guests, size_t count, int64_t amount_bytes,
                           int64_t need(const PolicyGuest *guest))
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        guests[i].need_bytes = need(&guests[i]);
        sum += guests[i].need_bytes;
    }
    if (sum <= amount_bytes) {
        return POLICY_MAX_BYTES;
    }
    int64_t level = 0;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        int64_t left_bytes = amount_bytes;
        int64_t weight = 0;
        for (size_t i = 0; i < count; i++) {
            bool satisfied = guests[i].need_bytes <= level * guests[i].weight;
            left_bytes -= satisfied ? guests[i].need_bytes : 0;
            weight += satisfied ? 0 : guests[i].weight;
        }
        if (weight == 0 || left_bytes / weight == level) {
            break;
        }
        level = left_bytes / weight;
    }
    return level;
}

// Gives each guest what it gets of a tier; returns what is left for the next: nothing once a tier
// did not suffice, not even the last bytes that could not be divided.
static int64_t share_tier(PolicyGuest *guests, size_t count, const Tier *tier, int64_t amount_bytes)
{
    int64_t level = policy_water_level(guests, count, amount_bytes, tier->need);
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t need_bytes = guest->need_bytes;
        int64_t part_bytes = policy_at_level(guest, level);
        guest->fair_share_bytes += part_bytes;
        amount_bytes -= part_bytes;
        if (part_bytes < need_bytes) {
            guest->bound = POLICY_BOUND_FAIR_SHARE;
        } else if (need_bytes > 0) {
            guest->bound = tier->bound;
        }
    }
    return level < POLICY_MAX_BYTES ? 0 : amount_bytes;
}

// What is left of the budget once those who do not take part keep what they may hold, and all
// others have their min.
static int64_t above_the_minima(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    int64_t rest = host->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        rest -= shares(&guests[i]) ? guests[i].min_bytes : guests[i].ceiling_bytes;
    }
    return policy_max(rest, 0);
}

int64_t policy_shortfall_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += guests[i].movable ? guests[i].min_bytes : guests[i].ceiling_bytes;
    }
    return policy_max(sum - policy_max(host->budget_bytes, 0), 0);
}

// Leaves in the demand what of comfort and cache could be granted.
static void note_granted(PolicyGuest *guest)
{
    PolicyDemand *demand = &guest->demand;
    int64_t above_firm = policy_max(guest->fair_share_bytes - policy_firm_bytes(guest), 0);
    demand->comfort_bytes = policy_min(demand->comfort_bytes, above_firm);
    demand->cache_share_bytes =
        policy_min(demand->cache_share_bytes, above_firm - demand->comfort_bytes);
}

static void name_limits(PolicyGuest *guest)
{
    if (guest->pinned && guest->fair_share_bytes == up_to_firm(guest)) {
        guest->bound = POLICY_BOUND_PINNED;
    } else if (guest->fair_share_bytes >= guest->max_bytes) {
        guest->bound = POLICY_BOUND_MAXIMUM;
    } else if (guest->fair_share_bytes <= guest->min_bytes) {
        guest->bound = POLICY_BOUND_MINIMUM;
    }
}

void policy_share(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t rest = above_the_minima(host, guests, count);
    for (size_t i = 0; i < count; i++) {
        guests[i].fair_share_bytes =
            shares(&guests[i]) ? guests[i].min_bytes : guests[i].ceiling_bytes;
    }
    size_t tier_count =
        sizeof(tiers) / sizeof(tiers[0]) - (host->reclaim ? TIERS_BEYOND_DEMAND : 0);
    for (size_t i = 0; i < tier_count; i++) {
        rest = share_tier(guests, count, &tiers[i], rest);
    }
    for (size_t i = 0; i < count; i++) {
        if (shares(&guests[i])) {
            name_limits(&guests[i]);
            note_granted(&guests[i]);
        }
    }
}
