// SPDX-License-Identifier: Apache-2.0
#include "host-controller/controller-claims.h"

#include "protocol/error.h"

// Balloons count in pages: nearer than this is there.
#define PAGE_BYTES 4096

static const char *name_of(const Claim *claim)
{
    return claim->name ? claim->name : "whichever guest comes";
}

// Says what becomes of a claim, and has a plan made for it.
static void tell(Controller *controller, const Claim *claim, const char *what)
{
    char size[SIZE_TEXT_SIZE];
    g_message("%s %" G_GINT64_FORMAT " (%s, %s) %s", claim_kind_name(claim->kind), claim->id,
              name_of(claim), size_format(claim->bytes, size), what);
    controller_plan_now(controller);
}

// --- steering ---------------------------------------------------------------------------------

int64_t controller_reserve(Controller *controller, const ClaimRequest *request, GError **error)
{
    Claim *claim = claims_add(&controller->claims, request, g_get_monotonic_time(), error);
    if (!claim) {
        return 0;
    }
    tell(controller, claim, "is asked for");
    return claim->id;
}

static bool refuse_preparation(GError **error, const Guest *guest, const char *why)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "Guest '%s' %s", guest->config->name,
                why);
    return false;
}

// Whether the guest can be made smaller now.
static bool is_preparable(const Controller *controller, const Guest *guest, GError **error)
{
    if (controller->mode == CONTROLLER_MODE_OBSERVE) {
        return refuse_preparation(error, guest,
                                  "cannot be prepared in mode observe, which moves nothing");
    }
    if (!guest_is_known(guest) || !guest_is_movable(guest)) {
        return refuse_preparation(error, guest, "cannot be moved");
    }
    if (!guest_is_fresh(guest, g_get_monotonic_time())) {
        return refuse_preparation(error, guest, "does not report, so that it is not shrunk");
    }
    return guest->ineffective
               ? refuse_preparation(error, guest, "frees nothing when it is ballooned")
               : true;
}

static bool is_prepared(const Claims *claims, const char *name)
{
    for (guint i = 0; i < claims->list->len; i++) {
        const Claim *claim = g_ptr_array_index(claims->list, i);
        if (claim->kind == CLAIM_PREPARATION && g_strcmp0(claim->name, name) == 0) {
            return true;
        }
    }
    return false;
}

int64_t controller_prepare(Controller *controller, const ClaimRequest *request, GError **error)
{
    Guest *guest = controller_find_guest(controller, request->name, error);
    if (!guest || !is_preparable(controller, guest, error)) {
        return 0;
    }
    if (is_prepared(&controller->claims, request->name)) {
        refuse_preparation(error, guest, "is prepared already");
        return 0;
    }
    return controller_reserve(controller, request, error);
}

bool controller_release(Controller *controller, int64_t id, GError **error)
{
    Claim *claim = claims_find(&controller->claims, id, error);
    if (!claim) {
        return false;
    }
    g_autoptr(GError) why =
        g_error_new_literal(PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "It was released meanwhile");
    tell(controller, claim, "is released");
    claims_fail(&controller->claims, claim, why);
    return true;
}

void controller_abandon(Controller *controller, const void *context)
{
    claims_abandon(&controller->claims, context);
    controller_plan_now(controller);
}

json_t *controller_view_claims(const Controller *controller, int64_t now_us)
{
    json_t *list = json_array();
    for (guint i = 0; i < controller->claims.list->len; i++) {
        json_array_append_new(list,
                              claim_view(g_ptr_array_index(controller->claims.list, i), now_us));
    }
    return list;
}

int64_t controller_reserved_bytes(const Controller *controller)
{
    return claims_reserved_bytes(&controller->claims);
}

// --- in a plan --------------------------------------------------------------------------------

// Where the guest stands among those observed; -1: it does not take part.
static int find_observed(const Controller *controller, const Claim *claim)
{
    const Guest *guest = g_hash_table_lookup(controller->by_name, claim->name);
    guint index;
    return guest && g_ptr_array_find(controller->observed, guest, &index) ? (int)index : -1;
}

// A target that was chosen stays, so that the guest can come to rest there; a guest that needs more
// is given it. False when it is pinned already, by the operator or for the controller's end.
static bool pin_prepared(Claim *claim, PolicyGuest *guest)
{
    const PolicyDemand *demand = &guest->demand;
    int64_t firm_bytes = policy_firm_bytes(demand);
    if (guest->pinned) {
        claim->bytes = guest->pinned_bytes;
        return false;
    }
    if (claim->bytes == 0 || firm_bytes > claim->bytes) {
        int64_t wanted_bytes = firm_bytes + demand->comfort_bytes;
        wanted_bytes -= wanted_bytes % POLICY_MIB;
        claim->bytes = policy_clamp(wanted_bytes, guest->min_bytes, guest->max_bytes);
    }
    if (demand->under_pressure) {
        claim->bytes = policy_max(claim->bytes, guest->target_bytes);
    }
    guest->pinned = true;
    guest->pinned_bytes = claim->bytes;
    return true;
}

