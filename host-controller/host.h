// SPDX-License-Identifier: Apache-2.0
//
// The host's own memory, how well it is, and what of it guests may have.
//
// A reading is taken in steps, because what guests have of the memory takes a file of each QEMU:
// host_begin(), host_add_guest() for each, host_end(). The arithmetic is policy/host.h;
// docs/host.md explains it.
#pragma once

#include "host-controller/config.h"
#include "host-controller/host-files.h"
#include "host-controller/policy/host.h"

typedef struct Host Host;

// Reads the host's memory below `root` ("" for the running system) once. `config` is only looked at
// during the call. NULL with a G_FILE_ERROR.
Host *host_new(const char *root, const Config *config, GError **error);
void host_free(Host *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

// Takes over reserve and budget of a new configuration, and reads everything anew.
void host_configure(Host *host, const Config *config);

// Starts a reading; one that was not ended is forgotten.
void host_begin(Host *host);
// A guest has `bytes` of the host's memory in use.
void host_add_guest(Host *host, int64_t bytes);
// Ends the reading, at `now_us` (monotonic). Where one cannot be had the last one stays.
void host_end(Host *host, int64_t now_us);

// A guest has become known since the last reading, which took `bytes` of its memory for others'.
void host_credit(Host *host, int64_t bytes);

const char *host_root(const Host *host);
const HostMemory *host_memory(const Host *host);
// The worse of the host's and, with budget=cgroup, the group's.
PolicyHostState host_state(const Host *host);
// The path of the control group, when that is worse off than the host; otherwise NULL.
// `*available_bytes` is what it has left below its limit then.
const char *host_short_group(const Host *host, int64_t *available_bytes);
// Whether more than a quarter of it lies idle beyond the reserve, of the group's limit too.
bool host_is_idle(const Host *host);
// Whether there is a control group that limits the budget: it exists and has a limit.
bool host_has_group(const Host *host);
// What is used by anything but guests' memory.
int64_t host_non_guest_bytes(const Host *host);
// What is to stay available.
int64_t host_reserve_bytes(const Host *host);
// What all guests together may have. An explicit budget is never more than the host's memory less
// its reserve; otherwise docs/host.md.
int64_t host_budget_bytes(const Host *host);
