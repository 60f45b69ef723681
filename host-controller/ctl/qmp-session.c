// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/qmp-session.h"

#include "protocol/error.h"
#include "protocol/framing.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct QmpSession {
    int fd;
    LineFramer framer;
    char buffer[16 * 1024];
    const char *unread; // bytes of `buffer` the framer has not seen yet
    size_t unread_length;
    GQueue events; // json_t*, oldest first
    int64_t last_id;
};

// What came of waiting for a descriptor or for a message.
typedef enum WaitResult {
    WAIT_READY,
    WAIT_TIMED_OUT,
    WAIT_FAILED, // the error is set
} WaitResult;

// How long one operation may still take.
typedef struct Deadline {
    int64_t at_us; // on g_get_monotonic_time(), -1: never
    bool polled;   // even a deadline of now looks once at what is there
} Deadline;

static Deadline deadline_in(int64_t timeout_us)
{
    return (Deadline){.at_us = timeout_us < 0 ? -1 : g_get_monotonic_time() + timeout_us};
}

// Milliseconds as poll() wants them, rounded up so that it does not return early. The clock is read
// once, which it would not be within MAX(): less than none is for ever.
static int deadline_left_ms(const Deadline *deadline)
{
    if (deadline->at_us < 0) {
        return -1;
    }
    int64_t left_us = deadline->at_us - g_get_monotonic_time();
    return (int)CLAMP((left_us + 999) / 1000, 0, G_MAXINT);
}

// --- moving bytes -----------------------------------------------------------------------------

static WaitResult fail_closed(GError **error)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "the connection was closed");
    return WAIT_FAILED;
}

static WaitResult wait_until_ready(QmpSession *session, short events, Deadline *deadline,
                                   GError **error)
{
    for (;;) {
        int left_ms = deadline_left_ms(deadline);
        // A peer that never stops sending must not keep us past the deadline.
        if (left_ms == 0 && deadline->polled) {
            return WAIT_TIMED_OUT;
        }
        struct pollfd pollfd = {.fd = session->fd, .events = events};
        int ready = poll(&pollfd, 1, left_ms);
        if (ready > 0) {
            deadline->polled = true;
            return WAIT_READY;
        }
        if (ready == 0) {
            deadline->polled = true;
        } else if (errno != EINTR) {
            return fail_closed(error);
        }
    }
}

static WaitResult send_all(QmpSession *session, const char *bytes, size_t length,
                           Deadline *deadline, GError **error)
{
    while (length > 0) {
        ssize_t sent = send(session->fd, bytes, length, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            WaitResult result = wait_until_ready(session, POLLOUT, deadline, error);
            if (result != WAIT_READY) {
                // Half a command may be out: nothing sensible can follow it.
                shutdown(session->fd, SHUT_RDWR);
                return result;
            }
        } else if (errno != EINTR) {
            return fail_closed(error);
        }
    }
    return WAIT_READY;
}

static WaitResult receive_bytes(QmpSession *session, Deadline *deadline, GError **error)
{
    for (;;) {
        WaitResult result = wait_until_ready(session, POLLIN, deadline, error);
        if (result != WAIT_READY) {
            return result;
        }
        ssize_t received = recv(session->fd, session->buffer, sizeof(session->buffer), 0);
        if (received > 0) {
            session->unread = session->buffer;
            session->unread_length = (size_t)received;
            return WAIT_READY;
        }
        if (received == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            return fail_closed(error);
        }
    }
}

static WaitResult receive_line(QmpSession *session, Deadline *deadline, GError **error)
{
    for (;;) {
        switch (line_framer_push(&session->framer, &session->unread, &session->unread_length)) {
        case LINE_EVENT_LINE:
            return WAIT_READY;
        case LINE_EVENT_TOO_LONG:
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                        "a message is longer than %zu bytes", session->framer.max_bytes);
            return WAIT_FAILED;
        case LINE_EVENT_NONE:
            break;
        }
        WaitResult result = receive_bytes(session, deadline, error);
        if (result != WAIT_READY) {
            return result;
        }
    }
}

// --- messages ---------------------------------------------------------------------------------

// `*root` is a new reference that `message` borrows from.
static WaitResult receive_message(QmpSession *session, Deadline *deadline, json_t **root,
                                  QmpMessage *message, GError **error)
{
    WaitResult result = receive_line(session, deadline, error);
    if (result != WAIT_READY) {
        return result;
    }
    const GString *line = session->framer.line;
    g_autoptr(json_t) parsed = json_message_parse(line->str, line->len, error);
    if (!parsed || !qmp_message_parse(parsed, message, error)) {
        return WAIT_FAILED;
    }
    *root = g_steal_pointer(&parsed);
    return WAIT_READY;
}

static void keep_event(QmpSession *session, json_t *event)
{
    if (g_queue_get_length(&session->events) >= LIMIT_PENDING_EVENTS) {
        json_decref(g_queue_pop_head(&session->events));
    }
    g_queue_push_tail(&session->events, event);
}

