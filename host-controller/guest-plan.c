// SPDX-License-Identifier: Apache-2.0
//
// A guest as the policy and the operator see it: what is known of it, and what is decided.
#include "host-controller/guest.h"
#include "host-controller/guest-log.h"

#include "protocol/error.h"

bool guest_is_known(const Guest *guest)
{
    return guest->size_bytes > 0 && guest->balloon_known;
}

bool guest_is_fresh(const Guest *guest, int64_t now_us)
{
    return guest->source != GUEST_SOURCE_NONE && now_us - guest->news_us < POLICY_FRESH_US;
}

bool guest_is_awaited(const Guest *guest)
{
    return !guest_is_known(guest) || (guest->link && !guest->has_report);
}

bool guest_is_managed(const Guest *guest)
{
    return guest->manage_is_set ? guest->managed : guest->config->managed;
}

// Whether the guest may be sent a target at all.
bool guest_is_movable(const Guest *guest)
{
    return guest_is_managed(guest) && guest->has_balloon && guest->running && !guest->migrating &&
           qmp_client_is_ready(guest->qmp);
}

void guest_limits(const Guest *guest, int64_t *min_bytes, int64_t *max_bytes)
{
    // QEMU takes no target of 0.
    int64_t least_bytes =
        policy_max(relative_size_of(&guest->policy.min, guest->size_bytes), POLICY_MIB);
    *min_bytes = policy_min(least_bytes, guest->size_bytes);
    *max_bytes = policy_clamp(relative_size_of(&guest->policy.max, guest->size_bytes), *min_bytes,
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
        if (guest->pinned) {
            guest_log(guest, G_LOG_LEVEL_MESSAGE, "its target is worked out again");
        }
        guest->pinned = false;
        return true;
    }
    if (!guest_is_managed(guest)) {
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
    char pinned[SIZE_TEXT_SIZE];
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "its target is set to %s", size_format(*bytes, pinned));
    return true;
}

// --- what an operator may change --------------------------------------------------------------

static bool check_bytes(const char *name, GuestChange change, int64_t bytes, int64_t least,
                        GError **error)
{
    if (change == GUEST_CHANGE_SET && (bytes < least || bytes > POLICY_MAX_BYTES)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter '%s' expects a size from %d byte to 256 TiB", name, (int)least);
        return false;
    }
    return true;
}

static void change_size(GuestChange change, int64_t bytes, const RelativeSize *configured,
                        RelativeSize *size)
{
    if (change == GUEST_CHANGE_SET) {
        *size = (RelativeSize){.bytes = bytes};
    } else if (change == GUEST_CHANGE_CONFIGURED) {
        *size = *configured;
    }
}

// Of a guest whose size is not known yet only sizes of one kind can be compared.
static bool check_range(const Guest *guest, const GuestPolicy *policy, GError **error)
{
    const RelativeSize *min = &policy->min;
    const RelativeSize *max = &policy->max;
    if (guest->size_bytes == 0 && min->relative != max->relative) {
        return true;
    }
    int64_t whole_bytes = guest->size_bytes ? guest->size_bytes : POLICY_MAX_BYTES;
    int64_t min_bytes = relative_size_of(min, whole_bytes);
    int64_t max_bytes = relative_size_of(max, whole_bytes);
    if (min_bytes <= max_bytes) {
        return true;
    }
    char low[SIZE_TEXT_SIZE];
    char high[SIZE_TEXT_SIZE];
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                "The minimum of guest '%s', %s, would be above its maximum, %s",
                guest->config->name, size_format(min_bytes, low), size_format(max_bytes, high));
    return false;
}

bool guest_change_policy(Guest *guest, const GuestPolicyChange *change, GError **error)
{
    const GuestConfig *config = guest->config;
    if (!config->managed) {
        return refuse(error, guest, "is not managed");
    }
    if (change->weight == GUEST_CHANGE_SET &&
        (change->weight_value < 1 || change->weight_value > POLICY_MAX_WEIGHT)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter 'weight' expects a number from 1 to %d", POLICY_MAX_WEIGHT);
        return false;
    }
    if (!check_bytes("min", change->min, change->min_bytes, 0, error) ||
        !check_bytes("max", change->max, change->max_bytes, 1, error)) {
        return false;
    }
    GuestPolicy policy = guest->policy;
    change_size(change->min, change->min_bytes, &config->min, &policy.min);
    change_size(change->max, change->max_bytes, &config->max, &policy.max);
    if (change->weight != GUEST_CHANGE_NONE) {
        policy.weight = change->weight == GUEST_CHANGE_SET ? change->weight_value : config->weight;
    }
    if (!check_range(guest, &policy, error)) {
        return false;
    }
    guest->policy = policy;
    guest_log(guest, G_LOG_LEVEL_MESSAGE, "range or weight changed, now %s",
              guest_policy_is_changed(guest) ? "other than configured" : "as configured");
    return true;
}

