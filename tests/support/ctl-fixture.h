// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl's subcommands with a fake controller in a thread, which moves its one guest, "web1",
// a step with every look that is taken at it: nothing depends on time.
#pragma once

#include "host-controller/ctl/commands.h"
#include "protocol/json.h"
#include "tests/support/scratch.h"
#include "tests/support/socket-thread.h"

#define CTL_GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"

// How the fake controller behaves, and how its guest stands. To be read only when nobody asks it.
typedef struct FakeController {
    // How it behaves; set before it is asked.
    int64_t step_bytes;       // the guest moves this far before each look
    bool says_reached;        // by event
    const char *event_at_set; // sent when a target is set; NULL: none
    bool leaves_at_set;       // closes the connection then
    const char *held_by;      // the rule that keeps any target from being carried out; NULL: none
    const char *first_state;  // shown at the first look instead of the true one
    bool denies;              // whatever is reserved or prepared
    json_t *last_claim;       // the arguments of the last such command, owned; NULL: none
    // How it stands.
    int64_t actual_bytes;
    int64_t target_bytes;
    bool pinned;
    bool looked_at; // since the last answer
    int looks_since_auto;
    int fd;
    bool gone;
} FakeController;

// A subcommand's surroundings: a socket to connect to, and what it wrote.
typedef struct CtlFixture {
    Scratch scratch;
    char *path;
    FakeController fake;
    SocketThread *server;
    CtlContext context;
    char *out; // of context.out, once flushed
    size_t out_length;
    char *err;
    size_t err_length;
} CtlFixture;

// Set-up and tear-down of a cmocka test whose whole state is a CtlFixture.
int ctl_fixture_set_up(void **state);
int ctl_fixture_tear_down(void **state);

// Serves clients in another way from now on; the context is NULL.
void ctl_fixture_serve(CtlFixture *fixture, SocketThreadServe *serve);

// Runs a subcommand with up to two arguments and checks its exit code and what it said; NULL:
// anything.
void ctl_fixture_assert_runs(CtlFixture *fixture, CtlCommand *command, const char *first,
                             const char *second, CtlExit exit, const char *out, const char *err);
