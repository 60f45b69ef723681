// SPDX-License-Identifier: Apache-2.0
//
// One guest: its QEMU, its agent, its balloon, and what the policy knows of it.
//
// The guest gathers what is to be known and carries out what is decided; it decides nothing itself.
#pragma once

#include "host-controller/agent-link.h"
#include "host-controller/backoff.h"
#include "host-controller/balloon.h"
#include "host-controller/config.h"
#include "host-controller/policy/policy.h"
#include "host-controller/qmp-client.h"
#include "host-controller/stats-link.h"
#include "protocol/transport/timer.h"
#include "protocol/report.h"

typedef struct Guest Guest;

// How soon a change wants a plan.
typedef enum GuestUrgency {
    GUEST_URGENCY_SOON, // together with whatever else comes in the next moments
    GUEST_URGENCY_NOW,
} GuestUrgency;

typedef struct GuestHandlers {
    // Something changed that may lead to another plan.
    void (*changed)(Guest *guest, GuestUrgency urgency, void *context);
    // Something happened that clients of the control socket are told: an event of
    // protocol/controller.json. The reference to `data` is handed over.
    void (*event)(const char *name, json_t *data, void *context);
    // A report was taken into the guest's history and demand, as this sample.
    void (*reported)(const Guest *guest, const PolicySample *sample, void *context);
    // The guest's balloon reached its target, this long after it set out for it.
    void (*reached)(int64_t elapsed_us, void *context);
} GuestHandlers;

// Where a guest stands; the words of GuestState in protocol/controller.json.
typedef enum GuestState {
    GUEST_STATE_CONNECTING,
    GUEST_STATE_UNMANAGEABLE,
    GUEST_STATE_SETTLED,
    GUEST_STATE_SHRINKING,
    GUEST_STATE_GROWING,
    GUEST_STATE_STALLED,
    GUEST_STATE_AUTO_DEFLATED,
    GUEST_STATE_INEFFECTIVE,
    GUEST_STATE_PAUSED,
    GUEST_STATE_MIGRATING,
    GUEST_STATE_UNMANAGED,
    GUEST_STATE_COUNT
} GuestState;

// What an operator may change of a guest while the controller runs.
typedef struct GuestPolicy {
    RelativeSize min;
    RelativeSize max;
    int64_t weight;
} GuestPolicy;

// A change of a GuestPolicy, value by value.
typedef enum GuestChange {
    GUEST_CHANGE_NONE,
    GUEST_CHANGE_SET,
    GUEST_CHANGE_CONFIGURED, // back to what is configured
} GuestChange;

typedef struct GuestPolicyChange {
    GuestChange min;
    GuestChange max;
    GuestChange weight;
    int64_t min_bytes; // where they are to be set
    int64_t max_bytes;
    int64_t weight_value;
} GuestPolicyChange;

// Where a guest's demand stems from; the words of DemandSource in protocol/controller.json.
typedef enum GuestSource {
    GUEST_SOURCE_NONE,  // nothing is known of it
    GUEST_SOURCE_AGENT, // its agent's reports
    GUEST_SOURCE_STATS, // its balloon's statistics
    GUEST_SOURCE_COUNT
} GuestSource;

// Written by the files of guest*.c alone, but for socket, unanswered_us, met, counted and prepared;
// others read.
struct Guest {
    GuestConfig *config;
    GuestPolicy policy; // in force: as configured, unless it was changed since
    bool manage_is_set; // `managed` holds whatever config says
    bool managed;
    char *socket; // the monitor's path without links in it, by which the controller knows it
    const GuestHandlers *handlers;
    void *context;

