// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake-server.h"

#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/unix-socket.h"

#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

struct FakeServer {
    char *path;
    const FakeServerHandlers *handlers;
    void *context;
    int listener; // -1: closed
    GSource *source;
    LineChannel *channel;
    unsigned connections;
};

static void listen_for_client(FakeServer *server);

static void stop_listening(FakeServer *server)
{
    if (server->source) {
        g_source_destroy(server->source);
        g_clear_pointer(&server->source, g_source_unref);
    }
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    FakeServer *server = context;
    server->handlers->line(line, length, after_sentinel, server->context);
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    (void)message;
    fake_server_drop_client(context);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

static gboolean on_connection(int fd, GIOCondition condition, void *context)
{
    (void)condition;
    FakeServer *server = context;
    int client = unix_socket_accept(fd);
    if (client >= 0) {
        stop_listening(server);
        server->connections++;
        server->channel = line_channel_new(client, LIMIT_REQUEST_LINE_BYTES, LIMIT_PENDING_EVENTS,
                                           &channel_handlers, server);
        if (server->handlers->connected) {
            server->handlers->connected(server->context);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void listen_for_client(FakeServer *server)
{
    server->source = g_unix_fd_source_new(server->listener, G_IO_IN);
    g_source_set_callback(server->source, G_SOURCE_FUNC(on_connection), server, NULL);
    g_source_attach(server->source, g_main_context_get_thread_default());
}

FakeServer *fake_server_new(const char *path, const FakeServerHandlers *handlers, void *context)
{
    FakeServer *server = g_new0(FakeServer, 1);
    server->path = g_strdup(path);
    server->handlers = handlers;
    server->context = context;
    server->listener = -1;
    fake_server_open(server);
    return server;
}

void fake_server_free(FakeServer *server)
{
    if (server) {
        fake_server_close(server);
        g_free(server->path);
        g_free(server);
    }
}

void fake_server_open(FakeServer *server)
{
    g_autoptr(GError) error = NULL;
    g_return_if_fail(server->listener < 0);
    server->listener = unix_socket_listen(server->path, 0600, &error);
    if (server->listener < 0) {
        g_error("%s", error->message);
    }
    listen_for_client(server);
}

void fake_server_close(FakeServer *server)
{
    if (server->listener >= 0) {
        stop_listening(server);
        close(server->listener);
        unlink(server->path);
        server->listener = -1;
    }
    fake_server_drop_client(server);
}

void fake_server_drop_client(FakeServer *server)
{
    if (!server->channel) {
        return;
    }
    g_clear_pointer(&server->channel, line_channel_free);
    if (server->listener >= 0) {
        listen_for_client(server);
    }
    server->handlers->disconnected(server->context);
}

bool fake_server_has_client(const FakeServer *server)
{
    return server->channel != NULL;
}

unsigned fake_server_connections(const FakeServer *server)
{
    return server->connections;
}

void fake_server_send(FakeServer *server, const char *bytes, size_t length)
{
    if (server->channel) {
        line_channel_send_reply(server->channel, bytes, length);
    }
}

void fake_server_send_message(FakeServer *server, json_t *message)
{
    g_autofree char *line = json_message_format(message);
    fake_server_send(server, line, strlen(line));
    json_decref(message);
}

bool fake_server_send_event(FakeServer *server, json_t *message)
{
    if (server->channel) {
        g_autofree char *line = json_message_format(message);
        line_channel_send_event(server->channel, line, strlen(line));
    }
    json_decref(message);
    return server->channel != NULL;
}
