// SPDX-License-Identifier: Apache-2.0
#include "host-controller/timer.h"

struct Timer {
    GSource source;
    void (*function)(void *context);
    void *context;
};

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    Timer *timer = (Timer *)source;
    timer_disarm(timer);
    timer->function(timer->context);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_functions = {.dispatch = dispatch};

Timer *timer_new(void function(void *context), void *context)
{
    GSource *source = g_source_new(&timer_functions, sizeof(Timer));
    Timer *timer = (Timer *)source;
    timer->function = function;
    timer->context = context;
    g_source_attach(source, g_main_context_get_thread_default());
    return timer;
}

void timer_free(Timer *timer)
{
    if (timer) {
        g_source_destroy(&timer->source);
        g_source_unref(&timer->source);
    }
}

void timer_arm(Timer *timer, int64_t at_us)
{
    g_source_set_ready_time(&timer->source, at_us);
}

void timer_arm_by(Timer *timer, int64_t at_us)
{
    int64_t armed_us = g_source_get_ready_time(&timer->source);
    if (armed_us < 0 || at_us < armed_us) {
        timer_arm(timer, at_us);
    }
}

void timer_disarm(Timer *timer)
{
    g_source_set_ready_time(&timer->source, -1);
}
