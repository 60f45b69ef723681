// SPDX-License-Identifier: Apache-2.0
//
// The real aerostat-controller as a child process, with fake guests around it in the test's own
// main loop and a connection to its control socket.
//
// Whatever the test does, the rig adds up what the guests hold or have been promised, at every
// command and every step of a balloon: `most_held_bytes` is never to exceed the budget.
#pragma once

#include "tests/support/fake-agent.h"
#include "tests/support/fake-qemu.h"
#include "tests/support/line-client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#define GIB (INT64_C(1) << 30)

typedef struct RigGuest {
    char *name;
    char *qmp_path;
    char *agent_path;
    char *keys; // more lines of its group; NULL: it has none, and is to be found
    FakeQemu *qemu;
    FakeAgent *agent; // NULL: it has none
} RigGuest;

typedef struct Rig {
    Scratch scratch;
    char *program;
    char *config_path;
    char *socket_path;
    char *log_path;
    char *directory;   // in which guests are found; not made by itself
    char *host_root;   // where the controller has its /proc and /sys; NULL: the running system's
    GPtrArray *guests; // RigGuest*
    Process *controller;
    LineClient control;
    GQueue events; // json_t *, as they came
    int64_t next_id;
    int64_t most_held_bytes;
} Rig;

// Set-up and tear-down of a test whose state is a Rig. The latter fails the test when the
// controller runs and does not end cleanly, and shows what it said.
int rig_set_up(void **state);
int rig_tear_down(void **state);

// Adds a guest of 1 GiB called `name` whose balloon leaves it `actual_bytes`; before the start.
// `keys` (may be NULL) are further lines of its group in the configuration.
RigGuest *rig_add(Rig *rig, const char *name, int64_t actual_bytes, const char *keys);
// Adds a guest of 1 GiB that is not configured but lies in the directory, at any time. Without an
// agent unless rig_add_agent() gives it one.
RigGuest *rig_add_found(Rig *rig, const char *name, int64_t actual_bytes);
void rig_add_agent(RigGuest *guest);
// Ends the guest; nothing of it is left.
void rig_end_guest(Rig *rig, RigGuest *guest);
// Writes the configuration: mode balance, the budget, the guests added so far, and `more` (may be
// NULL).
void rig_configure(Rig *rig, int64_t budget_bytes, const char *more);
// Starts the controller and connects to it.
void rig_start(Rig *rig);
// Gives the controller a host of its own (tests/support/fake-host.h); before the start.
void rig_use_host(Rig *rig, const char *root);
// Configures, starts, and waits until every guest is known and every agent reports.
void rig_run(Rig *rig, int64_t budget_bytes);

// A guest that has much (1000 MiB) and one that will be short (300 MiB).
typedef struct RigPair {
    RigGuest *giver;
    RigGuest *taker;
} RigPair;

// Adds the two and runs.
RigPair rig_start_pair(Rig *rig, int64_t budget_bytes);
// Whether every guest's QEMU and agent are connected.
bool rig_is_complete(const Rig *rig);
// Kills the controller at once.
void rig_kill(Rig *rig);
// Ends the controller in good order; its exit status.
int rig_stop(Rig *rig);
// Sends the controller a signal.
void rig_signal(Rig *rig, int number);
// What the controller has said so far; free with g_free().
char *rig_log(const Rig *rig);
// Whether `text` is part of that.
bool rig_has_said(const Rig *rig, const char *text);
// The most memory the controller ever had resident.
int64_t rig_peak_bytes(const Rig *rig);

// Executes a command on the control socket; takes over `arguments`. Returns the value of "return"
// (new reference); an error fails the test.
json_t *rig_ask(Rig *rig, const char *command, json_t *arguments);
// Executes a command that is to fail; its error's description; free with g_free().
char *rig_ask_in_vain(Rig *rig, const char *command, json_t *arguments);
// The guest as query-guest shows it. New reference.
json_t *rig_query_guest(Rig *rig, const RigGuest *guest);
// Whether the controller has taken the last report that the guest's agent has made.
bool rig_has_heard_all(Rig *rig, const RigGuest *guest);
// Member `name` of the guest as query-guest shows it, a text (or "" when it is absent); interned.
const char *rig_guest_text(Rig *rig, const RigGuest *guest, const char *name);
// The most the guest may hold, as the last plan counted with it.
int64_t rig_ceiling_bytes(Rig *rig, const RigGuest *guest);
// Whether an event called `name` came (for `guest`, unless that is NULL) since the last call for
// it; drops the events before it.
bool rig_had_event(Rig *rig, const char *name, const RigGuest *guest);

// How many `balloon` commands all guests got so far.
unsigned rig_balloon_commands(const Rig *rig);
// How many plans the controller has made.
int64_t rig_plans(Rig *rig);
// Waits until the controller has made two more plans: the first may have been on its way, the
// second knows all that it was told before.
void rig_wait_for_plans(Rig *rig);

// Of a calm that is waited for; all zero to begin with.
typedef struct RigCalm {
    int64_t since_us; // no command has come since
    int64_t plans;    // made by soon afterwards; 0: not looked at yet
} RigCalm;

// Whether no `balloon` command has come for `calm_us`, though the controller went on making plans:
// one that did not get to run is not taken for one that has nothing to send.
bool rig_is_calm(Rig *rig, RigCalm *calm, int64_t calm_us);
// Waits for that.
void rig_wait_until_calm(Rig *rig, int64_t calm_us);
