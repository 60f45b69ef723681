// SPDX-License-Identifier: Apache-2.0
//
// What the demo knows of its guests and the controller at this moment. Sizes come from QEMU
// directly, not from the program being shown.
#pragma once

#include "tests/demo/feed.h"
#include "tests/support/vm-lab.h"

#define SCENE_GUESTS 3

typedef struct SceneGuest {
    Vm *vm; // the lab's
    int64_t size_bytes;
    int64_t actual_bytes;
    bool has_target;
    int64_t target_bytes;
    bool has_report;
    int64_t used_bytes;      // of the latest report: what is not available
    int64_t available_bytes; // likewise
    bool stalls;             // tasks wait for memory, by the latest report
    bool agent_connected;
    bool settled;
    char state[16];
} SceneGuest;

typedef struct Scene {
    SceneGuest guests[SCENE_GUESTS];
    QmpSession *controller; // owned
    const char *accelerator;
    int64_t start_us; // on the monotonic clock
    int64_t now_us;   // since then, of the last look
    int64_t budget_bytes;
    int64_t sum_actual_bytes;
    int64_t most_above_budget_bytes; // seen since scene_watch_budget()
    bool watches_budget;
    char *headline; // what is going on
    Feed feed;
} Scene;

void scene_clear(Scene *scene);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

// Changes the headline and tells it in the feed.
void G_GNUC_PRINTF(2, 3) scene_tell(Scene *scene, const char *format, ...);

// Asks every QEMU for the guest's size. Cheap enough for 50 times a second.
bool scene_look_at_guests(Scene *scene, GError **error);
// Asks the controller for targets, states and reports, and takes its events in.
bool scene_look_at_controller(Scene *scene, GError **error);

// From now on notes by how much the guests together exceed the budget.
void scene_watch_budget(Scene *scene);
// Whether every guest reports, is where the controller wants it, and all are within the budget.
bool scene_is_settled(const Scene *scene);
