// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/replay-model.h"

#include "host-controller/sim/quantity.h"

#include <string.h>

// In steps of this the model moves balloons and plans, as often as the controller looks at one that
// moves; the longer a move takes, the longer the steps, a hundredth of it.
#define STEP_US (10 * SIM_MS)
#define STEP_DIVISOR 100
#define BALLOON_BYTES_PER_S SIM_GIB
// Two lines are never further apart than five minutes; a longer time was not recorded.
#define MOST_ELAPSED_US (600 * SIM_S)

typedef struct Modelled {
    ReplayTally tally;
    // In KiB times milliseconds, rounded down at each step.
    int64_t short_kib_ms;
    int64_t returned_kib_ms;
    uint64_t line; // the last that had it
    bool moves;    // the model may send it targets
    int64_t size_bytes;
    int64_t actual_bytes;
    int64_t target_bytes;
    int64_t ceiling_bytes; // at least both
    int64_t firm_bytes;    // what it cannot do without
} Modelled;

struct ReplayModel {
    const ReplaySettings *settings;
    GHashTable *guests; // Modelled *, by name
    GPtrArray *present; // Modelled *, in the order of the last line
    GArray *inputs;     // PolicyGuest, likewise: what the last line told, with the settings
    GArray *plan;       // PolicyGuest: the working memory of one
    JournalHost host;
    uint64_t lines;
    bool counts; // the time since the last line
    int64_t at_us;
    int64_t duration_us;
    int64_t most_held_bytes;
};

ReplayModel *replay_model_new(const ReplaySettings *settings)
{
    ReplayModel *model = g_new0(ReplayModel, 1);
    model->settings = settings;
    model->guests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    model->present = g_ptr_array_new();
    model->inputs = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    model->plan = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    return model;
}

void replay_model_free(ReplayModel *model)
{
    if (model) {
        g_hash_table_unref(model->guests);
        g_ptr_array_unref(model->present);
        g_array_unref(model->inputs);
        g_array_unref(model->plan);
        g_free(model);
    }
}

static int64_t in_range(int64_t bytes)
{
    return sim_clamp(bytes, 0, POLICY_MAX_BYTES);
}

// --- time -------------------------------------------------------------------------------------

// No sum passes what an int64_t holds, whatever a journal says.
static void add(int64_t *sum, int64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum)) {
        *sum = INT64_MAX;
    }
}

static void count_guest(Modelled *guest, int64_t elapsed_us)
{
    int64_t short_bytes = guest->firm_bytes - guest->actual_bytes;
    int64_t returned_bytes = sim_max(guest->size_bytes - guest->actual_bytes, 0);
    if (short_bytes > 0) {
        add(&guest->tally.short_us, elapsed_us);
        add(&guest->short_kib_ms, sim_scale(short_bytes / 1024, elapsed_us, SIM_MS));
    }
    add(&guest->returned_kib_ms, sim_scale(returned_bytes / 1024, elapsed_us, SIM_MS));
    guest->tally.short_mib_s = guest->short_kib_ms / (1024 * 1000);
    guest->tally.returned_mib_s = guest->returned_kib_ms / (1024 * 1000);
    guest->tally.most_held_bytes = sim_max(guest->tally.most_held_bytes, guest->ceiling_bytes);
}

// Lets time pass in which nothing moves.
static void count(ReplayModel *model, int64_t elapsed_us)
{
    int64_t held_bytes = 0;
    for (guint i = 0; i < model->present->len; i++) {
        Modelled *guest = g_ptr_array_index(model->present, i);
        count_guest(guest, elapsed_us);
        held_bytes += guest->ceiling_bytes;
    }
    model->most_held_bytes = sim_max(model->most_held_bytes, held_bytes);
    add(&model->duration_us, elapsed_us);
}

// Moves the balloons for a while. False when none moved.
static bool move(ReplayModel *model, int64_t elapsed_us)
{
    int64_t most_bytes = sim_scale(BALLOON_BYTES_PER_S, elapsed_us, SIM_S);
    bool moved = false;
    for (guint i = 0; i < model->present->len; i++) {
        Modelled *guest = g_ptr_array_index(model->present, i);
        int64_t way_bytes = guest->target_bytes - guest->actual_bytes;
        if (guest->moves && way_bytes != 0) {
            guest->actual_bytes += sim_clamp(way_bytes, -most_bytes, most_bytes);
            guest->ceiling_bytes = sim_max(guest->actual_bytes, guest->target_bytes);
            moved = true;
        }
    }
    return moved;
}

// The guest is sent a target, if that is another one.
static void send(Modelled *guest, int64_t target_bytes)
{
    guest->tally.commands += target_bytes != guest->target_bytes;
    guest->tally.shrinks += target_bytes < guest->target_bytes;
    guest->target_bytes = target_bytes;
    guest->ceiling_bytes = sim_max(guest->ceiling_bytes, target_bytes);
}

static void plan(ReplayModel *model)
{
    PolicyHost host = journal_policy_host(&model->host);
    g_array_set_size(model->plan, 0);
    for (guint i = 0; i < model->present->len; i++) {
        const Modelled *guest = g_ptr_array_index(model->present, i);
        PolicyGuest input = g_array_index(model->inputs, PolicyGuest, i);
        input.actual_bytes = guest->actual_bytes;
        input.target_bytes = guest->target_bytes;
        input.ceiling_bytes = guest->ceiling_bytes;
        g_array_append_val(model->plan, input);
    }
    policy_plan(&host, (PolicyGuest *)model->plan->data, model->plan->len);
    for (guint i = 0; journal_host_acts(&model->host) && i < model->present->len; i++) {
        Modelled *guest = g_ptr_array_index(model->present, i);
        if (guest->moves) {
            send(guest, g_array_index(model->plan, PolicyGuest, i).plan_bytes);
        }
    }
}

