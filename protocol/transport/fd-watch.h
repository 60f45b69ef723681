// SPDX-License-Identifier: Apache-2.0
//
// Watches file descriptors for the main loop: however many there are, a turn of the loop costs only
// what is ready. GLib's own sources are looked at one by one in every turn, and poll() by the
// kernel once more.
//
// Source: epoll(7).
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct FdWatch FdWatch;

// `events` are those of epoll (EPOLLIN, EPOLLOUT, and EPOLLHUP or EPOLLERR unasked) that hold now.
// May change or free any watch.
typedef void FdWatchFunc(uint32_t events, void *context);

// Watches `fd`, which stays the caller's and must be open for as long as the watch lives, in the
// thread-default main context; for nothing at first. The descriptor must be one that can be waited
// for: a socket, pipe, terminal or character device.
FdWatch *fd_watch_new(int fd, FdWatchFunc *function, void *context);
// NULL does nothing.
void fd_watch_free(FdWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdWatch, fd_watch_free)

// What to wait for: EPOLLIN and EPOLLOUT, or 0 for nothing at all, not even a hang-up.
void fd_watch_set(FdWatch *watch, uint32_t events);
