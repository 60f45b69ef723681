// SPDX-License-Identifier: Apache-2.0
//
// The controller's plans: when one is due, what is known for it, and what follows from it.
#include "host-controller/controller-claims.h"
#include "host-controller/controller-host.h"

// Changes that are not urgent are planned together, once in this time at most.
#define PLAN_SPACING_US INT64_C(100000)
// Without any change: pauses end, stalled guests are tried again, the host's memory is looked at.
#define PLAN_IDLE_US INT64_C(1000000)

// After its start the controller moves nothing until every guest has reported, but no longer than
// this: a plan that knows only half the guests would squeeze that half for the other.
#define START_GRACE_US POLICY_FRESH_US

// And what it finds then it takes as it is until somebody is short of memory, but no longer than
// this: what the former controller knew of guests' bursts would be forgotten by now.
#define ADOPT_US INT64_C(30000000)

// Giving everything back at the end takes no longer than this; what is under way then arrives
// without us.
#define RELEASE_DEADLINE_US INT64_C(10000000)

// --- planning ---------------------------------------------------------------------------------

// A QEMU that has not told its size is planned around with what its process holds. Comes last, so
// that the others stand beside their guests.
static void observe_silent(Controller *controller, int64_t now_us)
{
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        int64_t held_bytes = guest_is_known(guest) ? 0 : guest_silent_bytes(guest, now_us);
        if (held_bytes > 0) {
            PolicyGuest observation = {
                .size_bytes = held_bytes,
                .actual_bytes = held_bytes,
                .target_bytes = held_bytes,
                .ceiling_bytes = held_bytes,
                .max_bytes = held_bytes,
                .weight = 1,
                .bound = POLICY_BOUND_UNMANAGED,
            };
            g_array_append_val(controller->observations, observation);
            g_ptr_array_add(controller->silent, guest);
        }
    }
}

// A guest takes part in a plan for the first time since its QEMU started.
static void meet(Controller *controller, Guest *guest)
{
    guest->met = true;
    controller_host_meet(controller, guest);
    controller_claims_meet(controller, guest);
}

static void observe_guests(Controller *controller, int64_t now_us)
{
    g_array_set_size(controller->observations, 0);
    g_ptr_array_set_size(controller->observed, 0);
    g_ptr_array_set_size(controller->silent, 0);
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest_is_known(guest)) {
            if (!guest->met) {
                meet(controller, guest);
            }
            PolicyGuest observation;
            guest_observe(guest, &observation, now_us);
            g_array_append_val(controller->observations, observation);
            g_ptr_array_add(controller->observed, guest);
        }
    }
    observe_silent(controller, now_us);
}

static void tell_overcommitment(Controller *controller, int64_t budget_bytes,
                                int64_t shortfall_bytes, const char *name)
{
    int64_t needed_bytes = budget_bytes + shortfall_bytes;
    char needed[SIZE_TEXT_SIZE];
    char budget[SIZE_TEXT_SIZE];
    g_warning("the guests need %s at least, the budget is %s%s%s",
              size_format(needed_bytes, needed), size_format(budget_bytes, budget),
              name ? "; best moved away: " : "", name ? name : "");
    controller_emit("HOST_OVERCOMMITTED",
                    json_pack("{s:I, s:I, s:I, s:s*}", "needed", (json_int_t)needed_bytes, "budget",
                              (json_int_t)budget_bytes, "shortfall", (json_int_t)shortfall_bytes,
                              "best-moved", name),
                    controller);
}

static void check_overcommitment(Controller *controller, const PolicyHost *host)
{
    const PolicyGuest *guests = (const PolicyGuest *)controller->observations->data;
    int64_t shortfall_bytes = policy_shortfall_bytes(host, guests, controller->observations->len);
    bool overcommitted = shortfall_bytes > 0;
    if (overcommitted && !controller->overcommitted) {
        size_t best = policy_best_to_move(guests, controller->observed->len, shortfall_bytes);
        const Guest *guest =
            best < controller->observed->len ? g_ptr_array_index(controller->observed, best) : NULL;
        tell_overcommitment(controller, host->budget_bytes, shortfall_bytes,
                            guest ? guest->config->name : NULL);
    }
    controller->overcommitted = overcommitted;
}

