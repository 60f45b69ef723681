// SPDX-License-Identifier: Apache-2.0
//
// `aerostat-sim run`: hosts out of a trace or a scenario, simulated, and what came of it.
#include "host-controller/sim/budget-search.h"
#include "host-controller/sim/command.h"
#include "host-controller/sim/jobs.h"
#include "host-controller/sim/progress.h"
#include "host-controller/sim/quantity.h"
#include "host-controller/sim/result.h"
#include "host-controller/sim/run-options.h"

#include <stdio.h>
#include <unistd.h>

#define DEFAULT_TRACE_PERMILLE 1050
// Results of single guests are listed up to this many.
#define MAX_LISTED_GUESTS 50

typedef struct Run {
    const RunOptions *options;
    Trace trace;
    bool shows_progress;
} Run;

static void list_all(void)
{
    printf("Policies:\n");
    for (size_t i = 0; sim_policies[i]; i++) {
        printf("  %-14s%s\n", sim_policies[i]->name, sim_policies[i]->summary);
    }
    printf("Scenarios:\n");
    for (const Scenario *scenario = scenarios; scenario->name; scenario++) {
        printf("  %-14s%s\n", scenario->name, scenario->summary);
    }
}

// --- hosts ------------------------------------------------------------------------------------

static guint hosts_count(const Run *run)
{
    return run->options->scenario ? 1 : trace_hosts_count(&run->trace, &run->options->trace);
}

static HostSetup *new_host(const Run *run, guint index)
{
    const RunOptions *options = run->options;
    HostSetup *setup = options->scenario
                           ? scenario_host_new(options->scenario, &options->scenario_settings)
                           : trace_host_new(&run->trace, &options->trace, index);
    setup->policy = options->policy;
    setup->reclaim = options->reclaim;
    setup->tick_us = options->tick_us;
    setup->fine_us = options->fine_us;
    setup->latency_us = options->latency_us;
    setup->always_fine = options->always_fine;
    setup->keep_budget = options->find_budget && !options->allow_over;
    for (guint i = 0; i < setup->guests->len; i++) {
        GuestSetup *guest = g_ptr_array_index(setup->guests, i);
        guest->traits.swap_bytes = options->swap_bytes;
        guest->traits.oom_grace_us = options->oom_grace_us;
    }
    return setup;
}

static int64_t budget_of(const Run *run, int64_t optimum_bytes)
{
    const RunOptions *options = run->options;
    int64_t usual = options->scenario ? options->scenario->budget_permille : DEFAULT_TRACE_PERMILLE;
    if (options->budget_bytes) {
        return options->budget_bytes;
    }
    return sim_scale(optimum_bytes, options->budget_permille ? options->budget_permille : usual,
                     1000);
}

static void simulate(const Run *run, HostSetup *setup, GArray *guests, Series *series,
                     HostResult *result)
{
    int64_t needed_kib_ms;
    int64_t optimum_bytes = host_setup_optimum_bytes(setup, &needed_kib_ms);
    setup->budget_bytes = budget_of(run, optimum_bytes);
    if (run->options->find_budget) {
        budget_search(setup, optimum_bytes, needed_kib_ms, run->options->resolution_permille,
                      result);
    }
    if (!run->options->find_budget || guests || series) {
        host_model_run(setup, guests, series ? series_watch : NULL, series, result);
    }
    result->optimum_bytes = optimum_bytes;
}

// --- many hosts -------------------------------------------------------------------------------

static void work(size_t index, void *result, void *context)
{
    const Run *run = context;
    HostSetup *setup = new_host(run, (guint)index);
    simulate(run, setup, NULL, NULL, result);
    host_setup_free(setup);
}

static void show_progress(size_t done, size_t count, void *context)
{
    const Run *run = context;
    if (run->shows_progress) {
        progress_show(done, count, "hosts");
    }
}

static json_t *about_run(const Run *run)
{
    const RunOptions *options = run->options;
    return json_pack("{s:s, s:s, s:s, s:b, s:I}", "policy", options->policy->name, "source",
                     options->scenario ? options->scenario->name : "trace", "mode",
                     options->reclaim ? "reclaim" : "balance", "spikes", options->trace.spikes,
                     "seed", (json_int_t)options->trace.seed);
}

static SimExit print(json_t *output, const HostResult *sum, const SimPolicy *policy)
{
    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
    return policy->keeps_laws && laws_broken(&sum->laws) > 0 ? SIM_EXIT_FAILED : SIM_EXIT_OK;
}

static SimExit run_many(Run *run)
{
    guint count = hosts_count(run);
    g_autofree HostResult *results = g_new0(HostResult, count);
    if (!jobs_run(count, run->options->jobs, sizeof *results, results, work, show_progress, run)) {
        fprintf(stderr, "aerostat-sim: a process died\n");
        return SIM_EXIT_FAILED;
    }
    HostResult sum = {0};
    json_t *hosts = json_array();
    for (guint i = 0; i < count; i++) {
        host_result_add(&sum, &results[i]);
        json_array_append_new(hosts, host_result_to_json(&results[i]));
    }
    json_t *output = about_run(run);
    json_object_set_new(output, "sum", host_result_to_json(&sum));
    json_object_set_new(output, "hosts", hosts);
    return print(output, &sum, run->options->policy);
}

// --- one host, in detail ----------------------------------------------------------------------

static json_t *list_guests(const HostSetup *setup, const GArray *counters)
{
    json_t *list = json_array();
    for (guint i = 0; i < counters->len && counters->len <= MAX_LISTED_GUESTS; i++) {
        const GuestSetup *guest = g_ptr_array_index(setup->guests, i);
        json_array_append_new(
            list, guest_counters_to_json(guest->name, &g_array_index(counters, GuestCounters, i)));
    }
    return list;
}

static SimExit run_one(Run *run)
{
    HostSetup *setup = new_host(run, 0);
    g_autoptr(GArray) counters = g_array_new(FALSE, FALSE, sizeof(GuestCounters));
    Series series = {0};
    bool wants_series = run->options->series_us > 0;
    if (wants_series) {
        series_init(&series, setup, run->options->series_us);
    }
    HostResult result;
    simulate(run, setup, counters, wants_series ? &series : NULL, &result);
    json_t *output = about_run(run);
    json_object_set_new(output, "sum", host_result_to_json(&result));
    json_object_set_new(output, "guests", list_guests(setup, counters));
    if (wants_series) {
        json_object_set_new(output, "series", series_take_json(&series));
    }
    host_setup_free(setup);
    return print(output, &result, run->options->policy);
}

SimExit sim_run(int argc, char **argv)
{
    g_auto(RunOptions) options;
    g_autoptr(GError) error = NULL;
    if (!run_options_parse(&options, argc, argv, &error)) {
        fprintf(stderr, "aerostat-sim run: %s\nTry 'aerostat-sim run --help'.\n", error->message);
        return SIM_EXIT_USAGE;
    }
    if (options.list) {
        list_all();
        return SIM_EXIT_OK;
    }
    Run run = {.options = &options, .shows_progress = isatty(STDERR_FILENO)};
    if (options.trace_path && !trace_load(&run.trace, options.trace_path, &error)) {
        fprintf(stderr, "aerostat-sim: %s\n", error->message);
        return SIM_EXIT_FAILED;
    }
    SimExit code = options.scenario || options.series_us > 0 ? run_one(&run) : run_many(&run);
    trace_clear(&run.trace);
    return code;
}