static bool same_size(const RelativeSize *a, const RelativeSize *b)
{
    return a->relative == b->relative &&
           (a->relative ? a->permyriad == b->permyriad : a->bytes == b->bytes);
}

bool guest_policy_is_changed(const Guest *guest)
{
    const GuestPolicy *policy = &guest->policy;
    const GuestConfig *config = guest->config;
    return !same_size(&policy->min, &config->min) || !same_size(&policy->max, &config->max) ||
           policy->weight != config->weight;
}

// --- what is known for a plan -----------------------------------------------------------------

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
        .weight = guest->policy.weight,
        .movable = guest_is_movable(guest),
        .fresh = guest_is_fresh(guest, now_us),
        .step_floor_bytes = guest_step_floor_bytes(guest),
        .pinned = guest->pinned,
        .pinned_bytes = guest->pinned_bytes,
        .demand = guest->demand,
        .bound = POLICY_BOUND_STALE,
    };
    guest_limits(guest, &observation->min_bytes, &observation->max_bytes);
    if (!guest_is_managed(guest)) {
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
    return guest_is_managed(guest)
               ? (GuestHolding){seen.actual_bytes, seen.target_bytes, seen.ceiling_bytes}
               : (GuestHolding){seen.size_bytes, seen.size_bytes, seen.ceiling_bytes};
}

// What the plan was bound by. It was told of an obstacle as of a limit, or as of pressure; who asks
// is told of the obstacle.
static PolicyBound find_bound(const Guest *guest, const PolicyGuest *plan, int64_t now_us)
{
    PolicyBound bound = plan->bound;
    if (guest->ineffective && bound == POLICY_BOUND_MAXIMUM) {
        return POLICY_BOUND_INEFFECTIVE;
    }
    if (guest->prepared && bound == POLICY_BOUND_PINNED) {
        return POLICY_BOUND_PREPARED;
    }
    if (is_stalled(guest, now_us)) {
        return bound == POLICY_BOUND_MINIMUM ? POLICY_BOUND_STALLED : bound;
    }
    bool took_back = now_us < guest->deflated_until_us && !guest->demand.under_pressure;
    return took_back && bound == POLICY_BOUND_PRESSURE ? POLICY_BOUND_AUTO_DEFLATED : bound;
}

static void take_note(Guest *guest, const PolicyGuest *plan, int64_t now_us)
{
    PolicyBound bound = find_bound(guest, plan, now_us);
    if (!guest->planned || guest->plan.bound != bound) {
        guest->bound_since_us = now_us;
    }
    guest->planned = true;
    guest->plan = *plan;
    guest->plan.bound = bound;
}

bool guest_follow(Guest *guest, const PolicyGuest *plan, bool act, int64_t now_us)
{
    take_note(guest, plan, now_us);
    if (act && !guest->acting) {
        balloon_excuse(&guest->balloon, now_us);
    }
    guest->acting = act;
    if (balloon_is_moving(&guest->balloon)) {
        timer_arm_by(guest->poll_timer, now_us + guest_poll_us(guest));
    }
    int64_t from_bytes = guest->balloon.target_bytes;
    bool wanted = plan->plan_bytes != from_bytes || wants_repetition(guest, now_us);
    if (!act || !plan->movable || !wanted || !guest_send_target(guest, plan->plan_bytes, now_us) ||
        plan->plan_bytes == from_bytes) {
        return false;
    }
    guest_log_decision(guest, from_bytes);
    guest_emit(guest, "GUEST_TARGET_CHANGED",
               json_pack("{s:I, s:I, s:s}", "target", (json_int_t)plan->plan_bytes, "from",
                         (json_int_t)from_bytes, "bound-by", policy_bound_name(guest->plan.bound)));
    return true;
}

GuestState guest_state(const Guest *guest, int64_t now_us)
{
    if (!guest_is_known(guest) || !qmp_client_is_ready(guest->qmp)) {
        return GUEST_STATE_CONNECTING;
    }
    if (!guest_is_managed(guest)) {
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
