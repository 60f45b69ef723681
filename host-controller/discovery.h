// SPDX-License-Identifier: Apache-2.0
//
// Guests that are found rather than configured: those whose sockets lie in a directory.
//
// NAME.qmp is a guest's monitor: the guest is there as long as that is. NAME.agent, which may come
// and go, is its agent's port. NAME.pid, which need not be, is a text file with the process id of
// its QEMU, where that is not the process that listens at NAME.qmp. Each may be a symbolic link.
//
// Whoever may write to the directory decides what the controller connects to; a directory that
// everybody may write to is not looked into. The directory may come, go and come back.
//
// Source: inotify(7).
#pragma once

#include "host-controller/config.h"

typedef struct Discovery Discovery;

typedef struct DiscoveryHandlers {
    // A guest is there, or has got or lost its agent's port or process id. Its name and sockets are
    // its `found`'s, of origin GUEST_ORIGIN_FOUND and without settings; borrowed.
    void (*found)(const GuestConfig *found, void *context);
    // A guest is not there any more. One that is replaced by another of its name is lost first.
    void (*lost)(const char *name, void *context);
} DiscoveryHandlers;

// Prepares to watch the directory at `path`. `handlers` must outlive the discovery; none is called
// before discovery_start().
Discovery *discovery_new(const char *path, const DiscoveryHandlers *handlers, void *context);
// Looks into the directory, and goes on watching it, or for it.
void discovery_start(Discovery *discovery);
// Calls no handler. NULL does nothing.
void discovery_free(Discovery *discovery);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Discovery, discovery_free)

const char *discovery_path(const Discovery *discovery);
