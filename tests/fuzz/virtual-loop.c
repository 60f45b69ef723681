// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/virtual-loop.h"

#include "protocol/transport/fd-watch.h"
#include "protocol/transport/timer.h"
#include "protocol/transport/unix-socket.h"
#include "tests/fuzz/virtual-socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

// Shortly after the start of the machine.
#define BEGIN_US (60 * (int64_t)G_USEC_PER_SEC)
// What the wall clock is ahead of the monotonic one.
#define EPOCH_US (INT64_C(1700000000) * G_USEC_PER_SEC)
#define MOST_WATCHES 64
// A busy machine is not later than this.
#define MOST_STRIDE_US ((int64_t)G_USEC_PER_SEC)

struct Timer {
    void (*function)(void *context);
    void *context;
    bool armed;
    int64_t at_us;
};

struct FdWatch {
    int fd;
    uint32_t events;
    FdWatchFunc *function;
    void *context;
};

static int64_t now_us = BEGIN_US;
static guint timers;
static GPtrArray *due;     // Timer*, those that are armed, in the order in which they are due
static GPtrArray *watches; // FdWatch*
static const VirtualWorld *world;
static void *world_context;
static pid_t peer_pid; // of the last connection

// --- clocks and log ---------------------------------------------------------------------------

gint64 g_get_monotonic_time(void)
{
    return now_us;
}

gint64 g_get_real_time(void)
{
    return EPOCH_US + now_us;
}

// GLib's own loop goes by the machine's clock, which is ahead of this one: a source of its own that
// waits for a moment is dispatched in every turn.
gint64 g_source_get_time(GSource *source)
{
    (void)source;
    return now_us;
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count,
                                  gpointer data)
{
    if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)) {
        g_log_writer_standard_streams(level, fields, count, data);
        abort();
    }
    return G_LOG_WRITER_HANDLED;
}

// The stack of an allocation costs more than the allocation itself. A finding that wants it is
// repeated with ASAN_OPTIONS=malloc_context_size=30. Memory that was freed is kept for some games,
// not until the processor's caches are of no use.
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=16";
}

__attribute__((constructor)) static void set_up(void)
{
    g_log_set_writer_func(write_log, NULL, NULL);
    due = g_ptr_array_new();
    watches = g_ptr_array_new_with_free_func(g_free);
}

// --- timers -----------------------------------------------------------------------------------

Timer *timer_new(void function(void *context), void *context)
{
    Timer *timer = g_new0(Timer, 1);
    timer->function = function;
    timer->context = context;
    timers++;
    return timer;
}

void timer_free(Timer *timer)
{
    if (timer) {
        timer_disarm(timer);
        g_free(timer);
        timers--;
    }
}

// Of two that are due at one moment the one armed first comes first.
void timer_arm(Timer *timer, int64_t at_us)
{
    timer_disarm(timer);
    guint place = due->len;
    while (place > 0 && ((const Timer *)g_ptr_array_index(due, place - 1))->at_us > at_us) {
        place--;
    }
    g_ptr_array_insert(due, (gint)place, timer);
    timer->armed = true;
    timer->at_us = at_us;
}

void timer_arm_by(Timer *timer, int64_t at_us)
{
    if (!timer->armed || at_us < timer->at_us) {
        timer_arm(timer, at_us);
    }
}

void timer_disarm(Timer *timer)
{
    if (timer->armed) {
        g_ptr_array_remove(due, timer);
        timer->armed = false;
    }
}

// The next one that is armed, or NULL.
static Timer *next_timer(void)
{
    return due->len > 0 ? g_ptr_array_index(due, 0) : NULL;
}

// --- descriptors ------------------------------------------------------------------------------

FdWatch *fd_watch_new(int fd, FdWatchFunc *function, void *context)
{
    FdWatch *watch = g_new0(FdWatch, 1);
    *watch = (FdWatch){.fd = fd, .function = function, .context = context};
    g_ptr_array_add(watches, watch);
    return watch;
}

void fd_watch_free(FdWatch *watch)
{
    if (watch) {
        g_ptr_array_remove(watches, watch);
    }
}

void fd_watch_set(FdWatch *watch, uint32_t events)
{
    watch->events = events;
}

int unix_socket_connect(const char *path, GError **error)
{
    int fds[2];
    virtual_socket_pair(fds);
    peer_pid = 0;
    int code = world->connected(path, fds[1], &peer_pid, world_context);
    if (code == 0) {
        return fds[0];
    }
    close(fds[0]);
    close(fds[1]);
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: connect: %s", path,
                g_strerror(code));
    errno = code;
    return -1;
}

bool unix_socket_peer_pid(int fd, pid_t *pid)
{
    (void)fd;
    *pid = peer_pid;
    return peer_pid > 0;
}

// Nobody listens in a fuzzer.
int unix_socket_listen(const char *path, mode_t mode, GError **error)
{
    (void)mode;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM, "%s: cannot listen", path);
    return -1;
}

int unix_socket_accept(int listener)
{
    (void)listener;
    errno = EAGAIN;
    return -1;
}

// --- turns ------------------------------------------------------------------------------------

static void tell_step(void)
{
    if (world && world->stepped) {
        world->stepped(world_context);
    }
}

static bool run_timer(void)
{
    Timer *timer = next_timer();
    if (!timer || timer->at_us > now_us) {
        return false;
    }
    timer_disarm(timer);
    timer->function(timer->context);
    tell_step();
    return true;
}

// Calls those that are ready. One may free others.
static bool run_watches(void)
{
    FdWatch *ready[MOST_WATCHES];
    uint32_t events[MOST_WATCHES];
    guint count = 0;
    for (guint i = 0; i < watches->len; i++) {
        FdWatch *watch = g_ptr_array_index(watches, i);
        uint32_t seen = watch->events ? virtual_socket_ready(watch->fd, watch->events) : 0;
        if (seen) {
            g_assert_cmpuint(count, <, MOST_WATCHES);
            ready[count] = watch;
            events[count++] = seen;
        }
    }
    bool ran = false;
    for (guint i = 0; i < count; i++) {
        bool there = g_ptr_array_find(watches, ready[i], NULL);
        uint32_t wanted = there ? ready[i]->events : 0;
        uint32_t told = events[i] & (wanted | EPOLLERR | EPOLLHUP);
        if (wanted != 0 && told != 0) {
            ready[i]->function(told, ready[i]->context);
            tell_step();
            ran = true;
        }
    }
    return ran;
}

void virtual_loop_rest(void)
{
    unsigned steps = 0;
    while (run_watches() || run_timer()) {
        steps++;
        g_assert_cmpuint(steps, <, VIRTUAL_LOOP_MOST_STEPS);
    }
}

unsigned virtual_loop_pass(int64_t us, int64_t stride_us, unsigned most_moments)
{
    int64_t until_us = now_us + us;
    unsigned moments = 0;
    const Timer *next;
    virtual_loop_rest();
    while (moments < most_moments && (next = next_timer()) && next->at_us <= until_us) {
        moments++;
        now_us = MIN(until_us, MAX(next->at_us, now_us + stride_us));
        stride_us = MIN(2 * stride_us, MOST_STRIDE_US);
        virtual_loop_rest();
    }
    now_us = until_us;
    virtual_loop_rest();
    return moments;
}

void virtual_loop_begin(const VirtualWorld *new_world, void *context)
{
    g_assert_cmpuint(timers, ==, 0);
    g_assert_cmpuint(watches->len, ==, 0);
    now_us = BEGIN_US;
    world = new_world;
    world_context = context;
}
