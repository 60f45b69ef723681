// SPDX-License-Identifier: Apache-2.0
//
// The policy: what each guest should have, as a pure function of what is known.
//
// Three steps, each its own file; plan.c strings them together. demand.c turns a guest's reports
// into what it needs. share.c divides the budget over the demands. pace.c says how far each guest
// moves now. No step reads a clock, allocates, or does I/O; all numbers are integers, the memory is
// the caller's.
//
// The laws it keeps (docs/policy.md has them all):
//   L1  min <= target <= max
//   L2  the sum of what guests may hold never exceeds the budget once it was within it: memory is
//       promised only after it has come back
//   L3  a guest without a fresh report is never shrunk
//   L7  a guest under pressure is not shrunk
//   L10 a guest's min is honoured whatever others do
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_MIB (INT64_C(1) << 20)

// No size taken from a peer counts for more than this: 10,000 of them still fit an int64_t.
#define POLICY_MAX_BYTES (INT64_C(1) << 48)

// Times POLICY_MAX_BYTES it still fits an int64_t.
#define POLICY_MAX_WEIGHT 10000

// Of the budget this part is the host's pool.
#define POLICY_POOL_DIVISOR 16

// This much of the headroom goes with what is in use: a guest with nothing free cannot show that it
// needs more.
#define POLICY_FREE_BYTES (16 * POLICY_MIB)

// A guest whose last report is older is stale: two heartbeats of its agent were missed.
#define POLICY_FRESH_US INT64_C(3000000)

// --- demand -----------------------------------------------------------------------------------

// One report of a guest, in the policy's terms: a single moment.
typedef struct PolicySample {
    int64_t at_us;           // the guest's monotonic clock
    int64_t held_bytes;      // the guest's memory without its balloon, as it was at that moment
    int64_t free_bytes;      // MemFree
    int64_t available_bytes; // MemAvailable
    int64_t stall_us;        // PSI memory "some" total
    int64_t refault_bytes;   // page cache read back after it was dropped, since boot
    bool coarse; // seconds old, and without refaults: the statistics of a guest without an agent
} PolicySample;

// What a guest took before it could have more: growth_bytes_per_s for `lasts_us`.
typedef struct PolicyBurst {
    int64_t bytes;
    int64_t growth_bytes_per_s;
    int64_t lasts_us;
} PolicyBurst;

// What the policy remembers of a guest between reports. Zero is a fresh start.
typedef struct PolicyHistory {
    bool started;
    PolicySample last;
    int64_t committed_bytes;
    PolicyBurst burst;         // the largest in this window
    PolicyBurst former_burst;  // and in the one before
    int64_t burst_window_us;   // how long this one has lasted
    int64_t pressure_until_us; // the guest counts as under pressure until then
    int64_t cache_share_bytes; // page cache it is taken to need
    int cache_shift;           // of which 1/2^shift is let go a second
    int64_t cache_calm_us;     // how long nothing was read back
} PolicyHistory;

// What a guest needs, and why, from what it cannot do without to what is pleasant to have.
typedef struct PolicyDemand {
    int64_t committed_bytes;   // in use and not to be had back: held - available
    int64_t headroom_bytes;    // what it could take before we can react
    int64_t comfort_bytes;     // more headroom, as long as there is enough for all
    int64_t cache_share_bytes; // page cache it would miss
    bool under_pressure;       // its tasks stall for lack of memory

    // Why the headroom is what it is, before any of it was denied: the floor, and these.
    PolicyBurst burst;     // its bytes are what was provided for, at most a part of the size
    int64_t relief_bytes;  // more because it is under pressure
    int64_t caution_bytes; // more because what it tells is coarse
} PolicyDemand;

// Takes a report of a guest of `size_bytes` into `history` and works out its demand. Any numbers
// are safe; those that cannot be true are brought into range.
void policy_demand_update(PolicyHistory *history, const PolicySample *sample, int64_t size_bytes,
                          PolicyDemand *demand);

// --- plan -------------------------------------------------------------------------------------

// Which consideration decided a target.
typedef enum PolicyBound {
    POLICY_BOUND_DEMAND,     // it gets what it needs
    POLICY_BOUND_FAIR_SHARE, // its part of the budget: of the plenty, or under scarcity
    POLICY_BOUND_MINIMUM,
    POLICY_BOUND_MAXIMUM,
    POLICY_BOUND_PINNED,        // set by the operator
    POLICY_BOUND_BUDGET,        // more is due, but has not come back from others yet
    POLICY_BOUND_STALE,         // no fresh report: not shrunk
    POLICY_BOUND_PRESSURE,      // under pressure: not shrunk
    POLICY_BOUND_DEAD_BAND,     // the difference is not worth a command
    POLICY_BOUND_PLENTY,        // it has more than its share, and nobody is short
    POLICY_BOUND_UNMANAGED,     // not ours to move
    POLICY_BOUND_STALLED,       // it does not follow
    POLICY_BOUND_INEFFECTIVE,   // ballooning it frees nothing: it keeps its max
    POLICY_BOUND_AUTO_DEFLATED, // it took memory back by itself: not shrunk for now
    POLICY_BOUND_PREPARED,      // made small and held still for a while
    POLICY_BOUND_COUNT
} PolicyBound;

// The word of BoundBy in protocol/controller.json.
const char *policy_bound_name(PolicyBound bound);

