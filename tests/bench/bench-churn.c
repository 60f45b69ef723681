// SPDX-License-Identifier: Apache-2.0
//
// Guests that come and go for minutes: 200 places for fake ones and two for real ones, started,
// stopped, killed and replaced at random in the directory that a real controller watches. Every
// five seconds it must know exactly those that are there. Says how much came and went, how long the
// controller took to know of it, and what it has open and resident before, at most, and in the end.
//
// AEROSTAT_BENCH_SECONDS (60, in full 300) is how long, AEROSTAT_BENCH_PLACES (default 200) how
// many.
#include "tests/bench/measure.h"
#include "tests/support/churn.h"
#include "tests/support/deadline.h"
#include "tests/support/vm-lab.h"

#include <stdlib.h>
#include <unistd.h>

#define REAL_PLACES 2
#define REAL_BYTES (128 * MIB)
#define TURN_US (5 * SECOND_US)
#define WARM_UP_US (10 * SECOND_US)

typedef struct RealGuests {
    VmLab *lab;
    Rig *rig;
    Vm *vms[REAL_PLACES];
    unsigned started;
    unsigned killed;
} RealGuests;

static char *path_in(const Rig *rig, int place, const char *suffix)
{
    return g_strdup_printf("%s/real-%d.%s", rig->directory, place, suffix);
}

static void start_real(RealGuests *real, int place)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strdup_printf("real-%d", place);
    VmOptions options = {.name = name, .memory_bytes = REAL_BYTES};
    Vm *vm = vm_lab_add(real->lab, &options, &error);
    bench_must(vm != NULL, &error);
    g_autofree char *qmp_path = path_in(real->rig, place, "qmp");
    g_autofree char *agent_path = path_in(real->rig, place, "agent");
    bench_must(symlink(vm_agent_path(vm), agent_path) == 0, NULL);
    bench_must(symlink(vm_qmp_path(vm), qmp_path) == 0, NULL);
    real->vms[place] = vm;
    real->started++;
}

static void kill_real(RealGuests *real, int place)
{
    g_autofree char *qmp_path = path_in(real->rig, place, "qmp");
    g_autofree char *agent_path = path_in(real->rig, place, "agent");
    vm_lab_remove(real->lab, real->vms[place]);
    real->vms[place] = NULL;
    unlink(qmp_path);
    unlink(agent_path);
    real->killed++;
}

static void note_life(BenchFigures *figures, const ChurnFigures *seen, const RealGuests *real)
{
    bench_note(figures, seen->started, "started");
    bench_note(figures, seen->stopped, "stopped");
    bench_note(figures, seen->replaced, "replaced");
    bench_note(figures, seen->agents, "agents-changed");
    bench_note(figures, real->started, "real-started");
    bench_note(figures, seen->checks, "checks");
    bench_note(figures, (double)seen->slowest_check_us / 1e3, "slowest-check-ms");
}

// What the controller holds, and must not hold more and more of.
static void note_held(BenchFigures *figures, const char *when, int descriptors,
                      int64_t resident_bytes)
{
    bench_note(figures, descriptors, "descriptors-%s", when);
    bench_note(figures, (double)resident_bytes / 1024, "resident-kib-%s", when);
}

int main(void)
{
    int seconds = bench_setting("AEROSTAT_BENCH_SECONDS", 60, 300, 24 * 3600);
    int places = bench_setting("AEROSTAT_BENCH_PLACES", 200, 200, 1000);
    g_autoptr(GError) error = NULL;
    void *state;
    rig_set_up(&state);
    Rig *rig = state;
    RealGuests real = {.lab = vm_lab_new(&error), .rig = rig};
    bench_must(real.lab != NULL, &error);
    rig_configure(rig, 1000 * GIB, NULL);
    rig_start(rig);
    Churn *churn = churn_new(rig, places);
    churn_run(churn, WARM_UP_US);
    churn_stop_all(churn);
    pid_t pid = process_pid(rig->controller);
    BenchFigures *figures = bench_figures_new();
    note_held(figures, "before", process_descriptors(pid), process_status_bytes(pid, "VmRSS"));
    int64_t end_us = deadline_after(seconds * SECOND_US);
    while (deadline_left_us(end_us) > 0) {
        int place = g_random_int_range(0, REAL_PLACES);
        if (!real.vms[place]) {
            start_real(&real, place);
        } else if (g_random_int_range(0, 3) == 0) {
            kill_real(&real, place);
        }
        churn_run(churn, MIN(TURN_US, deadline_left_us(end_us) + MS_US));
    }
    for (int i = 0; i < REAL_PLACES; i++) {
        if (real.vms[i]) {
            kill_real(&real, i);
        }
    }
    churn_stop_all(churn);
    const ChurnFigures *seen = churn_figures(churn);
    note_held(figures, "most", seen->most_descriptors, seen->most_resident_bytes);
    note_held(figures, "after", process_descriptors(pid), process_status_bytes(pid, "VmRSS"));
    note_life(figures, seen, &real);
    bench_print(figures, "churn");
    churn_free(churn);
    vm_lab_free(real.lab);
    return rig_tear_down(&state) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
