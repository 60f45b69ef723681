// SPDX-License-Identifier: Apache-2.0
//
// The rules oVirt's Memory Overcommitment Manager ships, from their description: samples every 5 s,
// averages over ten of them, a decision every 10 s. While less than 20 % of the host is free every
// guest shrinks, else every guest grows, by 5 % at most when shrinking. Page cache counts as used.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/sim/quantity.h"

#define SAMPLES 10
#define SAMPLES_A_DECISION 2
#define PRESSURE_PERMILLE 200
#define CRITICAL_PERMILLE 50
#define GUEST_FREE_PERMILLE 200
#define MAX_CHANGE_PERMILLE 50
#define MIN_CHANGE_PER_100000 250

typedef struct Average {
    int64_t value[SAMPLES];
} Average;

typedef struct Mom {
    SimPolicySettings settings;
    int64_t samples; // taken so far
    Average host_free;
    Average *used;
} Mom;

static void *mom_new(const SimPolicySettings *settings, size_t count)
{
    Mom *state = g_new0(Mom, 1);
    state->settings = *settings;
    state->used = g_new0(Average, count);
    return state;
}

static void mom_free(void *data)
{
    Mom *state = data;
    g_free(state->used);
    g_free(state);
}

static int64_t average(const Mom *state, const Average *samples)
{
    int64_t count = sim_min(state->samples, SAMPLES);
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += samples->value[i];
    }
    return sum / count;
}

static void sample(Mom *state, const SimObservation *guests, size_t count)
{
    int64_t slot = state->samples % SAMPLES;
    int64_t free_bytes = state->settings.budget_bytes;
    for (size_t i = 0; i < count; i++) {
        free_bytes -= guests[i].actual_bytes;
        state->used[i].value[slot] = guests[i].actual_bytes - guests[i].free_bytes;
    }
    state->host_free.value[slot] = free_bytes;
    state->samples++;
}

static int64_t shrunk_bytes(int64_t now_bytes, int64_t used_bytes, int64_t min_bytes,
                            int64_t host_free_permille)
{
    int64_t free_permille = host_free_permille > CRITICAL_PERMILLE
                                ? GUEST_FREE_PERMILLE * host_free_permille / PRESSURE_PERMILLE
                                : host_free_permille - CRITICAL_PERMILLE;
    int64_t least = sim_max(min_bytes, used_bytes + sim_scale(now_bytes, free_permille, 1000));
    int64_t wanted = sim_max(now_bytes - sim_scale(now_bytes, MAX_CHANGE_PERMILLE, 1000), least);
    return sim_min(wanted, now_bytes);
}

static int64_t grown_bytes(int64_t now_bytes, int64_t used_bytes, int64_t max_bytes)
{
    int64_t stepped = now_bytes + sim_scale(now_bytes, MAX_CHANGE_PERMILLE, 1000);
    int64_t comfortable = used_bytes + sim_scale(now_bytes, GUEST_FREE_PERMILLE, 1000);
    return sim_max(sim_min(sim_max(stepped, comfortable), max_bytes), now_bytes);
}

static void mom_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                     int64_t *targets)
{
    (void)now_us;
    Mom *state = data;
    sample(state, guests, count);
    if (state->samples % SAMPLES_A_DECISION != 0) {
        return;
    }
    int64_t host_free_permille =
        sim_scale(average(state, &state->host_free), 1000, state->settings.budget_bytes);
    for (size_t i = 0; i < count; i++) {
        int64_t now_bytes = guests[i].actual_bytes;
        int64_t used_bytes = average(state, &state->used[i]);
        int64_t wanted =
            host_free_permille < PRESSURE_PERMILLE
                ? shrunk_bytes(now_bytes, used_bytes, guests[i].min_bytes, host_free_permille)
                : grown_bytes(now_bytes, used_bytes, guests[i].max_bytes);
        int64_t change = wanted > now_bytes ? wanted - now_bytes : now_bytes - wanted;
        if (change > sim_scale(now_bytes, MIN_CHANGE_PER_100000, 100000)) {
            targets[i] = wanted;
        }
    }
}

const SimPolicy sim_policy_mom = {
    .name = "mom",
    .summary = "oVirt MOM's rules: 5 % steps every 10 s, all guests up or all down",
    .period_us = 5 * SIM_S,
    .new = mom_new,
    .tick = mom_tick,
    .free = mom_free,
};
