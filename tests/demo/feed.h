// SPDX-License-Identifier: Apache-2.0
//
// What happened last: a short list of lines that people can follow. Changes of a guest's target
// come many times a second; those of one guest in one direction become one line that is kept up to
// date.
#pragma once

#include "protocol/json.h"

#define FEED_LINES 12

typedef struct FeedLine {
    int64_t began_us; // since the demo's start
    int64_t last_us;
    char *guest; // NULL: told by the story
    char *text;
    bool is_move;       // of a target, which later ones may join
    int64_t from_bytes; // of a move
    int64_t to_bytes;
} FeedLine;

typedef struct Feed {
    FeedLine lines[FEED_LINES]; // oldest first
    unsigned count;
    uint64_t total; // lines ever added
} Feed;

void feed_clear(Feed *feed);

// Adds a line of the story.
void feed_tell(Feed *feed, int64_t at_us, const char *text);
// Whether nothing can join the line any more.
bool feed_line_is_final(const FeedLine *line, int64_t now_us);
// Adds an event of the controller (the whole message).
void feed_add_event(Feed *feed, int64_t at_us, const json_t *event);
