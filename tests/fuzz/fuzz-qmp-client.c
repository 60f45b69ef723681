// SPDX-License-Identifier: Apache-2.0
//
// A QEMU that says anything at all on its monitor: every command is answered once, with a value or
// an error; ready and lost take turns; and what is sent to it is QMP.
//
// A byte 0x01 in the input ends a piece: the client has its turn before the next. 0x02 ends the
// connection, and the client makes another. 0x03 lets every deadline pass.
#include "host-controller/qmp-client.h"
#include "protocol/transport/fd-watch.h"
#include "tests/fuzz/virtual-loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMANDS 3
#define TURN_US INT64_C(10000)
#define RECONNECTION_US INT64_C(1100000)
#define DEADLINE_US INT64_C(6000000)
#define MOMENTS 16

typedef struct Seen {
    int fd;         // the monitor's end of the connection; -1: none
    FdWatch *watch; // of it
    bool ready;
    unsigned sent;
    unsigned answered;
} Seen;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_reply(const json_t *value, const GError *error, void *context)
{
    Seen *seen = context;
    g_assert_true((value != NULL) != (error != NULL));
    g_assert_cmpuint(++seen->answered, <=, seen->sent);
}

static void on_ready(QmpClient *client, void *context)
{
    Seen *seen = context;
    g_assert_false(seen->ready);
    seen->ready = true;
    for (int i = 0; i < COMMANDS; i++) {
        seen->sent++;
        g_assert_true(qmp_client_execute(client, "query-balloon", NULL, on_reply, seen));
    }
}

static void on_lost(QmpClient *client, const char *why, void *context)
{
    (void)client;
    Seen *seen = context;
    g_assert_true(seen->ready && why[0] != '\0');
    g_assert_cmpuint(seen->answered, ==, seen->sent);
    seen->ready = false;
}

static void on_unreachable(QmpClient *client, bool absent, const char *why, void *context)
{
    (void)client;
    (void)absent;
    const Seen *seen = context;
    g_assert_true(!seen->ready && why[0] != '\0');
}

static void on_event(QmpClient *client, const char *name, const json_t *data, void *context)
{
    (void)client;
    (void)data;
    const Seen *seen = context;
    g_assert_true(seen->ready && name);
}

static const QmpClientHandlers handlers = {
    .ready = on_ready, .lost = on_lost, .unreachable = on_unreachable, .event = on_event};

// --- the monitor ------------------------------------------------------------------------------

static void drop(Seen *seen)
{
    g_clear_pointer(&seen->watch, fd_watch_free);
    if (seen->fd >= 0) {
        close(seen->fd);
    }
    seen->fd = -1;
}

// Reads what the client sends.
static void on_ready_to_read(uint32_t events, void *context)
{
    (void)events;
    Seen *seen = context;
    char chunk[4096];
    ssize_t got = read(seen->fd, chunk, sizeof(chunk));
    g_assert_true(got <= 0 || chunk[0] == '{');
    if (got <= 0) {
        drop(seen);
    }
}

static int connected(const char *path, int fd, pid_t *pid, void *context)
{
    (void)path;
    Seen *seen = context;
    drop(seen);
    seen->fd = fd;
    seen->watch = fd_watch_new(fd, on_ready_to_read, seen);
    fd_watch_set(seen->watch, EPOLLIN);
    *pid = 1;
    return 0;
}

static const VirtualWorld world = {.connected = connected};

static void end_piece(Seen *seen, uint8_t end)
{
    if (end == 0x02) {
        drop(seen);
    }
    virtual_loop_pass(end == 0x02   ? RECONNECTION_US
                      : end == 0x03 ? DEADLINE_US
                                    : TURN_US,
                      0, MOMENTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Seen seen = {.fd = -1};
    virtual_loop_begin(&world, &seen);
    QmpClient *client = qmp_client_new("/fuzz/qmp", &handlers, &seen);
    virtual_loop_rest();
    while (size > 0) {
        size_t length = 0;
        while (length < size && (data[length] < 0x01 || data[length] > 0x03)) {
            length++;
        }
        (void)!send(seen.fd, data, length, MSG_NOSIGNAL);
        end_piece(&seen, length < size ? data[length] : 0x01);
        length += length < size;
        data += length;
        size -= length;
    }
    qmp_client_free(client);
    drop(&seen);
    return 0;
}
