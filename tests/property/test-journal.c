// SPDX-License-Identifier: Apache-2.0
//
// Whatever guests do, what the journal's recorder writes its reader takes in: the same inputs, the
// same history, the same plan, to the byte. Lines are lost on the way too; then the reader knows
// that it knows nothing, until a line that stands by itself.
#include "host-controller/journal/reader.h"
#include "host-controller/journal/recorder.h"
#include "tests/support/random.h"
#include "tests/test.h"

#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define WORLDS 100
#else
#define WORLDS 2000
#endif
#define STEPS 60
#define MOST_GUESTS 8

typedef struct WorldGuest {
    char name[32];
    bool there;
    PolicyGuest guest;
    PolicyHistory history;
    PolicySample sample;
} WorldGuest;

typedef struct World {
    Random *random;
    JournalRecorder *recorder;
    JournalReader reader;
    int64_t now_us;
    JournalHost host;
    WorldGuest guests[MOST_GUESTS];
    int lines;
} World;

// Ordinary numbers mostly, and now and then any at all.
static int64_t some_bytes(Random *random)
{
    if (random_chance(random, 2)) {
        return (int64_t)sim_random_next(random);
    }
    return random_chance(random, 10) ? 0 : random_size(random, 20, 40);
}

static void change_guest(Random *random, WorldGuest *guest)
{
    PolicyGuest *g = &guest->guest;
    int64_t *const sizes[] = {
        &g->size_bytes,           &g->actual_bytes,    &g->target_bytes,
        &g->ceiling_bytes,        &g->min_bytes,       &g->max_bytes,
        &g->pinned_bytes,         &g->weight,          &g->demand.committed_bytes,
        &g->demand.comfort_bytes, &g->step_floor_bytes};
    bool *const flags[] = {&g->movable, &g->fresh, &g->pinned, &g->demand.under_pressure};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        *sizes[i] = random_chance(random, 20) ? some_bytes(random) : *sizes[i];
    }
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
        *flags[i] = random_chance(random, 20) ? !*flags[i] : *flags[i];
    }
    g->bound = (PolicyBound)random_between(random, 0, POLICY_BOUND_COUNT - 1);
}

static void report(World *world, WorldGuest *guest)
{
    Random *random = world->random;
    PolicySample *sample = &guest->sample;
    sample->at_us += random_between(random, random_chance(random, 5) ? -1000000 : 0, 2000000);
    sample->held_bytes = some_bytes(random);
    sample->available_bytes =
        random_chance(random, 50) ? some_bytes(random) : sample->available_bytes;
    sample->free_bytes = random_chance(random, 50) ? some_bytes(random) : sample->free_bytes;
    sample->stall_us += random_between(random, 0, 100000);
    sample->refault_bytes += random_between(random, 0, 1 << 20);
    sample->coarse ^= random_chance(random, 10);
    policy_demand_update(&guest->history, sample, guest->guest.size_bytes, &guest->guest.demand);
    journal_recorder_report(world->recorder, guest->name, sample);
}

static void disturb(World *world)
{
    Random *random = world->random;
    for (int i = 0; i < MOST_GUESTS; i++) {
        WorldGuest *guest = &world->guests[i];
        guest->there ^= random_chance(random, 5);
        if (random_chance(random, 30)) {
            change_guest(random, guest);
        }
        int64_t reports = random_between(random, 0, random_chance(random, 10) ? 12 : 2);
        for (int64_t j = 0; j < reports; j++) {
            report(world, guest);
        }
        if (random_chance(random, 3)) {
            guest->history = (PolicyHistory){0}; // it was reset
        }
    }
    world->now_us += random_between(random, 0, random_chance(random, 5) ? 400000000 : 2000000);
    world->host.mode = random_chance(random, 5)
                           ? (ControllerMode)random_between(random, 0, CONTROLLER_MODE_COUNT - 1)
                           : world->host.mode;
    world->host.budget_bytes =
        random_chance(random, 5) ? random_size(random, 30, 44) : world->host.budget_bytes;
    world->host.adopting ^= random_chance(random, 5);
    world->host.starting ^= random_chance(random, 5);
}

// --- checks -----------------------------------------------------------------------------------

static void check_guest(const World *world, const char *name, const PolicyGuest *before,
                        const PolicyGuest *after, const PolicyHistory *history)
{
    const JournalGuest *read = g_hash_table_lookup(world->reader.by_name, name);
    assert_non_null(read);
    JournalRecord wanted = {
        .input = *before, .history = *history, .outcome = journal_outcome_of(after)};
    assert_true(journal_fields_equal(journal_record_fields, &read->record, &wanted));
}

static void check_plan(const World *world)
{
    g_autoptr(GArray) again = g_array_new(FALSE, FALSE, sizeof(PolicyGuest));
    const PolicyGuest *planned;
    journal_reader_plan(&world->reader, again);
    assert_null(journal_reader_find_difference(&world->reader, again, &planned));
}

