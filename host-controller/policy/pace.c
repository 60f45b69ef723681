// SPDX-License-Identifier: Apache-2.0
//
// Pace: how far each guest moves now.
//
// Growth comes only out of what the budget really has left: a guest that is shrinking still counts
// with what it holds, so memory is handed on as it comes back, slice by slice, and never promised
// twice. Guests give back what others are short of, those with the most to spare first, and nothing
// as long as nobody is short: every move costs both sides.
#include "host-controller/policy/policy.h"

// Differences below this part of a guest's size are not worth a command, nor below the floor.
#define DEAD_BAND_DIVISOR 64
#define DEAD_BAND_FLOOR_BYTES (8 * POLICY_MIB)
// A guest this many dead bands below its share has others give for it.
#define CONSIDERABLE_BANDS 1
// What a guest is short of is handed out in slices of this; whatever else it is due whole, or in
// whole dead bands.
#define SLICE_BYTES POLICY_MIB
// Of the steps in which guests are asked to give: the one for when nobody is short, and the last.
#define ORDINARY_EASE 2
#define LAST_EASE 4
// What one guest gives back in the time another can wait for it, a quarter of a second.
#define PROMPT_BYTES (256 * POLICY_MIB)
// The balloon counts in pages of this size (virtio specification, traditional balloon device).
#define BALLOON_PAGE_BYTES 4096

static int64_t dead_band(const PolicyGuest *guest)
{
    return policy_max(DEAD_BAND_FLOOR_BYTES, guest->size_bytes / DEAD_BAND_DIVISOR);
}

// Whole mebibytes, which people read with ease; what the operator asked for is only rounded to the
// balloon's pages.
static int64_t rounded_share(const PolicyGuest *guest)
{
    int64_t grain = guest->pinned ? BALLOON_PAGE_BYTES : POLICY_MIB;
    return policy_max(guest->fair_share_bytes - guest->fair_share_bytes % grain, guest->min_bytes);
}

static bool may_move(const PolicyGuest *guest)
{
    return guest->movable && guest->fresh;
}

// --- growth -----------------------------------------------------------------------------------

// What a guest may hold once its plan is sent. A target that is lowered does not lower it yet.
static int64_t held_after(const PolicyGuest *guest)
{
    return policy_max(guest->ceiling_bytes, guest->plan_bytes);
}

// Whether the guest has less than it cannot do without, or than the operator wants it to have.
static bool is_short(const PolicyGuest *guest)
{
    return guest->pinned || guest->target_bytes < policy_firm_bytes(guest) ||
           guest->target_bytes < guest->min_bytes;
}

static int64_t due(const PolicyGuest *guest)
{
    return policy_max(rounded_share(guest) - held_after(guest), 0);
}

static int64_t urgent_growth(const PolicyGuest *guest)
{
    return may_move(guest) && is_short(guest) ? due(guest) : 0;
}

static int64_t further_growth(const PolicyGuest *guest)
{
    return may_move(guest) && due(guest) >= dead_band(guest) ? due(guest) : 0;
}

// What a guest is due that is so far below its share that others are asked to give for it, though
// it is not short.
static int64_t considerable_growth(const PolicyGuest *guest)
{
    return further_growth(guest) >= CONSIDERABLE_BANDS * dead_band(guest) ? due(guest)
                                                                          : urgent_growth(guest);
}

static void hand_out(PolicyGuest *guests, size_t count, int64_t *pool_bytes, bool urgent)
{
    int64_t (*need)(const PolicyGuest *) = urgent ? urgent_growth : further_growth;
    int64_t level = policy_water_level(guests, count, *pool_bytes, need);
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t slice = policy_at_level(guest, level);
        if (slice < guest->need_bytes) {
            slice -= slice % (urgent ? SLICE_BYTES : dead_band(guest));
        }
        if (slice > 0) {
            guest->plan_bytes = held_after(guest) + slice;
            *pool_bytes -= slice;
        }
    }
}

// --- shrinking --------------------------------------------------------------------------------

static bool is_protected(const PolicyGuest *guest)
{
    return !guest->fresh || (guest->demand.under_pressure && !guest->pinned);
}

