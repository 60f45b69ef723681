// SPDX-License-Identifier: Apache-2.0
//
// A client of the guest wire for tests: sends bytes as they are and takes messages apart, each with
// a deadline. What goes wrong fails the test.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct AgentWire {
    int fd;
    bool in_process; // the agent runs in this thread's default main context
    GString *input;
} AgentWire;

// Takes over the non-blocking `fd`.
void agent_wire_init(AgentWire *wire, int fd, bool in_process);
// Closes it. A wire all zero, or cleared before, is left alone.
void agent_wire_clear(AgentWire *wire);

// Sends `length` bytes (-1: up to the NUL).
void agent_wire_send(AgentWire *wire, const char *bytes, gssize length);
// Receives one line, without its newline; free with g_free().
char *agent_wire_receive_line(AgentWire *wire);
// Receives one message. New reference.
json_t *agent_wire_receive(AgentWire *wire);
// Receives until the agent closes; false when it still has not after the deadline.
bool agent_wire_wait_closed(AgentWire *wire);

// In the lines below ' stands for ", which keeps JSON readable in C.

// Sends a line and receives the next message.
json_t *agent_wire_ask(AgentWire *wire, const char *line);
// Sends a line and asserts that the next message is `expected`, compared as JSON.
void agent_wire_assert(AgentWire *wire, const char *line, const char *expected);
// Sends a line and asserts that the next message is an error of this class and description.
void agent_wire_assert_error(AgentWire *wire, const char *line, const char *class_name,
                             const char *desc);
