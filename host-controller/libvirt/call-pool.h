// SPDX-License-Identifier: Apache-2.0
//
// Calls to libvirt, which block for as long as libvirtd or a QEMU likes, away from the main loop.
//
// Each call has a thread and a connection to itself while it runs. One connection for all would not
// do: libvirtd reads no more from a connection of which five requests are under way
// (max_client_requests), so that five hung domains would stop the rest.
#pragma once

#include <libvirt/libvirt.h>

typedef struct CallPool CallPool;

// Calls that run side by side at most; the next ones wait for one to return. Below the number that
// libvirtd itself has threads for (max_workers, 20), so that virsh still gets an answer.
#define CALL_POOL_THREADS 16

// Does the work, in a thread of the pool. `connection` is NULL when libvirt cannot be reached.
typedef void CallPoolWork(virConnectPtr connection, void *call);
// Tells that the work is done, in the default main context.
typedef void CallPoolDone(void *call);

// Connections are made to `uri` when needed. The pool lives as long as the process: nobody can end
// a call that hangs.
CallPool *call_pool_new(const char *uri, CallPoolWork *work, CallPoolDone *done);

// Has `call` worked on; it belongs to the pool until it is handed to `done`.
void call_pool_push(CallPool *pool, void *call);
