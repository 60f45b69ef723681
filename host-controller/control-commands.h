// SPDX-License-Identifier: Apache-2.0
//
// The commands of the control socket. They know the controller and nothing of sockets.
#pragma once

#include "host-controller/control-later.h"
#include "protocol/qmp.h"

// What a command works on: the context of its handler.
typedef struct ControlContext {
    Controller *controller;
    bool read_only;       // the client came through the socket that only tells
    bool negotiated;      // of this client
    uint64_t events;      // those it wants to hear of (control-events.h)
    uint64_t events_lost; // because it did not read them
    bool quit;            // set when the controller is asked to end, once the answer is sent
    ControlLater *later;
} ControlContext;

// All commands; the last has a NULL name.
extern const QmpCommand control_commands[];

// Before the capabilities are negotiated nothing but qmp_capabilities is accepted, and afterwards
// anything but it; of a read-only client nothing that changes more than its own connection.
bool control_gate(void *context, const QmpCommand *command, const char *name, GError **error);
