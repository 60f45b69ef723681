// SPDX-License-Identifier: Apache-2.0
#include "host-controller/view-plan.h"

static json_t *view_demand(const PolicyDemand *demand)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I}", "committed",
                     (json_int_t)demand->committed_bytes, "headroom",
                     (json_int_t)demand->headroom_bytes, "comfort",
                     (json_int_t)demand->comfort_bytes, "cache-share",
                     (json_int_t)demand->cache_share_bytes, "under-pressure",
                     demand->under_pressure, "burst", (json_int_t)demand->burst.bytes,
                     "burst-growth", (json_int_t)demand->burst.growth_bytes_per_s, "burst-us",
                     (json_int_t)demand->burst.lasts_us, "relief", (json_int_t)demand->relief_bytes,
                     "caution", (json_int_t)demand->caution_bytes);
}

static json_t *view_tiers(const PolicyGuest *guest)
{
    static const char *const names[POLICY_TIER_COUNT] = {
        [POLICY_TIER_USED] = "used",       [POLICY_TIER_HEADROOM] = "headroom",
        [POLICY_TIER_COMFORT] = "comfort", [POLICY_TIER_CACHE] = "cache",
        [POLICY_TIER_REST] = "rest",
    };
    json_t *view = json_object();
    for (int tier = 0; tier < POLICY_TIER_COUNT; tier++) {
        json_object_set_new(view, names[tier], json_integer(guest->tier_bytes[tier]));
    }
    return view;
}

json_t *view_planned(const PolicyGuest *guest, bool reported)
{
    json_t *view = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b}", "size", (json_int_t)guest->size_bytes,
        "actual", (json_int_t)guest->actual_bytes, "from", (json_int_t)guest->target_bytes,
        "ceiling", (json_int_t)guest->ceiling_bytes, "min", (json_int_t)guest->min_bytes, "max",
        (json_int_t)guest->max_bytes, "weight", (json_int_t)guest->weight, "movable",
        guest->movable, "fresh", guest->fresh, "pinned", guest->pinned);
    if (guest->pinned) {
        json_object_set_new(view, "pinned-at", json_integer(guest->pinned_bytes));
    }
    if (reported) {
        json_object_set_new(view, "demand", view_demand(&guest->wanted));
    }
    if (guest->movable && guest->fresh) {
        json_object_set_new(view, "tiers", view_tiers(guest));
    }
    json_object_set_new(view, "fair-share", json_integer(guest->fair_share_bytes));
    json_object_set_new(view, "due", json_integer(guest->due_bytes));
    json_object_set_new(view, "dead-band", json_integer(policy_dead_band_bytes(guest)));
    json_object_set_new(view, "spare", json_integer(guest->spare_bytes));
    if (guest->asked_from_bytes < INT64_MAX) {
        json_object_set_new(view, "asked-from", json_integer(guest->asked_from_bytes));
    }
    json_object_set_new(view, "target", json_integer(guest->plan_bytes));
    json_object_set_new(view, "bound-by", json_string(policy_bound_name(guest->bound)));
    return view;
}

static json_t *view_guest_plan(const Guest *guest, int64_t now_us)
{
    json_t *view = view_planned(&guest->plan, guest->has_report);
    json_object_set_new(view, "name", json_string(guest->config->name));
    json_object_set_new(view, "bound-for-us", json_integer(now_us - guest->bound_since_us));
    if (guest->has_report) {
        json_object_set_new(view, "report-age-us", json_integer(now_us - guest->report_us));
    }
    return view;
}

json_t *view_plan(const Controller *controller, const Guest *only, int64_t now_us)
{
    const ControllerPlan *plan = controller_last_plan(controller);
    json_t *guests = json_array();
    PolicyGuest sum = {
        .min_bytes = plan->silent_bytes,
        .actual_bytes = plan->silent_bytes,
        .ceiling_bytes = plan->silent_bytes,
        .plan_bytes = plan->silent_bytes,
        .fair_share_bytes = plan->silent_bytes,
    };
    for (guint i = 0; i < plan->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(plan->guests, i);
        sum.min_bytes += guest->plan.min_bytes;
        sum.actual_bytes += guest->plan.actual_bytes;
        sum.ceiling_bytes += guest->plan.ceiling_bytes;
        sum.plan_bytes += guest->plan.plan_bytes;
        sum.fair_share_bytes += guest->plan.fair_share_bytes;
        if (guest->planned && (!only || guest == only)) {
            json_array_append_new(guests, view_guest_plan(guest, now_us));
        }
    }
    return json_pack("{s:I, s:I, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
                     "number", (json_int_t)controller_tally(controller)->plans, "age-us",
                     (json_int_t)(plan->made_us ? now_us - plan->made_us : 0), "mode",
                     controller_mode_name(controller_mode(controller)), "acts", plan->acts,
                     "starting", plan->starting, "adopting", plan->host.adopting, "budget",
                     (json_int_t)plan->host.budget_bytes, "pool",
                     (json_int_t)policy_pool_bytes(&plan->host), "sum-min",
                     (json_int_t)sum.min_bytes, "sum-actual", (json_int_t)sum.actual_bytes,
                     "sum-ceiling", (json_int_t)sum.ceiling_bytes, "sum-fair-share",
                     (json_int_t)sum.fair_share_bytes, "sum-target", (json_int_t)sum.plan_bytes,
                     "silent", (json_int_t)plan->silent_bytes, "guests", guests);
}
