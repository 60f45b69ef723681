// SPDX-License-Identifier: Apache-2.0
//
// A folder of its own for one test, gone when the test is over.
#pragma once

#include <glib.h>

typedef struct Scratch {
    char *folder;
} Scratch;

// Makes the folder, with a path short enough for sockets in it.
void scratch_init(Scratch *scratch);
// Removes the folder with everything in it; with AEROSTAT_KEEP in the environment it stays.
void scratch_clear(Scratch *scratch);

// The path of `name` in the folder; free with g_free().
char *scratch_path(const Scratch *scratch, const char *name);

// Writes `length` bytes (-1: up to the NUL) to the file `name`, which may be in a folder that is
// then made. Returns its path; free with g_free().
char *scratch_write(const Scratch *scratch, const char *name, const char *text, gssize length);

// Set-up and tear-down of a cmocka test whose whole state is a Scratch.
int scratch_set_up(void **state);
int scratch_tear_down(void **state);