// Lets the time between two lines pass.
static void advance(ReplayModel *model, int64_t elapsed_us)
{
    bool moves = model->settings != NULL;
    int64_t passed_us = 0;
    while (moves && passed_us < elapsed_us) {
        int64_t step_us = sim_max(passed_us / STEP_DIVISOR, STEP_US);
        step_us = sim_min(step_us, elapsed_us - passed_us);
        count(model, step_us);
        passed_us += step_us;
        moves = move(model, step_us);
        if (moves) {
            plan(model);
        }
    }
    if (passed_us < elapsed_us) {
        count(model, elapsed_us - passed_us);
    }
}

// --- lines ------------------------------------------------------------------------------------

static void adopt(Modelled *guest, const PolicyGuest *recorded)
{
    guest->actual_bytes = in_range(recorded->actual_bytes);
    guest->target_bytes = in_range(recorded->target_bytes);
    guest->ceiling_bytes = sim_max(in_range(recorded->ceiling_bytes),
                                   sim_max(guest->actual_bytes, guest->target_bytes));
}

// What a line says of a guest. One that cannot be moved, or starts anew, is where it was recorded.
static void take_guest(ReplayModel *model, Modelled *guest, const JournalGuest *told, bool anew)
{
    PolicyGuest input = told->record.input;
    bool started = told->record.history.started;
    if (model->settings) {
        replay_settings_apply(model->settings, told->name, &input);
    }
    guest->size_bytes = in_range(input.size_bytes);
    guest->moves = model->settings && input.movable;
    if (anew || !guest->moves || (!started && input.actual_bytes > guest->actual_bytes)) {
        adopt(guest, &input);
    }
    int64_t firm_bytes =
        in_range(input.demand.committed_bytes) + in_range(input.demand.headroom_bytes);
    // Of one that says nothing it is not known. Its max is no excuse: that is a setting.
    guest->firm_bytes = input.fresh ? sim_min(firm_bytes, guest->size_bytes) : 0;
    g_ptr_array_add(model->present, guest);
    g_array_append_val(model->inputs, input);
}

static void take_guests(ReplayModel *model, const JournalReader *reader)
{
    uint64_t former_line = model->lines++;
    g_ptr_array_set_size(model->present, 0);
    g_array_set_size(model->inputs, 0);
    for (guint i = 0; i < reader->guests->len; i++) {
        const JournalGuest *told = g_ptr_array_index(reader->guests, i);
        Modelled *guest = g_hash_table_lookup(model->guests, told->name);
        if (!guest) {
            guest = g_new0(Modelled, 1);
            g_hash_table_insert(model->guests, g_strdup(told->name), guest);
        }
        take_guest(model, guest, told, reader->began || guest->line != former_line);
        guest->line = model->lines;
    }
}

// The commands that the recorded plan sent.
static void count_recorded(ReplayModel *model, const JournalReader *reader)
{
    for (guint i = 0; i < model->present->len; i++) {
        const JournalGuest *told = g_ptr_array_index(reader->guests, i);
        if (told->record.input.movable) {
            send(g_ptr_array_index(model->present, i), in_range(told->record.outcome.plan_bytes));
        }
    }
}

void replay_model_take(ReplayModel *model, const JournalReader *reader)
{
    if (model->counts && !reader->began) {
        advance(model, sim_min(reader->at_us - model->at_us, MOST_ELAPSED_US));
    }
    model->counts = true;
    model->at_us = reader->at_us;
    model->host =
        model->settings ? replay_settings_host(model->settings, &reader->host) : reader->host;
    take_guests(model, reader);
    if (model->settings) {
        plan(model);
    } else if (journal_host_acts(&model->host)) {
        count_recorded(model, reader);
    }
}

void replay_model_pause(ReplayModel *model)
{
    model->counts = false;
}

// --- what came of it --------------------------------------------------------------------------

int64_t replay_model_duration_us(const ReplayModel *model)
{
    return model->duration_us;
}

ReplayTally replay_model_tally(const ReplayModel *model)
{
    ReplayTally sum = {.most_held_bytes = model->most_held_bytes};
    GHashTableIter iterator;
    gpointer value;
    g_hash_table_iter_init(&iterator, model->guests);
    while (g_hash_table_iter_next(&iterator, NULL, &value)) {
        const ReplayTally *tally = &((const Modelled *)value)->tally;
        add(&sum.commands, tally->commands);
        add(&sum.shrinks, tally->shrinks);
        add(&sum.short_us, tally->short_us);
        add(&sum.short_mib_s, tally->short_mib_s);
        add(&sum.returned_mib_s, tally->returned_mib_s);
    }
    return sum;
}

const ReplayTally *replay_model_guest_tally(const ReplayModel *model, const char *name)
{
    const Modelled *guest = g_hash_table_lookup(model->guests, name);
    return guest ? &guest->tally : NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

GList *replay_model_guest_names(const ReplayModel *model)
{
    return g_list_sort(g_hash_table_get_keys(model->guests), compare_names);
}
