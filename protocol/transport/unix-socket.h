// SPDX-License-Identifier: Apache-2.0
//
// Unix stream sockets, non-blocking and close-on-exec.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

// Connects to the listening socket at `path`. Connecting to a unix socket either succeeds at once
// or fails; a full backlog is a failure too. Returns the
// descriptor, or -1 with a G_FILE_ERROR; errno then says why, too.
int unix_socket_connect(const char *path, GError **error);

// Listens at `path` with permissions `mode`. A socket left behind by a dead process is replaced;
// one that somebody answers on, and anything that is no socket, is left alone and an error. Returns
// the descriptor, or -1 with a G_FILE_ERROR.
int unix_socket_listen(const char *path, mode_t mode, GError **error);

// Accepts one connection. Returns the descriptor, or -1 when none waits or it went away.
int unix_socket_accept(int listener);

// The process at the other end of `fd`: who connected, or who created the listening socket. Returns
// false when it cannot be told.
bool unix_socket_peer_pid(int fd, pid_t *pid);
