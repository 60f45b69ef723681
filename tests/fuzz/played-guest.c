// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/played-guest.h"

#include "protocol/limits.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// What is said late is kept so far.
#define MOST_LATE_BYTES ((size_t)64 * 1024)
// A line that the controller sends, and one that is sent to it.
#define MOST_LINE_BYTES ((size_t)4 * 1024)
#define MOST_MESSAGE_BYTES 1024
#define KIB INT64_C(1024)

// --- connections ------------------------------------------------------------------------------

static void init_peer(PlayedPeer *peer, PlayedGuest *guest,
                      void answer(PlayedGuest *guest, const char *line))
{
    *peer = (PlayedPeer){
        .guest = guest,
        .answer = answer,
        .listens = true,
        .fd = -1,
        .input = g_string_new(NULL),
        .late = g_string_new(NULL),
    };
}

void played_peer_drop(PlayedPeer *peer)
{
    g_clear_pointer(&peer->watch, fd_watch_free);
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    peer->fd = -1;
    peer->unanswered = 0;
    g_string_truncate(peer->input, 0);
    g_string_truncate(peer->late, 0);
}

static void clear_peer(PlayedPeer *peer)
{
    played_peer_drop(peer);
    g_string_free(peer->input, TRUE);
    g_string_free(peer->late, TRUE);
}

void played_peer_send(PlayedPeer *peer, const char *bytes, size_t length)
{
    if (peer->fd < 0) {
        return;
    }
    if (peer->manner == PLAYED_LATE || peer->manner == PLAYED_DEAF) {
        g_string_append_len(peer->late, bytes, (gssize)length);
        if (peer->late->len > MOST_LATE_BYTES) {
            played_peer_drop(peer);
        }
        return;
    }
    int64_t now_us = g_get_monotonic_time();
    // What does not fit is lost, and the rest is no message.
    ssize_t sent = send(peer->fd, bytes, length, MSG_NOSIGNAL);
    peer->clean &= sent == (ssize_t)length;
    // What had not been heard when the last was said may have waited until now. A message costs no
    // more than this (protocol/limits.h).
    int64_t waiting_us = MAX(peer->heard_us - peer->said_us, 0);
    peer->heard_us = MAX(peer->heard_us, now_us - LIMIT_AHEAD_US + waiting_us) +
                     LIMIT_READ_COST_US + LIMIT_LINE_COST_US + 2 * (int64_t)length;
    peer->said_us = now_us;
}

void played_peer_send_raw(PlayedPeer *peer, const char *bytes, size_t length)
{
    peer->clean = false;
    played_peer_send(peer, bytes, length);
}

