// SPDX-License-Identifier: Apache-2.0
//
// A timer of the main loop that is armed for a moment of the monotonic clock.
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct Timer Timer;

// A timer that is not armed. When its moment comes it is disarmed and calls `function`, which may
// arm it again or free it.
Timer *timer_new(void function(void *context), void *context);
void timer_free(Timer *timer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Timer, timer_free)

// Arms the timer for `at_us`, in the terms of g_get_monotonic_time(); a moment in the past means
// as soon as possible. Replaces a former moment.
void timer_arm(Timer *timer, int64_t at_us);
// Arms the timer for `at_us` unless it is armed for an earlier moment.
void timer_arm_by(Timer *timer, int64_t at_us);
void timer_disarm(Timer *timer);
