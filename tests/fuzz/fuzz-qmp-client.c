// SPDX-License-Identifier: Apache-2.0
//
// A QEMU that says anything at all on its monitor: every command is answered once, with a value or
// an error; ready and lost take turns; and what is sent to it is QMP.
//
// A byte 0x01 in the input ends a piece: the client has its turn before the next. 0x02 ends the
// connection.
#include "host-controller/qmp-client.h"
#include "protocol/transport/unix-socket.h"
#include "tests/fuzz/virtual-clock.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_A_PIECE 8
#define COMMANDS 3

typedef struct Seen {
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

static char *path;
static int listener;

// Lets the client work, and reads what it sends. Returns the connection: a new one when it made
// one.
static int take_turns(int fd)
{
    for (int i = 0; i < TURNS_A_PIECE; i++) {
        char chunk[4096];
        g_main_context_iteration(NULL, FALSE);
        ssize_t got = fd >= 0 ? read(fd, chunk, sizeof(chunk)) : 0;
        g_assert_true(got <= 0 || chunk[0] == '{');
        int next = unix_socket_accept(listener);
        if (next >= 0) {
            close(fd);
            fd = next;
        }
    }
    return fd;
}

static void remove_listener(void)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_unlink(path);
    g_rmdir(folder);
}

static void open_listener(void)
{
    g_autofree char *folder = g_dir_make_tmp("fuzz-qmp-XXXXXX", NULL);
    path = g_build_filename(folder, "qmp", NULL);
    listener = unix_socket_listen(path, 0600, NULL);
    g_assert_true(listener >= 0);
    atexit(remove_listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Seen seen = {0};
    if (!path) {
        open_listener();
    }
    QmpClient *client = qmp_client_new(path, &handlers, &seen);
    int fd = take_turns(-1);
    while (size > 0) {
        size_t length = 0;
        while (length < size && data[length] != 0x01 && data[length] != 0x02) {
            length++;
        }
        (void)!send(fd, data, length, MSG_NOSIGNAL);
        fd = take_turns(fd);
        if (length < size && data[length] == 0x02) {
            close(fd);
            fd = take_turns(-1);
        }
        length += length < size;
        data += length;
        size -= length;
    }
    qmp_client_free(client);
    // What the client gave up, or began last, is not the next one's.
    while (fd >= 0) {
        close(fd);
        fd = unix_socket_accept(listener);
    }
    return 0;
}
