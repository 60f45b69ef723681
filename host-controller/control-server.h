// SPDX-License-Identifier: Apache-2.0
//
// The control sockets: the controller as a QMP server, for aerostatctl, qmp-shell and any QMP
// library. Shapes: protocol/controller.json.
//
// There are two: one for who may steer, and one that only tells, for who may look. Each has its own
// group, and its own limit of clients: no onlooker can lock the operator out.
#pragma once

#include "host-controller/controller.h"

typedef struct ControlServer ControlServer;

// Where to listen.
typedef struct ControlSockets {
    const char *path;
    const char *group;          // NULL: that of the process
    const char *readonly_path;  // NULL: nowhere
    const char *readonly_group; // NULL: that of the process
} ControlSockets;

// Listens (mode 0660) and serves `controller`, whose events it passes on. `quit` is called when a
// client asks the controller to end. Both must outlive the server. NULL with a G_FILE_ERROR when it
// cannot listen at `path`; that it cannot at `readonly_path`, or has no right to give a socket to a
// group, is logged.
ControlServer *control_server_new(const ControlSockets *sockets, Controller *controller,
                                  void quit(void *context), void *context, GError **error);
// Closes all connections and removes the sockets. NULL does nothing.
void control_server_free(ControlServer *server);

// Events that were dropped because a client did not read them, since the start.
uint64_t control_server_dropped_events(const ControlServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ControlServer, control_server_free)
