// SPDX-License-Identifier: Apache-2.0
//
// What keeps the agent alive and quick in a guest that has no memory left: its own memory locked,
// so that a report waits for no page fault, and itself the last that the OOM killer takes. Both,
// and the better pressure trigger, need CAP_SYS_RESOURCE and nothing else; without it the agent
// does what is left, and says once what is not.
//
// Memory is locked as it is touched (MCL_ONFAULT): locked whole, the libraries alone would take
// 5 MiB more.
//
// Source: Linux Documentation/filesystems/proc.rst (oom_score_adj), mlockall(2).
#pragma once

#include <glib.h>
#include <stdbool.h>

// Locks what this process has touched and will touch. With a limit that cannot be raised only what
// it has by now: growing against the limit would fail. False with a G_FILE_ERROR.
bool survival_lock_memory(GError **error);

// Asks the OOM killer of the kernel whose files are below `root` to spare this process. False with
// a G_FILE_ERROR.
bool survival_avoid_oom_killer(const char *root, GError **error);

// Does both for the running system, tries the pressure trigger and the tripwire, and says on stderr
// what is not permitted.
void survival_prepare(void);
