// SPDX-License-Identifier: Apache-2.0
//
// What would have become of a recorded time under other settings.
//
// What guests would have reported then is not known. The model takes it that each would have needed
// what it needed (its demand stays as recorded, line by line), and that balloons move at 1 GiB/s,
// which is what the policy reckons with. In between the lines it plans anew, as the controller
// does, for as long as anything moves. Its word on the recorded settings themselves shows how far
// it can be trusted.
#pragma once

#include "host-controller/journal/reader.h"
#include "host-controller/sim/replay-settings.h"

// What came of a time: as recorded, or as modelled.
typedef struct ReplayTally {
    int64_t commands;        // targets sent
    int64_t shrinks;         // of these, how many lowered one
    int64_t short_us;        // time of guests that had less than they could not do without
    int64_t short_mib_s;     // and how much less
    int64_t returned_mib_s;  // what guests had given back, over time
    int64_t most_held_bytes; // the most that guests held or were promised at one moment
} ReplayTally;

typedef struct ReplayModel ReplayModel;

// A model under `settings`, which must outlive it; NULL: it only adds up what was recorded.
ReplayModel *replay_model_new(const ReplaySettings *settings);
void replay_model_free(ReplayModel *model);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReplayModel, replay_model_free)

// Takes in the line that `reader` has just taken.
void replay_model_take(ReplayModel *model, const JournalReader *reader);
// Lines are missing: the time until the next is not counted.
void replay_model_pause(ReplayModel *model);

// How much time was counted.
int64_t replay_model_duration_us(const ReplayModel *model);
// Of all guests.
ReplayTally replay_model_tally(const ReplayModel *model);
// Of one; NULL: it is not known.
const ReplayTally *replay_model_guest_tally(const ReplayModel *model, const char *name);
// The names of all guests there were, sorted: borrowed, in a list that g_list_free() frees.
GList *replay_model_guest_names(const ReplayModel *model);
