// SPDX-License-Identifier: Apache-2.0
//
// What libvirt costs, and whom: how soon a guest that is not libvirt's is served (a report of a
// shortage written to its socket until `balloon` has arrived) while libvirtd runs, hangs, is dead
// and is back, with a real domain of libvirt's beside it; and how long a domain's balloon takes
// from 512 to 300 MiB and back through aerostat-libvirt, against the same guest with a monitor of
// its own.
//
// AEROSTAT_BENCH_PROBES (default 200) reports are timed in each case, AEROSTAT_BENCH_ROUNDS (5)
// balloons moved.
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/guest-farm.h"
#include "tests/support/private-libvirt.h"

#include <signal.h>
#include <string.h>

#define SIZE_BYTES (512 * MIB)
#define SMALL_BYTES (300 * MIB)
#define PROBED_BYTES (1024 * MIB)
#define LOW_BYTES (64 * MIB)
#define HIGH_BYTES (512 * MIB)
#define PROBE_EVERY_US (20 * MS_US)
#define COMMAND_TIMEOUT_US (5 * SECOND_US)
#define SETTLE_US (6 * SECOND_US)
// Keepalive gives a hanging libvirtd up after 8 s; that is to fall into the time that is measured.
#define REACH_TIMEOUT_US (30 * SECOND_US)
#define MAX_PROBES 10000
#define MAX_ROUNDS 100

typedef struct Bench {
    BenchFigures *figures;
    VmLab *lab;
    PrivateLibvirt *libvirt;
    GuestFarm *farm;
    QmpSession *control;
} Bench;

// --- reaction ---------------------------------------------------------------------------------

static void serve(Bench *bench, int64_t duration_us)
{
    guest_farm_serve(bench->farm, deadline_after(duration_us), false);
}

// Reports, and waits for the command that it leads to; how long that took.
static int64_t report_us(Bench *bench, const char *reason, int64_t used_bytes)
{
    unsigned commands = guest_farm_commands(bench->farm, 0);
    int64_t written_us = g_get_monotonic_time();
    int64_t deadline_us = deadline_after(COMMAND_TIMEOUT_US);
    guest_farm_report(bench->farm, 0, reason, used_bytes);
    while (guest_farm_commands(bench->farm, 0) == commands) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        guest_farm_serve(bench->farm, deadline_us, true);
    }
    return guest_farm_commanded_us(bench->farm, 0) - written_us;
}

// Until everything rests that has nothing to do with what is measured.
static void settle(Bench *bench)
{
    for (int64_t spent_us = 0; spent_us < SETTLE_US; spent_us += SECOND_US) {
        guest_farm_report(bench->farm, 0, "change", LOW_BYTES);
        serve(bench, SECOND_US);
    }
    guest_farm_report(bench->farm, 0, "change", LOW_BYTES);
    serve(bench, 100 * MS_US);
}

static void measure_reaction(Bench *bench, const char *name)
{
    int probes = bench_setting("AEROSTAT_BENCH_PROBES", 200, 200, MAX_PROBES);
    for (int i = 0; i < probes; i++) {
        bench_note(bench->figures, (double)report_us(bench, "trend", HIGH_BYTES),
                   "%s.report-to-balloon-us", name);
        serve(bench, PROBE_EVERY_US);
        report_us(bench, "change", LOW_BYTES);
        serve(bench, PROBE_EVERY_US + g_random_int_range(0, 20000));
    }
}

// --- hand-over --------------------------------------------------------------------------------

// Pins the guest and waits until it is there; how long that took.
static double reach_ms(Bench *bench, const char *name, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    int64_t began_us = g_get_monotonic_time();
    int64_t deadline_us = deadline_after(REACH_TIMEOUT_US);
    json_t *arguments = json_pack("{s:s, s:I}", "name", name, "bytes", (json_int_t)bytes);
    g_autoptr(json_t) value =
        qmp_session_execute(bench->control, "set-target", arguments, COMMAND_TIMEOUT_US, &error);
    bench_must(value != NULL, &error);
    for (;;) {
        g_autoptr(json_t) event =
            qmp_session_next_event(bench->control, deadline_left_us(deadline_us), &error);
        bench_must(event != NULL, &error);
        const json_t *data = json_object_get(event, "data");
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), "GUEST_TARGET_REACHED") ==
                0 &&
            g_strcmp0(json_string_value(json_object_get(data, "name")), name) == 0 &&
            json_integer_value(json_object_get(data, "target")) == bytes) {
            return (double)(g_get_monotonic_time() - began_us) / 1e3;
        }
    }
}

