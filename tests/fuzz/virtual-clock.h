// SPDX-License-Identifier: Apache-2.0
//
// A clock for fuzzers, in the place of GLib's two: it goes on by a millisecond whenever it is
// looked at. Deadlines pass without anybody waiting for them, and the same input gives the same
// run.
//
// GLib's loop goes on by its own clock, which is far ahead of this one: a source that waits for a
// moment is dispatched in every turn, and does by this clock what is due by it. Included by one
// file of a program.
#pragma once

#include <glib.h>

static gint64 virtual_now_us;

gint64 g_get_monotonic_time(void)
{
    virtual_now_us += 1000;
    return virtual_now_us;
}

gint64 g_source_get_time(GSource *source)
{
    (void)source;
    return g_get_monotonic_time();
}
