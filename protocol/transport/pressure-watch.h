// SPDX-License-Identifier: Apache-2.0
//
// The kernel's own alarm clock: a PSI trigger, which wakes its owner when tasks have stalled for
// want of memory for 10 ms within half a second. It costs nothing until it fires.
//
// A window of half a second needs CAP_SYS_RESOURCE. Without it newer kernels take windows of whole
// 2 s, in which the same 10 ms are waited for, but looked for every 200 ms instead of every 50;
// older ones take none. What takes none is watched by the samples alone.
//
// Source: Linux Documentation/accounting/psi.rst, kernel/sched/psi.c.
#pragma once

#include <glib.h>
#include <stdint.h>

#define PRESSURE_BEST_WINDOW_US 500000

// Where the kernel tells of the whole system's pressure; a control group's is in its
// memory.pressure.
#define PRESSURE_MEMORY_PATH "/proc/pressure/memory"

// Sets up the best trigger that the kernel grants on the pressure file at `path`. Returns its
// descriptor, which says POLLPRI when it fires, and its window; -1 when there is none, `*why` then
// being what the kernel said (borrowed).
int pressure_trigger_open(const char *path, int64_t *window_us, const char **why);

typedef struct PressureWatch PressureWatch;

// Tasks stall.
typedef void PressureWatchFired(void *context);

// Calls `fired` from the thread-default main context whenever the trigger at `fd` fires, and takes
// `fd` over. When the trigger ends (POLLERR, POLLHUP) it is watched no more.
PressureWatch *pressure_watch_new(int fd, PressureWatchFired *fired, void *context);
// NULL does nothing.
void pressure_watch_free(PressureWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PressureWatch, pressure_watch_free)