// Ends the start once, when nobody is awaited any more.
static void check_start(Controller *controller, int64_t now_us)
{
    for (guint i = 0; i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest_is_awaited(guest) && now_us - controller->started_us < START_GRACE_US) {
            return;
        }
    }
    controller->starting = false;
}

// Counts the plan made at `now_us`, and how long the reports that it answered had waited for its
// commands. A report that led to none was not answered late. Returns whether there were commands.
static bool tally_plan(Controller *controller, int64_t now_us)
{
    bool sent = false;
    for (guint i = 0; i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        sent |= guest->commanded_us == now_us;
    }
    int64_t done_us = g_get_monotonic_time();
    for (guint i = 0; i < controller->guests->len; i++) {
        Guest *guest = g_ptr_array_index(controller->guests, i);
        if (guest->unanswered_us && sent) {
            metrics_histogram_add(&controller->tally.reaction, done_us - guest->unanswered_us);
        }
        guest->unanswered_us = 0;
    }
    controller->tally.plans++;
    return sent;
}

static void record_plan(Controller *controller, const PolicyHost *host, bool sent, int64_t now_us)
{
    for (guint i = 0; i < controller->observed->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->observed, i);
        controller_journal_guest(controller->journal, guest->config->name, &guest->history);
    }
    for (guint i = 0; i < controller->silent->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->silent, i);
        controller_journal_guest(controller->journal, guest->config->name, NULL);
    }
    JournalHost recorded = {
        .mode = controller->mode,
        .budget_bytes = host->budget_bytes,
        .total_bytes = host_memory(controller->host)->total_bytes,
        .adopting = host->adopting,
        .starting = controller->starting,
        .ending = controller->ended != NULL,
    };
    controller_journal_end(controller->journal, &recorded,
                           (const PolicyGuest *)controller->observations->data, sent, now_us);
}

// At the end everybody is to have all it may, and nobody less than it has.
static void ask_for_all(PolicyGuest *guests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PolicyGuest *guest = &guests[i];
        int64_t has_bytes = policy_max(guest->actual_bytes, guest->target_bytes);
        guest->fresh = guest->movable;
        guest->demand = (PolicyDemand){0};
        guest->max_bytes = policy_max(guest->max_bytes, has_bytes);
        guest->min_bytes = policy_max(guest->min_bytes, has_bytes);
        guest->pinned = true;
        guest->pinned_bytes = guest->max_bytes;
    }
}

static void finish_release(void *context);

static bool anything_moves(const Controller *controller)
{
    for (guint i = 0; i < controller->observed->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->observed, i);
        if (guest_is_movable(guest) && balloon_is_moving(&guest->balloon)) {
            return true;
        }
    }
    return false;
}

static void carry_out(Controller *controller, const PolicyGuest *guests, int64_t now_us)
{
    for (guint i = 0; i < controller->observed->len; i++) {
        bool sent = guest_follow(g_ptr_array_index(controller->observed, i), &guests[i],
                                 controller->plan.acts, now_us);
        controller->adopting &= !sent;
    }
    if (controller->ended && !anything_moves(controller)) {
        timer_arm(controller->release_timer, now_us);
    }
}

static void note_plan(Controller *controller, const PolicyHost *host, int64_t now_us)
{
    int64_t silent_bytes = 0;
    for (guint i = controller->observed->len; i < controller->observations->len; i++) {
        silent_bytes += g_array_index(controller->observations, PolicyGuest, i).ceiling_bytes;
    }
    controller->plan = (ControllerPlan){
        .made_us = now_us,
        .host = *host,
        .acts = controller->ended ||
                (controller->mode != CONTROLLER_MODE_OBSERVE && !controller->starting),
        .starting = controller->starting,
        .silent_bytes = silent_bytes,
        .guests = controller->observed,
    };
}

