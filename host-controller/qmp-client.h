// SPDX-License-Identifier: Apache-2.0
//
// The connection to one QEMU's monitor: connects, negotiates, executes commands with deadlines,
// hands on events, and starts anew whenever the connection is lost.
#pragma once

#include "protocol/json.h"

#include <sys/types.h>

typedef struct QmpClient QmpClient;

typedef struct QmpClientHandlers {
    // The monitor takes commands.
    void (*ready)(QmpClient *client, void *context);
    // The monitor, ready until now, is gone; every open command has been answered with an error.
    // The client goes on trying to connect. `why` is a sentence.
    void (*lost)(QmpClient *client, const char *why, void *context);
    // An attempt to connect failed, for another reason than the one before: `absent` when nobody
    // listens, so that no QEMU runs there; otherwise somebody does but does not answer as QMP.
    void (*unreachable)(QmpClient *client, bool absent, const char *why, void *context);
    // `data` may be NULL.
    void (*event)(QmpClient *client, const char *name, const json_t *data, void *context);
} QmpClientHandlers;

// Receives the answer of one command: `value`, borrowed, or NULL and `error`
// (PROTOCOL_ERROR_REMOTE, _TIMEOUT or _CLOSED). Must not free the client.
typedef void QmpReplyFunc(const json_t *value, const GError *error, void *context);

// Starts connecting to the monitor socket at `path`. `handlers` must outlive the client. No handler
// is called before this returns.
QmpClient *qmp_client_new(const char *path, const QmpClientHandlers *handlers, void *context);
// Open commands are dropped without an answer. Not to be called from a handler. NULL does nothing.
void qmp_client_free(QmpClient *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpClient, qmp_client_free)

// Whether commands can be executed.
bool qmp_client_is_ready(const QmpClient *client);

// Executes a command; takes over the reference to `arguments` (may be NULL). `reply` (may be NULL)
// is called later, once, from the main loop. A command that is not answered in time ends the
// connection: a monitor in an unknown state is of no use. Returns false, without calling `reply`,
// when the client is not ready or LIMIT_PENDING_COMMANDS are open.
bool qmp_client_execute(QmpClient *client, const char *command, json_t *arguments,
                        QmpReplyFunc *reply, void *context);

// QEMU's process, as its listening socket told when it was last connected to, whether or not it
// answers; 0 when nobody listens, or it cannot be told.
pid_t qmp_client_pid(const QmpClient *client);
