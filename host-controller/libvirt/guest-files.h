// SPDX-License-Identifier: Apache-2.0
//
// What stands for a guest in the folder in which the controller finds guests: NAME.qmp, its
// monitor's socket; NAME.agent, a link to the socket of its agent's port; NAME.pid, its QEMU's pid.
// The latter two may be missing.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

// The path of NAME.qmp. New string.
char *guest_files_monitor_path(const char *folder, const char *name);

// Makes NAME.agent point to `target`, or with NULL removes it. Does nothing when it does already.
// False with a G_FILE_ERROR.
bool guest_files_set_agent(const char *folder, const char *name, const char *target,
                           GError **error);
// Writes NAME.pid, or with 0 removes it. False with a G_FILE_ERROR.
bool guest_files_set_pid(const char *folder, const char *name, pid_t pid, GError **error);
// Removes NAME.agent and NAME.pid.
void guest_files_remove(const char *folder, const char *name);

// Removes what a process of the same user, now dead, has left behind: sockets NAME.qmp on which
// nobody listens and for which `is_wanted` does not hold, and the other two files of those guests.
void guest_files_remove_stale(const char *folder,
                              bool is_wanted(const char *name, const void *context),
                              const void *context);
