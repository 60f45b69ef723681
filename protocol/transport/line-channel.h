// SPDX-License-Identifier: Apache-2.0
//
// A peer that exchanges lines over a file descriptor: sockets and virtio-serial ports alike.
//
// Reads and writes never block. What waits to be written is bounded: while replies wait above their
// limit no further input is read (the peer waits for itself); of events the oldest is dropped and
// counted. Nothing is ever dropped of a line already begun. Input is bounded as well: a peer that
// sends more than limits.h grants, lines or not, has to wait, and slows nobody but itself.
//
// This folder is the only part of protocol/ that does I/O.
#pragma once

#include "protocol/framing.h"

#include <glib.h>
#include <stdint.h>

typedef struct LineChannel LineChannel;

// Why a channel ended.
typedef enum LineChannelEnd {
    LINE_CHANNEL_END_CLOSED,   // the peer closed, or the port's host side is closed
    LINE_CHANNEL_END_ERROR,    // reading or writing failed
    LINE_CHANNEL_END_TOO_LONG, // the peer sent a line above the cap
} LineChannelEnd;

typedef struct LineChannelHandlers {
    // A line arrived; `after_sentinel` tells whether 0xFF stood before it. May free the channel.
    void (*line)(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                 void *context);
    // The channel ended; it calls nothing any more and waits to be freed. After TOO_LONG the
    // handler may return true to skip the line and go on instead.
    bool (*ended)(LineChannel *channel, LineChannelEnd end, const char *message, void *context);
} LineChannelHandlers;

// Starts exchanging lines over the non-blocking `fd` in the thread-default main context. Takes over
// `fd`. `handlers` must outlive the channel.
LineChannel *line_channel_new(int fd, size_t max_line_bytes, size_t max_events,
                              const LineChannelHandlers *handlers, void *context);
// Closes the descriptor; unsent lines are lost. NULL does nothing.
void line_channel_free(LineChannel *channel);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineChannel, line_channel_free)

// Sends `length` bytes which end with a newline. A reply is never dropped.
void line_channel_send_reply(LineChannel *channel, const char *line, size_t length);
// Sends an event. When `max_events` already wait, the oldest of them is dropped in its favour.
void line_channel_send_event(LineChannel *channel, const char *line, size_t length);
// The same, but what is sent waits for line_channel_flush(), or for a reply, which follows it: for
// who has more urgent things to do than to tell of them. Is written at once rather than dropped.
void line_channel_queue_event(LineChannel *channel, const char *line, size_t length);
// Writes what waits, as far as the peer takes it now; the rest follows when it takes more.
void line_channel_flush(LineChannel *channel);

// How many events wait for the peer to read them.
size_t line_channel_pending_events(const LineChannel *channel);
// How many events were dropped because the peer did not read them.
uint64_t line_channel_dropped_events(const LineChannel *channel);
