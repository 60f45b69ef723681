// SPDX-License-Identifier: Apache-2.0
//
// The policies at both ends of what is possible: fixed shares, the best that a poller can do, and
// one that knows the future.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/sim/quantity.h"

#include <string.h>

static void *settings_new(const SimPolicySettings *settings, size_t count)
{
    (void)count;
    return g_memdup2(settings, sizeof *settings);
}

static int64_t clip(const SimObservation *guest, int64_t target_bytes)
{
    return sim_clamp(target_bytes, guest->min_bytes, guest->max_bytes);
}

// --- static -----------------------------------------------------------------------------------

static void static_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                        int64_t *targets)
{
    (void)now_us;
    const SimPolicySettings *settings = data;
    int64_t sum_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        sum_bytes += guests[i].size_bytes;
    }
    for (size_t i = 0; i < count; i++) {
        targets[i] =
            clip(&guests[i], sim_scale(guests[i].size_bytes, settings->budget_bytes, sum_bytes));
    }
}

const SimPolicy sim_policy_static = {
    .name = "static",
    .summary = "Each guest keeps its part of the budget, by size",
    .period_us = 60 * SIM_S,
    .starts_at_share = true,
    .new = settings_new,
    .tick = static_tick,
    .free = g_free,
};

// --- poller -----------------------------------------------------------------------------------

// What is left over goes to all alike.
static void poller_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                        int64_t *targets)
{
    (void)now_us;
    const SimPolicySettings *settings = data;
    int64_t rest_bytes = settings->budget_bytes;
    for (size_t i = 0; i < count; i++) {
        rest_bytes -= guests[i].actual_bytes - guests[i].available_bytes;
    }
    int64_t headroom_bytes = rest_bytes / sim_max((int64_t)count, 1);
    for (size_t i = 0; i < count; i++) {
        int64_t used_bytes = guests[i].actual_bytes - guests[i].available_bytes;
        targets[i] = clip(&guests[i], used_bytes + headroom_bytes);
    }
}

const SimPolicy sim_policy_poller = {
    .name = "poller",
    .summary = "Reads every guest's use each second and gives at once: used + equal headroom",
    .period_us = SIM_S,
    .new = settings_new,
    .tick = poller_tick,
    .free = g_free,
};

// --- optimum ----------------------------------------------------------------------------------

static void optimum_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                         int64_t *targets)
{
    (void)data;
    (void)now_us;
    for (size_t i = 0; i < count; i++) {
        targets[i] = clip(&guests[i], guests[i].needed_bytes);
    }
}

const SimPolicy sim_policy_optimum = {
    .name = "optimum",
    .summary = "Clairvoyant: what each guest needs in the next two seconds, and nothing else",
    .period_us = SIM_S,
    .foresight_us = 2 * SIM_S,
    .new = settings_new,
    .tick = optimum_tick,
    .free = g_free,
};

// --- all of them ------------------------------------------------------------------------------

const SimPolicy *const sim_policies[] = {
    &sim_policy_aerostat, &sim_policy_static, &sim_policy_proportional, &sim_policy_mom,
    &sim_policy_pi,       &sim_policy_poller, &sim_policy_optimum,      NULL,
};

const SimPolicy *sim_policy_find(const char *name)
{
    for (size_t i = 0; sim_policies[i]; i++) {
        if (strcmp(sim_policies[i]->name, name) == 0) {
            return sim_policies[i];
        }
    }
    return NULL;
}