// Waits for the reply to command `id`. An answer to an earlier command, which came too late for it,
// is skipped; an error without id is meant for us, as the peer could not read it.
static WaitResult receive_reply(QmpSession *session, int64_t id, Deadline *deadline, json_t **value,
                                GError **error)
{
    for (;;) {
        g_autoptr(json_t) root = NULL;
        QmpMessage message;
        WaitResult result = receive_message(session, deadline, &root, &message, error);
        if (result != WAIT_READY) {
            return result;
        }
        bool ours = message.has_id && message.id == id;
        if (message.type == QMP_MESSAGE_EVENT) {
            keep_event(session, g_steal_pointer(&root));
        } else if (message.type == QMP_MESSAGE_RETURN && ours) {
            *value = json_incref(message.value);
            return WAIT_READY;
        } else if (message.type == QMP_MESSAGE_ERROR && (ours || !message.has_id)) {
            g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, message.error_desc);
            return WAIT_FAILED;
        }
    }
}

static json_t *execute_until(QmpSession *session, const char *command, json_t *arguments,
                             Deadline *deadline, GError **error)
{
    int64_t id = ++session->last_id;
    g_autofree char *line = qmp_command_format(command, arguments, id);
    json_t *value = NULL;
    WaitResult result = send_all(session, line, strlen(line), deadline, error);
    if (result == WAIT_READY) {
        result = receive_reply(session, id, deadline, &value, error);
    }
    if (result == WAIT_TIMED_OUT) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "no answer to %s in time",
                    command);
    }
    return value;
}

static bool greet(QmpSession *session, Deadline *deadline, GError **error)
{
    g_autoptr(json_t) root = NULL;
    QmpMessage message;
    WaitResult result = receive_message(session, deadline, &root, &message, error);
    if (result == WAIT_TIMED_OUT) {
        // QEMU serves one client a monitor and lets the others wait.
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT,
                    "no greeting in time, another client may be connected");
    } else if (result == WAIT_READY && message.type == QMP_MESSAGE_ERROR) {
        // It says why it takes no further client.
        g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, message.error_desc);
        return false;
    } else if (result == WAIT_READY && message.type != QMP_MESSAGE_GREETING) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "the first message is no QMP greeting");
        return false;
    }
    return result == WAIT_READY;
}

// --- the interface ----------------------------------------------------------------------------

QmpSession *qmp_session_open(const char *path, int64_t timeout_us, GError **error)
{
    int fd = unix_socket_connect(path, error);
    if (fd < 0) {
        return NULL;
    }
    g_autoptr(QmpSession) session = g_new0(QmpSession, 1);
    session->fd = fd;
    line_framer_init(&session->framer, LIMIT_CONTROLLER_LINE_BYTES);
    g_queue_init(&session->events);

    Deadline deadline = deadline_in(timeout_us);
    if (!greet(session, &deadline, error)) {
        return NULL;
    }
    g_autoptr(json_t) value = execute_until(session, "qmp_capabilities", NULL, &deadline, error);
    return value ? g_steal_pointer(&session) : NULL;
}

void qmp_session_close(QmpSession *session)
{
    if (!session) {
        return;
    }
    close(session->fd);
    line_framer_clear(&session->framer);
    g_queue_clear_full(&session->events, (GDestroyNotify)json_decref);
    g_free(session);
}

json_t *qmp_session_execute(QmpSession *session, const char *command, json_t *arguments,
                            int64_t timeout_us, GError **error)
{
    Deadline deadline = deadline_in(timeout_us);
    return execute_until(session, command, arguments, &deadline, error);
}

int64_t qmp_session_begin(QmpSession *session, const char *command, json_t *arguments,
                          int64_t timeout_us, GError **error)
{
    Deadline deadline = deadline_in(timeout_us);
    int64_t id = ++session->last_id;
    g_autofree char *line = qmp_command_format(command, arguments, id);
    WaitResult result = send_all(session, line, strlen(line), &deadline, error);
    if (result == WAIT_TIMED_OUT) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "%s is not read in time",
                    command);
    }
    return result == WAIT_READY ? id : 0;
}

json_t *qmp_session_await(QmpSession *session, int64_t id, int64_t timeout_us, GError **error)
{
    Deadline deadline = deadline_in(timeout_us);
    json_t *value = NULL;
    receive_reply(session, id, &deadline, &value, error);
    return value;
}

json_t *qmp_session_next_event(QmpSession *session, int64_t timeout_us, GError **error)
{
    json_t *event = g_queue_pop_head(&session->events);
    if (event) {
        return event;
    }
    Deadline deadline = deadline_in(timeout_us);
    for (;;) {
        g_autoptr(json_t) root = NULL;
        QmpMessage message;
        if (receive_message(session, &deadline, &root, &message, error) != WAIT_READY) {
            return NULL;
        }
        // Anything else is an answer that came too late.
        if (message.type == QMP_MESSAGE_EVENT) {
            return g_steal_pointer(&root);
        }
    }
}

int qmp_session_fd(const QmpSession *session)
{
    return session->fd;
}
