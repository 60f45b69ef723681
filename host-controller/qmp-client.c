// SPDX-License-Identifier: Apache-2.0
#include "host-controller/qmp-client.h"

#include "host-controller/backoff.h"
#include "protocol/transport/timer.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <string.h>

// A healthy monitor answers in under a millisecond; one that takes this long is hung.
#define ANSWER_DEADLINE_US (5 * (int64_t)G_USEC_PER_SEC)
#define BACKOFF_FIRST_US INT64_C(50000)
#define BACKOFF_CAP_US (1 * (int64_t)G_USEC_PER_SEC)

typedef enum QmpClientState {
    STATE_WAITING,     // until the next attempt
    STATE_GREETING,    // connected, greeting awaited
    STATE_NEGOTIATING, // qmp_capabilities sent
    STATE_READY,
} QmpClientState;

typedef enum Reachability {
    REACHABLE,
    UNREACHABLE_SILENT, // somebody listens
    UNREACHABLE_ABSENT, // nobody does
} Reachability;

typedef struct PendingCommand {
    int64_t id;
    int64_t deadline_us;
    QmpReplyFunc *reply;
    void *context;
} PendingCommand;

struct QmpClient {
    char *path;
    const QmpClientHandlers *handlers;
    void *context;

    QmpClientState state;
    LineChannel *channel;
    Timer *timer; // the next attempt, or the next deadline
    Backoff backoff;
    Reachability told; // what the owner was told last
    pid_t pid;

    int64_t next_id;
    GQueue pending; // PendingCommand*, in the order of sending: the monitor answers in that order
};

static void connect_now(void *context);

static void arm_timer(QmpClient *client, int64_t at_us)
{
    timer_arm(client->timer, at_us);
}

// --- losing the connection --------------------------------------------------------------------

static void fail_pending(QmpClient *client, const GError *error)
{
    GQueue pending = client->pending;
    g_queue_init(&client->pending);
    PendingCommand *command;
    while ((command = g_queue_pop_head(&pending))) {
        if (command->reply) {
            command->reply(NULL, error, command->context);
        }
        g_free(command);
    }
}

static void try_again_later(QmpClient *client)
{
    client->state = STATE_WAITING;
    arm_timer(client, g_get_monotonic_time() + backoff_next_us(&client->backoff));
}

static void tell_unreachable(QmpClient *client, Reachability kind, const char *why)
{
    if (client->told != kind) {
        client->told = kind;
        client->handlers->unreachable(client, kind == UNREACHABLE_ABSENT, why, client->context);
    }
}

// Ends this connection and arranges for the next attempt.
static void disconnect(QmpClient *client, ProtocolError code, const char *why)
{
    bool was_ready = client->state == STATE_READY;
    g_clear_pointer(&client->channel, line_channel_free);
    try_again_later(client);

    g_autoptr(GError) error = g_error_new_literal(PROTOCOL_ERROR, (gint)code, why);
    fail_pending(client, error);
    if (was_ready) {
        client->handlers->lost(client, why, client->context);
    } else {
        tell_unreachable(client, UNREACHABLE_SILENT, why);
    }
}

static void check_deadline(QmpClient *client)
{
    const PendingCommand *oldest = g_queue_peek_head(&client->pending);
    if (oldest && oldest->deadline_us > g_get_monotonic_time()) {
        arm_timer(client, oldest->deadline_us);
    } else if (oldest) {
        disconnect(client, PROTOCOL_ERROR_TIMEOUT, "the monitor does not answer");
    } else if (client->state == STATE_NEGOTIATING) {
        disconnect(client, PROTOCOL_ERROR_REMOTE, "the monitor refused to negotiate");
    }
}

static void on_timer(void *context)
{
    QmpClient *client = context;
    switch (client->state) {
    case STATE_WAITING:
        connect_now(client);
        break;
    case STATE_GREETING:
        disconnect(client, PROTOCOL_ERROR_TIMEOUT,
                   "no QMP greeting: another client may hold the monitor");
        break;
    case STATE_NEGOTIATING:
    case STATE_READY:
        check_deadline(client);
        break;
    }
}

// --- commands ---------------------------------------------------------------------------------

static void send_command(QmpClient *client, const char *name, json_t *arguments,
                         QmpReplyFunc *reply, void *context)
{
    PendingCommand *command = g_new(PendingCommand, 1);
    *command = (PendingCommand){
        .id = client->next_id++,
        .deadline_us = g_get_monotonic_time() + ANSWER_DEADLINE_US,
        .reply = reply,
        .context = context,
    };
    if (g_queue_is_empty(&client->pending)) {
        arm_timer(client, command->deadline_us);
    }
    g_queue_push_tail(&client->pending, command);
    g_autofree char *line = qmp_command_format(name, arguments, command->id);
    line_channel_send_reply(client->channel, line, strlen(line));
}

