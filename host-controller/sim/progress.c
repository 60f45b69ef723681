// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/progress.h"

#include <stdio.h>

#define BAR_COLUMNS 40

void progress_show(size_t done, size_t count, const char *unit)
{
    int full = count > 0 ? (int)(done * BAR_COLUMNS / count) : BAR_COLUMNS;
    fprintf(stderr, "\r[%.*s%.*s] %zu of %zu %s%s", full,
            "########################################", BAR_COLUMNS - full,
            "........................................", done, count, unit,
            done == count ? "\n" : "");
}
