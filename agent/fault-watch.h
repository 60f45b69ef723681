// SPDX-License-Identifier: Apache-2.0
//
// A tripwire between samples: the kernel counts page faults and wakes the agent when some have
// happened. Memory is taken by touching it first, on whichever processor; a guest at rest faults
// so seldom that the wire costs it nothing, and one that is busy is sampled as if the agent had
// never slept.
//
// It says only that something goes on; what, a sample tells. Memory taken without faults (tmpfs
// written to, the kernel's own) does not trip it: the samples that must be taken anyway and the
// pressure trigger see that. With huge pages a fault is 2 MiB, and the wire 512 MiB long.
//
// One software event of perf a processor, without a ring buffer; needs CAP_PERFMON (Linux 5.8).
// Processors plugged in later are not watched.
//
// Source: perf_event_open(2), Linux kernel/events/core.c.
#pragma once

#include <glib.h>

typedef struct FaultWatch FaultWatch;

typedef void FaultWatchFired(void *context);

// Begins to watch; `fired` is called once from the thread-default main context, which must be this
// thread's. SIGIO is blocked in this thread from now on. NULL with a G_FILE_ERROR when the kernel
// does not permit it.
FaultWatch *fault_watch_new(FaultWatchFired *fired, void *context, GError **error);
// NULL does nothing.
void fault_watch_free(FaultWatch *watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FaultWatch, fault_watch_free)

// Has it fire once more. Does nothing as long as it has not fired.
void fault_watch_arm(FaultWatch *watch);