bool qmp_client_execute(QmpClient *client, const char *command, json_t *arguments,
                        QmpReplyFunc *reply, void *context)
{
    if (client->state != STATE_READY ||
        g_queue_get_length(&client->pending) >= LIMIT_PENDING_COMMANDS) {
        json_decref(arguments);
        return false;
    }
    send_command(client, command, arguments, reply, context);
    return true;
}

static void on_negotiated(const json_t *value, const GError *error, void *context)
{
    (void)error;
    QmpClient *client = context;
    if (!value) {
        // Refused: the timer ends the connection. Lost: it is armed for the next attempt already.
        timer_arm_by(client->timer, g_get_monotonic_time() + BACKOFF_CAP_US);
        return;
    }
    client->state = STATE_READY;
    client->told = REACHABLE;
    backoff_reset(&client->backoff);
    client->handlers->ready(client, client->context);
}

// --- messages ---------------------------------------------------------------------------------

static void on_reply(QmpClient *client, const QmpMessage *message)
{
    PendingCommand *command = g_queue_peek_head(&client->pending);
    if (!command || !message->has_id || message->id != command->id) {
        disconnect(client, PROTOCOL_ERROR_SYNTAX, "the monitor answered what was not asked");
        return;
    }
    g_queue_pop_head(&client->pending);
    g_autoptr(GError) error = NULL;
    if (message->type == QMP_MESSAGE_ERROR) {
        g_autofree char *desc = json_text_for_people(message->error_desc);
        error = g_error_new_literal(PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, desc);
    }
    if (command->reply) {
        command->reply(error ? NULL : message->value, error, command->context);
    }
    g_free(command);
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    (void)after_sentinel;
    QmpClient *client = context;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) root = json_qemu_message_parse(line, length, &error);
    QmpMessage message;
    if (!root || !qmp_message_parse(root, &message, &error)) {
        disconnect(client, PROTOCOL_ERROR_SYNTAX, error->message);
        return;
    }
    switch (message.type) {
    case QMP_MESSAGE_GREETING:
        if (client->state == STATE_GREETING) {
            client->state = STATE_NEGOTIATING;
            send_command(client, "qmp_capabilities", NULL, on_negotiated, client);
        }
        break;
    case QMP_MESSAGE_RETURN:
    case QMP_MESSAGE_ERROR:
        on_reply(client, &message);
        break;
    case QMP_MESSAGE_EVENT:
        if (client->state == STATE_READY) {
            client->handlers->event(client, message.event, message.value, client->context);
        }
        break;
    }
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    disconnect(context, PROTOCOL_ERROR_CLOSED, message);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

static void connect_now(void *context)
{
    QmpClient *client = context;
    g_autoptr(GError) error = NULL;
    int fd = unix_socket_connect(client->path, &error);
    if (fd < 0) {
        // Anything else (no permission, too many open files) says nothing of whether QEMU runs.
        bool absent = errno == ENOENT || errno == ECONNREFUSED;
        client->pid = absent ? 0 : client->pid;
        try_again_later(client);
        tell_unreachable(client, absent ? UNREACHABLE_ABSENT : UNREACHABLE_SILENT, error->message);
        return;
    }
    if (!unix_socket_peer_pid(fd, &client->pid)) {
        client->pid = 0;
    }
    client->channel = line_channel_new(fd, LIMIT_QEMU_LINE_BYTES, 1, &channel_handlers, client);
    client->state = STATE_GREETING;
    arm_timer(client, g_get_monotonic_time() + ANSWER_DEADLINE_US);
}

// --- life -------------------------------------------------------------------------------------

QmpClient *qmp_client_new(const char *path, const QmpClientHandlers *handlers, void *context)
{
    QmpClient *client = g_new0(QmpClient, 1);
    client->path = g_strdup(path);
    client->handlers = handlers;
    client->context = context;
    client->backoff = (Backoff){.first_us = BACKOFF_FIRST_US, .cap_us = BACKOFF_CAP_US};
    g_queue_init(&client->pending);
    client->timer = timer_new(on_timer, client);
    arm_timer(client, g_get_monotonic_time());
    return client;
}

void qmp_client_free(QmpClient *client)
{
    if (!client) {
        return;
    }
    line_channel_free(client->channel);
    timer_free(client->timer);
    g_queue_clear_full(&client->pending, g_free);
    g_free(client->path);
    g_free(client);
}

bool qmp_client_is_ready(const QmpClient *client)
{
    return client->state == STATE_READY;
}

pid_t qmp_client_pid(const QmpClient *client)
{
    return client->pid;
}
