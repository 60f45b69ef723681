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
// What a guest is short of is handed out in slices of this; whatever else it is due whole, or in
// whole dead bands.
#define SLICE_BYTES POLICY_MIB
// What one guest gives back in the time another can wait for it, a quarter of a second.
#define PROMPT_BYTES (256 * POLICY_MIB)
// The balloon counts in pages of this size (virtio specification, traditional balloon device).
#define BALLOON_PAGE_BYTES 4096

// Guests are asked to give step by step, those with the most to spare first: from a sixteenth of
// their size on, a thirty-second, a dead band, a quarter of one, anything. When nobody is short,
// only what is worth a command is asked for.
typedef enum Ease {
    EASE_PLENTY,
    EASE_MUCH,
    EASE_ORDINARY,
    EASE_LITTLE,
    EASE_ANYTHING,
    EASE_COUNT
} Ease;

int64_t policy_dead_band_bytes(const PolicyGuest *guest)
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
    return guest->pinned || guest->target_bytes < policy_firm_bytes(&guest->demand) ||
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
    return may_move(guest) && due(guest) >= policy_dead_band_bytes(guest) ? due(guest) : 0;
}

// What a guest is due for which others are asked to give.
static int64_t desired_growth(const PolicyGuest *guest)
{
    return policy_max(urgent_growth(guest), further_growth(guest));
}

// Hands out what the pool has. The needs of the tiers have done their service: theirs is the room
// for what is due now.
static void hand_out(PolicyGuest *guests, size_t count, int64_t *pool_bytes, bool urgent)
{
    if (*pool_bytes <= 0) {
        return;
    }
    int64_t need_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        guests[i].need_bytes[0] = urgent ? urgent_growth(&guests[i]) : further_growth(&guests[i]);
        need_bytes += guests[i].need_bytes[0];
    }
    int64_t level = policy_water_level(guests, count, 0, need_bytes, *pool_bytes);
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t slice = policy_at_level(guest, 0, level);
        if (slice < guest->need_bytes[0]) {
            slice -= slice % (urgent ? SLICE_BYTES : policy_dead_band_bytes(guest));
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

// As far as the guest may shrink now: to its share, or step by step.
static int64_t lowest_target(const PolicyGuest *guest)
{
    return policy_max(rounded_share(guest),
                      policy_min(guest->step_floor_bytes, guest->target_bytes));
}

// What the guest has to give back.
static int64_t spare(const PolicyGuest *guest)
{
    bool gives = may_move(guest) && !is_protected(guest);
    return gives ? policy_max(guest->target_bytes - lowest_target(guest), 0) : 0;
}

// From how much to spare on a guest is asked for it at a step.
static int64_t asked_from(const PolicyGuest *guest, Ease ease)
{
    int64_t band_bytes = policy_dead_band_bytes(guest);
    switch (ease) {
    case EASE_PLENTY:
        return 4 * band_bytes;
    case EASE_MUCH:
        return 2 * band_bytes;
    case EASE_ORDINARY:
        return band_bytes;
    case EASE_LITTLE:
        return policy_max(band_bytes / 4, DEAD_BAND_FLOOR_BYTES);
    default:
        return 0;
    }
}

// The first step at which a guest with that much to spare is asked for it.
static Ease ease_of(const PolicyGuest *guest, int64_t spare_bytes)
{
    Ease ease = EASE_PLENTY;
    while (spare_bytes < asked_from(guest, ease)) {
        ease++;
    }
    return ease;
}

// What is to come back beyond what is on its way already, and what could.
typedef struct Survey {
    int64_t urgent_bytes;             // for all to have what they are short of
    int64_t desired_bytes;            // for all to have what they are due
    int64_t prompt_bytes[EASE_COUNT]; // what comes back soon from those asked at each step
} Survey;

static Survey survey(const PolicyHost *host, const PolicyGuest *guests, size_t count)
{
    Survey survey = {.urgent_bytes = -host->budget_bytes, .desired_bytes = -host->budget_bytes};
    for (size_t i = 0; i < count; i++) {
        const PolicyGuest *guest = &guests[i];
        int64_t spare_bytes = spare(guest);
        survey.urgent_bytes += guest->plan_bytes + urgent_growth(guest);
        survey.desired_bytes += guest->plan_bytes + desired_growth(guest);
        survey.prompt_bytes[ease_of(guest, spare_bytes)] += policy_min(spare_bytes, PROMPT_BYTES);
    }
    return survey;
}

// The last step at which guests are asked. Of those who must give because somebody is short, few
// give much rather than many a little. Otherwise guests give what they have much of; and whatever
// is worth a command when idle memory is to be reclaimed, somebody is due more, or the host's pool
// is half empty.
static Ease find_ease(const PolicyHost *host, const Survey *survey)
{
    if (survey->urgent_bytes <= 0) {
        bool useful = host->reclaim || survey->desired_bytes > -policy_pool_bytes(host) / 2;
        return useful ? EASE_ORDINARY : EASE_MUCH;
    }
    int64_t sum = 0;
    Ease ease = 0;
    while (ease < EASE_ANYTHING) {
        sum += survey->prompt_bytes[ease];
        if (sum >= survey->urgent_bytes) {
            break;
        }
        ease++;
    }
    return ease;
}

static void plan_shrinks(const PolicyHost *host, PolicyGuest *guests, size_t count)
{
    Survey found = survey(host, guests, count);
    Ease ease = find_ease(host, &found);
    bool asked = found.urgent_bytes > 0 || !host->adopting;
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t spare_bytes = spare(guest);
        bool at_once = guest->pinned || (asked && guest->target_bytes > guest->max_bytes);
        int64_t asked_from_bytes = at_once ? 0 : asked ? asked_from(guest, ease) : INT64_MAX;
        if (spare_bytes > 0 && spare_bytes >= asked_from_bytes) {
            guest->plan_bytes = lowest_target(guest);
        }
        guest->due_bytes = rounded_share(guest);
        guest->spare_bytes = spare_bytes;
        guest->asked_from_bytes = asked_from_bytes;
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
    bool at_step = guest->plan_bytes > share && guest->plan_bytes <= guest->step_floor_bytes;
    if (!guest->fresh || (at_step && !is_protected(guest))) {
        guest->bound = POLICY_BOUND_STALE;
    } else if (guest->plan_bytes < share) {
        bool waits = guest->plan_bytes > guest->target_bytes || is_short(guest) ||
                     share - guest->plan_bytes >= policy_dead_band_bytes(guest);
        guest->bound = waits ? POLICY_BOUND_BUDGET : POLICY_BOUND_DEAD_BAND;
    } else if (is_protected(guest)) {
        guest->bound = POLICY_BOUND_PRESSURE;
    } else {
        bool idle = guest->plan_bytes - share >= policy_dead_band_bytes(guest);
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
    hand_out(guests, count, &pool, true);
    if (!host->adopting) {
        hand_out(guests, count, &pool, false);
    }
    for (size_t i = 0; i < count; i++) {
        name_bound(&guests[i]);
    }
}
