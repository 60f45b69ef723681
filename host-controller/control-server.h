// SPDX-License-Identifier: Apache-2.0
//
// The control socket: the controller as a QMP server, for aerostatctl, qmp-shell and any QMP
// library. Shapes: protocol/controller.json.
#pragma once

#include "host-controller/controller.h"

typedef struct ControlServer ControlServer;

// Listens at `path` (mode 0660) and serves `controller`, whose events it passes on. `quit` is
// called when a client asks the controller to end. Both must outlive the server. NULL with a
// G_FILE_ERROR.
ControlServer *control_server_new(const char *path, Controller *controller,
                                  void quit(void *context), void *context, GError **error);
// Closes all connections and removes the socket. NULL does nothing.
void control_server_free(ControlServer *server);

// Events that were dropped because a client did not read them, since the start.
uint64_t control_server_dropped_events(const ControlServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ControlServer, control_server_free)
