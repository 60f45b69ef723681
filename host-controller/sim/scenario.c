// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/scenario.h"

#include "host-controller/sim/quantity.h"

#include <string.h>

#define DEFAULT_WEIGHT 100

// --- parts ------------------------------------------------------------------------------------

// A guest whose processes hold `permille` of its size at the start.
static GuestSetup *add_guest(GPtrArray *guests, int64_t size_bytes, int64_t permille)
{
    GuestSetup *guest = g_new0(GuestSetup, 1);
    guest->name = g_strdup_printf("guest%u", guests->len);
    guest->traits = guest_traits_of_size(size_bytes);
    guest->max_bytes = size_bytes;
    guest->weight = DEFAULT_WEIGHT;
    workload_init(&guest->workload);
    curve_add_point(&guest->workload.anonymous, 0, sim_scale(size_bytes, permille, 1000));
    g_ptr_array_add(guests, guest);
    return guest;
}

// Draws a straight line to `permille` at `at_us`.
static void line_to(GuestSetup *guest, int64_t at_us, int64_t permille)
{
    curve_add_point(&guest->workload.anonymous, at_us,
                    sim_scale(guest->traits.size_bytes, permille, 1000));
}

// Stays at `permille` until `at_us`, then goes to `next_permille` in `within_us`.
static void step_to(GuestSetup *guest, int64_t at_us, int64_t permille, int64_t within_us,
                    int64_t next_permille)
{
    line_to(guest, at_us, permille);
    line_to(guest, at_us + within_us, next_permille);
}

static void add_idle_guests(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes)
{
    while (guests->len < count) {
        add_guest(guests, size_bytes, sim_random_between(random, 100, 300));
    }
}

// --- scenarios --------------------------------------------------------------------------------

static void populate_idle(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                          int64_t duration_us)
{
    (void)duration_us;
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_spike(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                           int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 200);
    step_to(guest, duration_us / 4, 200, 2 * SIM_S, 700);
    step_to(guest, duration_us / 2, 700, SIM_S, 200);
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_staircase(GPtrArray *guests, SimRandom *random, guint count,
                               int64_t size_bytes, int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 100);
    for (int64_t i = 1; i <= 8; i++) {
        step_to(guest, duration_us / 10 * i, i * 100, SIM_S, i * 100 + 100);
    }
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_leak(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                          int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 100);
    line_to(guest, duration_us, 900);
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_sawtooth(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                              int64_t duration_us)
{
    for (guint i = 0; i < 2 && i < count; i++) {
        GuestSetup *guest = add_guest(guests, size_bytes, 200);
        // The second one is half a period behind.
        for (int64_t at_us = (i + 1) * 20 * SIM_S; at_us < duration_us; at_us += 40 * SIM_S) {
            line_to(guest, at_us - 20 * SIM_S, 200);
            line_to(guest, at_us, 600);
            line_to(guest, at_us + 100 * SIM_MS, 200);
        }
    }
    add_idle_guests(guests, random, count, size_bytes);
}

// A quarter of the guest is a working set read again and again; twice a backup reads through a
// large disk.
static void populate_cache_scan(GPtrArray *guests, SimRandom *random, guint count,
                                int64_t size_bytes, int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 200);
    guest->workload.read_bytes_per_s = 256 * SIM_MIB;
    curve_add_point(&guest->workload.working_set, 0, size_bytes / 4);
    for (int64_t i = 1; i <= 2; i++) {
        int64_t start_us = duration_us / 3 * i;
        curve_add_point(&guest->workload.scan, start_us, 0);
        curve_add_point(&guest->workload.scan, start_us, 200 * SIM_MIB);
        curve_add_point(&guest->workload.scan, start_us + 60 * SIM_S, 200 * SIM_MIB);
        curve_add_point(&guest->workload.scan, start_us + 60 * SIM_S, 0);
    }
    add_idle_guests(guests, random, count, size_bytes);
}

// All want twice what they had, at once, for a minute; the budget holds what they want together.
static void populate_everyone(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                              int64_t duration_us)
{
    while (guests->len < count) {
        GuestSetup *guest = add_guest(guests, size_bytes, 300);
        int64_t start_us = duration_us / 2 + sim_random_between(random, 0, 1000) * SIM_MS;
        step_to(guest, start_us, 300, 10 * SIM_S, 600);
        step_to(guest, start_us + 60 * SIM_S, 600, SIM_S, 300);
    }
}

