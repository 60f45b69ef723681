// SPDX-License-Identifier: Apache-2.0
//
// The same work on many things, spread over processes.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Works on thing `index` and writes what came of it to `result`.
typedef void JobFunc(size_t index, void *result, void *context);
// Tells that `done` of `count` things are done.
typedef void JobProgress(size_t done, size_t count, void *context);

// Runs `work` for each index below `count` in `processes` processes at a time; `results` are
// `count` times `result_size` bytes. What `work` changes elsewhere is lost. `progress` may be NULL.
// False when a process could not be started or died.
bool jobs_run(size_t count, unsigned processes, size_t result_size, void *results, JobFunc *work,
              JobProgress *progress, void *context);
