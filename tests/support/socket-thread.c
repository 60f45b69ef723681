// SPDX-License-Identifier: Apache-2.0
#include "tests/support/socket-thread.h"

#include "protocol/transport/unix-socket.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct SocketThread {
    char *path;
    int listener;
    int stop_pipe[2]; // closed to tell the thread
    SocketThreadServe *serve;
    void *context;
    GThread *thread;
    GMutex mutex;
    int client;    // being served, -1: none; guarded by the mutex
    bool stopping; // guarded by the mutex
};

static void serve_one(SocketThread *thread, int client)
{
    fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK);
    g_mutex_lock(&thread->mutex);
    bool stopping = thread->stopping;
    thread->client = stopping ? -1 : client;
    g_mutex_unlock(&thread->mutex);
    if (!stopping) {
        thread->serve(client, thread->context);
    }
    g_mutex_lock(&thread->mutex);
    thread->client = -1;
    g_mutex_unlock(&thread->mutex);
    close(client);
}

static gpointer run(gpointer data)
{
    SocketThread *thread = data;
    // Signals are for the client that is tested.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        struct pollfd fds[] = {{.fd = thread->listener, .events = POLLIN},
                               {.fd = thread->stop_pipe[0], .events = POLLIN}};
        poll(fds, G_N_ELEMENTS(fds), -1);
        if (fds[1].revents) {
            return NULL;
        }
        int client = fds[0].revents ? unix_socket_accept(thread->listener) : -1;
        if (client >= 0) {
            serve_one(thread, client);
        }
    }
}

SocketThread *socket_thread_start(const char *path, SocketThreadServe *serve, void *context)
{
    g_autoptr(GError) error = NULL;
    SocketThread *thread = g_new0(SocketThread, 1);
    thread->path = g_strdup(path);
    thread->serve = serve;
    thread->context = context;
    thread->client = -1;
    g_mutex_init(&thread->mutex);
    thread->listener = unix_socket_listen(path, 0600, &error);
    if (thread->listener < 0 || pipe2(thread->stop_pipe, O_CLOEXEC) < 0) {
        g_error("cannot serve %s: %s", path, error ? error->message : "no pipe");
    }
    thread->thread = g_thread_new("socket-thread", run, thread);
    return thread;
}

void socket_thread_stop(SocketThread *thread)
{
    if (!thread) {
        return;
    }
    g_mutex_lock(&thread->mutex);
    thread->stopping = true;
    if (thread->client >= 0) {
        shutdown(thread->client, SHUT_RDWR);
    }
    g_mutex_unlock(&thread->mutex);
    close(thread->stop_pipe[1]);
    g_thread_join(thread->thread);
    close(thread->stop_pipe[0]);
    close(thread->listener);
    g_unlink(thread->path);
    g_mutex_clear(&thread->mutex);
    g_free(thread->path);
    g_free(thread);
}

bool socket_thread_send(int fd, const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        text += sent;
        length -= (size_t)sent;
    }
    return true;
}

char *socket_thread_receive_line(int fd)
{
    g_autoptr(GString) line = g_string_new(NULL);
    char c;
    while (recv(fd, &c, 1, 0) == 1) {
        g_string_append_c(line, c);
        if (c == '\n') {
            return g_string_free(g_steal_pointer(&line), FALSE);
        }
    }
    return NULL;
}
