// SPDX-License-Identifier: Apache-2.0
//
// Serves the guest wire on a unix socket instead of a port: for tests, for containers, and for
// QEMU's stock clients tried by hand.
//
// As on a port, one client is served at a time; the next waits in the socket's backlog until the
// present one has closed.
#pragma once

#include "agent/server.h"

typedef struct Listener Listener;

// Listens at `path`, readable and writable by this user only. NULL with a G_FILE_ERROR. `server`
// must outlive the listener.
Listener *listener_new(const char *path, AgentServer *server, GError **error);
// Stops listening and removes the socket. NULL does nothing.
void listener_free(Listener *listener);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)
