// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/step-filter.h"

#include "host-controller/sim/adapter.h"
#include "host-controller/sim/quantity.h"
#include "protocol/error.h"
#include "protocol/json.h"
#include "protocol/limits.h"

#include <string.h>

#define DEFAULT_WEIGHT 100
#define MAX_WEIGHT 1000000

struct StepFilter {
    GHashTable *known; // of AdapterGuest *, by name
    Adapter adapter;
    uint64_t lines;
};

// One line, understood.
typedef struct Observation {
    int64_t now_us;
    int64_t budget_bytes;
    bool reclaim;
    size_t count;
    const char **names; // borrowed from the message
    AdapterView *views;
    MemoryReport *reports;
    bool *reported;
} Observation;

StepFilter *step_filter_new(void)
{
    StepFilter *filter = g_new0(StepFilter, 1);
    filter->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return filter;
}

void step_filter_free(StepFilter *filter)
{
    if (filter) {
        g_hash_table_unref(filter->known);
        adapter_clear(&filter->adapter);
        g_free(filter);
    }
}

static void observation_clear(Observation *observation)
{
    g_free(observation->names);
    g_free(observation->views);
    g_free(observation->reports);
    g_free(observation->reported);
}

// --- reading ----------------------------------------------------------------------------------

static bool invalid(GError **error, const char *message)
{
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, message);
    return false;
}

// A member that may be left out.
static bool optional_int(const json_t *object, const char *name, int64_t low, int64_t high,
                         int64_t *value, GError **error)
{
    return !json_object_get(object, name) || json_member_int(object, name, low, high, value, error);
}

static bool read_host(const json_t *root, Observation *observation, GError **error)
{
    json_t *host;
    const char *mode = "balance";
    if (!json_member_int(root, "now-us", 0, INT64_MAX / 2, &observation->now_us, error) ||
        !json_member_object(root, "host", &host, error) ||
        !json_member_int(host, "budget", 0, INT64_MAX, &observation->budget_bytes, error) ||
        (json_object_get(host, "mode") && !json_member_string(host, "mode", &mode, error))) {
        return false;
    }
    observation->reclaim = strcmp(mode, "reclaim") == 0;
    return observation->reclaim || strcmp(mode, "balance") == 0 ||
           invalid(error, "mode is neither balance nor reclaim");
}

static bool read_sizes(const json_t *object, AdapterView *view, GError **error)
{
    const int64_t most = POLICY_MAX_BYTES;
    if (!json_member_int(object, "actual", 0, most, &view->actual_bytes, error)) {
        return false;
    }
    view->max_bytes = -1;
    view->size_bytes = -1;
    view->target_bytes = view->actual_bytes;
    view->weight = DEFAULT_WEIGHT;
    if (!optional_int(object, "size", 0, most, &view->size_bytes, error) ||
        !optional_int(object, "max", 0, most, &view->max_bytes, error) ||
        !optional_int(object, "min", 0, most, &view->min_bytes, error) ||
        !optional_int(object, "target", 0, most, &view->target_bytes, error) ||
        !optional_int(object, "weight", 1, MAX_WEIGHT, &view->weight, error)) {
        return false;
    }
    if (view->size_bytes < 0) {
        view->size_bytes = sim_max(view->actual_bytes, view->max_bytes);
    }
    if (view->max_bytes < 0) {
        view->max_bytes = view->size_bytes;
    }
    view->ceiling_bytes = sim_max(view->actual_bytes, view->target_bytes);
    view->movable = true;
    return view->min_bytes <= view->max_bytes || invalid(error, "min is above max");
}

static bool read_guest(const json_t *object, Observation *observation, size_t i, GError **error)
{
    json_t *report;
    if (!json_is_object(object)) {
        return invalid(error, "is not an object");
    }
    if (!json_member_string(object, "name", &observation->names[i], error) ||
        !read_sizes(object, &observation->views[i], error)) {
        return false;
    }
    if (!observation->names[i][0] || strlen(observation->names[i]) > LIMIT_NAME_BYTES) {
        return invalid(error, "name is empty or too long");
    }
    observation->reported[i] = json_object_get(object, "report") != NULL;
    return !observation->reported[i] ||
           (json_member_object(object, "report", &report, error) &&
            memory_report_from_json(report, &observation->reports[i], error));
}

