// SPDX-License-Identifier: Apache-2.0
//
// The messages of the QEMU Machine Protocol and of the QEMU guest-agent protocol, which share their
// shape: requests, replies, errors, events and the greeting.
//
// Source: QEMU, docs/interop/qmp-spec; qapi/qmp-dispatch.c for the wording of errors.
#pragma once

#include "protocol/json.h"

// --- the answering side -----------------------------------------------------------------------

// One argument of a command. A table of them ends with a NULL name.
typedef struct QmpArgument {
    const char *name;
    json_type type; // JSON_TRUE stands for any boolean
    bool optional;
    bool nullable; // null is a value of its own
} QmpArgument;

typedef struct QmpCommand QmpCommand;

// Carries out a command whose arguments have been checked against its table. Returns the value of
// "return" as a new reference, or NULL with `error` set.
typedef json_t *QmpHandler(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error);

struct QmpCommand {
    const char *name;
    const QmpArgument *arguments; // NULL: takes none
    QmpHandler *handler;
    unsigned flags; // the server's own
};

// What became of one request. Clear with qmp_result_clear().
typedef struct QmpResult {
    const QmpCommand *command; // NULL when the request named none that exists
    bool succeeded;
    json_t *reply; // the whole reply message, owned
} QmpResult;

// Looks a command up among `commands`, whose last entry has a NULL name.
const QmpCommand *qmp_command_find(const QmpCommand *commands, const char *name);

// Decides whether `command` may run now; NULL command means it does not exist. Returns false with
// `error` set to refuse it.
typedef bool QmpGate(void *context, const QmpCommand *command, const char *name, GError **error);

// Carries out one request line: parses it, finds the command, asks `gate` (may be NULL), checks the
// arguments and runs the handler. Every input, however wrong, leads to a reply.
void qmp_serve_line(const QmpCommand *commands, QmpGate *gate, void *context, const char *line,
                    size_t length, QmpResult *result);
void qmp_result_clear(QmpResult *result);

// The reply that tells a peer why its input was refused. New reference.
json_t *qmp_error_reply(const GError *error);

// An event message, `realtime_us` being the wall clock; takes over the reference to `data` (NULL:
// the event has none).
json_t *qmp_event_new(const char *name, json_t *data, int64_t realtime_us);

// --- the asking side --------------------------------------------------------------------------

// A command line, with its newline; takes over the reference to `arguments` (may be NULL).
char *qmp_command_format(const char *name, json_t *arguments, int64_t id);

typedef enum QmpMessageType {
    QMP_MESSAGE_GREETING,
    QMP_MESSAGE_RETURN,
    QMP_MESSAGE_ERROR,
    QMP_MESSAGE_EVENT,
} QmpMessageType;

// One message received; all pointers are borrowed from the parsed JSON.
typedef struct QmpMessage {
    QmpMessageType type;
    bool has_id;
    int64_t id;
    json_t *value;          // "return" of a reply, "data" of an event (NULL without), "QMP" object
    const char *event;      // of an event
    const char *error_desc; // of an error
} QmpMessage;

// Classifies a message from a server. PROTOCOL_ERROR_SYNTAX when it is none of the four kinds.
bool qmp_message_parse(const json_t *root, QmpMessage *message, GError **error);

// --- guest-agent protocol ---------------------------------------------------------------------

// The guest agent's commands for synchronising; its reply to the second starts with LINE_SENTINEL.
#define QGA_SYNC "guest-sync"
#define QGA_SYNC_DELIMITED "guest-sync-delimited"
// aerostat's commands and event on top of the guest-agent protocol.
#define QGA_MEMORY_REPORT "guest-memory-report"
#define QGA_MEMORY_SUBSCRIBE "guest-memory-subscribe"
#define QGA_MEMORY_UNSUBSCRIBE "guest-memory-unsubscribe"
#define QGA_MEMORY_REPORT_EVENT "GUEST_MEMORY_REPORT"
