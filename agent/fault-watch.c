// SPDX-License-Identifier: Apache-2.0
#include "agent/fault-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// A megabyte of small pages: less than a program's start, more than a guest at rest does in
// seconds.
#define FAULTS 256

struct FaultWatch {
    GArray *events; // int, a descriptor for each processor
    int signal_fd;  // readable when one of them has counted up
    GSource *source;
    bool armed;
    FaultWatchFired *fired;
    void *context;
};

static void control(FaultWatch *watch, unsigned long request)
{
    for (guint i = 0; i < watch->events->len; i++) {
        (void)ioctl(g_array_index(watch->events, int, i), request, 0);
    }
}

static gboolean on_signal(int fd, GIOCondition condition, void *data)
{
    (void)condition;
    FaultWatch *watch = data;
    struct signalfd_siginfo info;
    // All are stopped before the signal is taken, so that none is left behind.
    control(watch, PERF_EVENT_IOC_DISABLE);
    while (read(fd, &info, sizeof(info)) > 0) {
    }
    watch->armed = false;
    watch->fired(watch->context);
    return G_SOURCE_CONTINUE;
}

// The event of one processor, or -1 with errno set.
static int open_event(int processor)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_PAGE_FAULTS,
        .sample_period = FAULTS,
        .disabled = 1,
    };
    int fd =
        (int)syscall(SYS_perf_event_open, &attributes, -1, processor, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    // To this thread, in which the signal is blocked: any other would die of it.
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = gettid()};
    if (fcntl(fd, F_SETOWN_EX, &owner) < 0 || fcntl(fd, F_SETFL, O_ASYNC) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool open_events(FaultWatch *watch)
{
    long count = sysconf(_SC_NPROCESSORS_CONF);
    for (int processor = 0; processor < count; processor++) {
        int fd = open_event(processor);
        if (fd >= 0) {
            g_array_append_val(watch->events, fd);
        } else if (errno != ENODEV) { // which one that is offline is
            return false;
        }
    }
    return true;
}

// The descriptor that tells of SIGIO, or -1 with errno set.
static int open_signal(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGIO);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0) {
        return -1;
    }
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

FaultWatch *fault_watch_new(FaultWatchFired *fired, void *context, GError **error)
{
    FaultWatch *watch = g_new0(FaultWatch, 1);
    watch->events = g_array_new(FALSE, FALSE, sizeof(int));
    watch->fired = fired;
    watch->context = context;
    watch->signal_fd = open_signal();
    if (watch->signal_fd < 0 || !open_events(watch)) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "%s",
                    g_strerror(errno));
        fault_watch_free(watch);
        return NULL;
    }
    watch->source = g_unix_fd_source_new(watch->signal_fd, G_IO_IN);
    g_source_set_callback(watch->source, G_SOURCE_FUNC(on_signal), watch, NULL);
    g_source_attach(watch->source, g_main_context_get_thread_default());
    fault_watch_arm(watch);
    return watch;
}

void fault_watch_free(FaultWatch *watch)
{
    if (!watch) {
        return;
    }
    for (guint i = 0; i < watch->events->len; i++) {
        close(g_array_index(watch->events, int, i));
    }
    g_array_unref(watch->events);
    if (watch->source) {
        g_source_destroy(watch->source);
        g_source_unref(watch->source);
    }
    if (watch->signal_fd >= 0) {
        close(watch->signal_fd);
    }
    g_free(watch);
}

void fault_watch_arm(FaultWatch *watch)
{
    if (!watch->armed) {
        watch->armed = true;
        control(watch, PERF_EVENT_IOC_ENABLE);
    }
}
