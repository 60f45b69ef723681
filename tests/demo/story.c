// SPDX-License-Identifier: Apache-2.0
#include "tests/demo/story.h"

#include "protocol/error.h"
#include "tests/support/deadline.h"
#include "tests/support/guest-load.h"

// How often the guests' sizes are looked at, and at every which of these looks the controller's.
#define TICK_US (20 * MS_US)
#define CONTROLLER_EVERY_TICKS 3

#define SETTLE_TIMEOUT_US (120 * SECOND_US)
#define SETTLED_FOR_US (1500 * MS_US)
#define NEED_TIMEOUT_US (120 * SECOND_US)
#define HOLD_US (4 * SECOND_US)
#define RETURN_TIMEOUT_US (120 * SECOND_US)
// Memory counts as returned when the taker is this near to where it was.
#define RETURN_SLACK_BYTES (32 * MIB)

static bool fail(GError **error, const char *text)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "%s", text);
    return false;
}

// One step of the world: looks, draws, and waits for the next.
static bool tick(Story *story, GError **error)
{
    int64_t next_us = deadline_after(TICK_US);
    if (*story->ended) {
        return fail(error, "ended by a signal");
    }
    if (!scene_look_at_guests(story->scene, error)) {
        return false;
    }
    if (story->ticks++ % CONTROLLER_EVERY_TICKS == 0 &&
        !scene_look_at_controller(story->scene, error)) {
        return false;
    }
    picture_show(story->picture, story->scene);
    g_usleep((gulong)deadline_left_us(next_us));
    return true;
}

static SceneGuest *taker(const Story *story)
{
    return &story->scene->guests[STORY_TAKER];
}

// --- settled ----------------------------------------------------------------------------------

// Waits until the guests are settled and stay so for a while, the taker having at most
// `taker_bytes`.
static bool settle(Story *story, int64_t taker_bytes, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    int64_t settled_since_us = -1;
    for (;;) {
        if (!tick(story, error)) {
            return false;
        }
        const Scene *scene = story->scene;
        if (!scene_is_settled(scene) || taker(story)->actual_bytes > taker_bytes) {
            settled_since_us = -1;
        } else if (settled_since_us < 0) {
            settled_since_us = scene->now_us;
        } else if (scene->now_us - settled_since_us >= SETTLED_FOR_US) {
            return true;
        }
        if (deadline_left_us(deadline_us) == 0) {
            return fail(error, "the guests did not settle");
        }
    }
}

static void note_sizes(const Scene *scene, int64_t sizes_bytes[SCENE_GUESTS])
{
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        sizes_bytes[i] = scene->guests[i].actual_bytes;
    }
}

// Keeps the most the taker and the least the others have had.
static void note_extremes(const Scene *scene, StoryResult *result)
{
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        int64_t now_bytes = scene->guests[i].actual_bytes;
        int64_t *noted_bytes = &result->during_bytes[i];
        *noted_bytes =
            i == STORY_TAKER ? MAX(*noted_bytes, now_bytes) : MIN(*noted_bytes, now_bytes);
    }
}

// --- need -------------------------------------------------------------------------------------

// Waits until the taker's program has touched all it needs. `*growth_us` becomes the time of the
// first growth seen, or stays -1; `*output` what the program printed.
static bool watch_growth(Story *story, StoryResult *result, int64_t *growth_us, char **output,
                         GError **error)
{
    int64_t deadline_us = deadline_after(NEED_TIMEOUT_US);
    for (;;) {
        if (!tick(story, error)) {
            return false;
        }
        note_extremes(story->scene, result);
        if (*growth_us < 0 && taker(story)->actual_bytes > result->before_bytes[STORY_TAKER]) {
            *growth_us = story->scene->start_us + story->scene->now_us;
        }
        int status;
        switch (vm_poll(taker(story)->vm, &status, output, error)) {
        case GUEST_SHELL_ENDED:
            return true;
        case GUEST_SHELL_FAILED:
            return false;
        case GUEST_SHELL_RUNNING:
            break;
        }
        if (deadline_left_us(deadline_us) == 0) {
            return fail(error, "the guest in need did not get what it needs");
        }
    }
}

static bool need(Story *story, StoryResult *result, GError **error)
{
    Vm *vm = taker(story)->vm;
    GuestClock clock;
    if (!guest_clock_align(vm, &clock, error)) {
        return false;
    }
    note_sizes(story->scene, result->before_bytes);
    note_sizes(story->scene, result->during_bytes);
    scene_tell(story->scene, "%s needs %" G_GINT64_FORMAT " MiB, as fast as it can touch them",
               vm_name(vm), story->need_bytes / MIB);
    // Answers when all is touched or the program is dead; the program goes on holding the memory.
    g_autofree char *command = g_strdup_printf("mkfifo /tmp/need; load touch %" G_GINT64_FORMAT
                                               " >/tmp/need & head -n 1 /tmp/need",
                                               story->need_bytes);
    g_autofree char *output = NULL;
    int64_t growth_us = -1;
    GuestLoadTimes times;
    if (!vm_begin(vm, command, error) || !watch_growth(story, result, &growth_us, &output, error) ||
        !guest_load_parse(output, &clock, &times, error)) {
        return false;
    }
    if (growth_us < 0) {
        return fail(error, "the guest in need was never given anything");
    }
    result->first_growth_us = growth_us - times.began_us;
    result->satisfied_us = times.ended_us - times.began_us;
    result->clock_error_us = clock.error_us;
    return true;
}

static bool hold(Story *story, StoryResult *result, GError **error)
{
    scene_tell(story->scene, "%s has it all, and holds it", vm_name(taker(story)->vm));
    int64_t deadline_us = deadline_after(HOLD_US);
    while (deadline_left_us(deadline_us) > 0) {
        if (!tick(story, error)) {
            return false;
        }
        note_extremes(story->scene, result);
    }
    return true;
}

// --- and back ---------------------------------------------------------------------------------

static bool let_go(Story *story, StoryResult *result, GError **error)
{
    Vm *vm = taker(story)->vm;
    scene_tell(story->scene, "%s is done and lets go: the memory goes back", vm_name(vm));
    int64_t enough_bytes = result->before_bytes[STORY_TAKER] + RETURN_SLACK_BYTES;
    if (vm_run(vm, "killall load", VM_COMMAND_TIMEOUT_US, NULL, error) < 0 ||
        !settle(story, enough_bytes, RETURN_TIMEOUT_US, error)) {
        return false;
    }
    note_sizes(story->scene, result->after_bytes);
    return true;
}

static bool count_oom_kills(const Scene *scene, int64_t *oom_kills, GError **error)
{
    *oom_kills = 0;
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        int64_t kills = vm_oom_kills(scene->guests[i].vm, error);
        if (kills < 0) {
            return false;
        }
        *oom_kills += kills;
    }
    return true;
}

bool story_run(Story *story, StoryResult *result, GError **error)
{
    Scene *scene = story->scene;
    *result = (StoryResult){0};
    scene_tell(scene, "the guests' sizes exceed the budget: the controller fits them in");
    if (!settle(story, G_MAXINT64, SETTLE_TIMEOUT_US, error)) {
        return false;
    }
    scene_watch_budget(scene);
    if (!need(story, result, error) || !hold(story, result, error) ||
        !let_go(story, result, error)) {
        return false;
    }
    result->most_above_budget_bytes = scene->most_above_budget_bytes;
    return count_oom_kills(scene, &result->oom_kills, error);
}
