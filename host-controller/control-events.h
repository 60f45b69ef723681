// SPDX-License-Identifier: Apache-2.0
//
// The events of the control socket, as the bits of a mask: a client says which it wants to hear.
#pragma once

#include <stdint.h>

// All events (protocol/controller.json has their data); the last is NULL.
extern const char *const control_event_names[];

#define CONTROL_EVENTS_ALL UINT64_MAX

// Tells a client that it was too slow for some. It is sent whatever the mask.
#define CONTROL_EVENTS_LOST "EVENTS_LOST"

// The bit of the event `name`, or 0 when there is none.
uint64_t control_event_bit(const char *name);
