// SPDX-License-Identifier: Apache-2.0
#include "agent/listener.h"

#include "protocol/transport/unix-socket.h"

#include <glib-unix.h>
#include <unistd.h>

struct Listener {
    char *path;
    int fd;
    AgentServer *server;
    GSource *acceptable; // NULL while a client is served
};

static void wait_for_client(Listener *listener);

static void on_client_ended(void *context, LineChannelEnd end, const char *message)
{
    (void)end;
    (void)message;
    wait_for_client(context);
}

static void stop_waiting(Listener *listener)
{
    if (listener->acceptable) {
        g_source_destroy(listener->acceptable);
        g_clear_pointer(&listener->acceptable, g_source_unref);
    }
}

static gboolean on_acceptable(int fd, GIOCondition condition, void *data)
{
    (void)condition;
    Listener *listener = data;
    int client = unix_socket_accept(fd);
    if (client >= 0) {
        stop_waiting(listener);
        agent_server_serve(listener->server, client, on_client_ended, listener);
    }
    return G_SOURCE_CONTINUE;
}

static void wait_for_client(Listener *listener)
{
    listener->acceptable = g_unix_fd_source_new(listener->fd, G_IO_IN);
    g_source_set_callback(listener->acceptable, G_SOURCE_FUNC(on_acceptable), listener, NULL);
    g_source_attach(listener->acceptable, g_main_context_get_thread_default());
}

Listener *listener_new(const char *path, AgentServer *server, GError **error)
{
    int fd = unix_socket_listen(path, 0600, error);
    if (fd < 0) {
        return NULL;
    }
    Listener *listener = g_new0(Listener, 1);
    listener->path = g_strdup(path);
    listener->fd = fd;
    listener->server = server;
    wait_for_client(listener);
    return listener;
}

void listener_free(Listener *listener)
{
    if (listener) {
        stop_waiting(listener);
        unlink(listener->path);
        close(listener->fd);
        g_free(listener->path);
        g_free(listener);
    }
}
