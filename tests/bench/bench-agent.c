// SPDX-License-Identifier: Apache-2.0
//
// What the agent costs a real guest, and how soon the host hears of a guest in need.
//
// - idle: memory, processor time, sleeps and system calls of the agent in a guest at rest, with a
// subscriber;
//   by the guest's own clock, which under TCG runs some 10 times slower than a processor would;
//   beside QEMU's guest agent in the same guest, if it is installed on this machine.
// - spikes: the time from the first page touched past the edge to the report at the host's socket.
//   The edge is where what is available would last one second at the pace of the spike: a fast
//   spike begins there (150 MiB, touched as fast as possible), a slow leak (20 MiB/s) runs up to
//   it, and a cache thrashes from its second reading on. The balloon is released with the report,
//   as a controller would. "in-time" counts spikes in which the OOM killer was not there before it.
// - thrash: the time between two reports while the guest swaps for a minute.
//
// AEROSTAT_BENCH_SPIKES (10, in full 50) spikes of each kind, AEROSTAT_BENCH_IDLE_S (60, in full
// 600) seconds at rest, in five parts.
#include "tests/bench/agent-guest.h"
#include "tests/bench/measure.h"

#include <string.h>

#define AGENT "aerostat-agent"
#define QEMU_GA "qemu-ga"
#define QEMU_GA_PATH "/usr/sbin/" QEMU_GA
#define SPARE_BYTES (150 * MIB)
#define SPIKE_TIMEOUT_US (30 * SECOND_US)
#define LEAK_BYTES_PER_S (20 * MIB)
#define ZRAM_BYTES (256 * MIB)
#define SETTLE_US (5 * SECOND_US)
#define THRASH_US (60 * SECOND_US)
#define MAX_SPIKES 1000
#define IDLE_ROUNDS 5

typedef enum SpikeKind { SPIKE_FAST, SPIKE_LEAK, SPIKE_CACHE, SPIKE_KIND_COUNT } SpikeKind;

// What touches memory. Each prints the guest's clock as it begins, then goes on until it is ended.
static const struct {
    const char *name;
    const char *command;
    int64_t before_edge_bytes_per_s; // 0: the edge is where it begins
} spikes[SPIKE_KIND_COUNT] = {
    [SPIKE_FAST] = {"fast", "load clock; exec load touch 400M", 0},
    [SPIKE_LEAK] = {"leak", "load clock; exec load touch 400M --rate 20M", LEAK_BYTES_PER_S},
    // A block device that takes no memory of its own, larger than what the guest has to spare. Its
    // cache lasts as long as somebody has it open.
    [SPIKE_CACHE] = {"cache",
                     "exec 3</dev/zram1; cat /dev/zram1 >/dev/null; load clock; "
                     "while :; do cat /dev/zram1 >/dev/null; done",
                     0},
};

// --- idle -------------------------------------------------------------------------------------

// Notes what lies between two looks at the agent.
static void note_idle(BenchFigures *figures, const AgentCost *before, const AgentCost *after,
                      int64_t reports)
{
    double elapsed_s = (double)(after->guest_us - before->guest_us) / 1e6;
    double busy_us = (double)(after->run_ns - before->run_ns) / 1e3;
    double switches = (double)(after->switches - before->switches);
    double count = (double)MAX(reports, 1);
    bench_note(figures, (double)after->resident_kib, "idle.resident-kib");
    bench_note(figures, (double)after->anonymous_kib, "idle.anonymous-kib");
    bench_note(figures, (double)after->locked_kib, "idle.locked-kib");
    bench_note(figures, (double)reports / elapsed_s, "idle.reports-per-s");
    bench_note(figures, switches / elapsed_s, "idle.sleeps-per-s");
    bench_note(figures, (double)(after->reads - before->reads) / count, "idle.reads-per-report");
    bench_note(figures, (double)(after->writes - before->writes) / count, "idle.writes-per-report");
    bench_note(figures, busy_us / elapsed_s / 1e4, "idle.processor-percent");
    bench_note(figures, busy_us / count, "idle.us-per-report");
}

static void measure_idle(AgentGuest *guest, BenchFigures *figures)
{
    int duration_s = bench_setting("AEROSTAT_BENCH_IDLE_S", 60, 600, 3600);
    // The guest has booted just now.
    agent_guest_listen(guest, SETTLE_US);
    AgentCost before = agent_guest_cost(guest, AGENT);
    for (int i = 0; i < IDLE_ROUNDS; i++) {
        int64_t reports = agent_guest_listen(guest, duration_s * SECOND_US / IDLE_ROUNDS);
        AgentCost after = agent_guest_cost(guest, AGENT);
        note_idle(figures, &before, &after, reports);
        before = after;
    }
}

// QEMU's own agent in the same guest, when the image has it: started and left alone.
static void measure_qemu_ga(AgentGuest *guest, BenchFigures *figures)
{
    if (!agent_guest_has(guest, QEMU_GA_PATH)) {
        return;
    }
    int64_t pid =
        agent_guest_start(guest, "exec " QEMU_GA_PATH " -m unix-listen -p /run/qga.sock -t /run");
    agent_guest_listen(guest, SETTLE_US);
    AgentCost cost = agent_guest_cost(guest, QEMU_GA);
    agent_guest_end(guest, pid);
    bench_note(figures, (double)cost.resident_kib, "qemu-ga.resident-kib");
    bench_note(figures, (double)cost.anonymous_kib, "qemu-ga.anonymous-kib");
}

