// SPDX-License-Identifier: Apache-2.0
//
// Answers the QEMU guest-agent protocol and pushes memory reports: the agent's side of the guest
// wire (protocol/agent.json), over any descriptor.
//
// One client at a time, as a port has one other end. A new client starts with nothing of the former
// one: no subscription, no half a line, no unsent answer. An input that is no request is answered
// with an error and the connection stays; so is a line above LIMIT_REQUEST_LINE_BYTES. Lines of
// white space are ignored.
//
// Of reports that the client does not read, the newest replaces the one waiting. Without a
// subscription nothing is sampled and nothing wakes up.
#pragma once

#include "agent/sampler.h"
#include "protocol/transport/line-channel.h"

typedef struct AgentServer AgentServer;

// The client is gone and its descriptor closed; another may be served at once. `end` is CLOSED or
// ERROR, `message` says what happened.
typedef void AgentServerEnded(void *context, LineChannelEnd end, const char *message);

// A server without a client. `sampler` must outlive it.
AgentServer *agent_server_new(Sampler *sampler);
// Drops the client without a word. NULL does nothing.
void agent_server_free(AgentServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentServer, agent_server_free)

// Serves the client at the non-blocking `fd`, which it takes over, in the thread-default main
// context. There must be no client at present. `ended` is called from the loop, at most once.
void agent_server_serve(AgentServer *server, int fd, AgentServerEnded *ended, void *context);
