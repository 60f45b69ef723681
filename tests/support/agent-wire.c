// SPDX-License-Identifier: Apache-2.0
#include "tests/support/agent-wire.h"

#include "tests/support/deadline.h"
#include "tests/test.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_US (60 * SECOND_US)

void agent_wire_init(AgentWire *wire, int fd, bool in_process)
{
    *wire = (AgentWire){.fd = fd, .in_process = in_process, .input = g_string_new(NULL)};
}

void agent_wire_clear(AgentWire *wire)
{
    if (wire->input) {
        close(wire->fd);
        g_string_free(wire->input, TRUE);
        *wire = (AgentWire){0};
    }
}

// Waits until the descriptor is ready, letting the agent run if it is in this process.
static bool wait_ready(const AgentWire *wire, short events, int64_t deadline_us)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = events};
    while (deadline_left_us(deadline_us) > 0) {
        if (wire->in_process) {
            while (g_main_context_iteration(NULL, FALSE)) {
            }
        }
        if (poll(&poll_fd, 1, wire->in_process ? 1 : deadline_left_ms(deadline_us)) > 0) {
            return true;
        }
    }
    return false;
}

void agent_wire_send(AgentWire *wire, const char *bytes, gssize length)
{
    int64_t deadline_us = deadline_after(DEADLINE_US);
    size_t left = length < 0 ? strlen(bytes) : (size_t)length;
    while (left > 0) {
        if (!wait_ready(wire, POLLOUT, deadline_us)) {
            fail_msg("the agent does not take what is sent");
        }
        ssize_t count = write(wire->fd, bytes, left);
        if (count > 0) {
            bytes += count;
            left -= (size_t)count;
        } else if (errno != EAGAIN) {
            fail_msg("sending to the agent: %s", g_strerror(errno));
        }
    }
}

// Takes in what has come. False when the agent has closed.
static bool take_in(AgentWire *wire)
{
    char chunk[4096];
    ssize_t count = read(wire->fd, chunk, sizeof(chunk));
    if (count > 0) {
        g_string_append_len(wire->input, chunk, count);
    } else if (count < 0 && errno != EAGAIN && errno != ECONNRESET) {
        fail_msg("receiving from the agent: %s", g_strerror(errno));
    }
    return count > 0 || (count < 0 && errno == EAGAIN);
}

char *agent_wire_receive_line(AgentWire *wire)
{
    int64_t deadline_us = deadline_after(DEADLINE_US);
    char *newline;
    while (!(newline = memchr(wire->input->str, '\n', wire->input->len))) {
        if (!wait_ready(wire, POLLIN, deadline_us)) {
            fail_msg("no line came; so far: '%s'", wire->input->str);
        }
        if (!take_in(wire)) {
            fail_msg("the agent closed; so far: '%s'", wire->input->str);
        }
    }
    gssize length = newline - wire->input->str;
    char *line = g_strndup(wire->input->str, (gsize)length);
    g_string_erase(wire->input, 0, length + 1);
    return line;
}

json_t *agent_wire_receive(AgentWire *wire)
{
    g_autofree char *line = agent_wire_receive_line(wire);
    json_t *message = json_loads(line, 0, NULL);
    if (!message) {
        fail_msg("not a message: '%s'", line);
    }
    return message;
}

bool agent_wire_wait_closed(AgentWire *wire)
{
    int64_t deadline_us = deadline_after(DEADLINE_US);
    while (wait_ready(wire, POLLIN, deadline_us)) {
        if (!take_in(wire)) {
            return true;
        }
    }
    return false;
}

// `text` with " for every '.
static char *with_quotes(const char *text)
{
    return g_strdelimit(g_strdup(text), "'", '"');
}

json_t *agent_wire_ask(AgentWire *wire, const char *line)
{
    g_autofree char *quoted = with_quotes(line);
    agent_wire_send(wire, quoted, -1);
    agent_wire_send(wire, "\n", 1);
    return agent_wire_receive(wire);
}

static void fail_answer(const char *line, const json_t *message, const char *expected)
{
    g_autofree char *text = json_dumps(message, JSON_COMPACT);
    fail_msg("to %.200s came %.500s instead of %s", line, text, expected);
}

void agent_wire_assert(AgentWire *wire, const char *line, const char *expected)
{
    g_autofree char *quoted = with_quotes(expected);
    json_t *wanted = json_loads(quoted, 0, NULL);
    assert_non_null(wanted);
    json_t *message = agent_wire_ask(wire, line);
    if (!json_equal(message, wanted)) {
        fail_answer(line, message, expected);
    }
    json_decref(message);
    json_decref(wanted);
}

void agent_wire_assert_error(AgentWire *wire, const char *line, const char *class_name,
                             const char *desc)
{
    json_t *message = agent_wire_ask(wire, line);
    json_t *error = json_object_get(message, "error");
    const char *got_class = json_string_value(json_object_get(error, "class"));
    const char *got_desc = json_string_value(json_object_get(error, "desc"));
    if (g_strcmp0(got_class, class_name) != 0 || g_strcmp0(got_desc, desc) != 0) {
        fail_answer(line, message, desc);
    }
    json_decref(message);
}
