// SPDX-License-Identifier: Apache-2.0
//
// The commands of QEMU's monitor that the controller uses, carried out on a libvirt domain.
//
// Each is done with the call that libvirt has for it, none with virDomainQemuMonitorCommand(): so
// libvirt knows of every change, and the domain is not marked as tainted (custom-monitor). A
// command that is not in the table does not exist.
#pragma once

#include "host-controller/libvirt/domain-xml.h"
#include "protocol/qmp.h"

#include <libvirt/libvirt.h>

// What a command is carried out on, and what it finds out besides its answer.
typedef struct DomainTask {
    virDomainPtr domain;
    bool negotiated;  // the client has, so that it may go on
    bool unavailable; // the domain cannot be asked now: there is no answer
    bool xml_read;    // `xml` is what libvirt says now; the caller's to clear
    DomainXml xml;
} DomainTask;

// Marks a command whose answer an event may have made untrue while it was on its way.
#define DOMAIN_COMMAND_TELLS_STATE 1u

// Takes in that a call to libvirt failed, and returns NULL with `error` set: whether the domain
// cannot be asked at all, or that is libvirt's or QEMU's answer.
json_t *domain_commands_fail(DomainTask *task, GError **error);
// Reads the domain's live XML into `task`.
bool domain_commands_read_xml(DomainTask *task, GError **error);

// For qmp_serve_line(), with a DomainTask as context; capabilities negotiation included. They
// block.
extern const QmpCommand domain_commands[];
// Lets a client negotiate first, and only once.
bool domain_commands_gate(void *context, const QmpCommand *command, const char *name,
                          GError **error);
