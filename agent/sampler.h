// SPDX-License-Identifier: Apache-2.0
//
// Takes the samples: all the agent's reading of the kernel is done here.
//
// A report is one moment. Everything that is counted (swapping, refaults, faults, OOM kills and the
// balloon's pages) comes from one pass over /proc/vmstat, next to which /proc/meminfo is read. Had
// the balloon moved between the two, available memory and the balloon's size would contradict each
// other and the host would see memory used that nobody uses: unless its size is that of the last
// sample, both are read again.
//
// libproc2 reads /proc/vmstat too, but its version 4.0.2 knows the refaults only by the name they
// had before Linux 5.9, and a second pass would be a second moment.
#pragma once

#include "protocol/report.h"

#include <glib.h>
#include <stdbool.h>

typedef struct Sampler Sampler;

// Prepares to read the kernel's files below `root` ("" for the running system; tests have their
// own; /proc/meminfo is the running system's in any case). Files stay open. What does not exist
// will be absent in every report. NULL with a G_FILE_ERROR when there is no /proc/meminfo.
Sampler *sampler_new(const char *root, GError **error);
void sampler_free(Sampler *sampler);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sampler, sampler_free)

// Looks again at what seldom changes: whether there is a balloon device, and whether it deflates on
// OOM. Done once by sampler_new().
void sampler_refresh(Sampler *sampler);

// Takes a sample into `report`, all of it but `sequence` and `reason`. Allocates nothing. False
// with a G_FILE_ERROR when /proc/meminfo cannot be read.
bool sampler_read(Sampler *sampler, MemoryReport *report, GError **error);
