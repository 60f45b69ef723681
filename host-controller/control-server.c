// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-server.h"

#include "host-controller/control-commands.h"
#include "protocol/transport/timer.h"
#include "host-controller/view.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_MODE 0660
#define ACCEPT_PAUSE_US INT64_C(1000000)

struct ControlServer {
    char *path;
    Controller *controller;
    void (*quit)(void *context);
    void *context;
    int fd;
    guint source;
    Timer *resume;      // listening pauses while no connection can be accepted
    GPtrArray *clients; // Client*, which it frees
    uint64_t dropped;   // events that clients who went had not read
};

typedef struct Client {
    ControlServer *server;
    LineChannel *channel;
    ControlContext control;
} Client;

static void free_client(void *data)
{
    Client *client = data;
    control_later_free(client->control.later);
    client->server->dropped += line_channel_dropped_events(client->channel);
    line_channel_free(client->channel);
    g_free(client);
}

static void reply(Client *client, const json_t *message)
{
    g_autofree char *line = json_message_format(message);
    line_channel_send_reply(client->channel, line, strlen(line));
}

static void reply_later(const json_t *message, void *context)
{
    reply(context, message);
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    (void)after_sentinel;
    Client *client = context;
    QmpResult result;
    qmp_serve_line(control_commands, control_gate, &client->control, line, length, &result);
    if (!control_later_keep(client->control.later, result.reply)) {
        reply(client, result.reply);
    }
    qmp_result_clear(&result);
    if (client->control.quit) {
        client->server->quit(client->server->context);
    }
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    Client *client = context;
    if (end == LINE_CHANNEL_END_TOO_LONG) {
        g_autoptr(GError) error =
            g_error_new(PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "JSON parse error, %s", message);
        g_autoptr(json_t) answer = qmp_error_reply(error);
        reply(client, answer);
        return true;
    }
    g_ptr_array_remove_fast(client->server->clients, client);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

static void on_controller_event(const char *name, json_t *data, void *context)
{
    ControlServer *server = context;
    g_autoptr(json_t) event = qmp_event_new(name, data, g_get_real_time());
    g_autofree char *line = json_message_format(event);
    size_t length = strlen(line);
    for (guint i = 0; i < server->clients->len; i++) {
        Client *client = g_ptr_array_index(server->clients, i);
        if (client->control.negotiated) {
            line_channel_send_event(client->channel, line, length);
        }
    }
}

static gboolean on_connection(int fd, GIOCondition condition, void *context)
{
    (void)condition;
    ControlServer *server = context;
    int client_fd = unix_socket_accept(fd);
    if (client_fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        // It would be told of again at once.
        server->source = 0;
        timer_arm(server->resume, g_get_monotonic_time() + ACCEPT_PAUSE_US);
        return G_SOURCE_REMOVE;
    }
    if (client_fd < 0) {
        return G_SOURCE_CONTINUE;
    }
    if (server->clients->len >= LIMIT_CONTROL_CLIENTS) {
        close(client_fd);
        return G_SOURCE_CONTINUE;
    }
    Client *client = g_new0(Client, 1);
    client->server = server;
    client->control.controller = server->controller;
    client->control.later = control_later_new(server->controller, reply_later, client);
    client->channel = line_channel_new(client_fd, LIMIT_REQUEST_LINE_BYTES, LIMIT_PENDING_EVENTS,
                                       &channel_handlers, client);
    g_ptr_array_add(server->clients, client);
    g_autoptr(json_t) greeting =
        json_pack("{s:{s:o, s:[]}}", "QMP", "version", view_version(), "capabilities");
    reply(client, greeting);
    return G_SOURCE_CONTINUE;
}

static void listen_again(void *context)
{
    ControlServer *server = context;
    server->source = g_unix_fd_add(server->fd, G_IO_IN, on_connection, server);
}

ControlServer *control_server_new(const char *path, Controller *controller,
                                  void quit(void *context), void *context, GError **error)
{
    int fd = unix_socket_listen(path, SOCKET_MODE, error);
    if (fd < 0) {
        return NULL;
    }
    ControlServer *server = g_new0(ControlServer, 1);
    server->path = g_strdup(path);
    server->controller = controller;
    server->quit = quit;
    server->context = context;
    server->fd = fd;
    server->clients = g_ptr_array_new_with_free_func(free_client);
    server->resume = timer_new(listen_again, server);
    listen_again(server);
    controller_set_event_func(controller, on_controller_event, server);
    return server;
}

uint64_t control_server_dropped_events(const ControlServer *server)
{
    uint64_t dropped = server->dropped;
    for (guint i = 0; i < server->clients->len; i++) {
        const Client *client = g_ptr_array_index(server->clients, i);
        dropped += line_channel_dropped_events(client->channel);
    }
    return dropped;
}

void control_server_free(ControlServer *server)
{
    if (!server) {
        return;
    }
    controller_set_event_func(server->controller, NULL, NULL);
    if (server->source) {
        g_source_remove(server->source);
    }
    timer_free(server->resume);
    g_ptr_array_unref(server->clients);
    close(server->fd);
    unlink(server->path);
    g_free(server->path);
    g_free(server);
}
