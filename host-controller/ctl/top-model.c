// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/top-model.h"

#include <string.h>

static const char *const sort_names[TOP_SORT_COUNT] = {
    [TOP_SORT_NAME] = "name",     [TOP_SORT_USE] = "use",           [TOP_SORT_ACTUAL] = "actual",
    [TOP_SORT_TARGET] = "target", [TOP_SORT_PRESSURE] = "pressure", [TOP_SORT_STATE] = "state",
};

const char *top_sort_name(TopSort sort)
{
    return sort_names[sort];
}

bool top_sort_parse(const char *text, TopSort *sort)
{
    for (TopSort i = 0; i < TOP_SORT_COUNT; i++) {
        if (strcmp(text, sort_names[i]) == 0) {
            *sort = i;
            return true;
        }
    }
    return false;
}

static void unref_json(void *value)
{
    json_decref(value);
}

void top_model_init(TopModel *model, TopSort sort)
{
    *model = (TopModel){
        .sort = sort,
        .guests = g_ptr_array_new_with_free_func(unref_json),
        .histories = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
    };
    g_queue_init(&model->events);
}

void top_model_clear(TopModel *model)
{
    json_decref(model->status);
    json_decref(model->host);
    g_ptr_array_unref(model->guests);
    g_hash_table_unref(model->histories);
    g_queue_clear_full(&model->events, unref_json);
    g_free(model->notice);
}

// --- memory -----------------------------------------------------------------------------------

static int64_t size_member(const json_t *object, const char *name)
{
    return MAX(json_integer_value(json_object_get(object, name)), 0);
}

// What tells of the guest's memory: its balloon's statistics where they stand in for its agent, or
// its agent's report. NULL: nothing does.
static const json_t *find_memory(const json_t *guest)
{
    const json_t *stats = json_object_get(guest, "guest-stats");
    return stats ? stats : json_object_get(json_object_get(guest, "report"), "memory");
}

TopMemory top_memory_of(const json_t *guest)
{
    TopMemory memory = {.size_bytes = size_member(guest, "size")};
    int64_t held_bytes = MIN(size_member(guest, "actual"), memory.size_bytes);
    const json_t *told = find_memory(guest);
    // A balloon's driver that tells only one of them means the same by it.
    const char *available_word = json_object_get(told, "available") ? "available" : "free";
    const char *free_word = json_object_get(told, "free") ? "free" : "available";
    memory.ballooned_bytes = memory.size_bytes - held_bytes;
    if (!json_object_get(told, available_word)) {
        memory.unknown_bytes = held_bytes;
        return memory;
    }
    int64_t available_bytes = MIN(size_member(told, available_word), held_bytes);
    memory.free_bytes = MIN(size_member(told, free_word), available_bytes);
    memory.cache_bytes = available_bytes - memory.free_bytes;
    memory.used_bytes = held_bytes - available_bytes;
    return memory;
}

// --- history ----------------------------------------------------------------------------------

static const char *name_of(const json_t *guest)
{
    const char *name = json_string_value(json_object_get(guest, "name"));
    return name ? name : "";
}

static TopHistory *find_history(TopModel *model, const char *name)
{
    TopHistory *history = g_hash_table_lookup(model->histories, name);
    if (!history) {
        history = g_new(TopHistory, 1);
        memset(history->use_permille, 0xff, sizeof(history->use_permille));
        g_hash_table_insert(model->histories, g_strdup(name), history);
    }
    return history;
}

static void take_sample(TopModel *model, const json_t *guest)
{
    TopMemory memory = top_memory_of(guest);
    TopHistory *history = find_history(model, name_of(guest));
    bool known = memory.size_bytes > 0 && memory.unknown_bytes == 0;
    int64_t use_permille = known ? memory.used_bytes / (memory.size_bytes / 1000 + 1) : -1;
    history->use_permille[model->refreshes % TOP_SAMPLES] = (int16_t)use_permille;
    history->seen = model->refreshes;
}

// Guests that are gone are forgotten.
static gboolean is_outdated(void *name, void *history, void *model)
{
    (void)name;
    return ((const TopHistory *)history)->seen != ((const TopModel *)model)->refreshes;
}

// --- order ------------------------------------------------------------------------------------

static int64_t troubles(const json_t *guest)
{
    static const char *const states[] = {
        "stalled",      "ineffective", "auto-deflated", "connecting",
        "unmanageable", "growing",     "shrinking",     "settled",
    };
    const char *state = json_string_value(json_object_get(guest, "state"));
    const char *agent = json_string_value(json_object_get(guest, "agent"));
    if (g_strcmp0(agent, "stale") == 0 || g_strcmp0(agent, "connecting") == 0) {
        return G_N_ELEMENTS(states) + 1;
    }
    for (size_t i = 0; state && i < G_N_ELEMENTS(states); i++) {
        if (strcmp(state, states[i]) == 0) {
            return (int64_t)(G_N_ELEMENTS(states) - i);
        }
    }
    return 0;
}

// What a guest is sorted by, the largest first.
static int64_t weight_of(const json_t *guest, TopSort sort)
{
    const json_t *pressure = json_object_get(json_object_get(guest, "report"), "pressure");
    switch (sort) {
    case TOP_SORT_USE:
        return top_memory_of(guest).used_bytes;
    case TOP_SORT_ACTUAL:
        return size_member(guest, "actual");
    case TOP_SORT_TARGET:
        return size_member(guest, "target");
    case TOP_SORT_PRESSURE:
        return size_member(json_object_get(pressure, "some"), "avg10-permyriad");
    case TOP_SORT_STATE:
        return troubles(guest);
    default:
        return 0;
    }
}

static int compare_guests(const void *a, const void *b, void *context)
{
    const json_t *first = *(json_t *const *)a;
    const json_t *second = *(json_t *const *)b;
    TopSort sort = *(const TopSort *)context;
    int64_t first_weight = weight_of(first, sort);
    int64_t second_weight = weight_of(second, sort);
    if (first_weight != second_weight) {
        return first_weight > second_weight ? -1 : 1;
    }
    return strcmp(name_of(first), name_of(second));
}

void top_model_set_sort(TopModel *model, TopSort sort)
{
    model->sort = sort;
    g_ptr_array_sort_with_data(model->guests, compare_guests, &model->sort);
}

void top_model_scroll(TopModel *model, int by, guint visible)
{
    int64_t last = MAX((int64_t)model->guests->len - visible, 0);
    model->first = (guint)CLAMP((int64_t)model->first + by, 0, last);
}

// --- what comes in ----------------------------------------------------------------------------

void top_model_refresh(TopModel *model, json_t *status, json_t *host, json_t *guests)
{
    json_decref(model->status);
    json_decref(model->host);
    model->status = json_incref(status);
    model->host = json_incref(host);
    g_ptr_array_set_size(model->guests, 0);
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        g_ptr_array_add(model->guests, json_incref(guest));
        take_sample(model, guest);
    }
    g_hash_table_foreach_remove(model->histories, is_outdated, model);
    model->refreshes++;
    top_model_set_sort(model, model->sort);
}

void top_model_add_event(TopModel *model, json_t *event)
{
    if (g_queue_get_length(&model->events) >= TOP_EVENTS) {
        json_decref(g_queue_pop_head(&model->events));
    }
    g_queue_push_tail(&model->events, event);
}

void top_model_set_notice(TopModel *model, const char *notice)
{
    g_free(model->notice);
    model->notice = g_strdup(notice);
}