static void take_line(World *world, const GString *line, const JournalPlan *plan, bool full)
{
    assert_int_equal(strchr(line->str, '\n') - line->str, line->len - 1);
    if (random_chance(world->random, 3)) {
        return; // it was lost
    }
    bool follows = world->reader.known && world->reader.line == world->lines - 1;
    g_autoptr(GError) error = NULL;
    JournalLine taken = journal_reader_take(&world->reader, line->str, line->len, &error);
    assert_no_error(error);
    assert_int_equal(taken, full || follows ? JOURNAL_LINE_TAKEN : JOURNAL_LINE_ORPHAN);
    if (taken == JOURNAL_LINE_TAKEN) {
        assert_int_equal(world->reader.guests->len, plan->count);
        assert_true(journal_fields_equal(journal_host_fields, &world->reader.host, &plan->host));
        for (size_t i = 0; i < plan->count; i++) {
            check_guest(world, plan->names[i], &plan->before[i], &plan->after[i],
                        plan->histories[i]);
        }
        check_plan(world);
    }
}

static void make_plan(World *world, GString *line)
{
    const char *names[MOST_GUESTS];
    PolicyGuest before[MOST_GUESTS];
    PolicyGuest after[MOST_GUESTS];
    const PolicyHistory *histories[MOST_GUESTS];
    JournalPlan plan = {.at_us = world->now_us,
                        .unix_us = world->now_us,
                        .host = world->host,
                        .names = names,
                        .before = before,
                        .after = after,
                        .histories = histories,
                        .sent = random_chance(world->random, 40)};
    for (int i = 0; i < MOST_GUESTS; i++) {
        const WorldGuest *guest = &world->guests[i];
        if (guest->there) {
            names[plan.count] = guest->name;
            before[plan.count] = after[plan.count] = guest->guest;
            histories[plan.count++] = &guest->history;
        }
    }
    PolicyHost host = journal_policy_host(&plan.host);
    policy_plan(&host, after, plan.count);
    bool full = world->lines == 0 || random_chance(world->random, 5);
    bool due = journal_recorder_plan(world->recorder, &plan, full, 0, line);
    assert_true(due || (!plan.sent && !full));
    if (due) {
        world->lines++;
        take_line(world, line, &plan, full);
    }
}

static void test_what_is_recorded_is_read_to_the_byte(void **state)
{
    (void)state;
    Random random = random_begin("journal");
    g_autoptr(GString) line = g_string_new(NULL);
    int lines = 0;
    for (int i = 0; i < WORLDS; i++) {
        World world = {.random = &random, .recorder = journal_recorder_new()};
        journal_reader_init(&world.reader);
        for (int j = 0; j < MOST_GUESTS; j++) {
            // Whatever a name holds that JSON escapes.
            g_snprintf(world.guests[j].name, sizeof(world.guests[j].name), "g\"%d\\\xc3\xa9", j);
            world.guests[j].there = random_chance(&random, 70);
            change_guest(&random, &world.guests[j]);
        }
        for (int step = 0; step < STEPS; step++) {
            disturb(&world);
            make_plan(&world, line);
        }
        lines += world.lines;
        journal_recorder_free(world.recorder);
        journal_reader_clear(&world.reader);
    }
    assert_true(lines > WORLDS * STEPS / 3);
}

// How many bytes of a structure its table covers, an int with the padding behind it.
static size_t covered(const JournalField *fields, const char *prefix, bool with_prefix)
{
    size_t bytes = 0;
    for (const JournalField *field = fields; field->name; field++) {
        if (g_str_has_prefix(field->name, prefix) == with_prefix) {
            bytes += field->kind == JOURNAL_KIND_BOOL ? sizeof(bool) : sizeof(int64_t);
        }
    }
    return bytes;
}

// Who adds a member to what the policy looks at adds it to the journal, or a replay would differ.
static void test_no_member_that_the_policy_looks_at_is_missing(void **state)
{
    (void)state;
    // PolicyHistory: two bools with 7 bytes of padding each, numbers, and an int with 4 bytes of
    // it.
    assert_int_equal(covered(journal_record_fields, "learned-", true) + 7 + 7,
                     sizeof(PolicyHistory));
    // PolicyHost: a number and flags, the last 6 bytes padding; reclaim is the mode.
    assert_int_equal(sizeof(int64_t) + 2 * sizeof(bool) + 6, sizeof(PolicyHost));
    // PolicyGuest, up to its results: three flags with 5 bytes of padding, the last with 7.
    size_t outcome_bytes = 3 * sizeof(int64_t);
    size_t bound_bytes = sizeof(int64_t); // an input that stands among the results
    assert_int_equal(covered(journal_record_fields, "learned-", false) - outcome_bytes -
                         bound_bytes + 5 + 7,
                     offsetof(PolicyGuest, fair_share_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_member_that_the_policy_looks_at_is_missing),
        cmocka_unit_test(test_what_is_recorded_is_read_to_the_byte),
    };
    return run_test_table(tests);
}
