// SPDX-License-Identifier: Apache-2.0
//
// Pace: how far each guest moves now.
//
// Shrinks first and at once, for guests known to bear it. Growth only out of what the budget really
// has left: a guest that is shrinking still counts with what it holds, so memory is handed on as it
// comes back, slice by slice, and never promised twice.
#include "host-controller/policy/policy.h"

// Differences below this part of a guest's size are not worth a command, nor below the floor.
#define DEAD_BAND_DIVISOR 64
#define DEAD_BAND_FLOOR_BYTES (8 * POLICY_MIB)
// Growth is handed out in slices of at least this, or whole.
#define SLICE_BYTES POLICY_MIB

static int64_t dead_band(const PolicyGuest *guest)
{
    int64_t size = policy_clamp(guest->size_bytes, 0, POLICY_MAX_BYTES);
    return policy_max(DEAD_BAND_FLOOR_BYTES, size / DEAD_BAND_DIVISOR);
}

static int64_t ceiling(const PolicyGuest *guest)
{
    return policy_clamp(guest->ceiling_bytes, 0, POLICY_MAX_BYTES);
}

// Sends whole mebibytes: the balloon moves in pages, and people read the numbers.
static int64_t rounded_share(const PolicyGuest *guest)
{
    int64_t low = policy_clamp(guest->min_bytes, 0, POLICY_MAX_BYTES);
    return policy_max(guest->fair_share_bytes - guest->fair_share_bytes % POLICY_MIB, low);
}

// A guest that may not shrink: a shrink under way is taken back to where it is.
static void hold(PolicyGuest *guest, PolicyBound bound)
{
    guest->plan_bytes =
        policy_clamp(policy_max(guest->target_bytes, guest->actual_bytes), 0, POLICY_MAX_BYTES);
    // Above what is promised already it would be a growth, and those are handed out below.
    guest->plan_bytes = policy_min(guest->plan_bytes, ceiling(guest));
    guest->bound = bound;
}

static bool worth_a_command(const PolicyGuest *guest, int64_t share, bool over_budget)
{
    int64_t distance = share - guest->target_bytes;
    if (distance < 0) {
        return over_budget || guest->pinned || -distance >= dead_band(guest);
    }
    // What a guest needs it gets however little it is.
    return distance >= dead_band(guest) || guest->pinned ||
           guest->target_bytes < guest->demand.total_bytes;
}

// Decides everything but growth: `plan_bytes` is the target after it.
static void plan_shrink(PolicyGuest *guest, bool over_budget)
{
    guest->plan_bytes = guest->target_bytes;
    if (!guest->movable) {
        return;
    }
    if (!guest->fresh) {
        hold(guest, POLICY_BOUND_STALE);
        return;
    }
    int64_t share = rounded_share(guest);
    if (guest->demand.under_pressure && !guest->pinned &&
        share < policy_max(guest->target_bytes, guest->actual_bytes)) {
        hold(guest, POLICY_BOUND_PRESSURE);
    } else if (share != guest->target_bytes && !worth_a_command(guest, share, over_budget)) {
        guest->bound = POLICY_BOUND_DEAD_BAND;
    } else if (share < guest->target_bytes) {
        guest->plan_bytes = share;
    }
}

static bool may_grow(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh && guest->bound != POLICY_BOUND_DEAD_BAND &&
           rounded_share(guest) > guest->plan_bytes;
}

// What a guest may hold once its plan is sent. A target that is lowered does not lower it yet.
static int64_t held_after(const PolicyGuest *guest)
{
    return policy_max(ceiling(guest), guest->plan_bytes);
}

// What a guest needs beyond what it is promised, and then what else it is due.
static int64_t urgent_growth(const PolicyGuest *guest)
{
    int64_t wanted = guest->pinned ? guest->pinned_bytes : guest->demand.total_bytes;
    int64_t goal = policy_min(rounded_share(guest), wanted);
    return may_grow(guest) ? policy_max(goal - held_after(guest), 0) : 0;
}

static int64_t further_growth(const PolicyGuest *guest)
{
    return may_grow(guest) ? policy_max(rounded_share(guest) - held_after(guest), 0) : 0;
}

static void hand_out(PolicyGuest *guests, size_t count, int64_t *pool_bytes,
                     int64_t need(const PolicyGuest *guest))
{
    int64_t level = policy_water_level(guests, count, *pool_bytes, need);
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t wanted = need(guest);
        int64_t slice = policy_at_level(guest, wanted, level);
        if (slice < wanted) {
            slice -= slice % SLICE_BYTES;
        }
        if (slice > 0) {
            guest->plan_bytes = held_after(guest) + slice;
            *pool_bytes -= slice;
        }
    }
}

// Growth up to what is promised already costs nothing: a shrink is reversed the same instant.
static void reverse(PolicyGuest *guest)
{
    if (may_grow(guest)) {
        guest->plan_bytes =
            policy_max(guest->plan_bytes, policy_min(rounded_share(guest), ceiling(guest)));
    }
}

void policy_pace(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t budget = policy_clamp(host->budget_bytes, 0, POLICY_MAX_BYTES);
    int64_t held = 0;
    for (size_t i = 0; i < count; i++) {
        held += ceiling(&guests[i]);
    }
    for (size_t i = 0; i < count; i++) {
        plan_shrink(&guests[i], held > budget);
        reverse(&guests[i]);
    }
    int64_t pool = policy_max(budget - held, 0);
    hand_out(guests, count, &pool, urgent_growth);
    hand_out(guests, count, &pool, further_growth);
    for (size_t i = 0; i < count; i++) {
        if (may_grow(&guests[i])) {
            guests[i].bound = POLICY_BOUND_BUDGET;
        }
    }
}

void policy_plan(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    policy_share(host, guests, count);
    policy_pace(host, guests, count);
}
