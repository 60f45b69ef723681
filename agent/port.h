// SPDX-License-Identifier: Apache-2.0
//
// Keeps a virtio-serial port served, whatever becomes of it.
//
// A port is missing until QEMU has one of that name; its host side is closed or open, as somebody
// on the host listens to it; it can be unplugged at any time. On a port whose host side is closed
// read() returns 0 and poll() says POLLHUP for as long as it lasts. The descriptor is kept open all
// the same (closing it would tell the host that the agent is gone) and watched edge-triggered: the
// kernel's driver wakes its waiters whenever the host side opens or closes, or the port goes.
//
//   MISSING --opened--> CLOSED --host side opened--> SERVED
//      ^                  | ^------ client gone ------|
//      |---- unplugged ---|------- read error --------|
//
// Two things no guest can see or mend, with Linux 6.1:
// - The host side closed and opened again before this process looked: the new client meets the
//   former one's subscription and half a line, until its sync ends both.
// - A guest suspended while the port is full, as the client does not read: the driver holds the
//   port to be full from then on, and nothing can be written before it is unplugged.
//
// Source: Linux drivers/char/virtio_console.c.
#pragma once

#include "agent/server.h"

// The port served unless another is asked for.
#define PORT_DEFAULT_NAME "org.aerostat.memory.0"

typedef struct Port Port;

// Finds the port called `name` below `root` ("" for the running system): the path udev gave it, or
// the device node that sysfs tells. NULL when there is none. Free with g_free().
char *port_find(const char *root, const char *name);

// Serves the port called `name`, or the device at `name` if it has a slash, as soon as there is
// one, in the thread-default main context. Says on stderr what becomes of it. `server` must outlive
// the port.
Port *port_new(const char *name, AgentServer *server);
// NULL does nothing.
void port_free(Port *port);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Port, port_free)