// --- spikes -----------------------------------------------------------------------------------

typedef struct Spike {
    SpikeKind kind;
    MemoryReport before; // the last report of the guest at rest
} Spike;

// Whether a report tells the host of the spike.
static bool tells(const Spike *spike, const MemoryReport *report)
{
    if (spike->kind == SPIKE_CACHE) {
        return memory_report_get(report, REPORT_PAGING_REFAULT_FILE) >
               memory_report_get(&spike->before, REPORT_PAGING_REFAULT_FILE) + MIB;
    }
    return report->reason == REPORT_REASON_TREND || report->reason == REPORT_REASON_PRESSURE;
}

// The guest's clock when the first page past the edge is touched.
static int64_t edge_us(const Spike *spike, int64_t began_us)
{
    int64_t pace = spikes[spike->kind].before_edge_bytes_per_s;
    int64_t available = memory_report_get(&spike->before, REPORT_MEMORY_AVAILABLE);
    int64_t until_edge = pace > 0 ? MAX(available - pace, 0) : 0;
    return began_us + (pace > 0 ? until_edge * SECOND_US / pace : 0);
}

// Returns the delay in milliseconds; 0 for a report before the edge. `*in_time`: the OOM killer was
// not there before it.
static double spike_ms(AgentGuest *guest, SpikeKind kind, bool *in_time)
{
    Spike spike = {.kind = kind};
    agent_guest_squeeze(guest, SPARE_BYTES);
    spike.before = agent_guest_ask(guest);
    int64_t pid = agent_guest_start(guest, spikes[kind].command);
    int64_t deadline_us = deadline_after(SPIKE_TIMEOUT_US);
    MemoryReport report;
    int64_t arrived_us;
    do {
        arrived_us = agent_guest_receive(guest, &report, deadline_us);
    } while (!tells(&spike, &report));
    agent_guest_release(guest);
    *in_time = memory_report_get(&report, REPORT_PAGING_OOM_KILLS) <=
               memory_report_get(&spike.before, REPORT_PAGING_OOM_KILLS);
    int64_t began_us = agent_guest_output(guest, pid);
    agent_guest_end(guest, pid);
    int64_t edge_on_host_us = edge_us(&spike, began_us) + guest->clock_offset_us;
    return (double)MAX(arrived_us - edge_on_host_us, 0) / 1e3;
}

static void measure_spikes(AgentGuest *guest, const char *swap, BenchFigures *figures)
{
    int count = bench_setting("AEROSTAT_BENCH_SPIKES", 10, 50, MAX_SPIKES);
    for (SpikeKind kind = 0; kind < SPIKE_KIND_COUNT; kind++) {
        const char *name = spikes[kind].name;
        for (int i = 0; i < count; i++) {
            bool in_time;
            double delay_ms = spike_ms(guest, kind, &in_time);
            bench_note(figures, delay_ms, "%s-%s.edge-to-report-ms", name, swap);
            bench_count(figures, in_time, "%s-%s.in-time", name, swap);
        }
    }
}

// --- thrash -----------------------------------------------------------------------------------

static void measure_thrash(AgentGuest *guest, BenchFigures *figures)
{
    agent_guest_squeeze(guest, SPARE_BYTES);
    MemoryReport first = agent_guest_ask(guest);
    // Two that take turns at more than there is, in swap most of the time.
    const char *command = "while :; do load touch 130M --hold 0; done";
    int64_t pids[] = {agent_guest_start(guest, command), agent_guest_start(guest, command)};
    int64_t end_us = deadline_after(THRASH_US);
    int64_t last_us = g_get_monotonic_time();
    MemoryReport report = first;
    while (deadline_left_us(end_us) > 0) {
        int64_t arrived_us = agent_guest_receive(guest, &report, deadline_after(THRASH_US));
        bench_note(figures, (double)(arrived_us - last_us) / 1e3, "thrash.gap-ms");
        last_us = arrived_us;
    }
    int64_t swapped_bytes = memory_report_get(&report, REPORT_PAGING_SWAP_OUT) -
                            memory_report_get(&first, REPORT_PAGING_SWAP_OUT);
    agent_guest_release(guest);
    for (size_t i = 0; i < G_N_ELEMENTS(pids); i++) {
        agent_guest_end(guest, pids[i]);
    }
    int64_t stalled_us = memory_report_get(&report, REPORT_PRESSURE_SOME_TOTAL) -
                         memory_report_get(&first, REPORT_PRESSURE_SOME_TOTAL);
    bench_note(figures, (double)swapped_bytes / (double)MIB, "thrash.swapped-out-mib");
    bench_note(figures, (double)stalled_us / 1e3, "thrash.stalled-ms");
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VmLab) lab = vm_lab_new(&error);
    bench_must(lab != NULL, &error);
    BenchFigures *figures = bench_figures_new();
    AgentGuest guest;
    agent_guest_boot(&guest, lab, 0);
    measure_idle(&guest, figures);
    measure_qemu_ga(&guest, figures);
    measure_spikes(&guest, "no-swap", figures);
    agent_guest_clear(&guest);
    bench_print(figures, "agent");
    figures = bench_figures_new();
    agent_guest_boot(&guest, lab, ZRAM_BYTES);
    measure_spikes(&guest, "zram", figures);
    measure_thrash(&guest, figures);
    agent_guest_clear(&guest);
    bench_print(figures, "agent");
    return EXIT_SUCCESS;
}
