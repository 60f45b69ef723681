// SPDX-License-Identifier: Apache-2.0
//
// What a replay found, for people and for programs.
#pragma once

#include "host-controller/sim/replay-model.h"

#include <stdio.h>

// Damaged lines are listed up to this many.
#define REPLAY_LISTED_LINES 10

typedef struct ReplayFindings {
    int64_t lines;         // taken in, each a plan made anew
    int64_t skipped_plans; // that had no line
    int64_t damaged_lines;
    int64_t orphan_lines;   // left out, for they build on lines that are missing
    int64_t dropped_lines;  // that the controllers had lost themselves
    bool unfinished;        // the last line of a file was, which is no damage
    GPtrArray *damages;     // char *: the first of them, with file and line
    int64_t differences;    // plans that came out otherwise than recorded
    char *first_difference; // with file, line and guest; NULL: none
    int64_t first_unix_us;
    int64_t last_unix_us;
    bool has_settings;
    ReplayModel *recorded;  // always there
    ReplayModel *unchanged; // with has_settings
    ReplayModel *changed;   // likewise
} ReplayFindings;

// Writes a page for a person.
void replay_report_print(const ReplayFindings *findings, FILE *out);
// The same and each guest's figures as JSON. New reference.
json_t *replay_report_to_json(const ReplayFindings *findings);