    QmpClient *qmp;
    char *qmp_error;      // why its QEMU cannot be reached; NULL while it can
    pid_t pid;            // of the QEMU last connected; 0: unknown
    int64_t met_us;       // since when this QEMU, or none, has been there
    bool absent;          // nobody listens, and whether its process lives is looked at
    bool running;         // QEMU says that it runs the guest
    bool migrating;       // QEMU sends or receives it
    bool tells_migration; // QEMU was asked to emit MIGRATION
    bool acting;          // the last plan was one to act upon
    bool has_balloon;     // a balloon device answers
    bool balloon_known;   // or it is known that none does
    int64_t size_bytes;   // 0: not known
    int64_t life_us;      // when these were last asked for, but for the balloon
    Balloon balloon;
    bool target_in_doubt; // QEMU may not have the target; it is sent again
    bool asking;          // a query-balloon is on its way
    unsigned asked_at;    // balloon.commands when it was sent
    int64_t asked_us;     // when that was
    Timer *poll_timer;

    Backoff stall_backoff;
    int64_t stalled_until_us;  // 0: not stalled
    bool stalled_growing;      // it did not take what it was given, rather than not giving
    int64_t deflated_until_us; // it took memory back by itself, and keeps it until then

    int64_t resident_bytes; // of its QEMU, when last looked at; 0: not known
    int64_t resident_us;    // when that was
    bool verify_due;        // it has given memory back, and nobody has looked whether it came
    bool ineffective;       // none did: ballooning it frees nothing

    GuestSource source;
    int64_t news_us;       // when the guest last told of its memory, from there
    AgentLink *link;       // NULL: none was told of
    bool agent_given_up;   // there is none, or it has not reported for long
    Timer *fallback_timer; // until it is
    bool has_report;
    MemoryReport report;
    int64_t report_us; // when it arrived
    StatsLink *stats_link;
    BalloonStats stats; // the last; of use while they are the source
    int64_t stats_us;   // when they arrived
    int64_t stats_stall_us;
    int64_t step_floor_bytes; // not shrunk below before there are newer ones
    int64_t urgent_us;        // when it last asked for a plan at once
    int64_t unanswered_us;    // when a report of a shortage came that no plan has answered; 0: none
    Timer *stale_timer;
    PolicyHistory history;
    PolicyDemand demand;
    bool told_pressure;       // the last GUEST_PRESSURE said that it is under pressure
    int64_t told_pressure_us; // when that was

    bool pinned;
    int64_t pinned_bytes;
    bool planned;
    PolicyGuest plan;       // the last plan, with its reasons
    int64_t bound_since_us; // plans have been bound by the same since then

    bool met;      // it has taken part in a plan; the controller's, like the next two
    bool counted;  // its memory is not taken for others' when the host is read
    bool prepared; // pinned for somebody who wants it small and still

    uint64_t reports;     // taken so far
    uint64_t commands;    // `balloon` commands sent so far
    int64_t commanded_us; // when the last was
};

// The word of GuestState in protocol/controller.json.
const char *guest_state_name(GuestState state);
// The word of DemandSource in protocol/controller.json.
const char *guest_source_name(GuestSource source);

// Starts connecting to the guest's QEMU and agent. Copies `config`. `handlers` must outlive the
// guest; none is called before this returns.
Guest *guest_new(const GuestConfig *config, const GuestHandlers *handlers, void *context);
// Leaves the balloon as it is. Not to be called from a handler.
void guest_free(Guest *guest);

// Takes over new settings, another agent's port and another process id. False when the monitor is
// another one: then it is another guest.
bool guest_reconfigure(Guest *guest, const GuestConfig *config);

// Whether the guest may be touched.
bool guest_is_managed(const Guest *guest);
// Sets that; with NULL it is as configured again. A guest that may be touched again is taken as it
// is found.
void guest_set_managed(Guest *guest, const bool *managed);

GuestState guest_state(const Guest *guest, int64_t now_us);
// Whether the guest's QEMU has told its size and balloon, so that it takes part in plans.
bool guest_is_known(const Guest *guest);
// Whether what it told last is recent enough to act upon.
bool guest_is_fresh(const Guest *guest, int64_t now_us);
// Whether the guest may be sent a target at all.
bool guest_is_movable(const Guest *guest);
// Whether it has not been heard of yet but may soon be: its QEMU is not known, or its agent has not
// reported.
bool guest_is_awaited(const Guest *guest);
// The range of its target in bytes; the guest must be known.
void guest_limits(const Guest *guest, int64_t *min_bytes, int64_t *max_bytes);

