// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/timer.h"

// GLib looks at every source of a context in every turn of its loop, which thousands of timers make
// slow: all timers of a context share one source, in the order of their moments.
typedef struct TimerQueue {
    GSource source;
    GSequence *armed; // Timer*, the next one first
    unsigned timers;  // that exist; the last one takes the queue with it
} TimerQueue;

struct Timer {
    TimerQueue *queue;
    void (*function)(void *context);
    void *context;
    int64_t at_us;
    GSequenceIter *place; // NULL: not armed
};

static Timer *first_of(const TimerQueue *queue)
{
    GSequenceIter *begin = g_sequence_get_begin_iter(queue->armed);
    return g_sequence_iter_is_end(begin) ? NULL : g_sequence_get(begin);
}

static void wake_for_first(TimerQueue *queue)
{
    const Timer *first = first_of(queue);
    g_source_set_ready_time(&queue->source, first ? first->at_us : -1);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    TimerQueue *queue = (TimerQueue *)source;
    int64_t now_us = g_source_get_time(source);
    g_source_ref(source); // the last timer may be freed meanwhile
    // Those that are armed anew by a function wait for the next turn.
    for (int left = g_sequence_get_length(queue->armed); left > 0; left--) {
        Timer *timer = first_of(queue);
        if (!timer || timer->at_us > now_us) {
            break;
        }
        timer_disarm(timer);
        timer->function(timer->context);
    }
    if (!g_source_is_destroyed(source)) {
        wake_for_first(queue);
    }
    g_source_unref(source);
    return G_SOURCE_CONTINUE;
}

static void finalize(GSource *source)
{
    g_sequence_free(((TimerQueue *)source)->armed);
}

static GSourceFuncs queue_functions = {.dispatch = dispatch, .finalize = finalize};

// The queue of the thread-default main context.
static TimerQueue *queue_of_context(void)
{
    GMainContext *context = g_main_context_get_thread_default();
    GSource *source =
        g_main_context_find_source_by_funcs_user_data(context, &queue_functions, NULL);
    if (!source) {
        source = g_source_new(&queue_functions, sizeof(TimerQueue));
        ((TimerQueue *)source)->armed = g_sequence_new(NULL);
        ((TimerQueue *)source)->timers = 0;
        // Without a callback, which dispatch() has no use for, it would not be found again.
        g_source_set_callback(source, NULL, NULL, NULL);
        g_source_attach(source, context);
    }
    return (TimerQueue *)source;
}

Timer *timer_new(void function(void *context), void *context)
{
    Timer *timer = g_new0(Timer, 1);
    timer->queue = queue_of_context();
    timer->queue->timers++;
    timer->function = function;
    timer->context = context;
    return timer;
}

void timer_free(Timer *timer)
{
    if (!timer) {
        return;
    }
    TimerQueue *queue = timer->queue;
    timer_disarm(timer);
    g_free(timer);
    if (--queue->timers == 0) {
        g_source_destroy(&queue->source);
        g_source_unref(&queue->source);
    }
}

static int by_moment(const void *a, const void *b, void *data)
{
    (void)data;
    const Timer *left = a;
    const Timer *right = b;
    return left->at_us < right->at_us ? -1 : left->at_us > right->at_us;
}

void timer_arm(Timer *timer, int64_t at_us)
{
    timer_disarm(timer);
    timer->at_us = MAX(at_us, 0);
    timer->place = g_sequence_insert_sorted(timer->queue->armed, timer, by_moment, NULL);
    if (first_of(timer->queue) == timer) {
        wake_for_first(timer->queue);
    }
}

void timer_arm_by(Timer *timer, int64_t at_us)
{
    if (!timer->place || at_us < timer->at_us) {
        timer_arm(timer, at_us);
    }
}

void timer_disarm(Timer *timer)
{
    // The queue may wake up in vain for it, once.
    if (timer->place) {
        g_sequence_remove(timer->place);
        timer->place = NULL;
    }
}
