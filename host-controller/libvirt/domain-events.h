// SPDX-License-Identifier: Apache-2.0
//
// What libvirt tells of a domain, as the events that QEMU's own monitor would have told the
// controller.
//
// Source: libvirt, virDomainEventID and the details of each; QEMU, qapi/run-state.json,
// qapi/migration.json.
#pragma once

#include <libvirt/libvirt.h>

#include <jansson.h>
#include <stdbool.h>

// All functions are called in libvirt's event thread.
typedef struct DomainEventHandlers {
    // A QMP event; `name` is a literal, the reference to `data` (may be NULL) is handed over.
    void (*qmp)(virDomainPtr domain, const char *name, json_t *data, void *context);
    // A device came or went: the domain's XML is another one.
    void (*devices)(virDomainPtr domain, void *context);
    // A domain was started or ended.
    void (*domains)(void *context);
} DomainEventHandlers;

// How many kinds of events are followed.
#define DOMAIN_EVENT_KINDS 8

// The first two members are the owner's to set, once: libvirt's thread reads them.
typedef struct DomainEvents {
    const DomainEventHandlers *handlers;
    void *context;
    virConnectPtr connection;
    int callbacks[DOMAIN_EVENT_KINDS]; // -1: this libvirtd does not tell of them
} DomainEvents;

// Follows the events of all domains of `connection`, until domain_events_end(). `events` must live
// as long as the process: a last event may still be on its way then. False when libvirtd does not
// even tell of domains that start and end.
bool domain_events_begin(DomainEvents *events, virConnectPtr connection);
void domain_events_end(DomainEvents *events);
