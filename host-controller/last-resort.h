// SPDX-License-Identifier: Apache-2.0
//
// The last resort: has the kernel reclaim memory from a QEMU whose guest does not give any back
// (memory.reclaim of cgroup version 2). The guest's pages are swapped out on the host, behind its
// back, so that the guest becomes slow, and the rest of the host lives.
//
// The kernel works on it for as long as it takes, so a thread of its own waits for it, one at a
// time.
//
// Source: Linux Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct LastResort LastResort;

// Files are those below `root`; `root` must outlive it.
LastResort *last_resort_new(const char *root);
// Waits for what is under way. NULL does nothing.
void last_resort_free(LastResort *resort);

// Whether nothing is under way.
bool last_resort_is_idle(const LastResort *resort);

// Finds the control group that holds the process `pid` and no other but threads of the kernel, for
// only that one may be reclaimed from. Its path below /sys/fs/cgroup, or NULL with a G_FILE_ERROR;
// free with g_free().
char *last_resort_find_group(const LastResort *resort, pid_t pid, GError **error);

// Starts reclaiming `bytes` from the group; what came of it is logged. Only while idle.
void last_resort_reclaim(LastResort *resort, const char *group, int64_t bytes);
