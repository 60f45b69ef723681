// SPDX-License-Identifier: Apache-2.0
//
// Connections to libvirt that find out when nobody is at the other end any more.
#pragma once

#include <libvirt/libvirt.h>

// To be called once, before any connection: starts the thread that libvirt's timers and events run
// in, and keeps libvirt from writing to stderr.
void connection_start(void);

// Opens a connection; blocks. A libvirtd that does not answer on it for 8 s counts as gone: calls
// then return with an error. Returns NULL when nobody is there; virGetLastErrorMessage() says why.
virConnectPtr connection_open(const char *uri);
