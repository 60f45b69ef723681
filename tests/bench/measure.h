// SPDX-License-Identifier: Apache-2.0
//
// What every bench needs: to end when something goes wrong, and to sum up what it measured.
#pragma once

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

// Ends the bench unless `done`, with the error if there is one. A pointer to it, since who calls
// may compute both arguments in either order; NULL: there is none to tell.
static inline void bench_must(bool done, GError *const *error)
{
    if (!done) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name,
                error && *error ? (*error)->message : "what was waited for did not happen");
        exit(EXIT_FAILURE);
    }
}

// A number out of the environment, from 1 to `max`.
static inline int bench_setting(const char *name, int fallback, int max)
{
    const char *text = g_getenv(name);
    return text ? CLAMP(atoi(text), 1, max) : fallback;
}

static inline int bench_compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

// The value that `percent` of the values stay below, the median being 50; sorts them. 0 of none.
static inline double bench_percentile(double *values, int count, int percent)
{
    if (count == 0) {
        return 0;
    }
    qsort(values, (size_t)count, sizeof(*values), bench_compare);
    return values[MIN(count * percent / 100, count - 1)];
}
