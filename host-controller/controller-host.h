// SPDX-License-Identifier: Apache-2.0
//
// The host in the controller: when its memory is read, and what is done when it runs short
// (docs/host.md).
//
// Readings are taken by a timer of their own, a few guests at a time, and never while somebody
// waits for a plan.
#pragma once

#include "host-controller/controller-state.h"

// Sets up what readings need, for the host in controller->host; clears it away.
void controller_host_init(Controller *controller);
void controller_host_clear(Controller *controller);
// Takes over a new configuration; the reading under way starts anew.
void controller_host_configure(Controller *controller);

// A guest has become known: its memory is no longer others'.
void controller_host_meet(Controller *controller, Guest *guest);