// The budget is shared out tier by tier, once everybody has its min.
typedef enum PolicyTier {
    POLICY_TIER_USED,     // what is in use, and a little that is free: less, and it dies
    POLICY_TIER_HEADROOM, // what it may take in the next moment
    POLICY_TIER_COMFORT,
    POLICY_TIER_CACHE,
    POLICY_TIER_REST, // up to its max
    POLICY_TIER_COUNT
} PolicyTier;

typedef struct PolicyGuest {
    // What is known.
    int64_t size_bytes;    // its memory with an empty balloon
    int64_t actual_bytes;  // what QEMU says it has now
    int64_t target_bytes;  // the target last set; actual when none was
    int64_t ceiling_bytes; // the most it may hold now: at least max(actual, target)
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t weight; // 1 to 10000
    bool movable;   // false: stays where it is, for the reason in `bound`
    bool fresh;     // its demand stems from a recent report
    bool pinned;    // the operator wants it at pinned_bytes
    int64_t pinned_bytes;
    // Not shrunk below this now, since what is known of it is coarse; 0: as far as is due.
    int64_t step_floor_bytes;
    PolicyDemand demand; // when fresh; the plan leaves in it what could be granted

    // What is worked out.
    int64_t fair_share_bytes; // what it should have once everything has moved
    int64_t plan_bytes; // the target to set now; equals target_bytes when nothing is to be sent
    PolicyBound bound;

    // How that came about; no step reads it.
    PolicyDemand wanted;                   // the demand before the plan took anything off it
    int64_t tier_bytes[POLICY_TIER_COUNT]; // of the fair share, beyond min, from each tier
    int64_t due_bytes;                     // the fair share as a target: in whole MiB or pages
    int64_t spare_bytes;                   // what it could give back now
    int64_t asked_from_bytes;              // and from how much on it is asked to; INT64_MAX: never

    int64_t need_bytes[POLICY_TIER_COUNT]; // working memory of policy_water_level()
} PolicyGuest;

typedef struct PolicyHost {
    int64_t budget_bytes; // for all guests together
    bool reclaim;         // guests keep only their demand, even when there is plenty
    bool adopting;        // guests stay as they are as long as nobody is short
} PolicyHost;

// Works out fair_share_bytes, plan_bytes and bound of `count` guests, whose order does not matter.
// Numbers that cannot be true are brought into range first.
void policy_plan(const PolicyHost *host, PolicyGuest *guests, size_t count);

// The steps of policy_plan(), for numbers in range.
void policy_share(const PolicyHost *host, PolicyGuest *guests, size_t count);
void policy_pace(const PolicyHost *host, PolicyGuest *guests, size_t count);

// Whether the minima alone exceed the budget, by how much; 0 when they fit. Guests that stay where
// they are count with what they may hold.
int64_t policy_shortfall_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count);

// Below this a difference is not worth a command to the guest.
int64_t policy_dead_band_bytes(const PolicyGuest *guest);
// The least that a guest can be brought to: its min, or what it may hold if it cannot be moved.
static inline int64_t policy_least_bytes(const PolicyGuest *guest)
{
    return guest->movable ? guest->min_bytes : guest->ceiling_bytes;
}

// --- room -------------------------------------------------------------------------------------

// What of the budget guests could do without: the most that can be had for another one without
// taking from anybody what it needs. Numbers need not be in range.
int64_t policy_reservable_bytes(const PolicyHost *host, const PolicyGuest *guests, size_t count);
// What guests hold or may hold once their plans are sent.
int64_t policy_held_bytes(const PolicyGuest *guests, size_t count);
// Which guest had best be moved away when the guests do not fit by `shortfall_bytes`: the smallest
// one that suffices, or else the largest. `count` when there is none.
size_t policy_best_to_move(const PolicyGuest *guests, size_t count, int64_t shortfall_bytes);

// --- arithmetic shared by the steps -----------------------------------------------------------

static inline int64_t policy_clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static inline int64_t policy_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t policy_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// What the guest has in use, and a little that is free.
static inline int64_t policy_used_bytes(const PolicyDemand *demand)
{
    return demand->committed_bytes + policy_min(demand->headroom_bytes, POLICY_FREE_BYTES);
}

// What the guest cannot do without.
static inline int64_t policy_firm_bytes(const PolicyDemand *demand)
{
    return demand->committed_bytes + demand->headroom_bytes;
}

// What the guest would like to have: the sum of all parts of its demand.
static inline int64_t policy_demand_bytes(const PolicyDemand *demand)
{
    return policy_firm_bytes(demand) + demand->comfort_bytes + demand->cache_share_bytes;
}

// What the host keeps at hand of what nobody demands, as long as it cannot give everybody its max:
// a sudden need is met from it at once, without waiting for others to give.
static inline int64_t policy_pool_bytes(const PolicyHost *host)
{
    return host->reclaim ? 0 : host->budget_bytes / POLICY_POOL_DIVISOR;
}

// Weighted max-min fairness: the highest level, in bytes per unit of weight, at which
// sum(min(need, level * weight)) stays within `amount_bytes`, the needs being need_bytes[tier], and
// `need_bytes` their sum.
int64_t policy_water_level(const PolicyGuest *guests, size_t count, PolicyTier tier,
                           int64_t need_bytes, int64_t amount_bytes);
// What a guest gets at `level`.
int64_t policy_at_level(const PolicyGuest *guest, PolicyTier tier, int64_t level);
