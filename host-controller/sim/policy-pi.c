// SPDX-License-Identifier: Apache-2.0
//
// The rule of the ballooning daemon in the qemus/qemu container, from its description: one daemon a
// guest, none knowing of the others. Every 5 s a PI controller on the host's use, which is to be
// 80 %, says how much to take from what the guest has, as a part of its size; not below what the
// guest uses, until the host is used by more than 90 %. The integral does not wind up at either
// end. Moves below 128 MiB are made only up to an end. Its ceiling under host pressure is not
// modelled: the simulated host has no pressure of its own.
#include "host-controller/sim/sim-policy.h"

#include "host-controller/sim/quantity.h"

#include <stdbool.h>

#define PERIOD_S 5
#define PPM 1000000
#define GOAL_PPM 800000
#define HARD_PPM 900000
// Kp is 1/2, Ki 1/20.
#define KP_DIVISOR 2
#define KI_DIVISOR 20
#define HYSTERESIS_BYTES (128 * SIM_MIB)

typedef struct Pi {
    SimPolicySettings settings;
    int64_t *integral; // of the error in ppm over seconds, never above one
} Pi;

static void *pi_new(const SimPolicySettings *settings, size_t count)
{
    Pi *state = g_new0(Pi, 1);
    state->settings = *settings;
    state->integral = g_new0(int64_t, count);
    return state;
}

static void pi_free(void *data)
{
    Pi *state = data;
    g_free(state->integral);
    g_free(state);
}

static int64_t lowest_target(const SimObservation *guest, int64_t use_ppm)
{
    int64_t used_bytes = guest->actual_bytes - guest->available_bytes;
    return use_ppm > HARD_PPM ? guest->min_bytes
                              : sim_clamp(used_bytes, guest->min_bytes, guest->max_bytes);
}

static int64_t wanted_target(const SimObservation *guest, int64_t use_ppm, int64_t *integral)
{
    int64_t error = use_ppm - GOAL_PPM;
    int64_t next = sim_clamp(*integral + error * PERIOD_S, -PPM, PPM);
    int64_t taken = sim_scale(guest->size_bytes, error / KP_DIVISOR + next / KI_DIVISOR, PPM);
    int64_t low = lowest_target(guest, use_ppm);
    int64_t target = sim_clamp(guest->actual_bytes - taken, low, guest->max_bytes);
    bool at_low = target == low && error > 0;
    bool at_high = target == guest->max_bytes && error < 0;
    if (at_low || at_high) {
        // The integral with which the rule would have come out here by itself.
        int64_t due = sim_scale(guest->actual_bytes - target, PPM, guest->size_bytes);
        next = sim_clamp((due - error / KP_DIVISOR) * KI_DIVISOR, -PPM, PPM);
    }
    *integral = next;
    int64_t change = target - guest->target_bytes;
    bool at_end = target == low || target == guest->max_bytes;
    bool worth_it = change >= HYSTERESIS_BYTES || change <= -HYSTERESIS_BYTES;
    return at_end || worth_it ? target : guest->target_bytes;
}

static void pi_tick(void *data, int64_t now_us, const SimObservation *guests, size_t count,
                    int64_t *targets)
{
    (void)now_us;
    Pi *state = data;
    int64_t held_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        held_bytes += guests[i].actual_bytes;
    }
    int64_t use_ppm = sim_scale(held_bytes, PPM, sim_max(state->settings.budget_bytes, 1));
    for (size_t i = 0; i < count; i++) {
        targets[i] = wanted_target(&guests[i], use_ppm, &state->integral[i]);
    }
}

const SimPolicy sim_policy_pi = {
    .name = "pi",
    .summary = "qemus/qemu's rule: a PI controller a guest on the host's use, 80 %",
    .period_us = PERIOD_S * SIM_S,
    .new = pi_new,
    .tick = pi_tick,
    .free = pi_free,
};
