// SPDX-License-Identifier: Apache-2.0
//
// The files of a journal, read line by line in the order in which they were written.
#pragma once

#include "host-controller/journal/reader.h"

// Called for each line of the files. `text` has no newline and is NULL when the line is longer than
// any can be; `place` names file and line. `unfinished`: the file ends within it.
typedef struct ReplayLine {
    const char *path;
    int64_t number; // in its file, from 1
    const char *text;
    size_t length;
    bool unfinished;
} ReplayLine;

typedef void ReplayLineFunc(const ReplayLine *line, void *context);
// Tells that so many bytes of all are read.
typedef void ReplayProgressFunc(int64_t done_bytes, int64_t all_bytes, void *context);

// Reads the files, the oldest first as their first lines tell. G_FILE_ERROR when one cannot be
// read; lines that could be read before are told all the same. `progress` may be NULL.
bool replay_files_read(char *const *paths, ReplayLineFunc *take, ReplayProgressFunc *progress,
                       void *context, GError **error);
