// SPDX-License-Identifier: Apache-2.0
//
// The host's own memory, and the budget that is left of it for guests.
#pragma once

#include "host-controller/config.h"

typedef struct Host Host;

typedef struct HostMemory {
    int64_t total_bytes;     // MemTotal
    int64_t available_bytes; // MemAvailable
} HostMemory;

// Opens what is needed to read the host's memory. NULL with a G_FILE_ERROR.
Host *host_new(GError **error);
void host_free(Host *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

// Reads the figures anew; on failure those of the last time stay.
void host_refresh(Host *host);

const HostMemory *host_memory(const Host *host);

// What all guests together may have: the configured budget, but never more than the host's memory
// less its reserve.
int64_t host_budget_bytes(const Host *host, const Config *config);
