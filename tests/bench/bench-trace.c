// SPDX-License-Identifier: Apache-2.0
//
// How large a host's budget must be over a published trace, under each policy, as a multiple of
// what one who knows the future needs; and what it costs. Virtual time: the same figures on every
// machine, their spread is that of the hosts.
//
// AEROSTAT_BENCH_HOSTS (2, in full 5) hosts of 40 guests for AEROSTAT_BENCH_HOURS (24).
// tests/sim/compare.sh does it for all hosts, and with spikes.
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/process.h"

#include "protocol/json.h"

#include <string.h>
#include <unistd.h>

#define TRACE "tests/sim/google-cluster-vm-memory.csv"
#define GUESTS_A_HOST 40
#define MAX_HOSTS 20
#define TIMEOUT_US (3600 * SECOND_US)

static const struct {
    const char *name;
    const char *policy;
    bool allow_over; // its guests may hold more than the budget
} rows[] = {
    {"aerostat", "aerostat", false}, {"poller-1s-that-may-exceed", "poller", true},
    {"mom", "mom", false},           {"proxmox", "proportional", false},
    {"static", "static", false},
};

// The simulator's answer.
static json_t *find_budget(const char *policy, bool allow_over)
{
    g_autoptr(GError) error = NULL;
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostat-sim", NULL);
    g_autofree char *guests = g_strdup_printf(
        "%d", GUESTS_A_HOST * bench_setting("AEROSTAT_BENCH_HOSTS", 2, 5, MAX_HOSTS));
    g_autofree char *duration =
        g_strdup_printf("%dmin", 60 * bench_setting("AEROSTAT_BENCH_HOURS", 24, 24, 24));
    g_autofree char *jobs = g_strdup_printf("%ld", sysconf(_SC_NPROCESSORS_ONLN));
    const char *arguments[] = {program,
                               "run",
                               "--trace",
                               TRACE,
                               "--guests",
                               guests,
                               "--policy",
                               policy,
                               "--duration",
                               duration,
                               "--find-budget",
                               "--resolution",
                               "0.005",
                               "--jobs",
                               jobs,
                               allow_over ? "--allow-over" : NULL,
                               NULL};
    g_autofree char *output = NULL;
    bench_must(process_run(arguments, TIMEOUT_US, &output, NULL, &error) == 0, &error);
    json_t *result = json_message_parse(output, strlen(output), &error);
    bench_must(result != NULL, &error);
    return result;
}

static double number(const json_t *host, const char *name)
{
    return (double)json_integer_value(json_object_get(host, name));
}

static void note(BenchFigures *figures, const char *name, const json_t *host)
{
    bool found = number(host, "hosts-given-up") == 0;
    bench_count(figures, found, "%s.budget-found", name);
    if (found) {
        bench_note(figures, number(host, "budget-permille-of-optimum") / 1e3,
                   "%s.budget-of-optimum", name);
        bench_note(figures, number(host, "commands-per-1000-guest-hours") / 1e3,
                   "%s.commands-per-guest-hour", name);
        bench_note(figures, number(host, "max-over-bytes") / (double)MIB, "%s.most-over-mib", name);
    }
}

int main(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        BenchFigures *figures = bench_figures_new();
        g_autoptr(json_t) result = find_budget(rows[i].policy, rows[i].allow_over);
        const json_t *hosts = json_object_get(result, "hosts");
        for (size_t k = 0; k < json_array_size(hosts); k++) {
            note(figures, rows[i].name, json_array_get(hosts, k));
        }
        bench_print(figures, "trace");
    }
    return EXIT_SUCCESS;
}
