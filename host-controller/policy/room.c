// SPDX-License-Identifier: Apache-2.0
//
// Room: what could be had for a guest that is about to start, and who had best go when the guests
// do not fit.
#include "host-controller/policy/policy.h"

// What the guest is left when room is made: what it cannot do without.
static int64_t needed_bytes(const PolicyGuest *guest)
{
    if (!guest->movable || !guest->fresh) {
        return guest->ceiling_bytes;
    }
    if (guest->pinned) {
        return guest->pinned_bytes;
    }
    int64_t committed_bytes = policy_clamp(guest->demand.committed_bytes, 0, POLICY_MAX_BYTES);
    int64_t headroom_bytes = policy_clamp(guest->demand.headroom_bytes, 0, POLICY_MAX_BYTES);
    int64_t firm_bytes = policy_min(committed_bytes + headroom_bytes, guest->max_bytes);
    int64_t kept_bytes = guest->demand.under_pressure ? guest->target_bytes : 0;
    return policy_max(policy_max(firm_bytes, guest->min_bytes), kept_bytes);
}

int64_t policy_reservable_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    int64_t left_bytes = host->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        left_bytes -= policy_clamp(needed_bytes(&guests[i]), 0, POLICY_MAX_BYTES);
    }
    return policy_max(left_bytes, 0);
}

int64_t policy_held_bytes(const PolicyGuest *guests, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += policy_max(guests[i].ceiling_bytes, guests[i].plan_bytes);
    }
    return sum;
}

size_t policy_best_to_move(const PolicyGuest *guests, size_t count, int64_t shortfall_bytes)
{
    size_t best = count;
    int64_t best_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t bytes = policy_least_bytes(&guests[i]);
        bool suffices = bytes >= shortfall_bytes;
        bool best_suffices = best < count && best_bytes >= shortfall_bytes;
        bool better = suffices && best_suffices ? bytes < best_bytes : bytes > best_bytes;
        if (best == count || better) {
            best = i;
            best_bytes = bytes;
        }
    }
    return best;
}
