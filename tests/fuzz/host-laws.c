// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/host-laws.h"

#include <string.h>

static HostLawsGuest look_at(const Guest *guest)
{
    GuestHolding holding = guest_holding(guest, g_get_monotonic_time());
    return (HostLawsGuest){
        .guest = guest,
        .actual_bytes = holding.actual_bytes,
        .target_bytes = guest->balloon.target_bytes,
        .ceiling_bytes = holding.ceiling_bytes,
        .size_bytes = guest->size_bytes,
        .commands = guest->commands,
        .movable = guest_is_movable(guest),
        .restarted = guest->balloon.restarted,
    };
}

void host_laws_note(HostLaws *laws, const Controller *controller)
{
    const GPtrArray *guests = controller_guests(controller);
    g_assert_cmpuint(guests->len, <=, HOST_LAWS_MOST_GUESTS);
    laws->controller = controller;
    laws->count = guests->len;
    laws->reserved_bytes = controller_reserved_bytes(controller);
    laws->plans = controller_tally(controller)->plans;
    for (guint i = 0; i < guests->len; i++) {
        laws->guests[i] = look_at(g_ptr_array_index(guests, i));
    }
}

const HostLawsGuest *host_laws_find(const HostLaws *laws, const char *name)
{
    for (guint i = 0; i < laws->count; i++) {
        if (strcmp(laws->guests[i].guest->config->name, name) == 0) {
            return &laws->guests[i];
        }
    }
    return NULL;
}

// What was known of the guest before the step; NULL: there was no such guest.
static const HostLawsGuest *before_of(const HostLaws *laws, const Guest *guest)
{
    for (guint i = 0; i < laws->count; i++) {
        if (laws->guests[i].guest == guest) {
            return &laws->guests[i];
        }
    }
    return NULL;
}

// Memory plugged in moves the target along, whatever was commanded before it in the same step.
static bool was_commanded(const HostLawsGuest *before, const HostLawsGuest *after)
{
    return after->commands != before->commands && after->size_bytes == before->size_bytes;
}

// A guest that is out of its range and must not be moved stays where it is: as far as it was told
// or has come.
static void check_command(const HostLawsGuest *before, const HostLawsGuest *after)
{
    const Guest *guest = after->guest;
    int64_t target_bytes = after->target_bytes;
    int64_t min_bytes;
    int64_t max_bytes;
    guest_limits(guest, &min_bytes, &max_bytes);
    g_assert_true(before->movable || after->movable);
    g_assert_cmpint(target_bytes, >, 0); // QEMU takes none of 0
    g_assert_cmpint(target_bytes, <=,
                    MAX(max_bytes, MAX(before->target_bytes, after->actual_bytes)));
    g_assert_cmpint(target_bytes, >=, MIN(min_bytes, before->target_bytes));
    if (!guest_is_fresh(guest, g_get_monotonic_time())) {
        // One that was commanded and reset in the same step was commanded for where it was before.
        bool reset = !before->restarted && after->restarted;
        int64_t actual_bytes =
            reset ? MIN(before->actual_bytes, after->actual_bytes) : after->actual_bytes;
        // What is all of its memory, as QEMU says, takes nothing from it.
        int64_t least_bytes = MIN(before->target_bytes, actual_bytes);
        g_assert_cmpint(target_bytes, >=, MIN(least_bytes, guest->size_bytes));
    }
}

// While the controller adopts what it found, only a shortage moves anything.
static void check_plan(const ControllerPlan *plan)
{
    for (guint i = 0; i < plan->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(plan->guests, i);
        const PolicyGuest *seen = &guest->plan;
        bool stays = !seen->movable || !seen->fresh || seen->step_floor_bytes > 0 ||
                     (seen->demand.under_pressure && !seen->pinned);
        if (!stays && !plan->host.adopting) {
            g_assert_cmpint(seen->plan_bytes, <=, seen->max_bytes);
        }
    }
}

void host_laws_check(HostLaws *laws)
{
    const Controller *controller = laws->controller;
    HostLaws former = *laws;
    host_laws_note(laws, controller);
    if (laws->plans != former.plans) {
        check_plan(controller_last_plan(controller));
    }
    int64_t sum_bytes = laws->reserved_bytes;
    int64_t lawful_bytes = MIN(laws->reserved_bytes, former.reserved_bytes);
    for (guint i = 0; i < laws->count; i++) {
        const HostLawsGuest *after = &laws->guests[i];
        const HostLawsGuest *before = before_of(&former, after->guest);
        bool commanded = before && was_commanded(before, after);
        if (commanded) {
            check_command(before, after);
        }
        sum_bytes += after->ceiling_bytes;
        // What a guest does by itself is not the controller's doing.
        lawful_bytes +=
            commanded ? MAX(before->ceiling_bytes, after->actual_bytes) : after->ceiling_bytes;
    }
    g_assert_cmpint(sum_bytes, <=, MAX(controller_budget_bytes(controller), lawful_bytes));
}
