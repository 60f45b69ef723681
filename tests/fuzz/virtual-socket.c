// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/virtual-socket.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// No kernel gives away descriptors like these.
#define FIRST_FD (1 << 30)
#define MOST_ENDS 64
// What the kernel counts for a message beside its bytes, and takes in before it says EAGAIN
// (net.core.wmem_default).
#define MESSAGE_COST_BYTES ((size_t)1024)
#define MOST_COST_BYTES ((size_t)208 * 1024)
// That much, and another message.
#define BUFFER_BYTES ((size_t)384 * 1024)

// One end, and what was sent to it. Not on the heap, which is the fuzzed program's.
typedef struct End {
    bool open;
    bool peer_closed;
    bool reset; // the peer went without having read everything
    size_t from;
    size_t to;
    size_t messages; // about so many lie between them
    char bytes[BUFFER_BYTES];
} End;

static End ends[MOST_ENDS];

// NULL: the descriptor is the kernel's.
static End *end_of(int fd)
{
    if (fd < FIRST_FD) {
        return NULL;
    }
    End *end = &ends[fd - FIRST_FD];
    g_assert_true(end < ends + MOST_ENDS && end->open);
    return end;
}

// The ends of a pair stand side by side.
static End *peer_of(const End *end)
{
    return &ends[(end - ends) ^ 1];
}

static size_t cost_bytes(const End *end)
{
    return end->to - end->from + end->messages * MESSAGE_COST_BYTES;
}

static void open_end(End *end)
{
    end->open = true;
    end->peer_closed = end->reset = false;
    end->from = end->to = end->messages = 0;
}

void virtual_socket_pair(int fds[2])
{
    for (int i = 0; i < MOST_ENDS; i += 2) {
        if (!ends[i].open && !ends[i + 1].open) {
            open_end(&ends[i]);
            open_end(&ends[i + 1]);
            fds[0] = FIRST_FD + i;
            fds[1] = FIRST_FD + i + 1;
            return;
        }
    }
    g_assert_not_reached(); // they are not closed
}

uint32_t virtual_socket_ready(int fd, uint32_t events)
{
    const End *end = end_of(fd);
    bool readable = end->from < end->to || end->peer_closed;
    bool writable = 4 * cost_bytes(peer_of(end)) <= MOST_COST_BYTES;
    uint32_t there = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
    return (events & there) | (end->peer_closed ? EPOLLHUP : 0U) | (end->reset ? EPOLLERR : 0U);
}

static ssize_t fail(int code)
{
    errno = code;
    return -1;
}

static ssize_t take(End *end, void *bytes, size_t size)
{
    size_t length = end->to - end->from;
    if (length == 0 && end->reset) {
        end->reset = false;
        return fail(ECONNRESET);
    }
    if (length == 0) {
        return end->peer_closed ? 0 : fail(EAGAIN);
    }
    size_t count = MIN(size, length);
    memcpy(bytes, end->bytes + end->from, count);
    end->from += count;
    end->messages = end->messages * (length - count) / length;
    if (count == length) {
        end->from = end->to = 0;
    }
    return (ssize_t)count;
}

static ssize_t put(const End *end, const void *bytes, size_t length)
{
    End *peer = peer_of(end);
    if (end->peer_closed) {
        return fail(EPIPE);
    }
    if (cost_bytes(peer) >= MOST_COST_BYTES) {
        return fail(EAGAIN);
    }
    if (peer->to + length > BUFFER_BYTES) {
        memmove(peer->bytes, peer->bytes + peer->from, peer->to - peer->from);
        peer->to -= peer->from;
        peer->from = 0;
    }
    size_t count = MIN(length, BUFFER_BYTES - peer->to);
    memcpy(peer->bytes + peer->to, bytes, count);
    peer->to += count;
    peer->messages++;
    return (ssize_t)count;
}

static void close_end(End *end)
{
    End *peer = peer_of(end);
    peer->reset = peer->open && end->from < end->to;
    peer->peer_closed = true;
    end->open = false;
}

// --- in the place of the kernel's -------------------------------------------------------------

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __real_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __real_close(int fd);
int __wrap_close(int fd);

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    End *end = end_of(fd);
    return end ? take(end, bytes, size) : __real_read(fd, bytes, size);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    End *end = end_of(fd);
    return end ? take(end, bytes, size) : __real_recv(fd, bytes, size, flags);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    const End *end = end_of(fd);
    return end ? put(end, bytes, length) : __real_write(fd, bytes, length);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    const End *end = end_of(fd);
    return end ? put(end, bytes, length) : __real_send(fd, bytes, length, flags);
}

int __wrap_fstat(int fd, struct stat *status)
{
    if (!end_of(fd)) {
        return __real_fstat(fd, status);
    }
    *status = (struct stat){.st_mode = S_IFSOCK};
    return 0;
}

int __wrap_close(int fd)
{
    End *end = end_of(fd);
    if (!end) {
        return __real_close(fd);
    }
    close_end(end);
    return 0;
}