void controller_claims_apply(Controller *controller, PolicyHost *host, PolicyGuest *guests,
                             size_t count)
{
    const Claims *claims = &controller->claims;
    for (guint i = 0; i < controller->observed->len; i++) {
        ((Guest *)g_ptr_array_index(controller->observed, i))->prepared = false;
    }
    for (guint i = 0; i < claims->list->len; i++) {
        Claim *claim = g_ptr_array_index(claims->list, i);
        int index = claim->kind == CLAIM_PREPARATION ? find_observed(controller, claim) : -1;
        if (index >= 0) {
            Guest *guest = g_ptr_array_index(controller->observed, index);
            guest->prepared = pin_prepared(claim, &guests[index]);
        }
    }
    if (claims->list->len == 0) {
        return;
    }
    host->budget_bytes = policy_max(host->budget_bytes - claims_reserved_bytes(claims), 0);
    host->budget_bytes -=
        policy_min(claims_wanted_bytes(claims), policy_reservable_bytes(host, guests, count));
}

// --- after a plan -----------------------------------------------------------------------------

static void settle_reservation(Controller *controller, Claim *claim, int64_t *free_bytes,
                               int64_t possible_bytes, int64_t now_us)
{
    if (claim->bytes <= *free_bytes) {
        *free_bytes -= claim->bytes;
        tell(controller, claim, "is granted");
        claims_grant(claim, claim->bytes, now_us);
    } else if (claim->bytes > possible_bytes) {
        tell(controller, claim, "cannot be had");
        claims_deny(&controller->claims, claim, possible_bytes, now_us);
    } else if (now_us >= claim->answer_by_us) {
        tell(controller, claim, "was not free in time");
        claims_deny(&controller->claims, claim, *free_bytes, now_us);
    }
}

static void settle_preparation(Controller *controller, Claim *claim, int64_t now_us)
{
    int index = find_observed(controller, claim);
    const Guest *guest = index >= 0 ? g_ptr_array_index(controller->observed, index) : NULL;
    if (!guest || !guest_is_movable(guest)) {
        g_autoptr(GError) error = g_error_new(PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                                              "Guest '%s' can no longer be moved", claim->name);
        tell(controller, claim, "cannot be had");
        claims_fail(&controller->claims, claim, error);
        return;
    }
    const Balloon *balloon = &guest->balloon;
    int64_t actual_bytes = balloon->actual_bytes;
    bool there = claim->bytes > 0 && balloon->state == BALLOON_SETTLED &&
                 ABS(balloon->target_bytes - claim->bytes) < PAGE_BYTES &&
                 actual_bytes <= claim->bytes + PAGE_BYTES;
    if (there) {
        tell(controller, claim, "is granted");
        claims_grant(claim, actual_bytes, now_us);
    } else if (now_us >= claim->answer_by_us || guest_state(guest, now_us) == GUEST_STATE_STALLED) {
        tell(controller, claim, "was not there in time");
        claims_deny(&controller->claims, claim, actual_bytes, now_us);
    }
}

// Nobody came for it.
static void expire(Controller *controller, Claim *claim)
{
    char size[SIZE_TEXT_SIZE];
    g_warning("%s %" G_GINT64_FORMAT " (%s, %s) has expired: nobody released it",
              claim_kind_name(claim->kind), claim->id, name_of(claim),
              size_format(claim->bytes, size));
    controller_emit("CLAIM_EXPIRED",
                    json_pack("{s:I, s:s, s:s*, s:I}", "id", (json_int_t)claim->id, "kind",
                              claim_kind_name(claim->kind), "name", claim->name, "bytes",
                              (json_int_t)claim->bytes),
                    controller);
    claims_remove(&controller->claims, claim);
    controller_plan_now(controller);
}

void controller_claims_settle(Controller *controller, int64_t budget_bytes,
                              const PolicyGuest *guests, size_t count, int64_t now_us)
{
    Claims *claims = &controller->claims;
    if (claims->list->len == 0 || controller->starting) {
        return;
    }
    int64_t least_bytes = policy_shortfall_bytes(&(PolicyHost){0}, guests, count);
    int64_t free_bytes =
        budget_bytes - claims_reserved_bytes(claims) - policy_held_bytes(guests, count);
    free_bytes = policy_max(free_bytes, 0);
    // In the order in which they were asked for; the list gets shorter on the way.
    for (guint i = 0; i < claims->list->len;) {
        Claim *claim = g_ptr_array_index(claims->list, i);
        guint before = claims->list->len;
        if (claim->granted) {
            if (now_us >= claim->expires_us) {
                expire(controller, claim);
            }
        } else if (claim->kind == CLAIM_PREPARATION) {
            settle_preparation(controller, claim, now_us);
        } else {
            int64_t possible_bytes = budget_bytes - claims_reserved_bytes(claims) - least_bytes;
            settle_reservation(controller, claim, &free_bytes, policy_max(possible_bytes, 0),
                               now_us);
        }
        i += claims->list->len == before;
    }
    timer_arm_by(controller->plan_timer, claims_deadline_us(claims));
}

void controller_claims_meet(Controller *controller, const Guest *guest)
{
    // What is found at the start was not started with a reservation.
    Claim *claim = controller->starting
                       ? NULL
                       : claims_find_for_guest(&controller->claims, guest->config->name);
    if (!claim) {
        return;
    }
    g_autoptr(GError) error = g_error_new(PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                                          "Guest '%s' has started meanwhile", guest->config->name);
    tell(controller, claim, "is over, its guest has come");
    claims_fail(&controller->claims, claim, error);
}
