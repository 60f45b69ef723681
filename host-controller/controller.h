// SPDX-License-Identifier: Apache-2.0
//
// The controller: all guests of a host, one budget, and the loop from reports to targets.
//
// Whatever changes asks for a plan. A shortage asks for one now: it is made as soon as everything
// that has arrived with it has been read, so that many at once are planned together. Other changes
// wait for each other a few milliseconds, which bounds the work however many guests there are.
#pragma once

#include "host-controller/claims.h"
#include "host-controller/guest.h"
#include "host-controller/host.h"
#include "host-controller/journal/writer.h"
#include "host-controller/metrics-histogram.h"

typedef struct Controller Controller;

// What has happened since the start.
typedef struct ControllerTally {
    uint64_t plans;            // made
    MetricsHistogram reaction; // from a report of a shortage to the commands it led to being sent
    MetricsHistogram handover; // from setting a target until it was reached
} ControllerTally;

// The last plan: what it stood on. What it decided is in the guests (guest->plan).
typedef struct ControllerPlan {
    int64_t made_us; // 0: none was made yet
    PolicyHost host;
    bool acts;               // its targets were sent
    bool starting;           // the controller waits for guests it has not heard of yet
    int64_t silent_bytes;    // what QEMUs that have not told their size counted with
    const GPtrArray *guests; // Guest*: those that took part
} ControllerPlan;

// Receives an event of protocol/controller.json; the reference to `data` is handed over.
typedef void ControllerEventFunc(const char *name, json_t *data, void *context);

// Takes over `config`, which was read from `config_path`, and starts connecting to its guests. The
// host's memory is read in the files below `host_root` ("": the running system's). Returns NULL,
// leaving `config` alone, with a G_FILE_ERROR when it cannot be read.
Controller *controller_new(Config *config, const char *config_path, const char *host_root,
                           GError **error);
// Leaves every balloon as it is.
void controller_free(Controller *controller);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Controller, controller_free)

// Makes the controller ready for its end and calls `ended`, after which it may be freed. With
// on-exit=release every guest is first given what it may have, as far as the budget reaches and not
// for longer than ten seconds; no guest is shrunk any more. Otherwise, and when called once more,
// at once.
void controller_end(Controller *controller, void ended(void *context), void *context);

// Where events go from now on.
void controller_set_event_func(Controller *controller, ControllerEventFunc *function,
                               void *context);

// Reads the configuration anew. With a mistake in it the old one stays in force: CONFIG_ERROR.
bool controller_reload(Controller *controller, GError **error);

void controller_set_mode(Controller *controller, ControllerMode mode);
// Pins a guest's target (NULL: leaves it to the policy again). PROTOCOL_ERROR_REFUSED.
bool controller_set_target(Controller *controller, const char *name, const int64_t *bytes,
                           GError **error);

// Changes a guest's range or weight until the configuration is read again. PROTOCOL_ERROR_INVALID
// or PROTOCOL_ERROR_REFUSED.
bool controller_change_policy(Controller *controller, const char *name,
                              const GuestPolicyChange *change, GError **error);
// Adds a guest until the controller ends or it is removed; `guest` has a name and a monitor, and
// takes the settings it does not give from the configuration. PROTOCOL_ERROR_REFUSED when there is
// one of that name or with that monitor.
bool controller_add_guest(Controller *controller, const GuestConfig *guest, GError **error);
// Removes such a guest. PROTOCOL_ERROR_REFUSED when it was not added so, PROTOCOL_ERROR_INVALID.
bool controller_remove_guest(Controller *controller, const char *name, GError **error);
// Whether a guest is to be touched, whatever its configuration says (NULL: as that says).
// PROTOCOL_ERROR_INVALID.
bool controller_set_managed(Controller *controller, const char *name, const bool *managed,
                            GError **error);
// Asks for a reservation; for a preparation of the guest it names. Returns the claim's id; it is
// answered later, never before this returns. 0 with PROTOCOL_ERROR_INVALID or _REFUSED.
int64_t controller_reserve(Controller *controller, const ClaimRequest *request, GError **error);
int64_t controller_prepare(Controller *controller, const ClaimRequest *request, GError **error);
// Ends either. PROTOCOL_ERROR_INVALID.
bool controller_release(Controller *controller, int64_t id, GError **error);
// Whoever waits for an answer with this context no longer does.
void controller_abandon(Controller *controller, const void *context);
// A list of ClaimInfo. New reference.
json_t *controller_view_claims(const Controller *controller, int64_t now_us);
// What of the budget is kept free for guests to come.
int64_t controller_reserved_bytes(const Controller *controller);

// The guest, or NULL with PROTOCOL_ERROR_INVALID.
Guest *controller_find_guest(const Controller *controller, const char *name, GError **error);
// All guests (Guest*): those of the configuration in its order, then the others as they came.
const GPtrArray *controller_guests(const Controller *controller);

ControllerMode controller_mode(const Controller *controller);
const char *controller_config_path(const Controller *controller);
int64_t controller_started_us(const Controller *controller);
const ControllerPlan *controller_last_plan(const Controller *controller);
const ControllerTally *controller_tally(const Controller *controller);
int64_t controller_budget_bytes(const Controller *controller);
const Host *controller_host(const Controller *controller);
// What has come of the decision journal's lines; zeroes without one.
JournalTally controller_journal(const Controller *controller);
// Whether the least that the guests can be brought to is above the budget.
bool controller_is_overcommitted(const Controller *controller);
