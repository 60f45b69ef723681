// SPDX-License-Identifier: Apache-2.0
#include "tests/support/wait.h"

#include "tests/test.h"

// The longest a turn takes when nothing happens.
#define TURN_MS 5

static gboolean on_tick(void *context)
{
    (void)context;
    return G_SOURCE_REMOVE;
}

static void turn(int64_t at_most_us)
{
    GMainContext *context = g_main_context_get_thread_default();
    guint at_most_ms = (guint)CLAMP((at_most_us + 999) / 1000, 0, TURN_MS);
    g_autoptr(GSource) tick = g_timeout_source_new(at_most_ms);
    g_source_set_callback(tick, on_tick, NULL, NULL);
    g_source_attach(tick, context);
    g_main_context_iteration(context, TRUE);
    g_source_destroy(tick);
}

void wait_turn(int64_t deadline_us, const char *condition, const char *file, int line)
{
    if (deadline_left_us(deadline_us) == 0) {
        print_error("waited in vain for: %s\n", condition);
        _fail(file, line);
    }
    turn(TURN_MS * 1000);
}

void wait_while(int64_t duration_us)
{
    int64_t end_us = deadline_after(duration_us);
    // What was ready before it began is done in any case.
    do {
        turn(deadline_left_us(end_us));
    } while (deadline_left_us(end_us) > 0);
}
