// SPDX-License-Identifier: Apache-2.0
//
// How long a guest of 1 GiB takes to 300 MiB and back: aerostatctl's set-target through the
// controller against a bare QMP `balloon` to the same sizes in the same guest, in turn.
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/vm-lab.h"

#define GUEST_BYTES (1024 * MIB)
#define SMALL_BYTES (300 * MIB)
#define ROUNDS 9
#define POLL_US 1000
#define MOVE_TIMEOUT_US (60 * SECOND_US)

typedef struct Bench {
    BenchFigures *figures;
    VmLab *lab;
    Vm *vm;
    char *ctl;
    char *socket;
} Bench;

// A bare `balloon` command, and query-balloon often enough to see the end to the millisecond: asked
// without a pause QEMU would be kept from moving the balloon.
static double bare_ms(Bench *bench, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    int64_t start_us = g_get_monotonic_time();
    bench_must(vm_set_target(bench->vm, bytes, &error), &error);
    int64_t actual_bytes;
    do {
        g_usleep(POLL_US);
        actual_bytes = vm_actual_bytes(bench->vm, &error);
        bench_must(actual_bytes >= 0, &error);
    } while (actual_bytes != bytes);
    return (double)(g_get_monotonic_time() - start_us) / 1000;
}

static void set_mode(Bench *bench, const char *mode)
{
    g_autoptr(GError) error = NULL;
    const char *arguments[] = {bench->ctl, "--socket", bench->socket, "mode", mode, NULL};
    bench_must(process_run(arguments, MOVE_TIMEOUT_US, NULL, NULL, &error) == 0, &error);
}

// The whole of `aerostatctl target alpha SIZE --wait`, process start included.
static double steered_ms(Bench *bench, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, bytes);
    const char *arguments[] = {bench->ctl, "--socket", bench->socket, "target",
                               "alpha",    size,       "--wait",      NULL};
    int64_t start_us = g_get_monotonic_time();
    int status = process_run(arguments, MOVE_TIMEOUT_US, NULL, NULL, &error);
    bench_must(status == 0, &error);
    return (double)(g_get_monotonic_time() - start_us) / 1000;
}

static void measure(Bench *bench, const char *name, int64_t from_bytes, int64_t to_bytes)
{
    for (int round = 0; round < ROUNDS; round++) {
        steered_ms(bench, from_bytes);
        double steered = steered_ms(bench, to_bytes);
        steered_ms(bench, from_bytes);
        // Both end where the controller's own target is, and it keeps its hands off meanwhile.
        set_mode(bench, "observe");
        double bare = bare_ms(bench, to_bytes);
        bare_ms(bench, from_bytes);
        set_mode(bench, "balance");
        bench_note(bench->figures, bare, "%s.bare-ms", name);
        bench_note(bench->figures, steered, "%s.steered-ms", name);
        bench_note(bench->figures, steered / bare, "%s.ratio", name);
    }
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VmLab) lab = vm_lab_new(&error);
    bench_must(lab != NULL, &error);
    VmOptions options = {.name = "alpha", .memory_bytes = GUEST_BYTES};
    Bench bench = {
        .figures = bench_figures_new(), .lab = lab, .vm = vm_lab_add(lab, &options, &error)};
    bench_must(bench.vm && vm_lab_wait_ready(lab, &error), &error);
    g_autofree char *config = vm_lab_write_configuration(lab, GUEST_BYTES, NULL, &error);
    bench_must(config && vm_lab_start_controller(lab, config, NULL, &error), &error);
    g_autofree char *ctl = vm_lab_program_path(lab, "aerostatctl");
    g_autofree char *socket = vm_lab_path(lab, "controller.sock");
    bench.ctl = ctl;
    bench.socket = socket;
    // A guest is shrunk once its agent reports.
    while (process_run((const char *[]){ctl, "--socket", socket, "target", "alpha", "300M", NULL},
                       MOVE_TIMEOUT_US, NULL, NULL, &error) != 0) {
        g_usleep(100 * MS_US);
    }
    measure(&bench, "shrink", GUEST_BYTES, SMALL_BYTES);
    measure(&bench, "grow", SMALL_BYTES, GUEST_BYTES);
    bench_print(bench.figures, "reach");
    return EXIT_SUCCESS;
}
