// SPDX-License-Identifier: Apache-2.0
//
// Whatever a host writes to the agent's port, in one piece or many: everything the agent says is a
// message on a line of its own, and it is ready for the next client.
//
// A byte 0x01 in the input ends a piece: the agent has its turn before the next.
#include "agent/server.h"
#include "protocol/json.h"
#include "tests/fuzz/virtual-loop.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_A_PIECE 4
#define TURN_US INT64_C(2000)
#define MOMENTS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A kernel's files that are quick to read, for the time of the program.
static char *root;

static void remove_root(void)
{
    static const char *const paths[] = {"/proc/vmstat", "/proc", ""};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *path = g_strconcat(root, paths[i], NULL);
        g_remove(path);
    }
}

static void make_root(void)
{
    root = g_dir_make_tmp("fuzz-agent-XXXXXX", NULL);
    g_autofree char *folder = g_strconcat(root, "/proc", NULL);
    g_autofree char *vmstat = g_strconcat(folder, "/vmstat", NULL);
    g_assert_true(g_mkdir(folder, 0700) == 0);
    g_assert_true(
        g_file_set_contents(vmstat, "pswpin 1\noom_kill 0\nballoon_inflate 3\n", -1, NULL));
    atexit(remove_root);
}

// --- the host ---------------------------------------------------------------------------------

static void on_end(void *context, LineChannelEnd end, const char *message)
{
    (void)end;
    (void)message;
    *(bool *)context = true;
}

// The messages so far, as a client reads them; a sentinel may stand before one.
static void check_answers(int fd, GString *partial)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(fd, chunk, sizeof(chunk))) > 0) {
        g_string_append_len(partial, chunk, got);
    }
    char *newline;
    while ((newline = memchr(partial->str, '\n', partial->len))) {
        size_t length = (size_t)(newline - partial->str);
        size_t skip = length > 0 && partial->str[0] == LINE_SENTINEL;
        g_autoptr(json_t) message = json_message_parse(partial->str + skip, length - skip, NULL);
        g_assert_nonnull(message);
        g_string_erase(partial, 0, (gssize)length + 1);
    }
}

// The agent waits for its samples in GLib's own loop.
static void take_turns(int fd, GString *partial)
{
    for (int i = 0; i < TURNS_A_PIECE; i++) {
        virtual_loop_pass(TURN_US, MOMENTS);
        g_main_context_iteration(NULL, FALSE);
        check_answers(fd, partial);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Sampler *sampler;
    if (!sampler) {
        make_root();
        sampler = sampler_new(root, NULL);
    }
    const AgentServerSettings settings = {.root = root, .interval_ms = 10, .heartbeat_ms = 100};
    virtual_loop_begin(NULL, NULL);
    AgentServer *server = agent_server_new(sampler, &settings);
    int fds[2];
    bool ended = false;
    g_autoptr(GString) partial = g_string_new(NULL);
    g_assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    agent_server_serve(server, fds[0], on_end, &ended);
    while (size > 0) {
        const uint8_t *end = memchr(data, 0x01, size);
        size_t length = end ? (size_t)(end - data) : size;
        // What does not fit into the socket is lost, as it is when nobody reads a port.
        (void)!send(fds[1], data, length, MSG_NOSIGNAL);
        take_turns(fds[1], partial);
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    close(fds[1]);
    while (!ended) {
        virtual_loop_pass(TURN_US, MOMENTS);
    }
    agent_server_free(server);
    return 0;
}
