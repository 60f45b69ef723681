// SPDX-License-Identifier: Apache-2.0
//
// Thousands of guests as cheap as they can be, to load a controller with: a QMP monitor whose
// balloon is at its target at once, and an agent that reports when told to. For what may go wrong
// there are the fakes (fake-qemu.h, fake-agent.h); these do nothing wrong. Each socket takes one
// client, once.
//
// Everything happens within guest_farm_serve(), which needs a thread of its own for nothing.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestFarm GuestFarm;

// Listens for `count` guests of `size_bytes` each, with empty balloons; sockets in `folder`:
// NAME.qmp and NAME.agent, the names being g0, g1, ... Dies with a message when it cannot.
GuestFarm *guest_farm_new(const char *folder, int count, int64_t size_bytes);
void guest_farm_free(GuestFarm *farm);

// Makes one guest larger or smaller than the others, and fills its balloon up to `actual_bytes`,
// before anybody has connected.
void guest_farm_resize(GuestFarm *farm, int guest, int64_t size_bytes, int64_t actual_bytes);

// The [guest ...] sections of a controller's configuration. Free with g_free().
char *guest_farm_configuration(const GuestFarm *farm);

// Serves all guests until `until_us` (monotonic), or until any balloon command came in when
// `stop_at_command` is set.
void guest_farm_serve(GuestFarm *farm, int64_t until_us, bool stop_at_command);

// How many guests are subscribed to.
int guest_farm_reporting(const GuestFarm *farm);
// The descriptor of a guest's agent, for who wants to write there himself; -1: not connected.
int guest_farm_agent_fd(const GuestFarm *farm, int guest);
// Sends a report of the guest, `used_bytes` of which are in use. Does nothing when nobody reads.
void guest_farm_report(GuestFarm *farm, int guest, const char *reason, int64_t used_bytes);

// Balloon commands the guest has had, and when the last arrived (monotonic).
unsigned guest_farm_commands(const GuestFarm *farm, int guest);
int64_t guest_farm_commanded_us(const GuestFarm *farm, int guest);
