// SPDX-License-Identifier: Apache-2.0
//
// A blocking QMP client for programs that do one thing after another: aerostatctl, the demo, tests.
// It speaks to QEMU's monitor and to the controller's control socket alike.
#pragma once

#include "protocol/json.h"

typedef struct QmpSession QmpSession;

// Connects to the QMP socket at `path`, reads the greeting and negotiates capabilities, all within
// `timeout_us`. Returns NULL with a G_FILE_ERROR (socket) or PROTOCOL_ERROR.
QmpSession *qmp_session_open(const char *path, int64_t timeout_us, GError **error);
// Closes the connection. NULL does nothing.
void qmp_session_close(QmpSession *session);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpSession, qmp_session_close)

// Executes `command` and waits for its answer; takes over the reference to `arguments` (may be
// NULL). Events that arrive meanwhile are kept for qmp_session_next_event(), at most
// LIMIT_PENDING_EVENTS of them. Returns the value of "return" as a new reference, or NULL:
// PROTOCOL_ERROR_REMOTE (the message is the peer's "desc"), _TIMEOUT, _CLOSED or _SYNTAX.
json_t *qmp_session_execute(QmpSession *session, const char *command, json_t *arguments,
                            int64_t timeout_us, GError **error);

// The same in two steps, for a command that is answered late: sends it within `timeout_us` and
// returns its id, 0 with an error; then waits for the answer to `id`. While there is none yet,
// qmp_session_await() returns NULL without error; commands in between are not to be executed.
int64_t qmp_session_begin(QmpSession *session, const char *command, json_t *arguments,
                          int64_t timeout_us, GError **error);
json_t *qmp_session_await(QmpSession *session, int64_t id, int64_t timeout_us, GError **error);

// The next event as a whole message (new reference). Waits at most `timeout_us` (0: only what is
// there, -1: for ever). Returns NULL without error when none came in time.
json_t *qmp_session_next_event(QmpSession *session, int64_t timeout_us, GError **error);

// The descriptor, for poll(); still owned by the session.
int qmp_session_fd(const QmpSession *session);
