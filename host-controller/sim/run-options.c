// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/run-options.h"

#include "host-controller/sim/quantity.h"
#include "protocol/error.h"
#include "protocol/json.h"
#include "protocol/units.h"

#include <math.h>

#define MAX_MULTIPLE 1000.0
#define MAX_GUESTS_PER_HOST 10000
#define MAX_JOBS 256

// The command line as it stands.
typedef struct RawOptions {
    char *trace;
    char *scenario;
    char *policy;
    char *mode;
    char *budget;
    char *guest_size;
    char *min;
    char *swap;
    char *tick;
    char *fine;
    char *latency;
    char *grace;
    char *duration;
    char *step;
    char *series;
    char *resolution;
    gboolean find_budget;
    gboolean allow_over;
    gboolean spikes;
    gboolean always_fine;
    gboolean list;
    int guests;
    int hosts_of;
    int jobs;
    gint64 seed;
} RawOptions;

static void raw_options_clear(RawOptions *raw)
{
    char **texts[] = {&raw->trace,    &raw->scenario,   &raw->policy,  &raw->mode,
                      &raw->budget,   &raw->guest_size, &raw->min,     &raw->swap,
                      &raw->tick,     &raw->fine,       &raw->latency, &raw->grace,
                      &raw->duration, &raw->step,       &raw->series,  &raw->resolution};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_clear_pointer(texts[i], g_free);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RawOptions, raw_options_clear)

void run_options_clear(RunOptions *options)
{
    g_clear_pointer(&options->trace_path, g_free);
}

static bool complain(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool complain(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, message);
    return false;
}

// --- single options ---------------------------------------------------------------------------

// A time; `fallback` when the option is not given.
static bool parse_time(const char *name, const char *text, int64_t fallback_us, int64_t *time_us,
                       GError **error)
{
    *time_us = fallback_us;
    if (!text) {
        return true;
    }
    if (!duration_parse(text, time_us, error)) {
        g_prefix_error(error, "--%s: ", name);
        return false;
    }
    return *time_us > 0 || complain(error, "--%s: must be longer than nothing", name);
}

static bool parse_size(const char *name, const char *text, int64_t fallback, int64_t *bytes,
                       GError **error)
{
    *bytes = fallback;
    if (text && !size_parse(text, bytes, error)) {
        g_prefix_error(error, "--%s: ", name);
        return false;
    }
    return true;
}

// A size, or a multiple of the optimum such as x1.05.
static bool parse_budget(const char *text, RunOptions *options, GError **error)
{
    if (!text || text[0] != 'x') {
        return parse_size("budget", text, 0, &options->budget_bytes, error);
    }
    char *end;
    double multiple = g_ascii_strtod(text + 1, &end);
    if (end == text + 1 || *end || !(multiple >= 0.001 && multiple <= MAX_MULTIPLE)) {
        return complain(error, "--budget: '%s' is not x and a number up to %g", text, MAX_MULTIPLE);
    }
    options->budget_permille = (int64_t)lround(multiple * 1000);
    return true;
}

static bool parse_policy(const char *text, const SimPolicy **policy, GError **error)
{
    *policy = text ? sim_policy_find(text) : &sim_policy_aerostat;
    return *policy || complain(error, "--policy: there is no '%s'; --list names them all", text);
}

static bool parse_mode(const char *text, bool *reclaim, GError **error)
{
    *reclaim = g_strcmp0(text, "reclaim") == 0;
    return !text || *reclaim || g_strcmp0(text, "balance") == 0 ||
           complain(error, "--mode: '%s' is neither balance nor reclaim", text);
}

static bool parse_source(const RawOptions *raw, RunOptions *options, GError **error)
{
    if (!raw->trace == !raw->scenario) {
        return complain(error, "either --trace or --scenario is wanted");
    }
    options->trace_path = g_strdup(raw->trace);
    if (raw->scenario) {
        options->scenario = scenario_find(raw->scenario);
        return options->scenario ||
               complain(error, "--scenario: there is no '%s'; --list names them all",
                        raw->scenario);
    }
    return true;
}

// --- all of them ------------------------------------------------------------------------------