static void note_reach(BenchFigures *figures, const char *way, double through_ms, double own_ms)
{
    bench_note(figures, through_ms, "%s.through-libvirt-ms", way);
    bench_note(figures, own_ms, "%s.own-monitor-ms", way);
    bench_note(figures, through_ms / own_ms, "%s.ratio", way);
}

// Both ways, each guest in turn, so that their times can be compared round by round.
static void measure_reach(Bench *bench)
{
    int rounds = bench_setting("AEROSTAT_BENCH_ROUNDS", 5, 10, MAX_ROUNDS);
    reach_ms(bench, "domain", SMALL_BYTES);
    reach_ms(bench, "plain", SMALL_BYTES);
    for (int i = 0; i < rounds; i++) {
        double through_ms = reach_ms(bench, "domain", SIZE_BYTES);
        double own_ms = reach_ms(bench, "plain", SIZE_BYTES);
        note_reach(bench->figures, "up", through_ms, own_ms);
        through_ms = reach_ms(bench, "domain", SMALL_BYTES);
        own_ms = reach_ms(bench, "plain", SMALL_BYTES);
        note_reach(bench->figures, "down", through_ms, own_ms);
    }
}

// --- the scene --------------------------------------------------------------------------------

static void boot(Bench *bench)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = vm_lab_path(bench->lab, "guests");
    const char *const arguments[] = {"--uri", private_libvirt_uri(bench->libvirt), "--directory",
                                     folder, NULL};
    VmOptions options = {.name = "plain", .memory_bytes = SIZE_BYTES, .deflate_on_oom = true};
    bench_must(vm_lab_start_program(bench->lab, "aerostat-libvirt", arguments, &error) &&
                   private_libvirt_define(bench->libvirt, "domain", SIZE_BYTES, &error),
               &error);
    g_autofree char *said = private_libvirt_virsh(bench->libvirt, "start domain", &error);
    bench_must(said && vm_lab_add(bench->lab, &options, &error) &&
                   vm_lab_wait_ready(bench->lab, &error),
               &error);
    g_autoptr(GuestShell) shell = private_libvirt_shell(bench->libvirt, "domain", &error);
    bench_must(shell != NULL, &error);
}

static void start_controller(Bench *bench)
{
    g_autoptr(GError) error = NULL;
    const char *folder = vm_lab_directory(bench->lab);
    g_autofree char *farm = guest_farm_configuration(bench->farm);
    g_autofree char *more = g_strdup_printf("[defaults]\nmin=1M\n[guest domain]\n"
                                            "qmp=%s/guests/domain.qmp\n"
                                            "agent=%s/guests/domain.agent\n%s",
                                            folder, folder, farm);
    g_autofree char *written =
        vm_lab_write_configuration(bench->lab, 16 * 1024 * MIB, more, &error);
    bench_must(written != NULL, &error);
    g_autofree char *text = NULL;
    bench_must(g_file_get_contents(written, &text, NULL, &error), &error);
    g_auto(GStrv) parts = g_strsplit(text, "mode=balance", 2);
    g_autofree char *reclaim = g_strjoinv("mode=reclaim", parts);
    bench_must(g_file_set_contents(written, reclaim, -1, &error) &&
                   vm_lab_start_controller(bench->lab, written, &bench->control, &error),
               &error);
}

static void measure_reactions(Bench *bench)
{
    g_autoptr(GError) error = NULL;
    Process *daemon = private_libvirt_daemon(bench->libvirt);
    while (guest_farm_reporting(bench->farm) < 1) {
        serve(bench, 100 * MS_US);
    }
    settle(bench);
    measure_reaction(bench, "alive");
    process_kill(daemon, SIGSTOP);
    measure_reaction(bench, "hanging");
    process_kill(daemon, SIGCONT);
    process_kill(daemon, SIGKILL);
    measure_reaction(bench, "dead");
    bench_must(private_libvirt_start(bench->libvirt, &error), &error);
    settle(bench);
    measure_reaction(bench, "back");
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    Bench bench = {.figures = bench_figures_new(), .lab = vm_lab_new(&error)};
    bench_must(bench.lab != NULL, &error);
    bench.libvirt = private_libvirt_new(bench.lab, &error);
    bench_must(bench.libvirt != NULL, &error);
    bench.farm = guest_farm_new(vm_lab_directory(bench.lab), 1, PROBED_BYTES);
    guest_farm_resize(bench.farm, 0, PROBED_BYTES, 2 * LOW_BYTES);
    boot(&bench);
    start_controller(&bench);
    measure_reactions(&bench);
    guest_farm_free(bench.farm);
    measure_reach(&bench);
    bench_print(bench.figures, "libvirt");
    qmp_session_close(bench.control);
    private_libvirt_free(bench.libvirt);
    vm_lab_free(bench.lab);
    return EXIT_SUCCESS;
}