// Pins the target at `bytes`, or with NULL leaves it to the policy again. PROTOCOL_ERROR_REFUSED
// when the guest cannot be moved or `bytes` is out of its range.
bool guest_pin(Guest *guest, const int64_t *bytes, GError **error);

// Changes range or weight until the configuration is read again. PROTOCOL_ERROR_INVALID or
// _REFUSED when it makes no sense; then nothing is changed.
bool guest_change_policy(Guest *guest, const GuestPolicyChange *change, GError **error);
// Whether range or weight are other than configured.
bool guest_policy_is_changed(const Guest *guest);

// Fills in what is known for a plan.
void guest_observe(const Guest *guest, PolicyGuest *observation, int64_t now_us);

// What a guest counts with in the sums of its host: all of its memory when it is not managed, what
// its process holds when its QEMU has not told.
typedef struct GuestHolding {
    int64_t actual_bytes;
    int64_t target_bytes;
    int64_t ceiling_bytes; // the most it may hold now
} GuestHolding;

GuestHolding guest_holding(const Guest *guest, int64_t now_us);

// Takes note of a plan, and with `act` sends the target if it differs from the one in force.
// Returns whether a new target was sent.
bool guest_follow(Guest *guest, const PolicyGuest *plan, bool act, int64_t now_us);

// What a QEMU that has not told its size yet is known to hold: what its process has resident. 0
// when not even that is known.
int64_t guest_silent_bytes(Guest *guest, int64_t now_us);

// --- between the files of guest*.c ---------------------------------------------------------------

// Begins to listen to what the guest tells of its memory, and ends that.
void guest_demand_init(Guest *guest);
void guest_demand_clear(Guest *guest);
// The agent is at another port, or with NULL at none.
void guest_replace_link(Guest *guest, const char *path);
// Whether the guest may be touched may have changed.
void guest_settings_changed(Guest *guest);
// Below this the guest is not shrunk before it has told anew; 0: as the plan has it.
int64_t guest_step_floor_bytes(const Guest *guest);

// Sends `balloon`; false when the monitor takes no command now.
bool guest_send_target(Guest *guest, int64_t target_bytes, int64_t now_us);
// Tells an event with the guest's name in it; takes over the reference to `data`.
void guest_emit(Guest *guest, const char *event, json_t *data);
// Something changed that may lead to another plan.
void guest_changed(Guest *guest, GuestUrgency urgency);
// The process of its QEMU: as it was told, or whoever listens at the monitor; 0: not known.
pid_t guest_pid(const Guest *guest);
// Asks QEMU for the balloon, and in what time it is asked again while nothing else happens.
void guest_ask_balloon(Guest *guest);
int64_t guest_poll_us(const Guest *guest);
// Whether its balloon is on a way that it is expected to go on with.
bool guest_is_watched(const Guest *guest);
// Forgets a QEMU nobody listens for, unless its process is known to live; looks again in a second.
void guest_check_absent(Guest *guest);
// Asks QEMU whether it runs the guest, whether it migrates it, and its size.
void guest_ask_life(Guest *guest);
// Asks QEMU for the size alone, which changes when memory is plugged in.
void guest_ask_size(Guest *guest);
// Drops what the guest said of itself.
void guest_forget_report(Guest *guest);
// QEMU may have another target than the guest was last sent: until it is sent one again, the guest
// counts with all its memory.
void guest_doubt_target(Guest *guest);
// What became of the targets it was sent means nothing for its balloon: that is another one.
void guest_forget_moves(Guest *guest);
// The guest starts anew with all its memory.
void guest_restart(Guest *guest);
// Looks whether what the guest gave back has come back to the host, if that is due.
void guest_verify_reclaim(Guest *guest, int64_t now_us);
// What QEMU's monitor is listened to with; the context is the guest.
extern const QmpClientHandlers guest_qmp_handlers;
