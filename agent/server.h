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
// subscription nothing is sampled and nothing wakes up. A report takes no memory: where it is made
// stays, and a client that reads leaves nothing to be kept.
#pragma once

#include "agent/sampler.h"
#include "protocol/transport/line-channel.h"

// What a subscriber may ask for, and gets when it does not ask. A sample costs about 0.1 ms: ten a
// second are 0.1 % of a processor. A second without a report is what a host may take for the first
// sign of a lost guest, and one wake-up a second is what a quiet guest can be expected to bear.
#define AGENT_INTERVAL_MS 100
#define AGENT_INTERVAL_MIN_MS 10
#define AGENT_INTERVAL_MAX_MS 10000
#define AGENT_HEARTBEAT_MS 1000
#define AGENT_HEARTBEAT_MIN_MS 100
#define AGENT_HEARTBEAT_MAX_MS 3600000

typedef struct AgentServer AgentServer;

typedef struct AgentServerSettings {
    const char *root; // the kernel's files are below it; "" for the running system
    // A subscription gets no shorter times than these, whatever it asks for.
    int64_t interval_ms;
    int64_t heartbeat_ms;
} AgentServerSettings;

// The client is gone and its descriptor closed; another may be served at once. `end` is CLOSED or
// ERROR, `message` says what happened.
typedef void AgentServerEnded(void *context, LineChannelEnd end, const char *message);

// A server without a client. Makes a first report and throws it away, so that all memory and code
// that one needs has been touched. `sampler` and the settings' root must outlive the server.
AgentServer *agent_server_new(Sampler *sampler, const AgentServerSettings *settings);
// Drops the client without a word. NULL does nothing.
void agent_server_free(AgentServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentServer, agent_server_free)

// Serves the client at the non-blocking `fd`, which it takes over, in the thread-default main
// context. There must be no client at present. `ended` is called from the loop, at most once.
void agent_server_serve(AgentServer *server, int fd, AgentServerEnded *ended, void *context);