static void make_plan(void *context)
{
    Controller *controller = context;
    int64_t now_us = g_get_monotonic_time();
    observe_guests(controller, now_us);
    int64_t budget_bytes = controller_budget_bytes(controller);
    PolicyHost host = {
        .budget_bytes = budget_bytes,
        .reclaim = controller->mode == CONTROLLER_MODE_RECLAIM,
        .adopting = controller->adopting && now_us - controller->started_us < ADOPT_US,
    };
    PolicyGuest *guests = (PolicyGuest *)controller->observations->data;
    size_t count = controller->observations->len;
    if (controller->ended) {
        ask_for_all(guests, count);
    }
    controller_claims_apply(controller, &host, guests, count);
    controller_journal_begin(controller->journal, guests, count);
    policy_plan(&host, guests, count);
    if (!controller->ended) {
        check_overcommitment(controller, &host);
    }
    if (controller->starting) {
        check_start(controller, now_us);
    }
    note_plan(controller, &host, now_us);
    carry_out(controller, guests, now_us);
    bool sent = tally_plan(controller, now_us);
    record_plan(controller, &host, sent, now_us);
    timer_arm_by(controller->plan_timer, now_us + PLAN_IDLE_US);
    controller_claims_settle(controller, budget_bytes, guests, count, now_us);
}

static void on_guest_changed(Guest *guest, GuestUrgency urgency, void *context)
{
    (void)guest;
    Controller *controller = context;
    int64_t wait_us = urgency == GUEST_URGENCY_NOW ? 0 : PLAN_SPACING_US;
    timer_arm_by(controller->plan_timer, controller->plan.made_us + wait_us);
}

static void on_reported(const Guest *guest, const PolicySample *sample, void *context)
{
    Controller *controller = context;
    controller_journal_report(controller->journal, guest->config->name, sample);
}

static void on_reached(int64_t elapsed_us, void *context)
{
    Controller *controller = context;
    metrics_histogram_add(&controller->tally.handover, elapsed_us);
}

const GuestHandlers controller_guest_handlers = {
    .changed = on_guest_changed,
    .event = controller_emit,
    .reported = on_reported,
    .reached = on_reached,
};

void controller_plan_init(Controller *controller)
{
    controller->observations = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    controller->observed = g_ptr_array_new();
    controller->silent = g_ptr_array_new();
    controller->plan.guests = controller->observed;
    controller->plan_timer = timer_new(make_plan, controller);
    controller->release_timer = timer_new(finish_release, controller);
    controller->tally.reaction = metrics_histogram_of_reactions();
    controller->tally.handover = metrics_histogram_of_handovers();
}

void controller_plan_clear(Controller *controller)
{
    g_array_unref(controller->observations);
    g_ptr_array_unref(controller->observed);
    g_ptr_array_unref(controller->silent);
    timer_free(controller->plan_timer);
    timer_free(controller->release_timer);
}

void controller_plan_forget(Controller *controller)
{
    g_array_set_size(controller->observations, 0);
    g_ptr_array_set_size(controller->observed, 0);
    g_ptr_array_set_size(controller->silent, 0);
    controller->plan.silent_bytes = 0;
}

void controller_plan_now(Controller *controller)
{
    timer_arm_by(controller->plan_timer, 0);
}

// --- ending -----------------------------------------------------------------------------------

static void finish_release(void *context)
{
    Controller *controller = context;
    const PolicyGuest *guests = (const PolicyGuest *)controller->observations->data;
    int64_t withheld_bytes = 0;
    int64_t under_way_bytes = 0;
    for (guint i = 0; i < controller->observed->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->observed, i);
        const Balloon *balloon = &guest->balloon;
        withheld_bytes += policy_max(guests[i].max_bytes - guests[i].plan_bytes, 0);
        under_way_bytes += policy_max(balloon->target_bytes - balloon->actual_bytes, 0);
    }
    char withheld[SIZE_TEXT_SIZE];
    char under_way[SIZE_TEXT_SIZE];
    g_message("balloons released: %s withheld for lack of budget, %s still under way",
              size_format(withheld_bytes, withheld), size_format(under_way_bytes, under_way));
    controller->ended(controller->ended_context);
}

void controller_end(Controller *controller, void ended(void *context), void *context)
{
    bool releases =
        controller->config->release_on_exit && controller->mode != CONTROLLER_MODE_OBSERVE;
    if (controller->ended || !releases) {
        ended(context);
        return;
    }
    int64_t now_us = g_get_monotonic_time();
    controller->ended = ended;
    controller->ended_context = context;
    timer_arm(controller->release_timer, now_us + RELEASE_DEADLINE_US);
    timer_arm_by(controller->plan_timer, now_us);
}
