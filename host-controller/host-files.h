// SPDX-License-Identifier: Apache-2.0
//
// What the kernel tells of the host's memory, in files below a root: "" for the running system, a
// folder in tests. What cannot be read is left alone.
//
// Sources: Linux Documentation/filesystems/proc.rst, accounting/psi.rst, admin-guide/cgroup-v2.rst,
// admin-guide/mm/ksm.rst.
#pragma once

#include "protocol/proc-text.h"

// Where control groups are mounted (version 2).
#define HOST_FILES_CGROUP "/sys/fs/cgroup"
#define HOST_FILES_KSM "/sys/kernel/mm/ksm"

// The host as a whole.
typedef struct HostMemory {
    int64_t total_bytes;       // MemTotal
    int64_t available_bytes;   // MemAvailable
    int64_t swapped_out_bytes; // since boot
    int64_t shared_bytes;      // pages_sharing of KSM: what it saves
    ProcPressure pressure;     // not present where the kernel has none
} HostMemory;

// False when not even /proc/meminfo tells.
bool host_files_read_memory(const char *root, HostMemory *memory);

// A control group with a limit.
typedef struct HostGroup {
    int64_t limit_bytes;     // memory.max, or memory.high where that is lower
    int64_t available_bytes; // below the limit, with the page cache that could be dropped
    ProcPressure pressure;
} HostGroup;

// Reads the group at `path` (such as /machine.slice). False when there is no such group or it has
// no limit.
bool host_files_read_group(const char *root, const char *path, HostGroup *group);

// Reads or writes a file that holds one number. False when that cannot be done.
bool host_files_read_number(const char *root, const char *path, int64_t *number);
bool host_files_write_number(const char *root, const char *path, int64_t number);
