// SPDX-License-Identifier: Apache-2.0
//
// Our own policy, with the balloon's state machine of the controller around it.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/backoff.h"
#include "host-controller/balloon.h"
#include "host-controller/sim/adapter.h"
#include "host-controller/sim/quantity.h"

// As in the controller: a guest that does not follow is left alone, longer each time.
#define STALL_BACKOFF_FIRST_US (10 * SIM_S)
#define STALL_BACKOFF_CAP_US (300 * SIM_S)

typedef struct Aerostat {
    SimPolicySettings settings;
    bool started;
    Adapter adapter;
    AdapterGuest *guests;
    AdapterGuest **order; // the same guests, as adapter_plan() wants them
    AdapterView *views;
    Balloon *balloons;
    Backoff *backoffs;
    int64_t *stalled_until_us;
} Aerostat;

static void *aerostat_new(const SimPolicySettings *settings, size_t count)
{
    Aerostat *state = g_new0(Aerostat, 1);
    state->settings = *settings;
    state->guests = g_new0(AdapterGuest, count);
    state->order = g_new0(AdapterGuest *, count);
    state->views = g_new0(AdapterView, count);
    state->balloons = g_new0(Balloon, count);
    state->backoffs = g_new0(Backoff, count);
    state->stalled_until_us = g_new0(int64_t, count);
    for (size_t i = 0; i < count; i++) {
        state->order[i] = &state->guests[i];
        state->backoffs[i] =
            (Backoff){.first_us = STALL_BACKOFF_FIRST_US, .cap_us = STALL_BACKOFF_CAP_US};
    }
    return state;
}

static void aerostat_free(void *data)
{
    Aerostat *state = data;
    adapter_clear(&state->adapter);
    g_free(state->guests);
    g_free(state->order);
    g_free(state->views);
    g_free(state->balloons);
    g_free(state->backoffs);
    g_free(state->stalled_until_us);
    g_free(state);
}

// Reads the balloon. A guest found stalled has its target brought back to what it has.
static void read_balloon(Aerostat *state, size_t i, int64_t now_us, const SimObservation *seen)
{
    Balloon *balloon = &state->balloons[i];
    switch (balloon_observe(balloon, seen->actual_bytes, balloon->commands, now_us)) {
    case BALLOON_CHANGE_NONE:
        break;
    case BALLOON_CHANGE_REACHED:
        backoff_reset(&state->backoffs[i]);
        break;
    case BALLOON_CHANGE_PROGRESS:
        state->stalled_until_us[i] = 0;
        break;
    case BALLOON_CHANGE_STALLED:
        state->stalled_until_us[i] = now_us + backoff_next_us(&state->backoffs[i]);
        balloon_set_target(balloon, sim_clamp(seen->actual_bytes, seen->min_bytes, seen->max_bytes),
                           now_us);
        break;
    }
}

static void look(Aerostat *state, size_t i, int64_t now_us, const SimObservation *seen)
{
    if (!state->started) {
        balloon_adopt(&state->balloons[i], seen->actual_bytes);
    } else {
        read_balloon(state, i, now_us, seen);
    }
    const Balloon *balloon = &state->balloons[i];
    state->views[i] = (AdapterView){
        .size_bytes = seen->size_bytes,
        .actual_bytes = balloon->actual_bytes,
        .target_bytes = balloon->target_bytes,
        .ceiling_bytes = balloon->ceiling_bytes,
        .min_bytes = seen->min_bytes,
        .max_bytes = seen->max_bytes,
        .weight = seen->weight,
        .movable = now_us >= state->stalled_until_us[i],
    };
    if (seen->report_is_new) {
        adapter_report(&state->guests[i], &state->views[i], seen->report, now_us);
    }
}

static void aerostat_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                          int64_t *targets)
{
    Aerostat *state = data;
    for (size_t i = 0; i < count; i++) {
        look(state, i, now_us, &guests[i]);
    }
    state->started = true;
    adapter_plan(&state->adapter, now_us, state->settings.budget_bytes, state->settings.reclaim,
                 state->order, state->views, count);
    for (size_t i = 0; i < count; i++) {
        Balloon *balloon = &state->balloons[i];
        int64_t target_bytes = state->guests[i].policy.plan_bytes;
        if (state->views[i].movable && target_bytes != balloon->target_bytes) {
            balloon_set_target(balloon, target_bytes, now_us);
        }
        targets[i] = balloon->target_bytes;
    }
}

const SimPolicy sim_policy_aerostat = {
    .name = "aerostat",
    .summary = "Ours: pushed reports, demand, fair shares, memory promised only once it is back",
    .keeps_laws = true,
    .new = aerostat_new,
    .tick = aerostat_tick,
    .free = aerostat_free,
};
