// SPDX-License-Identifier: Apache-2.0
//
// The rule of Proxmox VE's automatic ballooning, from its source: every 10 s the host is to be used
// to 80 %. What is to be given or taken goes to those short of free memory, or comes from those
// with enough of it; to or from all when that moves nothing. Among these each is to have its
// minimum and, by shares, its part of what they have above their minima, and moves by at most 100
// MiB.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/sim/quantity.h"

#include <string.h>

#define TARGET_PERCENT 80
#define MAX_CHANGE_BYTES (100 * SIM_MIB)
#define DEAD_BAND_BYTES (10 * SIM_MIB)
#define ENOUGH_FREE_DIVISOR 4

typedef struct Proportional {
    SimPolicySettings settings;
    int64_t *sizes; // what each guest is to have
    bool *listed;
} Proportional;

static void *proportional_new(const SimPolicySettings *settings, size_t count)
{
    Proportional *state = g_new0(Proportional, 1);
    state->settings = *settings;
    state->sizes = g_new0(int64_t, count);
    state->listed = g_new0(bool, count);
    return state;
}

static void proportional_free(void *data)
{
    Proportional *state = data;
    g_free(state->sizes);
    g_free(state->listed);
    g_free(state);
}

static bool has_enough(const SimObservation *guest)
{
    return guest->free_bytes > guest->min_bytes / ENOUGH_FREE_DIVISOR &&
           guest->actual_bytes >= guest->min_bytes;
}

// What the guest is to have this cycle on its way to `desired`. While memory is taken, nobody
// grows.
static int64_t moved_bytes(const SimObservation *guest, int64_t desired, bool growing)
{
    int64_t now = guest->actual_bytes;
    int64_t most = growing ? now + MAX_CHANGE_BYTES : now;
    return sim_clamp(desired, now - MAX_CHANGE_BYTES, most);
}

// Divides what is to be given (`goal` above 0) or taken among the guests that are `listed`; who
// cannot follow is struck off the list, and the others share anew. Returns what is left of it.
static int64_t divide(const SimObservation *guests, size_t count, bool *listed, int64_t goal,
                      int64_t *sizes)
{
    int64_t rest = goal;
    for (bool moved = true; moved && rest != 0;) {
        int64_t above_min = rest;
        int64_t shares = 0;
        for (size_t i = 0; i < count; i++) {
            above_min += listed[i] ? sizes[i] - guests[i].min_bytes : 0;
            shares += listed[i] ? guests[i].weight : 0;
        }
        moved = false;
        for (size_t i = 0; i < count; i++) {
            if (!listed[i]) {
                continue;
            }
            const SimObservation *guest = &guests[i];
            int64_t part = sim_scale(above_min, guest->weight, shares);
            int64_t desired =
                sim_clamp(guest->min_bytes + part, guest->min_bytes, guest->max_bytes);
            int64_t size = moved_bytes(guest, desired, goal > 0);
            if (size == guest->actual_bytes) {
                listed[i] = false;
                continue;
            }
            moved |= size != sizes[i];
            rest -= size - sizes[i];
            sizes[i] = size;
        }
    }
    return rest;
}

static void proportional_tick(void *data, int64_t now_us, const SimObservation *guests,
                              size_t count, int64_t *targets)
{
    (void)now_us;
    Proportional *state = data;
    int64_t *sizes = state->sizes;
    bool *listed = state->listed;
    int64_t goal = state->settings.budget_bytes / 100 * TARGET_PERCENT;
    for (size_t i = 0; i < count; i++) {
        goal -= guests[i].actual_bytes;
    }
    if (goal >= -DEAD_BAND_BYTES && goal <= DEAD_BAND_BYTES) {
        return;
    }
    bool growing = goal > 0;
    for (size_t i = 0; i < count; i++) {
        sizes[i] = guests[i].actual_bytes;
        listed[i] = has_enough(&guests[i]) != growing;
    }
    int64_t rest = divide(guests, count, listed, goal, sizes);
    if (growing ? rest >= goal : rest <= goal) {
        memset(listed, true, count);
        divide(guests, count, listed, rest, sizes);
    }
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] != guests[i].actual_bytes) {
            targets[i] = sizes[i];
        }
    }
}

const SimPolicy sim_policy_proportional = {
    .name = "proportional",
    .summary = "Proxmox VE's rule: shares of the budget, 80 % of it, 100 MiB a guest in 10 s",
    .period_us = 10 * SIM_S,
    .new = proportional_new,
    .tick = proportional_tick,
    .free = proportional_free,
};
