// SPDX-License-Identifier: Apache-2.0
//
// The connection to one guest's agent: synchronises, asks what it can, subscribes, receives
// reports, and starts anew whenever the connection is lost or falls silent.
//
// Everything that arrives here was written by the guest and is taken as hostile.
#pragma once

#include "protocol/report.h"

typedef struct AgentLink AgentLink;

typedef struct AgentLinkHandlers {
    // The agent answered and will report.
    void (*connected)(AgentLink *link, const char *version, void *context);
    // A report arrived, decoded and checked for consistency with itself.
    void (*report)(AgentLink *link, const MemoryReport *report, void *context);
    // The agent, connected until now, is gone or silent; the link goes on trying.
    void (*lost)(AgentLink *link, const char *why, void *context);
} AgentLinkHandlers;

// The agent is asked to say something at least this often: a third of what keeps a guest fresh.
#define AGENT_LINK_HEARTBEAT_US INT64_C(1000000)

// Starts connecting to the socket of the agent's port at `path`. `handlers` must outlive the link.
// No handler is called before this returns.
AgentLink *agent_link_new(const char *path, const AgentLinkHandlers *handlers, void *context);
// Not to be called from a handler. NULL does nothing.
void agent_link_free(AgentLink *link);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentLink, agent_link_free)

// The agent may be another one: it is asked anew, on the same connection, unless it has just been.
// QEMU keeps the question while nobody has the port open, and whoever opens it next has it at once.
void agent_link_ask_anew(AgentLink *link);

// The guest was reset: its agent is another one, and nothing that the former one has said and is
// read only now is reported any more. The answer to a question asked from now on tells them apart.
void agent_link_restart(AgentLink *link);

// Whether the agent reports.
bool agent_link_is_connected(const AgentLink *link);

// Why the agent does not report; NULL while it does, or when nothing has been tried yet.
const char *agent_link_error(const AgentLink *link);

// Lines of the guest refused since the link was made.
uint64_t agent_link_refused(const AgentLink *link);