// What the guest would give back if all with at least `threshold_bytes` to spare did.
static int64_t spare(const PolicyGuest *guest, int64_t threshold_bytes)
{
    int64_t spare_bytes = guest->target_bytes - rounded_share(guest);
    bool gives = may_move(guest) && !is_protected(guest) && spare_bytes > 0 &&
                 spare_bytes >= threshold_bytes;
    return gives ? spare_bytes : 0;
}

// How little a guest must have to spare to be asked, from the first step to the last.
static int64_t threshold(const PolicyGuest *guest, int ease)
{
    switch (ease) {
    case 0:
        return 4 * dead_band(guest);
    case 1:
        return 2 * dead_band(guest);
    case 2:
        return dead_band(guest);
    case 3:
        return policy_max(dead_band(guest) / 4, DEAD_BAND_FLOOR_BYTES);
    default:
        return 0;
    }
}

// The first step at which enough comes back: few guests give much rather than many a little.
static int find_ease(const PolicyGuest *guests, size_t count, int64_t wanted_bytes)
{
    int ease = wanted_bytes > 0 ? 0 : ORDINARY_EASE;
    for (; wanted_bytes > 0 && ease < LAST_EASE; ease++) {
        int64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += policy_min(spare(&guests[i], threshold(&guests[i], ease)), PROMPT_BYTES);
        }
        if (sum >= wanted_bytes) {
            break;
        }
    }
    return ease;
}

// What is to come back, beyond what is on its way already, for all to have what `growth` says of
// them within the budget.
static int64_t wanted_back(const PolicyHost *host, const PolicyGuest *guests, size_t count,
                           int64_t growth(const PolicyGuest *guest))
{
    int64_t wanted = -host->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        wanted += guests[i].plan_bytes + growth(&guests[i]);
    }
    return wanted;
}

static void plan_shrinks(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t wanted = wanted_back(host, guests, count, urgent_growth);
    int ease = find_ease(guests, count, wanted);
    bool useful = host->reclaim || wanted_back(host, guests, count, considerable_growth) > 0;
    bool asked = wanted > 0 || (useful && !host->adopting);
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        if (guest->pinned ? spare(guest, 0) > 0
                          : asked && spare(guest, threshold(guest, ease)) > 0) {
            guest->plan_bytes = rounded_share(guest);
        }
    }
}

// --- the step ---------------------------------------------------------------------------------

// Where a guest stands before anything is decided: where it was told to go; or, when it must not
// shrink, where it is; or, when it is short, as far as what it was promised before still reaches.
static void plan_hold(PolicyGuest *guest)
{
    guest->plan_bytes = guest->target_bytes;
    if (!guest->movable) {
        return;
    }
    if (is_protected(guest)) {
        guest->plan_bytes = policy_max(guest->target_bytes, guest->actual_bytes);
    }
    if (may_move(guest) && (is_short(guest) || further_growth(guest) > 0)) {
        int64_t promised = policy_min(rounded_share(guest), guest->ceiling_bytes);
        guest->plan_bytes = policy_max(guest->plan_bytes, promised);
    }
}

// Says what kept a guest from its share.
static void name_bound(PolicyGuest *guest)
{
    int64_t share = rounded_share(guest);
    if (!guest->movable || guest->plan_bytes == share) {
        return;
    }
    if (!guest->fresh) {
        guest->bound = POLICY_BOUND_STALE;
    } else if (guest->plan_bytes < share) {
        bool waits = guest->plan_bytes > guest->target_bytes || is_short(guest) ||
                     share - guest->plan_bytes >= dead_band(guest);
        guest->bound = waits ? POLICY_BOUND_BUDGET : POLICY_BOUND_DEAD_BAND;
    } else if (is_protected(guest)) {
        guest->bound = POLICY_BOUND_PRESSURE;
    } else {
        bool idle = guest->plan_bytes - share >= dead_band(guest);
        guest->bound = idle ? POLICY_BOUND_PLENTY : POLICY_BOUND_DEAD_BAND;
    }
}

void policy_pace(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    int64_t pool = host->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        plan_hold(&guests[i]);
        pool -= guests[i].ceiling_bytes;
    }
    plan_shrinks(host, guests, count);
    pool = policy_max(pool, 0);
    hand_out(guests, count, &pool, true);
    if (!host->adopting) {
        hand_out(guests, count, &pool, false);
    }
    for (size_t i = 0; i < count; i++) {
        name_bound(&guests[i]);
    }
}
