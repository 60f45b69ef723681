// SPDX-License-Identifier: Apache-2.0
//
// Whatever stands in a journal: a line is taken or refused, plans are made again and models go on,
// and what is known of guests stays bounded.
#include "host-controller/sim/replay-model.h"
#include "protocol/limits.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Fuzz {
    JournalReader reader;
    ReplaySettings settings;
    ReplayModel *recorded;
    ReplayModel *changed;
    GArray *plan;
} Fuzz;

static void set(ReplaySettings *settings, const char *text)
{
    g_assert_true(replay_settings_add(settings, text, NULL));
}

static void check_tally(const ReplayModel *model)
{
    ReplayTally tally = replay_model_tally(model);
    g_assert_cmpint(tally.commands, >=, tally.shrinks);
    g_assert_cmpint(tally.short_us, >=, 0);
    g_assert_cmpint(tally.short_mib_s, >=, 0);
    g_assert_cmpint(tally.returned_mib_s, >=, 0);
    g_assert_cmpint(tally.most_held_bytes, >=, 0);
}

static void take_line(Fuzz *fuzz, const char *text, size_t length)
{
    g_autoptr(GError) error = NULL;
    JournalLine taken = journal_reader_take(&fuzz->reader, text, length, &error);
    g_assert_true((taken == JOURNAL_LINE_DAMAGED) == (error != NULL));
    g_assert_true((taken == JOURNAL_LINE_TAKEN) == fuzz->reader.known);
    g_assert_cmpuint(fuzz->reader.guests->len, <=, LIMIT_GUESTS);
    if (taken != JOURNAL_LINE_TAKEN) {
        replay_model_pause(fuzz->recorded);
        replay_model_pause(fuzz->changed);
        return;
    }
    const PolicyGuest *planned;
    journal_reader_plan(&fuzz->reader, fuzz->plan);
    journal_reader_find_difference(&fuzz->reader, fuzz->plan, &planned);
    replay_model_take(fuzz->recorded, &fuzz->reader);
    replay_model_take(fuzz->changed, &fuzz->reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Fuzz fuzz = {.plan = g_array_new(FALSE, FALSE, sizeof(PolicyGuest))};
    journal_reader_init(&fuzz.reader);
    replay_settings_init(&fuzz.settings);
    set(&fuzz.settings, "mode=reclaim");
    set(&fuzz.settings, "budget=50%");
    set(&fuzz.settings, "guest.*.min=10%");
    fuzz.recorded = replay_model_new(NULL);
    fuzz.changed = replay_model_new(&fuzz.settings);
    const char *text = (const char *)data;
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        take_line(&fuzz, text, length);
        length += end != NULL;
        text += length;
        size -= length;
    }
    check_tally(fuzz.recorded);
    check_tally(fuzz.changed);
    replay_model_free(fuzz.recorded);
    replay_model_free(fuzz.changed);
    replay_settings_clear(&fuzz.settings);
    journal_reader_clear(&fuzz.reader);
    g_array_unref(fuzz.plan);
    return 0;
}