// The agent dies while its guest is small; the guest then grows, and later the agent is back.
static void populate_dead_agent(GPtrArray *guests, SimRandom *random, guint count,
                                int64_t size_bytes, int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 250);
    workload_add_event(&guest->workload, duration_us / 4, WORKLOAD_AGENT_DIES);
    workload_add_event(&guest->workload, duration_us / 4 * 3, WORKLOAD_AGENT_RETURNS);
    GuestSetup *other = add_guest(guests, size_bytes, 250);
    step_to(other, duration_us / 2, 250, 5 * SIM_S, 600);
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_lying_agent(GPtrArray *guests, SimRandom *random, guint count,
                                 int64_t size_bytes, int64_t duration_us)
{
    static const WorkloadEventType lies[] = {WORKLOAD_AGENT_OVERSTATES, WORKLOAD_AGENT_UNDERSTATES,
                                             WORKLOAD_AGENT_RAVES};
    for (guint i = 0; i < G_N_ELEMENTS(lies) && i < count; i++) {
        GuestSetup *guest = add_guest(guests, size_bytes, 250);
        workload_add_event(&guest->workload, duration_us / 4, lies[i]);
        workload_add_event(&guest->workload, duration_us / 4 * 3, WORKLOAD_AGENT_RETURNS);
    }
    GuestSetup *honest = add_guest(guests, size_bytes, 250);
    step_to(honest, duration_us / 2, 250, 5 * SIM_S, 500);
    add_idle_guests(guests, random, count, size_bytes);
}

static void populate_reboot(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                            int64_t duration_us)
{
    GuestSetup *guest = add_guest(guests, size_bytes, 500);
    int64_t at_us = duration_us / 2;
    workload_add_event(&guest->workload, at_us, WORKLOAD_REBOOT);
    line_to(guest, at_us, 500);
    line_to(guest, at_us, 50);
    step_to(guest, at_us + 30 * SIM_S, 50, 10 * SIM_S, 500);
    add_idle_guests(guests, random, count, size_bytes);
}

// Each guest goes its own way: level, wavy, or in steps.
static void populate_thousand(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                              int64_t duration_us)
{
    while (guests->len < count) {
        int64_t level = sim_random_between(random, 100, 300);
        GuestSetup *guest = add_guest(guests, size_bytes, level);
        int64_t at_us = 0;
        while (sim_random_between(random, 0, 3) > 0) {
            at_us += sim_random_between(random, 10, 120) * SIM_S;
            if (at_us + 30 * SIM_S > duration_us) {
                break;
            }
            int64_t next = sim_random_between(random, 100, 500);
            int64_t within_us = sim_random_between(random, 1, 20) * SIM_S;
            step_to(guest, at_us, level, within_us, next);
            at_us += within_us;
            level = next;
        }
    }
}

#define MINUTES(count) ((count)*60 * SIM_S)

const Scenario scenarios[] = {
    {"idle", "Nothing happens: no command is to be sent after the start", MINUTES(10), 2000,
     populate_idle, 4, 4 * SIM_GIB},
    {"spike", "One guest takes half of its size within two seconds", MINUTES(8), 1200,
     populate_spike, 4, 4 * SIM_GIB},
    {"staircase", "One guest grows in eight steps of a tenth of its size", MINUTES(10), 1200,
     populate_staircase, 4, 4 * SIM_GIB},
    {"leak", "One guest grows slowly and without end", MINUTES(20), 1100, populate_leak, 4,
     4 * SIM_GIB},
    {"sawtooth", "Two guests grow and fall back, in turns", MINUTES(10), 1200, populate_sawtooth, 4,
     4 * SIM_GIB},
    {"cache-scan", "A working set in the page cache, and backups that read past it", MINUTES(30),
     1500, populate_cache_scan, 4, 4 * SIM_GIB},
    {"everyone", "All guests double at once", MINUTES(6), 1100, populate_everyone, 8, 4 * SIM_GIB},
    {"dead-agent", "An agent dies, others need memory, it comes back", MINUTES(8), 1400,
     populate_dead_agent, 4, 4 * SIM_GIB},
    {"lying-agent", "Agents overstate, understate and rave beside an honest one", MINUTES(8), 1600,
     populate_lying_agent, 5, 4 * SIM_GIB},
    {"reboot", "A guest starts anew and grows again", MINUTES(6), 1300, populate_reboot, 4,
     4 * SIM_GIB},
    {"thousand", "A thousand guests, each going its own way", MINUTES(10), 1150, populate_thousand,
     1000, 4 * SIM_GIB},
    {0},
};

const Scenario *scenario_find(const char *name)
{
    for (const Scenario *scenario = scenarios; scenario->name; scenario++) {
        if (strcmp(scenario->name, name) == 0) {
            return scenario;
        }
    }
    return NULL;
}

HostSetup *scenario_host_new(const Scenario *scenario, const ScenarioSettings *settings)
{
    HostSetup *setup = host_setup_new();
    SimRandom random = {.state = settings->seed};
    setup->duration_us = settings->duration_us ? settings->duration_us : scenario->duration_us;
    setup->seed = settings->seed;
    scenario->populate(
        setup->guests, &random, settings->guests ? settings->guests : scenario->guests,
        settings->size_bytes ? settings->size_bytes : scenario->size_bytes, setup->duration_us);
    for (guint i = 0; i < setup->guests->len; i++) {
        GuestSetup *guest = g_ptr_array_index(setup->guests, i);
        guest->min_bytes = sim_min(settings->min_bytes, guest->traits.size_bytes);
    }
    return setup;
}
