// SPDX-License-Identifier: Apache-2.0
#include "tests/demo/scene.h"

#include "tests/support/deadline.h"

#include <string.h>

#define CONTROLLER_TIMEOUT_US (60 * SECOND_US)

void scene_clear(Scene *scene)
{
    qmp_session_close(scene->controller);
    g_free(scene->headline);
    feed_clear(&scene->feed);
    *scene = (Scene){0};
}

static void update_clock(Scene *scene)
{
    scene->now_us = g_get_monotonic_time() - scene->start_us;
}

void scene_tell(Scene *scene, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    g_free(scene->headline);
    scene->headline = g_strdup_vprintf(format, values);
    va_end(values);
    update_clock(scene);
    feed_tell(&scene->feed, scene->now_us, scene->headline);
}

// --- guests -----------------------------------------------------------------------------------

static bool read_sizes(Scene *scene, GError **error)
{
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        SceneGuest *guest = &scene->guests[i];
        guest->actual_bytes = vm_actual_bytes(guest->vm, error);
        if (guest->actual_bytes < 0) {
            return false;
        }
    }
    return true;
}

// The guests are asked one after the other. What goes from one to another meanwhile would count
// twice: so they are asked again, and what each had both times counts.
bool scene_look_at_guests(Scene *scene, GError **error)
{
    int64_t first_bytes[SCENE_GUESTS];
    int64_t sum_bytes = 0;
    if (!read_sizes(scene, error)) {
        return false;
    }
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        first_bytes[i] = scene->guests[i].actual_bytes;
    }
    if (!read_sizes(scene, error)) {
        return false;
    }
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        sum_bytes += MIN(first_bytes[i], scene->guests[i].actual_bytes);
    }
    scene->sum_actual_bytes = sum_bytes;
    if (scene->watches_budget) {
        scene->most_above_budget_bytes =
            MAX(scene->most_above_budget_bytes, sum_bytes - scene->budget_bytes);
    }
    update_clock(scene);
    return true;
}

// --- the controller ---------------------------------------------------------------------------

static int64_t number_at(const json_t *object, const char *outer, const char *inner)
{
    return json_integer_value(json_object_get(json_object_get(object, outer), inner));
}

static void take_report(SceneGuest *guest, const json_t *report)
{
    const json_t *pressure = json_object_get(report, "pressure");
    int64_t balloon_bytes = json_integer_value(json_object_get(report, "balloon"));
    guest->has_report = true;
    guest->available_bytes = number_at(report, "memory", "available");
    guest->used_bytes = guest->size_bytes - balloon_bytes - guest->available_bytes;
    guest->stalls = number_at(pressure, "some", "avg10-permyriad") > 0;
}

static void take_guest(SceneGuest *guest, const json_t *view)
{
    const json_t *target = json_object_get(view, "target");
    const json_t *report = json_object_get(view, "report");
    const char *state = json_string_value(json_object_get(view, "state"));
    const char *agent = json_string_value(json_object_get(view, "agent"));
    guest->has_target = target != NULL;
    guest->target_bytes = json_integer_value(target);
    guest->agent_connected = g_strcmp0(agent, "connected") == 0;
    guest->settled = g_strcmp0(state, "settled") == 0;
    g_strlcpy(guest->state, state ? state : "unknown", sizeof(guest->state));
    if (report) {
        take_report(guest, report);
    }
}

static SceneGuest *find_guest(Scene *scene, const char *name)
{
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        if (g_strcmp0(vm_name(scene->guests[i].vm), name) == 0) {
            return &scene->guests[i];
        }
    }
    return NULL;
}

static bool take_events(Scene *scene, GError **error)
{
    for (;;) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(json_t) event = qmp_session_next_event(scene->controller, 0, &cause);
        if (cause) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        if (!event) {
            return true;
        }
        update_clock(scene);
        feed_add_event(&scene->feed, scene->now_us, event);
    }
}

bool scene_look_at_controller(Scene *scene, GError **error)
{
    g_autoptr(json_t) host =
        qmp_session_execute(scene->controller, "query-host", NULL, CONTROLLER_TIMEOUT_US, error);
    if (!host) {
        return false;
    }
    scene->budget_bytes = json_integer_value(json_object_get(host, "budget"));
    g_autoptr(json_t) views =
        qmp_session_execute(scene->controller, "query-guests", NULL, CONTROLLER_TIMEOUT_US, error);
    if (!views) {
        return false;
    }
    size_t i;
    json_t *view;
    json_array_foreach (views, i, view) {
        SceneGuest *guest = find_guest(scene, json_string_value(json_object_get(view, "name")));
        if (guest) {
            take_guest(guest, view);
        }
    }
    return take_events(scene, error);
}

// --- judgement --------------------------------------------------------------------------------

void scene_watch_budget(Scene *scene)
{
    scene->watches_budget = true;
    scene->most_above_budget_bytes = 0;
}

bool scene_is_settled(const Scene *scene)
{
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        const SceneGuest *guest = &scene->guests[i];
        if (!guest->has_report || !guest->agent_connected || !guest->settled) {
            return false;
        }
    }
    return scene->sum_actual_bytes <= scene->budget_bytes;
}