void played_peer_printf(PlayedPeer *peer, const char *format, ...)
{
    char text[MOST_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = g_vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    g_assert_cmpint(length, <, MOST_MESSAGE_BYTES);
    played_peer_send(peer, text, (size_t)length);
}

// Answers whole lines. An answer that nobody takes may end the connection.
static void answer_lines(PlayedPeer *peer)
{
    const GString *input = peer->input;
    size_t from = 0;
    char *newline;
    while (from < input->len && (newline = memchr(input->str + from, '\n', input->len - from))) {
        const char *line = input->str + from;
        *newline = '\0';
        from = (size_t)(newline - input->str) + 1;
        // What the controller has asked and waits for is bounded.
        peer->unanswered += peer->manner == PLAYED_LATE;
        g_assert_cmpuint(peer->unanswered, <=, LIMIT_PENDING_COMMANDS);
        peer->answer(peer->guest, line);
    }
    g_string_erase(peer->input, 0, (gssize)MIN(from, input->len));
    g_assert_cmpuint(input->len, <, MOST_LINE_BYTES);
}

// Takes in what has come.
static void on_readable(uint32_t events, void *context)
{
    (void)events;
    PlayedPeer *peer = context;
    char chunk[4096];
    ssize_t count = recv(peer->fd, chunk, sizeof(chunk), 0);
    if (count <= 0) {
        played_peer_drop(peer);
        return;
    }
    g_string_append_len(peer->input, chunk, count);
    answer_lines(peer);
}

static void listen_to(PlayedPeer *peer)
{
    if (peer->watch) {
        fd_watch_set(peer->watch, peer->manner == PLAYED_DEAF ? 0 : EPOLLIN);
    }
}

static void accept_peer(PlayedPeer *peer, int fd)
{
    played_peer_drop(peer);
    peer->fd = fd;
    peer->watch = fd_watch_new(fd, on_readable, peer);
    peer->clean = true;
    peer->said_us = peer->heard_us = 0;
    listen_to(peer);
}

void played_peer_set_manner(PlayedPeer *peer, PlayedManner manner)
{
    peer->manner = manner;
    if (manner != PLAYED_LATE && manner != PLAYED_DEAF && peer->late->len > 0) {
        g_autoptr(GString) late = g_steal_pointer(&peer->late);
        peer->late = g_string_new(NULL);
        peer->unanswered = 0;
        // More at once than the controller takes in at a moment.
        played_peer_send_raw(peer, late->str, late->len);
    }
    listen_to(peer);
}

// --- the guest --------------------------------------------------------------------------------

void played_guest_init(PlayedGuest *guest, unsigned index, int64_t size_bytes, int64_t held_bytes)
{
    *guest = (PlayedGuest){
        .index = index,
        .pid = PLAYED_PID_BASE + (pid_t)index,
        .size_bytes = size_bytes,
        .held_bytes = held_bytes,
        .target_bytes = held_bytes,
        .told_bytes = held_bytes,
        .rate_bytes_per_s = 1024 * PLAYED_MIB,
        .moved_us = g_get_monotonic_time(),
        .running = true,
        .has_device = true,
        .migration = "none",
        .truthful = true,
        .beats = true,
        .used_bytes = held_bytes / 2,
        .boot_id = 1,
    };
    g_snprintf(guest->name, sizeof(guest->name), "g%u", index % 10);
    init_peer(&guest->monitor, guest, played_qemu_answer);
    init_peer(&guest->port, guest, played_agent_answer);
    played_agent_begin(guest);
}

void played_guest_clear(PlayedGuest *guest)
{
    clear_peer(&guest->monitor);
    clear_peer(&guest->port);
    timer_free(guest->heartbeat);
}

static bool is_path(const PlayedGuest *guest, const char *path, const char *suffix)
{
    return g_str_has_prefix(path, "/fuzz/") && g_str_has_suffix(path, suffix) &&
           strncmp(path + strlen("/fuzz/"), guest->name, strlen(guest->name)) == 0;
}

int played_guest_connected(PlayedGuest *guest, const char *path, int fd, pid_t *pid)
{
    bool is_monitor = is_path(guest, path, ".qmp");
    PlayedPeer *peer = is_monitor ? &guest->monitor : &guest->port;
    if (!is_monitor && !is_path(guest, path, ".agent")) {
        return -1;
    }
    if (!peer->listens) {
        return ECONNREFUSED;
    }
    accept_peer(peer, fd);
    *pid = guest->pid;
    if (is_monitor) {
        guest->told = 0;
        played_peer_printf(peer, "{\"QMP\":{\"version\":{},\"capabilities\":[\"oob\"]}}\r\n");
    } else {
        guest->subscribed = false;
    }
    return 0;
}

char *played_guest_process(PlayedGuest *guest, int pid)
{
    if (pid != guest->pid || !guest->monitor.listens) {
        return NULL;
    }
    int64_t bytes = guest->frees_nothing ? played_guest_size(guest) : played_guest_held(guest);
    int64_t kib = bytes / KIB + 64 * KIB;
    return g_strdup_printf("Name:\tqemu-system-x86\nVmSize:\t%" G_GINT64_FORMAT
                           " kB\nVmRSS:\t%" G_GINT64_FORMAT " kB\nRssAnon:\t%" G_GINT64_FORMAT
                           " kB\nRssShmem:\t0 kB\nVmSwap:\t0 kB\n",
                           played_guest_size(guest) / KIB + 512 * KIB, kib, kib);
}

int64_t played_guest_size(const PlayedGuest *guest)
{
    return guest->size_bytes + guest->plugged_bytes;
}

// As far as the guest has come on its way.
int64_t played_guest_held(PlayedGuest *guest)
{
    int64_t now_us = g_get_monotonic_time();
    int64_t elapsed_ms = MIN((now_us - guest->moved_us) / 1000, 1000000);
    int64_t distance_bytes = guest->target_bytes - guest->held_bytes;
    int64_t step_bytes = guest->rate_bytes_per_s / 1000 * elapsed_ms;
    if (!guest->running || !guest->has_device || step_bytes == 0 || distance_bytes == 0) {
        guest->moved_us = elapsed_ms > 0 ? now_us : guest->moved_us;
        return guest->held_bytes;
    }
    guest->moved_us = now_us;
    guest->held_bytes += CLAMP(distance_bytes, -step_bytes, step_bytes);
    guest->told_bytes = guest->held_bytes;
    return guest->held_bytes;
}

int64_t played_guest_may_hold(PlayedGuest *guest)
{
    int64_t held_bytes = played_guest_held(guest);
    return guest->has_device ? MAX(held_bytes, guest->target_bytes) : held_bytes;
}
