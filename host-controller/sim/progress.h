// SPDX-License-Identifier: Apache-2.0
//
// A bar on standard error that shows how far long work is.
#pragma once

#include <stddef.h>

// Draws it anew in the same line: `done` of `count`, in `unit`. Ends the line with the last.
void progress_show(size_t done, size_t count, const char *unit);
