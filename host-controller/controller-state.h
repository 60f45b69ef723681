// SPDX-License-Identifier: Apache-2.0
//
// What the controller is made of. Between controller.c (configuration, steering),
// controller-guests.c (which guests there are), controller-plan.c (the plans and what follows from
// them), controller-host.c (the host's own memory) and controller-claims.c (room that is asked
// for); nobody else includes it.
#pragma once

#include "host-controller/controller-journal.h"
#include "host-controller/controller.h"
#include "host-controller/discovery.h"

#include "host-controller/ksm.h"
#include "host-controller/last-resort.h"
#include "protocol/transport/pressure-watch.h"
#include "protocol/transport/timer.h"

struct Controller {
    Config *config;
    char *config_path;
    ControllerMode mode;
    int64_t started_us;
    bool starting; // not every guest has been heard of
    bool adopting; // nothing has had to be moved yet
    ControllerEventFunc *event_func;
    void *event_context;

    GPtrArray *guests;      // Guest*
    GHashTable *by_name;    // to them; its names are the guests' own
    GHashTable *by_socket;  // likewise, by their monitors
    GHashTable *configured; // name to const GuestConfig*, of those that `config` has
    GHashTable *added;      // name to GuestConfig*, of those added at run time
    GHashTable *found;      // name to what controller-guests.c knows of those found
    Discovery *discovery;   // NULL: no directory is watched
    Timer *settle_timer;    // those found have another turn

    Host *host;
    Timer *host_timer;          // the next step of a reading of the host
    guint read_guests;          // guests that this reading has looked at
    int64_t reading_us;         // the time it has taken so far
    PolicyHostState host_state; // as last told of
    int64_t host_state_us;      // since when
    PressureWatch *host_watch;  // NULL: the kernel has no trigger for us
    PressureWatch *group_watch;
    Ksm *ksm;
    LastResort *last_resort;
    int64_t last_resort_us; // when it was last needed
    Claims claims;

    Timer *plan_timer;
    ControllerPlan plan;        // the last one
    GArray *observations;       // PolicyGuest: the working memory of a plan
    GPtrArray *observed;        // Guest*, beside it
    GPtrArray *silent;          // Guest*, beside the rest of it: what QEMU has not told is guessed
    ControllerJournal *journal; // NULL: none
    bool overcommitted;
    ControllerTally tally;

    void (*ended)(void *context); // NULL: the controller is not ending
    void *ended_context;
    Timer *release_timer;
};

// Tells an event of protocol/controller.json; takes over the reference to `data`.
void controller_emit(const char *name, json_t *data, void *controller);

// Sets up and clears away what the list of guests needs.
void controller_guests_init(Controller *controller);
void controller_guests_clear(Controller *controller);
// Brings the guests in line with the configuration.
void controller_guests_apply(Controller *controller);

// Sets up and clears away what plans need.
void controller_plan_init(Controller *controller);
void controller_plan_clear(Controller *controller);
// Forgets the guests of the last plan, which may go.
void controller_plan_forget(Controller *controller);
// The plan that is due next is made at once.
void controller_plan_now(Controller *controller);

// What guests tell the plans; the context is the controller.
extern const GuestHandlers controller_guest_handlers;