static bool names_differ(const Observation *observation, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < observation->count; i++) {
        if (!g_hash_table_add(seen, (gpointer)(uintptr_t)observation->names[i])) {
            return invalid(error, "two guests have one name");
        }
    }
    return true;
}

static bool read_guests(const json_t *root, Observation *observation, GError **error)
{
    const json_t *list = json_object_get(root, "guests");
    if (!json_is_array(list) || json_array_size(list) > LIMIT_GUESTS) {
        return invalid(error, "guests is no list of at most " G_STRINGIFY(LIMIT_GUESTS));
    }
    size_t count = json_array_size(list);
    observation->count = count;
    observation->names = g_new0(const char *, count);
    observation->views = g_new0(AdapterView, count);
    observation->reports = g_new0(MemoryReport, count);
    observation->reported = g_new0(bool, count);
    for (size_t i = 0; i < count; i++) {
        if (!read_guest(json_array_get(list, i), observation, i, error)) {
            g_prefix_error(error, "guests[%zu]: ", i);
            return false;
        }
    }
    return names_differ(observation, error);
}

// --- planning ---------------------------------------------------------------------------------

// The guests of this line with what is remembered of them, and no others.
static AdapterGuest **recall(StepFilter *filter, const Observation *observation)
{
    GHashTable *former = filter->known;
    AdapterGuest **guests = g_new0(AdapterGuest *, observation->count);
    filter->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (size_t i = 0; i < observation->count; i++) {
        gpointer name = NULL;
        gpointer guest = NULL;
        if (!g_hash_table_steal_extended(former, observation->names[i], &name, &guest)) {
            name = g_strdup(observation->names[i]);
            guest = g_new0(AdapterGuest, 1);
        }
        g_hash_table_insert(filter->known, name, guest);
        guests[i] = guest;
    }
    g_hash_table_unref(former);
    return guests;
}

static json_t *plan_to_json(const char *name, const AdapterGuest *guest)
{
    AdapterReason reason = adapter_reason(guest);
    return json_pack(
        "{s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:s}}", "name", name, "target",
        (json_int_t)guest->policy.plan_bytes, "reason", "demand", (json_int_t)reason.demand_bytes,
        "committed", (json_int_t)reason.committed_bytes, "headroom",
        (json_int_t)reason.headroom_bytes, "cache-share", (json_int_t)reason.cache_share_bytes,
        "fair-share", (json_int_t)reason.fair_share_bytes, "bound-by", reason.bound_by);
}

static json_t *plan(StepFilter *filter, const Observation *observation)
{
    g_autofree AdapterGuest **guests = recall(filter, observation);
    for (size_t i = 0; i < observation->count; i++) {
        if (observation->reported[i]) {
            adapter_report(guests[i], &observation->views[i], &observation->reports[i],
                           observation->now_us);
        }
    }
    adapter_plan(&filter->adapter, observation->now_us, observation->budget_bytes,
                 observation->reclaim, guests, observation->views, observation->count);
    json_t *list = json_array();
    for (size_t i = 0; i < observation->count; i++) {
        json_array_append_new(list, plan_to_json(observation->names[i], guests[i]));
    }
    return json_pack("{s:o}", "guests", list);
}

static json_t *answer(StepFilter *filter, const char *line, gsize length, GError **error)
{
    Observation observation = {0};
    json_t *root = json_message_parse(line, length, error);
    bool understood =
        root && read_host(root, &observation, error) && read_guests(root, &observation, error);
    json_t *made = understood ? plan(filter, &observation) : NULL;
    observation_clear(&observation);
    json_decref(root);
    return made;
}

char *step_filter_answer(StepFilter *filter, const char *line, gsize length, bool too_long)
{
    g_autoptr(GError) error = NULL;
    filter->lines++;
    g_autoptr(json_t) message = NULL;
    if (too_long) {
        g_set_error(&error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "longer than %zu bytes",
                    STEP_LINE_BYTES);
    } else {
        message = answer(filter, line, length, &error);
    }
    if (!message) {
        g_prefix_error(&error, "line %" G_GUINT64_FORMAT ": ", filter->lines);
        message =
            json_pack("{s:{s:s, s:s}}", "error", "class", "GenericError", "desc", error->message);
    }
    return json_message_format(message);
}
