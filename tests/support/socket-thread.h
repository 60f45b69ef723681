// SPDX-License-Identifier: Apache-2.0
//
// A unix socket served by a thread, for tests of clients that block.
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct SocketThread SocketThread;

// Talks to one client; the connection is closed when it returns. What it is given blocks, until
// the client or socket_thread_stop() ends the connection.
typedef void SocketThreadServe(int fd, void *context);

// Listens at `path` and serves one client after the other. What goes wrong ends the program.
SocketThread *socket_thread_start(const char *path, SocketThreadServe *serve, void *context);
// Ends the connection that is being served, waits for the thread and removes the socket. NULL does
// nothing.
void socket_thread_stop(SocketThread *thread);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(SocketThread, socket_thread_stop)

// Sends text. False when the client has gone.
bool socket_thread_send(int fd, const char *text);
// Receives one line with its newline; NULL at the end. Free with g_free().
char *socket_thread_receive_line(int fd);
