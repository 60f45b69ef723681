// SPDX-License-Identifier: Apache-2.0
//
// Whatever a host writes to the agent's port, in one piece or many: everything the agent says is a
// message on a line of its own, and it is ready for the next client.
//
// A byte 0x01 in the input ends a piece: the agent has its turn before the next. What lies behind
// the last piece is not sent.
#include "agent/fault-watch.h"
#include "agent/server.h"
#include "protocol/json.h"
#include "protocol/transport/meminfo.h"
#include "tests/fuzz/virtual-loop.h"
#include "tests/fuzz/virtual-socket.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// More is slow, and finds nothing that fewer do not.
#define MOST_PIECES 16
#define TURNS_A_PIECE 4
#define TURN_US INT64_C(2000)
#define MOMENTS 4
#define MIB (INT64_C(1) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// --- the kernel -------------------------------------------------------------------------------

// In the place of libproc2: memory that comes and goes with the time.
struct Meminfo {
    int64_t total_bytes;
};

Meminfo *meminfo_new(GError **error)
{
    (void)error;
    Meminfo *meminfo = g_new0(Meminfo, 1);
    meminfo->total_bytes = 1024 * MIB;
    return meminfo;
}

void meminfo_free(Meminfo *meminfo)
{
    g_free(meminfo);
}

bool meminfo_read(Meminfo *meminfo, MemoryReport *report, GError **error)
{
    (void)error;
    int64_t available_bytes = (256 + 64 * (g_get_monotonic_time() / TURN_US % 4)) * MIB;
    memory_report_set(report, REPORT_MEMORY_TOTAL, meminfo->total_bytes);
    memory_report_set(report, REPORT_MEMORY_FREE, available_bytes / 2);
    memory_report_set(report, REPORT_MEMORY_AVAILABLE, available_bytes);
    return true;
}

// In the place of perf's events: memory is touched all the time.
struct FaultWatch {
    FaultWatchFired *fired;
    void *context;
    bool armed;
};

static FaultWatch *fault_watch; // there is one at most

FaultWatch *fault_watch_new(FaultWatchFired *fired, void *context, GError **error)
{
    (void)error;
    g_assert_null(fault_watch);
    fault_watch = g_new0(FaultWatch, 1);
    *fault_watch = (FaultWatch){.fired = fired, .context = context, .armed = true};
    return fault_watch;
}

void fault_watch_free(FaultWatch *watch)
{
    if (watch) {
        fault_watch = NULL;
        g_free(watch);
    }
}

void fault_watch_arm(FaultWatch *watch)
{
    watch->armed = true;
}

static void touch_memory(void)
{
    if (fault_watch && fault_watch->armed) {
        fault_watch->armed = false;
        fault_watch->fired(fault_watch->context);
    }
}

// Its files that are quick to read, for the time of the program.
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
        virtual_loop_pass(TURN_US, 0, MOMENTS);
        touch_memory();
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
    virtual_socket_pair(fds);
    agent_server_serve(server, fds[0], on_end, &ended);
    for (int piece = 0; size > 0 && piece < MOST_PIECES; piece++) {
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
        virtual_loop_pass(TURN_US, 0, MOMENTS);
    }
    agent_server_free(server);
    return 0;
}
