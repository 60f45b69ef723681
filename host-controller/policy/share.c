// SPDX-License-Identifier: Apache-2.0
//
// Share: the budget over the demands.
//
// Enough for all: everyone gets its demand, and, unless idle memory is to be reclaimed, the rest by
// weight up to max. Not enough: everyone gets its min, and what is left is weighted max-min fair
// over what each needs above it, so that nobody gains by overstating its demand.
#include "host-controller/policy/policy.h"

// The field's number with everything impossible brought into range.
static int64_t min_bytes(const PolicyGuest *guest)
{
    return policy_clamp(guest->min_bytes, 0, POLICY_MAX_BYTES);
}

static int64_t max_bytes(const PolicyGuest *guest)
{
    return policy_clamp(guest->max_bytes, min_bytes(guest), POLICY_MAX_BYTES);
}

// Whether the guest takes part in the sharing; others keep what they may hold.
static bool shares(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh;
}

static int64_t need_bytes(const PolicyGuest *guest)
{
    if (!shares(guest)) {
        return 0;
    }
    int64_t wanted = guest->pinned ? guest->pinned_bytes : guest->demand.total_bytes;
    return policy_clamp(wanted, min_bytes(guest), max_bytes(guest));
}

static int64_t need_above_min(const PolicyGuest *guest)
{
    return shares(guest) ? need_bytes(guest) - min_bytes(guest) : 0;
}

static int64_t room_above_need(const PolicyGuest *guest)
{
    return shares(guest) && !guest->pinned ? max_bytes(guest) - need_bytes(guest) : 0;
}

int64_t policy_at_level(const PolicyGuest *guest, int64_t need, int64_t level)
{
    int64_t weight = policy_max(guest->weight, 1);
    return level > need / weight ? need : policy_min(need, level * weight);
}

int64_t policy_water_level(const PolicyGuest *guests, size_t count, int64_t amount_bytes,
                           int64_t need(const PolicyGuest *guest))
{
    int64_t low = 0;
    int64_t high = POLICY_MAX_BYTES;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        int64_t sum = 0;
        for (size_t i = 0; i < count && sum <= amount_bytes; i++) {
            sum += policy_at_level(&guests[i], need(&guests[i]), middle);
        }
        if (sum <= amount_bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

int64_t policy_shortfall_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += shares(&guests[i]) ? min_bytes(&guests[i])
                                  : policy_clamp(guests[i].ceiling_bytes, 0, POLICY_MAX_BYTES);
    }
    return policy_max(sum - policy_clamp(host->budget_bytes, 0, INT64_MAX), 0);
}

static void set_share(PolicyGuest *guest, int64_t bytes, PolicyBound bound)
{
    guest->fair_share_bytes = bytes;
    if (guest->pinned) {
        guest->bound = bytes < need_bytes(guest) ? POLICY_BOUND_FAIR_SHARE : POLICY_BOUND_PINNED;
    } else if (bytes <= min_bytes(guest)) {
        guest->bound = POLICY_BOUND_MINIMUM;
    } else if (bytes >= max_bytes(guest)) {
        guest->bound = POLICY_BOUND_MAXIMUM;
    } else {
        guest->bound = bound;
    }
}

void policy_share(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t rest = policy_clamp(host->budget_bytes, 0, POLICY_MAX_BYTES);
    int64_t above_min = 0;
    for (size_t i = 0; i < count; i++) {
        const PolicyGuest *guest = &guests[i];
        rest -= shares(guest) ? min_bytes(guest)
                              : policy_clamp(guest->ceiling_bytes, 0, POLICY_MAX_BYTES);
        above_min += need_above_min(guest);
    }
    rest = policy_max(rest, 0);
    bool enough = above_min <= rest;
    int64_t level = 0;
    if (!enough) {
        level = policy_water_level(guests, count, rest, need_above_min);
    } else if (!host->reclaim) {
        level = policy_water_level(guests, count, rest - above_min, room_above_need);
    }
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        if (!shares(guest)) {
            guest->fair_share_bytes = policy_clamp(guest->ceiling_bytes, 0, POLICY_MAX_BYTES);
        } else if (!enough) {
            set_share(guest,
                      min_bytes(guest) + policy_at_level(guest, need_above_min(guest), level),
                      POLICY_BOUND_FAIR_SHARE);
        } else {
            set_share(guest,
                      need_bytes(guest) + policy_at_level(guest, room_above_need(guest), level),
                      host->reclaim ? POLICY_BOUND_DEMAND : POLICY_BOUND_FAIR_SHARE);
        }
    }
}
