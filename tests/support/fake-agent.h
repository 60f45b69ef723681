// SPDX-License-Identifier: Apache-2.0
//
// A fake guest agent for tests, at the host's end of its port as QEMU's chardev presents it, in the
// thread-default main context of the test itself. Hundreds of them are no burden.
//
// It speaks the guest wire and pushes reports made from a small model of a guest, at the cadence it
// was asked for and at once when the guest's need changes; and it can misbehave in all the ways a
// guest can.
#pragma once

#include "tests/support/fake-guest.h"

typedef struct FakeAgent FakeAgent;

// Serves the agent of `qemu`'s guest at `path`. Both fakes live as long as each other.
FakeAgent *fake_agent_new(const char *path, FakeQemu *qemu);
// NULL does nothing.
void fake_agent_free(FakeAgent *agent);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeAgent, fake_agent_free)

// The guest that is reported of.
FakeGuest *fake_agent_guest(FakeAgent *agent);
// Its processes want `goal_bytes` from now on, as fast as `bytes_per_s`.
void fake_agent_grow(FakeAgent *agent, int64_t goal_bytes, int64_t bytes_per_s);

// Whether a client has subscribed.
bool fake_agent_is_subscribed(const FakeAgent *agent);
// How many reports were pushed, how many clients there have been.
unsigned fake_agent_reports(const FakeAgent *agent);
unsigned fake_agent_connections(const FakeAgent *agent);
// How many commands called `name` came.
unsigned fake_agent_count(const FakeAgent *agent, const char *name);

// Pushes a report now, if a client has subscribed.
void fake_agent_report(FakeAgent *agent, MemoryReportReason reason);

// --- misbehaving ------------------------------------------------------------------------------

// Silent: it hears nothing and says nothing, though the connection stays.
void fake_agent_set_silent(FakeAgent *agent, bool silent);
// It has forgotten that anybody subscribed, as one that went back to a snapshot.
void fake_agent_forget(FakeAgent *agent);
// Everything it says comes this much later.
void fake_agent_set_delay(FakeAgent *agent, int64_t delay_us);
// It says `value` for `field` from now on, whatever is true.
void fake_agent_lie(FakeAgent *agent, MemoryReportField field, int64_t value);
void fake_agent_stop_lying(FakeAgent *agent);
// It has only a stock guest agent's commands.
void fake_agent_set_stock(FakeAgent *agent, bool stock);
// Pushes that many reports at once.
void fake_agent_flood(FakeAgent *agent, unsigned reports);
// Sends bytes unasked.
void fake_agent_send(FakeAgent *agent, const char *bytes, size_t length);
// Ends the connection; another may be made.
void fake_agent_drop_client(FakeAgent *agent);
// Nobody listens any more; somebody does again.
void fake_agent_close(FakeAgent *agent);
void fake_agent_open(FakeAgent *agent);
