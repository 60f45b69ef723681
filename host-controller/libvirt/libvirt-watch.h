// SPDX-License-Identifier: Apache-2.0
//
// Which domains run, and what happens to them, for as long as libvirtd lives and whenever it lives
// again.
//
// What runs is never put together from events: an event that a domain started or ended only leads
// to the whole list being asked for, which is also done every ten seconds. So no event that is lost
// or late has a lasting effect, and nothing is there twice.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <libvirt/libvirt.h>

typedef struct LibvirtWatch LibvirtWatch;

// A domain that runs.
typedef struct RunningDomain {
    char uuid[VIR_UUID_STRING_BUFLEN];
    int id; // another one each time it is started
    char *name;
} RunningDomain;

// All functions are called in the default main context.
typedef struct LibvirtWatchHandlers {
    // All domains that run (RunningDomain*), borrowed; libvirtd is there.
    void (*listed)(const GPtrArray *domains, void *context);
    // libvirtd, there until now or not found at the start, is not. `why` is a sentence.
    void (*lost)(const char *why, void *context);
    // An event of QMP; `data` is borrowed and may be NULL.
    void (*event)(const char *uuid, const char *name, json_t *data, void *context);
    // The domain's devices are others than before.
    void (*devices)(const char *uuid, void *context);
} LibvirtWatchHandlers;

// Starts to watch, in a thread of its own; connection_start() must have been called. Lives as long
// as the process, and so must `handlers` and `context`.
LibvirtWatch *libvirt_watch_new(const char *uri, const LibvirtWatchHandlers *handlers,
                                void *context);

// Asks for the list anew.
void libvirt_watch_look(LibvirtWatch *watch);
