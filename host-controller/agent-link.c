// SPDX-License-Identifier: Apache-2.0
#include "host-controller/agent-link.h"

#include "host-controller/backoff.h"
#include "protocol/transport/timer.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/unix-socket.h"

#include <string.h>

// Answers to be had within this time. While no agent runs in the guest, QEMU keeps what was sent
// and delivers it when one opens the port: a longer wait loses nothing.
#define ANSWER_DEADLINE_US (5 * (int64_t)G_USEC_PER_SEC)
// No report for this long: the agent is asked anew, on the same connection. It may have gone back
// to a snapshot from before the subscription, and wait to be asked.
#define SILENCE_US (3 * AGENT_LINK_HEARTBEAT_US)
#define BACKOFF_FIRST_US INT64_C(50000)
#define BACKOFF_CAP_US (1 * (int64_t)G_USEC_PER_SEC)
// How often the agent looks at its memory while something moves.
#define SAMPLE_INTERVAL_MS 20
#define HEARTBEAT_MS (AGENT_LINK_HEARTBEAT_US / 1000)

typedef enum AgentLinkState {
    STATE_WAITING,     // until the next attempt
    STATE_SYNCING,     // guest-sync-delimited sent
    STATE_ASKING,      // guest-info sent
    STATE_SUBSCRIBING, // guest-memory-subscribe sent
    STATE_REPORTING,
} AgentLinkState;

struct AgentLink {
    char *path;
    const AgentLinkHandlers *handlers;
    void *context;

    AgentLinkState state;
    bool connected; // it reports, or did a moment ago and is asked anew
    int64_t connected_us;
    LineChannel *channel;
    Timer *timer; // the next attempt, or the deadline of the state
    Backoff backoff;
    int64_t command_id; // of the last command sent
    bool past;          // what comes is the former agent's, from before a reset of the guest
    bool asked_past;    // and so may be the answer to the sync that was sent
    char *version;
    char *error; // why it is not connected; NULL while it is, or when nothing has been tried yet
    uint64_t refused;
};

static void send_command(AgentLink *link, AgentLinkState state, const char *name, json_t *arguments)
{
    link->state = state;
    link->command_id++;
    g_autofree char *line = qmp_command_format(name, arguments, link->command_id);
    line_channel_send_reply(link->channel, line, strlen(line));
    timer_arm(link->timer, g_get_monotonic_time() + ANSWER_DEADLINE_US);
}

static void disconnect(AgentLink *link, const char *why)
{
    bool was_connected = link->connected;
    g_clear_pointer(&link->channel, line_channel_free);
    link->state = STATE_WAITING;
    link->connected = false;
    link->past = false;
    link->asked_past = false;
    g_free(link->error);
    link->error = g_strdup(why);
    timer_arm(link->timer, g_get_monotonic_time() + backoff_next_us(&link->backoff));
    if (was_connected) {
        link->handlers->lost(link, why, link->context);
    }
}

// --- the conversation -------------------------------------------------------------------------

// A number that nothing has used on this port, neither an earlier conversation nor this one.
static int64_t new_sync_id(const AgentLink *link)
{
    return MAX(g_get_real_time() & INT64_C(0x7fffffffffff), link->command_id + 1);
}

static void send_sync(AgentLink *link)
{
    // The sentinel makes the agent forget half a request an earlier client may have left.
    static const char sentinel[] = {LINE_SENTINEL};
    line_channel_send_reply(link->channel, sentinel, sizeof(sentinel));
    link->command_id = new_sync_id(link);
    send_command(link, STATE_SYNCING, QGA_SYNC_DELIMITED,
                 json_pack("{s:I}", "id", (json_int_t)link->command_id));
}

static bool lists_command(const json_t *info, const char *name)
{
    size_t index;
    json_t *command;
    json_array_foreach (json_object_get(info, "supported_commands"), index, command) {
        const char *listed = json_string_value(json_object_get(command, "name"));
        if (g_strcmp0(listed, name) == 0) {
            return json_is_true(json_object_get(command, "enabled"));
        }
    }
    return false;
}

static void on_info(AgentLink *link, const json_t *info)
{
    if (!lists_command(info, QGA_MEMORY_SUBSCRIBE)) {
        disconnect(link, "the agent on this port has no " QGA_MEMORY_SUBSCRIBE);
        return;
    }
    const char *version = json_string_value(json_object_get(info, "version"));
    g_free(link->version);
    link->version = json_text_for_people(version ? version : "unknown");
    send_command(link, STATE_SUBSCRIBING, QGA_MEMORY_SUBSCRIBE,
                 json_pack("{s:i, s:i}", "interval-ms", SAMPLE_INTERVAL_MS, "heartbeat-ms",
                           (int)HEARTBEAT_MS));
}

