// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/fd-watch.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

// Handled in one turn of the loop; what else is ready comes in the next.
#define EVENTS_AT_ONCE 64

// The one source that all watches of a context share.
typedef struct FdSet {
    GSource source;
    int epoll_fd;
    unsigned watches; // that exist; the last one takes the set with it
    struct epoll_event ready[EVENTS_AT_ONCE];
    int ready_count; // of those, in this turn
} FdSet;

struct FdWatch {
    FdSet *set;
    int fd;
    uint32_t events;
    FdWatchFunc *function;
    void *context;
};

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    FdSet *set = (FdSet *)source;
    int count = epoll_wait(set->epoll_fd, set->ready, EVENTS_AT_ONCE, 0);
    g_source_ref(source); // the last watch may be freed meanwhile
    set->ready_count = MAX(count, 0);
    for (int i = 0; i < set->ready_count; i++) {
        const FdWatch *watch = set->ready[i].data.ptr;
        // Another's function may have freed it, or lost its interest.
        uint32_t events = set->ready[i].events & (watch ? watch->events | EPOLLERR | EPOLLHUP : 0);
        if (watch && watch->events != 0 && events != 0) {
            watch->function(events, watch->context);
        }
    }
    set->ready_count = 0;
    g_source_unref(source);
    return G_SOURCE_CONTINUE;
}

static void finalize(GSource *source)
{
    close(((FdSet *)source)->epoll_fd);
}

static GSourceFuncs set_functions = {.dispatch = dispatch, .finalize = finalize};

// The set of the thread-default main context.
static FdSet *set_of_context(void)
{
    GMainContext *context = g_main_context_get_thread_default();
    GSource *source = g_main_context_find_source_by_funcs_user_data(context, &set_functions, NULL);
    if (!source) {
        source = g_source_new(&set_functions, sizeof(FdSet));
        FdSet *set = (FdSet *)source;
        set->watches = 0;
        set->ready_count = 0;
        set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (set->epoll_fd < 0) {
            g_error("epoll_create1: %s", g_strerror(errno));
        }
        g_source_add_unix_fd(source, set->epoll_fd, G_IO_IN);
        // Without a callback, which dispatch() has no use for, it would not be found again.
        g_source_set_callback(source, NULL, NULL, NULL);
        g_source_attach(source, context);
    }
    return (FdSet *)source;
}

FdWatch *fd_watch_new(int fd, FdWatchFunc *function, void *context)
{
    FdWatch *watch = g_new0(FdWatch, 1);
    watch->set = set_of_context();
    watch->set->watches++;
    watch->fd = fd;
    watch->function = function;
    watch->context = context;
    return watch;
}

void fd_watch_free(FdWatch *watch)
{
    if (!watch) {
        return;
    }
    FdSet *set = watch->set;
    fd_watch_set(watch, 0);
    for (int i = 0; i < set->ready_count; i++) {
        if (set->ready[i].data.ptr == watch) {
            set->ready[i].data.ptr = NULL;
        }
    }
    if (--set->watches == 0) {
        g_source_destroy(&set->source);
        g_source_unref(&set->source);
    }
    g_free(watch);
}

void fd_watch_set(FdWatch *watch, uint32_t events)
{
    if (events == watch->events) {
        return;
    }
    int operation = events == 0          ? EPOLL_CTL_DEL
                    : watch->events == 0 ? EPOLL_CTL_ADD
                                         : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(watch->set->epoll_fd, operation, watch->fd, &event) != 0) {
        g_error("epoll_ctl on descriptor %d: %s", watch->fd, g_strerror(errno));
    }
    watch->events = events;
}
