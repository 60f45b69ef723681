// SPDX-License-Identifier: Apache-2.0
//
// `aerostat-sim replay`: a controller's journal, planned anew.
#include "host-controller/sim/command.h"
#include "host-controller/sim/progress.h"
#include "host-controller/sim/replay-files.h"
#include "host-controller/sim/replay-report.h"

#include "protocol/json.h"

#include <unistd.h>

typedef struct ReplayOptions {
    char **paths;
    char **settings;
    gboolean json;
} ReplayOptions;

typedef struct Replay {
    JournalReader reader;
    ReplayFindings findings;
    ReplaySettings none;
    ReplaySettings settings;
    GArray *plan; // PolicyGuest: the working memory of one
} Replay;

// --- lines ------------------------------------------------------------------------------------

static void note_damage(Replay *replay, const ReplayLine *line, const char *what)
{
    ReplayFindings *findings = &replay->findings;
    findings->damaged_lines++;
    if (findings->damages->len < REPLAY_LISTED_LINES) {
        g_ptr_array_add(findings->damages, g_strdup_printf("%s:%" G_GINT64_FORMAT ": %s",
                                                           line->path, line->number, what));
    }
}

// Says where a plan came out otherwise.
static char *describe_difference(const ReplayLine *line, const JournalGuest *guest,
                                 const PolicyGuest *planned)
{
    const JournalOutcome *recorded = &guest->record.outcome;
    g_autofree char *name = json_text_for_people(guest->name);
    return g_strdup_printf(
        "%s:%" G_GINT64_FORMAT ": %s: target %" G_GINT64_FORMAT ", fair share %" G_GINT64_FORMAT
        ", %s; recorded: target %" G_GINT64_FORMAT ", fair share %" G_GINT64_FORMAT ", %s",
        line->path, line->number, name, planned->plan_bytes, planned->fair_share_bytes,
        policy_bound_name(planned->bound), recorded->plan_bytes, recorded->fair_share_bytes,
        policy_bound_name(recorded->bound));
}

static void verify(Replay *replay, const ReplayLine *line)
{
    const PolicyGuest *planned;
    journal_reader_plan(&replay->reader, replay->plan);
    const JournalGuest *guest =
        journal_reader_find_difference(&replay->reader, replay->plan, &planned);
    if (guest && replay->findings.differences++ == 0) {
        replay->findings.first_difference = describe_difference(line, guest, planned);
    }
}

static void tell_models(Replay *replay, bool taken)
{
    ReplayModel *models[] = {replay->findings.recorded, replay->findings.unchanged,
                             replay->findings.changed};
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        if (models[i] && taken) {
            replay_model_take(models[i], &replay->reader);
        } else if (models[i]) {
            replay_model_pause(models[i]);
        }
    }
}

static void take_plan(Replay *replay, const ReplayLine *line)
{
    const JournalReader *reader = &replay->reader;
    ReplayFindings *findings = &replay->findings;
    findings->lines++;
    findings->skipped_plans += reader->skipped;
    findings->dropped_lines = MAX(findings->dropped_lines, reader->dropped);
    findings->first_unix_us = findings->lines == 1 ? reader->unix_us : findings->first_unix_us;
    findings->last_unix_us = reader->unix_us;
    verify(replay, line);
    tell_models(replay, true);
}

static void take_line(const ReplayLine *line, void *context)
{
    Replay *replay = context;
    g_autoptr(GError) error = NULL;
    JournalLine taken = JOURNAL_LINE_DAMAGED;
    if (line->text) {
        taken = journal_reader_take(&replay->reader, line->text, line->length, &error);
    } else {
        journal_reader_forget(&replay->reader);
    }
    switch (taken) {
    case JOURNAL_LINE_TAKEN:
        take_plan(replay, line);
        return;
    case JOURNAL_LINE_ORPHAN:
        replay->findings.orphan_lines++;
        break;
    case JOURNAL_LINE_DAMAGED:
        if (line->unfinished) {
            replay->findings.unfinished = true;
        } else {
            note_damage(replay, line, error ? error->message : "longer than any line can be");
        }
        break;
    }
    tell_models(replay, false);
}

// --- the command ------------------------------------------------------------------------------