static void on_subscribed(AgentLink *link)
{
    link->state = STATE_REPORTING;
    timer_arm(link->timer, g_get_monotonic_time() + SILENCE_US);
    g_clear_pointer(&link->error, g_free);
    if (!link->connected) {
        link->connected = true;
        link->connected_us = g_get_monotonic_time();
        link->handlers->connected(link, link->version, link->context);
    }
}

static void on_synced(AgentLink *link)
{
    if (link->asked_past) {
        link->asked_past = false;
        send_sync(link);
        return;
    }
    link->past = false;
    send_command(link, STATE_ASKING, "guest-info", NULL);
}

static void on_reply(AgentLink *link, const QmpMessage *message, bool after_sentinel)
{
    // Whatever does not answer the last command belongs to an older conversation.
    if (link->state == STATE_SYNCING) {
        if (after_sentinel && message->type == QMP_MESSAGE_RETURN &&
            json_integer_value(message->value) == link->command_id - 1) {
            on_synced(link);
        }
        return;
    }
    if (link->state == STATE_REPORTING || !message->has_id || message->id != link->command_id) {
        return;
    }
    if (message->type == QMP_MESSAGE_ERROR) {
        disconnect(link, "the agent refused a command");
    } else if (link->state == STATE_ASKING) {
        on_info(link, message->value);
    } else if (link->state == STATE_SUBSCRIBING) {
        on_subscribed(link);
    }
}

static void on_event(AgentLink *link, const QmpMessage *message)
{
    if (!link->connected || link->past || strcmp(message->event, QGA_MEMORY_REPORT_EVENT) != 0) {
        return;
    }
    MemoryReport report;
    if (!message->value || !memory_report_from_json(message->value, &report, NULL)) {
        link->refused++;
        return;
    }
    int64_t now_us = g_get_monotonic_time();
    if (link->state == STATE_REPORTING) {
        timer_arm(link->timer, now_us + SILENCE_US);
    }
    // One that comes and goes all the time is not called anew all the time.
    if (now_us - link->connected_us >= SILENCE_US) {
        backoff_reset(&link->backoff);
    }
    link->handlers->report(link, &report, link->context);
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    AgentLink *link = context;
    g_autoptr(json_t) root = json_message_parse(line, length, NULL);
    QmpMessage message;
    if (!root || !qmp_message_parse(root, &message, NULL)) {
        // Before the sync the rest of an old conversation is to be expected.
        link->refused += link->state != STATE_SYNCING;
    } else if (message.type == QMP_MESSAGE_EVENT) {
        on_event(link, &message);
    } else if (message.type != QMP_MESSAGE_GREETING) {
        on_reply(link, &message, after_sentinel);
    }
}

// --- life -------------------------------------------------------------------------------------

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    AgentLink *link = context;
    if (end == LINE_CHANNEL_END_TOO_LONG) {
        link->refused++;
        return true;
    }
    disconnect(link, message);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

void agent_link_ask_anew(AgentLink *link)
{
    // One that was not answered yet waits for whoever opens the port: no second one beside it,
    // however often a QEMU says so.
    if (link->state > STATE_SYNCING) {
        send_sync(link);
    }
}

void agent_link_restart(AgentLink *link)
{
    link->past = link->state != STATE_WAITING;
    link->asked_past = link->state == STATE_SYNCING;
    agent_link_ask_anew(link);
}

static void on_timer(void *context)
{
    AgentLink *link = context;
    if (link->state == STATE_REPORTING) {
        agent_link_ask_anew(link);
        return;
    }
    if (link->state != STATE_WAITING) {
        disconnect(link, "the agent does not answer");
        return;
    }
    g_autoptr(GError) error = NULL;
    int fd = unix_socket_connect(link->path, &error);
    if (fd < 0) {
        disconnect(link, error->message);
        return;
    }
    link->channel = line_channel_new(fd, LIMIT_AGENT_LINE_BYTES, 1, &channel_handlers, link);
    send_sync(link);
}

AgentLink *agent_link_new(const char *path, const AgentLinkHandlers *handlers, void *context)
{
    AgentLink *link = g_new0(AgentLink, 1);
    link->path = g_strdup(path);
    link->handlers = handlers;
    link->context = context;
    link->backoff = (Backoff){.first_us = BACKOFF_FIRST_US, .cap_us = BACKOFF_CAP_US};
    link->timer = timer_new(on_timer, link);
    timer_arm(link->timer, g_get_monotonic_time());
    return link;
}

void agent_link_free(AgentLink *link)
{
    if (!link) {
        return;
    }
    line_channel_free(link->channel);
    timer_free(link->timer);
    g_free(link->version);
    g_free(link->error);
    g_free(link->path);
    g_free(link);
}

bool agent_link_is_connected(const AgentLink *link)
{
    return link->connected;
}

const char *agent_link_error(const AgentLink *link)
{
    return link->error;
}

uint64_t agent_link_refused(const AgentLink *link)
{
    return link->refused;
}
