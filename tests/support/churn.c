// SPDX-License-Identifier: Apache-2.0
#include "tests/support/churn.h"

#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
#define PAUSE_US (5 * MS_US)
#define CHECK_EVERY_US (5 * SECOND_US)

struct Churn {
    Rig *rig;
    int places;
    RigGuest **guests; // NULL: nobody is in that place
    ChurnFigures figures;
};

// --- one guest --------------------------------------------------------------------------------

static void start(Churn *churn, int place)
{
    g_autofree char *name = g_strdup_printf("fake-%d", place);
    RigGuest *guest = rig_add_found(churn->rig, name, GIB / 2);
    if (g_random_boolean()) {
        rig_add_agent(guest);
    } else if (g_random_boolean()) {
        fake_qemu_set_stats(guest->qemu, GIB / 8, 0);
    }
    churn->guests[place] = guest;
}

static void stop(Churn *churn, int place)
{
    rig_end_guest(churn->rig, churn->guests[place]);
    churn->guests[place] = NULL;
}

static void change_agent(RigGuest *guest)
{
    if (guest->agent) {
        g_clear_pointer(&guest->agent, fake_agent_free);
    } else {
        rig_add_agent(guest);
    }
}

static void act(Churn *churn)
{
    int place = g_random_int_range(0, churn->places);
    int dice = g_random_int_range(0, 10);
    if (!churn->guests[place]) {
        start(churn, place);
        churn->figures.started++;
    } else if (dice < 6) {
        stop(churn, place);
        churn->figures.stopped++;
    } else if (dice < 8) {
        stop(churn, place);
        start(churn, place);
        churn->figures.replaced++;
    } else {
        change_agent(churn->guests[place]);
        churn->figures.agents++;
    }
}

// --- who is there -----------------------------------------------------------------------------

static const json_t *find(const json_t *guests, const char *name)
{
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        if (strcmp(json_string_value(json_object_get(guest, "name")), name) == 0) {
            return guest;
        }
    }
    return NULL;
}

// Whether the controller knows the guest as it is.
static bool is_known(const json_t *guests, const RigGuest *guest)
{
    const json_t *known = find(guests, guest->name);
    if (!known || !fake_qemu_is_connected(guest->qemu)) {
        return false;
    }
    const char *agent = json_string_value(json_object_get(known, "agent"));
    return (strcmp(agent, "none") == 0) == !guest->agent &&
           (!guest->agent || fake_agent_is_subscribed(guest->agent));
}

// Whether it knows all who are there, and no fake guest who is not.
static bool knows_everybody(const Churn *churn)
{
    g_autoptr(json_t) guests = rig_ask(churn->rig, "query-guests", NULL);
    int fakes = 0;
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        const char *name = json_string_value(json_object_get(guest, "name"));
        fakes += g_str_has_prefix(name, "fake-") ? 1 : 0;
    }
    for (int i = 0; i < churn->places; i++) {
        if (churn->guests[i] && !is_known(guests, churn->guests[i])) {
            return false;
        }
        fakes -= churn->guests[i] ? 1 : 0;
    }
    return fakes == 0;
}

static void check(Churn *churn)
{
    ChurnFigures *figures = &churn->figures;
    int64_t began_us = g_get_monotonic_time();
    wait_for(knows_everybody(churn), PATIENCE_US);
    figures->slowest_check_us = MAX(figures->slowest_check_us, g_get_monotonic_time() - began_us);
    figures->checks++;
    figures->most_descriptors =
        MAX(figures->most_descriptors, process_descriptors(process_pid(churn->rig->controller)));
    figures->most_resident_bytes =
        MAX(figures->most_resident_bytes,
            process_status_bytes(process_pid(churn->rig->controller), "VmRSS"));
    g_queue_clear_full(&churn->rig->events, (GDestroyNotify)json_decref);
}

void churn_run(Churn *churn, int64_t duration_us)
{
    int64_t end_us = deadline_after(duration_us);
    int64_t check_us = deadline_after(CHECK_EVERY_US);
    while (deadline_left_us(end_us) > 0) {
        act(churn);
        wait_while(PAUSE_US);
        if (deadline_left_us(check_us) == 0) {
            check(churn);
            check_us = deadline_after(CHECK_EVERY_US);
        }
    }
    check(churn);
}

void churn_stop_all(Churn *churn)
{
    for (int i = 0; i < churn->places; i++) {
        if (churn->guests[i]) {
            stop(churn, i);
        }
    }
    check(churn);
}

// --- life -------------------------------------------------------------------------------------

Churn *churn_new(Rig *rig, int places)
{
    Churn *churn = g_new0(Churn, 1);
    churn->rig = rig;
    churn->places = places;
    churn->guests = g_new0(RigGuest *, (gsize)places);
    return churn;
}

void churn_free(Churn *churn)
{
    if (churn) {
        churn_stop_all(churn);
        g_free(churn->guests);
        g_free(churn);
    }
}

const ChurnFigures *churn_figures(const Churn *churn)
{
    return &churn->figures;
}