static bool check_counts(const RawOptions *raw, GError **error)
{
    if (raw->guests < 0 || raw->hosts_of < 1 || raw->hosts_of > MAX_GUESTS_PER_HOST ||
        (raw->scenario && raw->guests > MAX_GUESTS_PER_HOST)) {
        return complain(error, "a host has from 1 to %d guests", MAX_GUESTS_PER_HOST);
    }
    if (raw->jobs < 1 || raw->jobs > MAX_JOBS) {
        return complain(error, "--jobs: from 1 to %d", MAX_JOBS);
    }
    return true;
}

static bool parse_times(const RawOptions *raw, RunOptions *options, GError **error)
{
    int64_t tick_us = options->scenario || raw->spikes ? SIM_S / 2 : SIM_S;
    int64_t whole_trace_us = 24 * SIM_HOUR;
    int64_t duration_us = 0;
    if (!parse_time("tick", raw->tick, tick_us, &options->tick_us, error) ||
        !parse_time("fine", raw->fine, 20 * SIM_MS, &options->fine_us, error) ||
        !parse_time("latency", raw->latency, 20 * SIM_MS, &options->latency_us, error) ||
        !parse_time("grace", raw->grace, 200 * SIM_MS, &options->oom_grace_us, error) ||
        !parse_time("series", raw->series, 0, &options->series_us, error) ||
        !parse_time("step", raw->step, 300 * SIM_S, &options->trace.step_us, error) ||
        !parse_time("duration", raw->duration, 0, &duration_us, error)) {
        return false;
    }
    options->trace.duration_us = duration_us ? duration_us : whole_trace_us;
    options->scenario_settings.duration_us = duration_us;
    return true;
}

static bool parse_sizes(const RawOptions *raw, RunOptions *options, GError **error)
{
    int64_t size_bytes;
    if (!parse_size("guest-size", raw->guest_size, 0, &size_bytes, error) ||
        !parse_size("min", raw->min, 256 * SIM_MIB, &options->trace.min_bytes, error) ||
        !parse_size("swap", raw->swap, 0, &options->swap_bytes, error) ||
        !parse_budget(raw->budget, options, error)) {
        return false;
    }
    if (size_bytes != 0 && (size_bytes < 64 * SIM_MIB || size_bytes > 16384 * SIM_GIB)) {
        return complain(error, "--guest-size: from 64M to 16T");
    }
    options->trace.size_bytes = size_bytes ? size_bytes : 16 * SIM_GIB;
    options->scenario_settings.size_bytes = size_bytes;
    options->scenario_settings.min_bytes = options->trace.min_bytes;
    if (options->trace.min_bytes > options->trace.size_bytes) {
        return complain(error, "--min: no guest is that large");
    }
    return true;
}

static bool apply(const RawOptions *raw, RunOptions *options, GError **error)
{
    double resolution = raw->resolution ? g_ascii_strtod(raw->resolution, NULL) : 0.002;
    if (!(resolution >= 0.001 && resolution <= 1)) {
        return complain(error, "--resolution: from 0.001 to 1");
    }
    options->resolution_permille = (int64_t)lround(resolution * 1000);
    options->list = raw->list;
    options->find_budget = raw->find_budget;
    options->allow_over = raw->allow_over;
    options->always_fine = raw->always_fine;
    options->jobs = (unsigned)raw->jobs;
    options->trace.rows = raw->guests ? (guint)raw->guests : G_MAXUINT;
    options->trace.per_host = (guint)raw->hosts_of;
    options->trace.spikes = raw->spikes;
    options->trace.seed = (uint64_t)raw->seed;
    options->scenario_settings.guests = (guint)raw->guests;
    options->scenario_settings.seed = (uint64_t)raw->seed;
    return raw->list || (parse_source(raw, options, error) && check_counts(raw, error) &&
                         parse_policy(raw->policy, &options->policy, error) &&
                         parse_mode(raw->mode, &options->reclaim, error) &&
                         parse_times(raw, options, error) && parse_sizes(raw, options, error));
}

