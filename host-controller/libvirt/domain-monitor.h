// SPDX-License-Identifier: Apache-2.0
//
// A libvirt domain as a QEMU's monitor: a socket that speaks QMP to one client at a time, as QEMU's
// own does.
//
// The monitor never says what it does not know. When libvirtd is away, or does not answer for the
// domain in time, it ends the connection and greets nobody until libvirt answers again: the
// controller then takes the guest for one whose QEMU is silent, which keeps what it holds and is
// sent nothing. An error instead would say that the guest has no balloon.
#pragma once

#include "host-controller/libvirt/call-pool.h"
#include "host-controller/libvirt/domain-xml.h"

#include <jansson.h>

typedef struct DomainMonitor DomainMonitor;

typedef struct DomainMonitorHandlers {
    // The domain's XML was read; NULL: it was to be, but could not (in time). Must not free the
    // monitor.
    void (*inspected)(const DomainXml *xml, void *context);
} DomainMonitorHandlers;

// Work and done functions of the pool that monitors are given.
void domain_monitor_work(virConnectPtr connection, void *call);
void domain_monitor_done(void *call);

// The monitor of the running domain with this UUID and id; it does not listen yet. `name` is what
// messages call it. `handlers` must outlive the monitor.
DomainMonitor *domain_monitor_new(CallPool *pool, const char *name, const char *uuid, int id,
                                  const DomainMonitorHandlers *handlers, void *context);
// Removes the socket. NULL does nothing.
void domain_monitor_free(DomainMonitor *monitor);

// Listens at `path`. False with a G_FILE_ERROR.
bool domain_monitor_listen(DomainMonitor *monitor, const char *path, GError **error);
bool domain_monitor_is_listening(const DomainMonitor *monitor);

// Whether libvirtd is there. At first it is.
void domain_monitor_set_available(DomainMonitor *monitor, bool available);
// Reads the domain's XML as soon as may be.
void domain_monitor_inspect(DomainMonitor *monitor);
// Sends an event to the client, if there is one; `data` is borrowed and may be NULL.
void domain_monitor_emit(DomainMonitor *monitor, const char *name, json_t *data);
