// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/pressure-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

// What the kernel waits for, in its own words, best first.
static const struct {
    const char *text;
    int64_t window_us;
} triggers[] = {
    {"some 10000 500000", PRESSURE_BEST_WINDOW_US},
    {"some 10000 2000000", 2000000},
};

struct PressureWatch {
    int fd;
    GSource *source; // NULL: the trigger has ended
    PressureWatchFired *fired;
    void *context;
};

int pressure_trigger_open(const char *path, int64_t *window_us, const char **why)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i < G_N_ELEMENTS(triggers); i++) {
        // The kernel wants the terminating NUL too.
        if (write(fd, triggers[i].text, strlen(triggers[i].text) + 1) >= 0) {
            *window_us = triggers[i].window_us;
            return fd;
        }
    }
    *why = g_strerror(errno);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static gboolean on_event(int fd, GIOCondition condition, void *data)
{
    (void)fd;
    PressureWatch *watch = data;
    if (condition & (G_IO_ERR | G_IO_HUP | G_IO_NVAL)) {
        g_clear_pointer(&watch->source, g_source_unref);
        return G_SOURCE_REMOVE;
    }
    watch->fired(watch->context);
    return G_SOURCE_CONTINUE;
}

PressureWatch *pressure_watch_new(int fd, PressureWatchFired *fired, void *context)
{
    PressureWatch *watch = g_new0(PressureWatch, 1);
    watch->fd = fd;
    watch->fired = fired;
    watch->context = context;
    watch->source = g_unix_fd_source_new(fd, G_IO_PRI | G_IO_ERR | G_IO_HUP);
    g_source_set_callback(watch->source, G_SOURCE_FUNC(on_event), watch, NULL);
    g_source_attach(watch->source, g_main_context_get_thread_default());
    return watch;
}

void pressure_watch_free(PressureWatch *watch)
{
    if (watch) {
        if (watch->source) {
            g_source_destroy(watch->source);
            g_source_unref(watch->source);
        }
        close(watch->fd);
        g_free(watch);
    }
}
