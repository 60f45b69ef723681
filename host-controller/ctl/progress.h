// SPDX-License-Identifier: Apache-2.0
//
// A line that shows how far a guest is on its way to a target.
#pragma once

#include "host-controller/ctl/text.h"

#include <stdint.h>

typedef struct Progress {
    const char *name;
    int64_t from_bytes;   // where the guest started
    int64_t actual_bytes; // where it is
    int64_t target_bytes; // where it goes
    int64_t elapsed_us;
    const char *note; // what it is doing
} Progress;

// How much of the way is done, 0 to 1000.
int progress_permille(const Progress *progress);

// The line, without newline and not wider than the style; the bar takes what the words leave.
void progress_render(const Progress *progress, const TextStyle *style, GString *out);
