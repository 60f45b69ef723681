// SPDX-License-Identifier: Apache-2.0
//
// A guest as the policy and the operator see it: what is known of it, and what is decided.
#include "host-controller/guest.h"

#include "protocol/error.h"

bool guest_is_known(const Guest *guest)
{
    return guest->size_bytes > 0 && guest->balloon_known;
}

bool guest_is_fresh(const Guest *guest, int64_t now_us)
{
    return guest->has_report && now_us - guest->report_us < POLICY_FRESH_US;
}

bool guest_is_awaited(const Guest *guest)
{
    return !guest_is_known(guest) || (guest->link && !guest->has_report);
}

// Whether the guest may be sent a target at all.
bool guest_is_movable(const Guest *guest)
{
    return guest->config->managed && guest->has_balloon && guest->running && !guest->migrating &&
           qmp_client_is_ready(guest->qmp);
}

void guest_limits(const Guest *guest, int64_t *min_bytes, int64_t *max_bytes)
{
    *min_bytes =
        policy_min(relative_size_of(&guest->config->min, guest->size_bytes), guest->size_bytes);
    *max_bytes = policy_clamp(relative_size_of(&guest->config->max, guest->size_bytes), *min_bytes,
                              guest->size_bytes);
}

static bool refuse(GError **error, const Guest *guest, const char *why)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "Guest '%s' %s", guest->config->name,
                why);
    return false;
}

bool guest_pin(Guest *guest, const int64_t *bytes, GError **error)
{
    if (!bytes) {
        guest->pinned = false;
        return true;
    }
    if (!guest->config->managed) {
        return refuse(error, guest, "is not managed");
    }
    if (!guest_is_known(guest)) {
        return refuse(error, guest, "is not connected");
    }
    if (!guest->has_balloon) {
        return refuse(error, guest, "has no balloon device");
    }
    if (guest->ineffective) {
        return refuse(error, guest, "frees nothing when it is ballooned, so that it is left alone");
    }
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    if (*bytes < min_bytes || *bytes > max_bytes) {
        char low[SIZE_TEXT_SIZE];
        char high[SIZE_TEXT_SIZE];
        char asked[SIZE_TEXT_SIZE];
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "Guest '%s' may have from %s to %s, not %s", guest->config->name,
                    size_format(min_bytes, low), size_format(max_bytes, high),
                    size_format(*bytes, asked));
        return false;
    }
    if (*bytes < guest->balloon.target_bytes && !guest_is_fresh(guest, g_get_monotonic_time())) {
        return refuse(error, guest, "does not report, so that it is not shrunk");
    }
    guest->pinned = true;
    guest->pinned_bytes = *bytes;
    return true;
}

static bool is_stalled(const Guest *guest, int64_t now_us)
{
    return now_us < guest->stalled_until_us;
}

// What keeps the guest from being moved as its numbers say.
static void observe_obstacles(const Guest *guest, PolicyGuest *observation, int64_t now_us)
{
    if (is_stalled(guest, now_us) && guest->stalled_growing) {
        observation->movable = false;
        observation->bound = POLICY_BOUND_STALLED;
    } else if (is_stalled(guest, now_us)) {
        // It does not give, but may need something all the while.
        observation->min_bytes =
            policy_clamp(observation->actual_bytes, observation->min_bytes, observation->max_bytes);
    } else if (now_us < guest->deflated_until_us) {
        observation->demand.under_pressure = true;
    }
}

void guest_observe(const Guest *guest, PolicyGuest *observation, int64_t now_us)
{
    const Balloon *balloon = &guest->balloon;
    *observation = (PolicyGuest){
        .size_bytes = guest->size_bytes,
        .actual_bytes = guest->has_balloon ? balloon->actual_bytes : guest->size_bytes,
        .target_bytes = guest->has_balloon ? balloon->target_bytes : guest->size_bytes,
        .ceiling_bytes = guest->has_balloon ? balloon->ceiling_bytes : guest->size_bytes,
        .weight = guest->config->weight,
        .movable = guest_is_movable(guest),
        .fresh = guest_is_fresh(guest, now_us),
        .pinned = guest->pinned,
        .pinned_bytes = guest->pinned_bytes,
        .demand = guest->demand,
        .bound = POLICY_BOUND_STALE,
    };
    guest_limits(guest, &observation->min_bytes, &observation->max_bytes);
    if (!guest->config->managed) {
        // Whatever its balloon says, somebody else may move it: it counts with all it could have.
        observation->ceiling_bytes = guest->size_bytes;
        observation->bound = POLICY_BOUND_UNMANAGED;
    } else if (!guest->has_balloon) {
        observation->bound = POLICY_BOUND_UNMANAGED;
    } else if (guest->ineffective) {
        // All its memory is held already: taking it from the guest would squeeze it for nothing.
        observation->ceiling_bytes = guest->size_bytes;
        observation->min_bytes = observation->max_bytes;
    } else {
        observe_obstacles(guest, observation, now_us);
    }
}

