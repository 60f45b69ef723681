// SPDX-License-Identifier: Apache-2.0
//
// What the demo does to its guests, and what it measures meanwhile: settled guests, one of which
// suddenly needs memory that the others hold, keeps it for a while and lets go of it.
#pragma once

#include "tests/demo/picture.h"

#include <signal.h>

// The guest that will be in need.
#define STORY_TAKER 1

typedef struct Story {
    Scene *scene;
    Picture *picture;
    int64_t need_bytes;                 // what the taker's program touches, as fast as it can
    const volatile sig_atomic_t *ended; // a signal wants the demo to end
    unsigned ticks;
} Story;

typedef struct StoryResult {
    int64_t before_bytes[SCENE_GUESTS]; // settled, before the need
    int64_t during_bytes[SCENE_GUESTS]; // the most the taker had, the least the others had
    int64_t after_bytes[SCENE_GUESTS];  // settled again
    int64_t first_growth_us;            // from the first page touched to the first growth seen
    int64_t satisfied_us;               // from the first page touched to the last one
    int64_t clock_error_us;             // how exactly the guest's clock is known
    int64_t oom_kills;                  // in all guests
    int64_t most_above_budget_bytes;
} StoryResult;

// Tells the story. False with an error when it did not come to its end.
bool story_run(Story *story, StoryResult *result, GError **error);
