// SPDX-License-Identifier: Apache-2.0
//
// What every bench needs: to end when something goes wrong, to know how much to measure, and to
// collect its figures and print them as one JSON object.
#pragma once

#include <errno.h>
#include <glib.h>
#include <jansson.h>
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

// How much is to be measured: the number in the environment variable `name`, from 1 to `max`, or
// else `usual`, or `full` when AEROSTAT_BENCH_FULL is set.
int bench_setting(const char *name, int usual, int full, int max);
// Whether AEROSTAT_BENCH_FULL is set.
bool bench_is_full(void);

// The figures of one bench: each has a name and was measured once or many times.
typedef json_t BenchFigures;

BenchFigures *bench_figures_new(void);
// Adds one measurement to the figure that `format` names.
void bench_note(BenchFigures *figures, double value, const char *format, ...) G_GNUC_PRINTF(3, 4);
// The same for what happened or did not.
void bench_count(BenchFigures *figures, bool happened, const char *format, ...) G_GNUC_PRINTF(3, 4);
// Prints {"BENCH": {"FIGURE": {"median": M, "min": L, "max": H, "n": N}, ...}} on one line, with
// "p99" from 100 measurements on, and {"count": C, "of": N} for what was counted; frees `figures`.
// A bench of several parts prints a line after each, so that it is not lost should a later one
// fail.
void bench_print(BenchFigures *figures, const char *bench);

// The value that `percent` of the values stay below, the median being 50; sorts them. 0 of none.
double bench_percentile(double *values, int count, int percent);
