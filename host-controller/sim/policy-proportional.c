// SPDX-License-Identifier: Apache-2.0
//
// The rule of Proxmox VE's automatic ballooning, from its description: every 10 s the host is to be
// used to 80 %; each guest is moved by at most 100 MiB towards its minimum plus its part, by
// shares, of what is above all minima. Growth goes to guests short of free memory first, shrinking
// takes from those with enough of it first and then from all.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/sim/quantity.h"

#define TARGET_PERCENT 80
#define MAX_CHANGE_BYTES (100 * SIM_MIB)
#define DEAD_BAND_BYTES (10 * SIM_MIB)
#define ENOUGH_FREE_DIVISOR 4

static void *proportional_new(const SimPolicySettings *settings, size_t count)
{
    (void)count;
    return g_memdup2(settings, sizeof *settings);
}

static bool has_enough(const SimObservation *guest)
{
    return guest->free_bytes > guest->min_bytes / ENOUGH_FREE_DIVISOR &&
           guest->actual_bytes >= guest->min_bytes;
}

static int64_t desired_bytes(const SimObservation *guest, int64_t above_min, int64_t shares)
{
    int64_t part = sim_scale(sim_max(above_min, 0), guest->weight, shares);
    return sim_clamp(guest->min_bytes + part, guest->min_bytes, guest->max_bytes);
}

// Moves one guest towards `desired`, in the direction of `*goal` and by no more than what is left
// of it and of one cycle's change.
static void move(int64_t desired, int64_t from, int64_t *goal, int64_t *target)
{
    int64_t most = sim_min(MAX_CHANGE_BYTES, *goal > 0 ? *goal : -*goal);
    int64_t done = *target - from;
    int64_t change = *goal > 0 ? sim_clamp(desired - *target, 0, most - done)
                               : sim_clamp(desired - *target, -most - done, 0);
    *target += change;
    *goal -= change;
}

static void proportional_tick(void *data, int64_t now_us, const SimObservation *guests,
                              size_t count, int64_t *targets)
{
    (void)now_us;
    const SimPolicySettings *settings = data;
    int64_t goal = settings->budget_bytes / 100 * TARGET_PERCENT;
    int64_t above_min = 0;
    int64_t shares = 0;
    for (size_t i = 0; i < count; i++) {
        goal -= guests[i].actual_bytes;
        above_min += guests[i].actual_bytes - guests[i].min_bytes;
        shares += guests[i].weight;
    }
    if (goal >= -DEAD_BAND_BYTES && goal <= DEAD_BAND_BYTES) {
        return;
    }
    above_min += goal;
    bool growing = goal > 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count && goal != 0 && (goal > 0) == growing; i++) {
            bool first = has_enough(&guests[i]) != growing;
            if (pass == 1 || first) {
                move(desired_bytes(&guests[i], above_min, shares), guests[i].target_bytes, &goal,
                     &targets[i]);
            }
        }
    }
}

const SimPolicy sim_policy_proportional = {
    .name = "proportional",
    .summary = "Proxmox VE's rule: shares of the budget, 80 % of it, 100 MiB a guest in 10 s",
    .period_us = 10 * SIM_S,
    .new = proportional_new,
    .tick = proportional_tick,
    .free = g_free,
};
