// SPDX-License-Identifier: Apache-2.0
//
// A unix socket served as QEMU serves its character devices: one client at a time, others may
// connect but wait unheard until that one is gone. What both fakes stand on.
//
// Everything happens in the thread-default main context.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct FakeServer FakeServer;

typedef struct FakeServerHandlers {
    void (*connected)(void *context); // may be NULL
    // A line of the client; `after_sentinel` tells whether 0xFF stood before it.
    void (*line)(const char *line, size_t length, bool after_sentinel, void *context);
    void (*disconnected)(void *context);
} FakeServerHandlers;

// Listens at `path`. `handlers` must outlive the server.
FakeServer *fake_server_new(const char *path, const FakeServerHandlers *handlers, void *context);
// NULL does nothing.
void fake_server_free(FakeServer *server);

// Removes the socket and ends the connection: nobody is there any more.
void fake_server_close(FakeServer *server);
// Listens again at the same path.
void fake_server_open(FakeServer *server);
// Ends the connection, if there is one, and goes on listening.
void fake_server_drop_client(FakeServer *server);

bool fake_server_has_client(const FakeServer *server);
// How many clients there have been.
unsigned fake_server_connections(const FakeServer *server);

// Sends bytes as they are, or a message that it takes over, to the client, if there is one.
void fake_server_send(FakeServer *server, const char *bytes, size_t length);
void fake_server_send_message(FakeServer *server, json_t *message);
// Sends a message that may be dropped when the client does not read; false when there is none.
bool fake_server_send_event(FakeServer *server, json_t *message);
