// SPDX-License-Identifier: Apache-2.0
//
// The memory figures of /proc/meminfo, from libproc2 or from its predecessor libprocps.
//
// The one file that knows which of the two it is built with. Both read the running system's /proc
// only.
#pragma once

#include "protocol/report.h"

#include <glib.h>
#include <stdbool.h>

typedef struct Meminfo Meminfo;

// Opens /proc/meminfo. NULL with a G_FILE_ERROR when it cannot be read.
Meminfo *meminfo_new(GError **error);
void meminfo_free(Meminfo *meminfo);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Meminfo, meminfo_free)

// Reads all figures anew and sets those of REPORT_MEMORY_* that the library tells: total, free and
// available always. Allocates nothing. False with a G_FILE_ERROR when /proc/meminfo cannot be read.
bool meminfo_read(Meminfo *meminfo, MemoryReport *report, GError **error);