// Whether a `balloon` command is wanted though the guest was last told the same: QEMU may not have
// it, or a guest that took memory back by itself is to give it again, for which its driver waits to
// be told.
static bool wants_repetition(const Guest *guest, int64_t now_us)
{
    return guest->target_in_doubt ||
           (guest->balloon.state == BALLOON_AUTO_DEFLATED && now_us >= guest->deflated_until_us);
}

GuestHolding guest_holding(const Guest *guest, int64_t now_us)
{
    if (!guest_is_known(guest)) {
        return (GuestHolding){guest->resident_bytes, guest->resident_bytes, guest->resident_bytes};
    }
    PolicyGuest seen;
    guest_observe(guest, &seen, now_us);
    return guest->config->managed
               ? (GuestHolding){seen.actual_bytes, seen.target_bytes, seen.ceiling_bytes}
               : (GuestHolding){seen.size_bytes, seen.size_bytes, seen.ceiling_bytes};
}

bool guest_follow(Guest *guest, const PolicyGuest *plan, bool act, int64_t now_us)
{
    guest->planned = true;
    guest->acting = act;
    guest->plan = *plan;
    if (is_stalled(guest, now_us) && plan->bound == POLICY_BOUND_MINIMUM) {
        guest->plan.bound = POLICY_BOUND_STALLED;
    } else if (guest->prepared && plan->bound == POLICY_BOUND_PINNED) {
        guest->plan.bound = POLICY_BOUND_PREPARED;
    }
    if (balloon_is_moving(&guest->balloon)) {
        timer_arm_by(guest->poll_timer, now_us + guest_poll_us(guest));
    }
    int64_t from_bytes = guest->balloon.target_bytes;
    bool wanted = plan->plan_bytes != from_bytes || wants_repetition(guest, now_us);
    if (!act || !plan->movable || !wanted || !guest_send_target(guest, plan->plan_bytes, now_us) ||
        plan->plan_bytes == from_bytes) {
        return false;
    }
    char from[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    const char *bound = policy_bound_name(guest->plan.bound);
    g_debug("%s: target %s, was %s: %s", guest->config->name, size_format(plan->plan_bytes, target),
            size_format(from_bytes, from), bound);
    guest_emit(guest, "GUEST_TARGET_CHANGED",
               json_pack("{s:I, s:I, s:s}", "target", (json_int_t)plan->plan_bytes, "from",
                         (json_int_t)from_bytes, "bound-by", bound));
    return true;
}

GuestState guest_state(const Guest *guest, int64_t now_us)
{
    if (!guest_is_known(guest) || !qmp_client_is_ready(guest->qmp)) {
        return GUEST_STATE_CONNECTING;
    }
    if (!guest->config->managed) {
        return GUEST_STATE_UNMANAGED;
    }
    if (!guest->has_balloon) {
        return GUEST_STATE_UNMANAGEABLE;
    }
    if (guest->migrating) {
        return GUEST_STATE_MIGRATING;
    }
    if (!guest->running) {
        return GUEST_STATE_PAUSED;
    }
    if (guest->ineffective) {
        return GUEST_STATE_INEFFECTIVE;
    }
    if (is_stalled(guest, now_us)) {
        return GUEST_STATE_STALLED;
    }
    if (now_us < guest->deflated_until_us) {
        return GUEST_STATE_AUTO_DEFLATED;
    }
    switch (guest->balloon.state) {
    case BALLOON_SHRINKING:
        return GUEST_STATE_SHRINKING;
    case BALLOON_GROWING:
        return GUEST_STATE_GROWING;
    case BALLOON_STALLED:
        return GUEST_STATE_STALLED;
    case BALLOON_AUTO_DEFLATED:
        return GUEST_STATE_AUTO_DEFLATED;
    case BALLOON_SETTLED:
        break;
    }
    return GUEST_STATE_SETTLED;
}