static void add_entries(GOptionContext *parser, RawOptions *raw)
{
    const GOptionEntry entries[] = {
        {"trace", 0, 0, G_OPTION_ARG_FILENAME, &raw->trace, "Replay a CSV of memory use", "FILE"},
        {"scenario", 0, 0, G_OPTION_ARG_STRING, &raw->scenario, "Play a built-in scenario", "NAME"},
        {"policy", 0, 0, G_OPTION_ARG_STRING, &raw->policy, "Who decides (aerostat)", "NAME"},
        {"list", 0, 0, G_OPTION_ARG_NONE, &raw->list, "List policies and scenarios", NULL},
        {"budget", 0, 0, G_OPTION_ARG_STRING, &raw->budget,
         "Memory for all guests of a host, or x and a multiple of the optimum", "SIZE|xF"},
        {"find-budget", 0, 0, G_OPTION_ARG_NONE, &raw->find_budget,
         "Look for the smallest budget that does", NULL},
        {"allow-over", 0, 0, G_OPTION_ARG_NONE, &raw->allow_over,
         "There, let guests hold more than the budget", NULL},
        {"resolution", 0, 0, G_OPTION_ARG_STRING, &raw->resolution,
         "How exactly it is looked for (0.002)", "F"},
        {"mode", 0, 0, G_OPTION_ARG_STRING, &raw->mode, "balance (default) or reclaim", "MODE"},
        {"guests", 0, 0, G_OPTION_ARG_INT, &raw->guests, "How many guests in all", "N"},
        {"hosts-of", 0, 0, G_OPTION_ARG_INT, &raw->hosts_of, "Guests a host of a trace (40)", "N"},
        {"guest-size", 0, 0, G_OPTION_ARG_STRING, &raw->guest_size, "Size of a guest (16G)",
         "SIZE"},
        {"min", 0, 0, G_OPTION_ARG_STRING, &raw->min, "Least target of a guest (256M)", "SIZE"},
        {"swap", 0, 0, G_OPTION_ARG_STRING, &raw->swap, "Swap in each guest (0)", "SIZE"},
        {"spikes", 0, 0, G_OPTION_ARG_NONE, &raw->spikes,
         "Once an hour a guest takes a quarter of its size more for five minutes", NULL},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &raw->seed, "For what is random (1)", "N"},
        {"duration", 0, 0, G_OPTION_ARG_STRING, &raw->duration, "Virtual time", "TIME"},
        {"step", 0, 0, G_OPTION_ARG_STRING, &raw->step, "Between points of a trace (5min)", "TIME"},
        {"tick", 0, 0, G_OPTION_ARG_STRING, &raw->tick, "Step of virtual time (1s)", "TIME"},
        {"fine", 0, 0, G_OPTION_ARG_STRING, &raw->fine, "Step while memory moves (20ms)", "TIME"},
        {"latency", 0, 0, G_OPTION_ARG_STRING, &raw->latency, "Of a report (20ms)", "TIME"},
        {"grace", 0, 0, G_OPTION_ARG_STRING, &raw->grace, "From nothing left to the kill (200ms)",
         "TIME"},
        {"series", 0, 0, G_OPTION_ARG_STRING, &raw->series,
         "Write the course of the first host too, a value each TIME", "TIME"},
        {"always-fine", 0, 0, G_OPTION_ARG_NONE, &raw->always_fine,
         "Fine steps always: slow, the same figures", NULL},
        {"jobs", 'j', 0, G_OPTION_ARG_INT, &raw->jobs, "Processes at a time (1)", "N"},
        G_OPTION_ENTRY_NULL,
    };
    g_option_context_add_main_entries(parser, entries, NULL);
}

bool run_options_parse(RunOptions *options, int argc, char **argv, GError **error)
{
    g_auto(RawOptions) raw = {.hosts_of = 40, .jobs = 1, .seed = 1};
    g_autoptr(GOptionContext) parser = g_option_context_new("");
    *options = (RunOptions){0};
    g_option_context_set_summary(parser, "Simulate hosts with guests and print what came of it.");
    add_entries(parser, &raw);
    if (!g_option_context_parse(parser, &argc, &argv, error)) {
        return false;
    }
    if (argc > 1) {
        g_autofree char *shown = json_text_for_people(argv[1]);
        return complain(error, "'%s' is one too many", shown);
    }
    return apply(&raw, options, error);
}
