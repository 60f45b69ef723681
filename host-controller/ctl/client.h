// SPDX-License-Identifier: Apache-2.0
//
// What every subcommand does: connect, ask, say what went wrong.
#pragma once

#include "host-controller/ctl/commands.h"
#include "host-controller/ctl/qmp-session.h"

// Writes "aerostatctl: MESSAGE" for a person. Text from elsewhere in it has to be harmless.
void client_complain(const CtlContext *context, const char *format, ...) G_GNUC_PRINTF(2, 3);

// Connects, or where permission is denied, to the context's other socket. Returns NULL with the
// errors of qmp_session_open().
QmpSession *client_open(const CtlContext *context, int64_t timeout_us, GError **error);

// The same; returns NULL after having said why not.
QmpSession *client_connect(const CtlContext *context);

// Executes `command`; takes over the reference to `arguments`. Returns NULL after having said why
// not, with the exit code in `*exit`.
json_t *client_execute(const CtlContext *context, QmpSession *session, const char *command,
                       json_t *arguments, CtlExit *exit);

// Connects, executes `command` without arguments and disconnects. Returns NULL after having said
// why not, with the exit code in `*exit`.
json_t *client_query(const CtlContext *context, const char *command, CtlExit *exit);

// client_execute() for a command about the guest `arguments` names as "name": when there is no such
// guest, names near to it are suggested.
json_t *client_execute_for_guest(const CtlContext *context, QmpSession *session,
                                 const char *command, json_t *arguments, CtlExit *exit);

// Says what `error` is; the exit code that goes with it.
CtlExit client_fail(const CtlContext *context, const GError *error);

// Writes `value` as JSON, ending with a newline: on one line with JSON_COMPACT in `flags`.
CtlExit client_write_json(const CtlContext *context, const json_t *value, size_t flags);
// Writes `text`.
CtlExit client_write_text(const CtlContext *context, const GString *text);