static void replay_init(Replay *replay)
{
    *replay = (Replay){.plan = g_array_new(FALSE, FALSE, sizeof(PolicyGuest))};
    journal_reader_init(&replay->reader);
    replay_settings_init(&replay->none);
    replay_settings_init(&replay->settings);
    replay->findings.damages = g_ptr_array_new_with_free_func(g_free);
    replay->findings.recorded = replay_model_new(NULL);
}

static void replay_clear(Replay *replay)
{
    journal_reader_clear(&replay->reader);
    replay_model_free(replay->findings.recorded);
    replay_model_free(replay->findings.unchanged);
    replay_model_free(replay->findings.changed);
    g_ptr_array_unref(replay->findings.damages);
    g_free(replay->findings.first_difference);
    replay_settings_clear(&replay->none);
    replay_settings_clear(&replay->settings);
    g_array_unref(replay->plan);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Replay, replay_clear)

static bool apply_settings(Replay *replay, char *const *settings, GError **error)
{
    for (size_t i = 0; settings && settings[i]; i++) {
        if (!replay_settings_add(&replay->settings, settings[i], error)) {
            g_prefix_error(error, "--set: ");
            return false;
        }
    }
    replay->findings.has_settings = replay_settings_given(&replay->settings);
    if (replay->findings.has_settings) {
        replay->findings.unchanged = replay_model_new(&replay->none);
        replay->findings.changed = replay_model_new(&replay->settings);
    }
    return true;
}

static bool parse(ReplayOptions *options, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->settings,
         "What would have been with mode=MODE, budget=SIZE, guest.NAME.min=SIZE, "
         "guest.NAME.max=SIZE or guest.NAME.weight=N (NAME may be *); may be repeated",
         "KEY=VALUE"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->paths, NULL,
         "JOURNAL..."},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) parser = g_option_context_new(NULL);
    g_option_context_set_summary(
        parser,
        "Plan anew what a controller's journal recorded, and show what other settings would "
        "have made of it.");
    g_option_context_add_main_entries(parser, entries, NULL);
    if (!g_option_context_parse(parser, &argc, &argv, error)) {
        return false;
    }
    if (!options->paths) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "no journal is named");
        return false;
    }
    return true;
}

static void show_progress(int64_t done_bytes, int64_t all_bytes, void *context)
{
    (void)context;
    progress_show((size_t)(done_bytes >> 20), (size_t)(all_bytes >> 20), "MiB");
}

static bool is_known(const char *name, void *context)
{
    return replay_model_guest_tally(context, name) != NULL;
}

static SimExit report(const Replay *replay, bool as_json)
{
    const ReplayFindings *findings = &replay->findings;
    const char *unknown =
        replay_settings_find_unknown(&replay->settings, is_known, findings->recorded);
    if (unknown) {
        g_autofree char *shown = json_text_for_people(unknown);
        fprintf(stderr, "aerostat-sim replay: --set: no guest '%s' in the journal\n", shown);
        return SIM_EXIT_USAGE;
    }
    if (findings->lines == 0) {
        fprintf(stderr, "aerostat-sim replay: no plan could be read\n");
    }
    if (as_json) {
        g_autoptr(json_t) output = replay_report_to_json(findings);
        json_dumpf(output, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        replay_report_print(findings, stdout);
    }
    return findings->lines > 0 && findings->differences == 0 ? SIM_EXIT_OK : SIM_EXIT_FAILED;
}

SimExit sim_replay(int argc, char **argv)
{
    ReplayOptions options = {0};
    g_auto(Replay) replay;
    replay_init(&replay);
    g_autoptr(GError) error = NULL;
    bool parsed =
        parse(&options, argc, argv, &error) && apply_settings(&replay, options.settings, &error);
    g_auto(GStrv) paths = options.paths;
    g_auto(GStrv) settings = options.settings;
    (void)settings;
    if (!parsed) {
        fprintf(stderr, "aerostat-sim replay: %s\nTry 'aerostat-sim replay --help'.\n",
                error->message);
        return SIM_EXIT_USAGE;
    }
    if (!replay_files_read(paths, take_line, isatty(STDERR_FILENO) ? show_progress : NULL, &replay,
                           &error)) {
        fprintf(stderr, "aerostat-sim replay: %s\n", error->message);
        return SIM_EXIT_FAILED;
    }
    return report(&replay, options.json);
}
