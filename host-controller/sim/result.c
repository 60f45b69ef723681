// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/result.h"

#include "host-controller/sim/quantity.h"

// What GuestCounters counts in, to GiB times seconds.
#define KIB_MS_PER_MIB_S (INT64_C(1024) * 1000)

// A part of a whole in millionths; nothing of nothing is nothing.
static int64_t ppm(int64_t part, int64_t whole)
{
    return whole > 0 ? sim_scale(part, 1000000, whole) : 0;
}

static void add_counters(GuestCounters *sum, const GuestCounters *more)
{
    sum->needed_kib_ms += more->needed_kib_ms;
    sum->unmet_kib_ms += more->unmet_kib_ms;
    sum->idle_kib_ms += more->idle_kib_ms;
    sum->returned_kib_ms += more->returned_kib_ms;
    sum->stall_us += more->stall_us;
    sum->ideal_us += more->ideal_us;
    sum->progress_us += more->progress_us;
    sum->refault_bytes += more->refault_bytes;
    sum->swap_in_bytes += more->swap_in_bytes;
    sum->swap_out_bytes += more->swap_out_bytes;
    sum->moved_bytes += more->moved_bytes;
    sum->oom_kills += more->oom_kills;
}

void host_result_add(HostResult *sum, const HostResult *result)
{
    sum->gave_up += result->gave_up;
    sum->budget_bytes += result->budget_bytes;
    sum->optimum_bytes += result->optimum_bytes;
    sum->guests += result->guests;
    sum->duration_us = sim_max(sum->duration_us, result->duration_us);
    add_counters(&sum->sum, &result->sum);
    sum->commands += result->commands;
    sum->shrinks += result->shrinks;
    sum->decisions += result->decisions;
    sum->max_over_bytes = sim_max(sum->max_over_bytes, result->max_over_bytes);
    sum->over_kib_ms += result->over_kib_ms;
    for (Law law = 0; law < LAW_COUNT; law++) {
        if (result->laws.count[law] > 0 && sum->laws.count[law] == 0) {
            sum->laws.first_us[law] = result->laws.first_us[law];
        }
        sum->laws.count[law] += result->laws.count[law];
    }
}

static void set_int(json_t *object, const char *name, int64_t value)
{
    json_object_set_new(object, name, json_integer(value));
}

static void set_counters(json_t *object, const GuestCounters *counters)
{
    set_int(object, "needed-mib-s", counters->needed_kib_ms / KIB_MS_PER_MIB_S);
    set_int(object, "unmet-mib-s", counters->unmet_kib_ms / KIB_MS_PER_MIB_S);
    set_int(object, "unmet-ppm", ppm(counters->unmet_kib_ms, counters->needed_kib_ms));
    set_int(object, "oom-kills", counters->oom_kills);
    set_int(object, "stall-ms", counters->stall_us / SIM_MS);
    set_int(object, "slowdown-ppm",
            ppm(counters->ideal_us - counters->progress_us, counters->ideal_us));
    set_int(object, "idle-returned-permille",
            ppm(counters->returned_kib_ms, counters->idle_kib_ms) / 1000);
    set_int(object, "refault-bytes", counters->refault_bytes);
    set_int(object, "swap-in-bytes", counters->swap_in_bytes);
    set_int(object, "swap-out-bytes", counters->swap_out_bytes);
    set_int(object, "moved-bytes", counters->moved_bytes);
}

json_t *guest_counters_to_json(const char *name, const GuestCounters *counters)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(name));
    set_counters(object, counters);
    return object;
}

static json_t *laws_to_json(const LawBreaches *laws)
{
    json_t *list = json_array();
    for (Law law = 0; law < LAW_COUNT; law++) {
        if (laws->count[law] > 0) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:I, s:I}", "law", law_name(law), "breaches",
                                            (json_int_t)laws->count[law], "first-ms",
                                            (json_int_t)(laws->first_us[law] / SIM_MS)));
        }
    }
    return list;
}

json_t *host_result_to_json(const HostResult *result)
{
    json_t *object = json_object();
    int64_t guest_us = sim_max(result->guests * result->duration_us, 1);
    set_int(object, "hosts-given-up", result->gave_up);
    set_int(object, "guests", result->guests);
    set_int(object, "duration-ms", result->duration_us / SIM_MS);
    set_int(object, "budget-bytes", result->budget_bytes);
    set_int(object, "optimum-bytes", result->optimum_bytes);
    set_int(object, "budget-permille-of-optimum",
            ppm(result->budget_bytes, result->optimum_bytes) / 1000);
    set_counters(object, &result->sum);
    set_int(object, "commands", result->commands);
    set_int(object, "shrinks", result->shrinks);
    set_int(object, "commands-per-1000-guest-hours",
            sim_scale(result->commands * 1000, SIM_HOUR, guest_us));
    set_int(object, "decisions", result->decisions);
    set_int(object, "max-over-bytes", result->max_over_bytes);
    set_int(object, "over-mib-s", result->over_kib_ms / KIB_MS_PER_MIB_S);
    json_object_set_new(object, "laws-broken", laws_to_json(&result->laws));
    return object;
}

// --- series -----------------------------------------------------------------------------------

void series_init(Series *series, const HostSetup *setup, int64_t every_us)
{
    *series = (Series){
        .every_us = every_us,
        .seconds = json_array(),
        .needed = json_array(),
        .held = json_array(),
        .guests = json_array(),
    };
    for (guint i = 0; i < setup->guests->len; i++) {
        const GuestSetup *guest = g_ptr_array_index(setup->guests, i);
        json_array_append_new(series->guests,
                              json_pack("{s:s, s:[], s:[], s:[], s:[]}", "name", guest->name,
                                        "needed", "actual", "target", "cache"));
    }
}

static void append_mib(json_t *list, int64_t bytes)
{
    json_array_append_new(list, json_integer(bytes / SIM_MIB));
}

void series_watch(int64_t now_us, const GuestModel *const *guests, size_t count, void *context)
{
    Series *series = context;
    if (now_us < series->next_us) {
        return;
    }
    series->next_us += series->every_us;
    int64_t needed = 0;
    int64_t held = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t need = guest_model_need_bytes(guests[i]);
        int64_t actual = guest_model_actual_bytes(guests[i]);
        json_t *lists = json_array_get(series->guests, i);
        needed += need;
        held += actual;
        append_mib(json_object_get(lists, "needed"), need);
        append_mib(json_object_get(lists, "actual"), actual);
        append_mib(json_object_get(lists, "target"), guests[i]->target_bytes);
        append_mib(json_object_get(lists, "cache"), guests[i]->hot_bytes + guests[i]->cold_bytes);
    }
    json_array_append_new(series->seconds, json_integer(now_us / SIM_S));
    append_mib(series->needed, needed);
    append_mib(series->held, held);
}

json_t *series_take_json(Series *series)
{
    json_t *object = json_pack("{s:o, s:o, s:o, s:o}", "seconds", series->seconds, "needed-mib",
                               series->needed, "held-mib", series->held, "guests", series->guests);
    *series = (Series){0};
    return object;
}
