// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-families.h"

#define GAUGE METRICS_TYPE_GAUGE
#define COUNTER METRICS_TYPE_COUNTER
#define NONE METRICS_UNIT_NONE
#define BYTES METRICS_UNIT_BYTES
#define SECONDS METRICS_UNIT_SECONDS

static const char *version(size_t index)
{
    (void)index;
    return AEROSTAT_VERSION;
}

static const char *mode(size_t index)
{
    return controller_mode_name((ControllerMode)index);
}

static const char *host_state_name(size_t index)
{
    return policy_host_state_name((PolicyHostState)index);
}

static const char *state(size_t index)
{
    return guest_state_name((GuestState)index);
}

static const char *source(size_t index)
{
    return guest_source_name((GuestSource)index);
}

static const char *demand_part(size_t index)
{
    static const char *const names[METRICS_DEMAND_PARTS] = {"committed", "headroom", "comfort",
                                                            "cache"};
    return names[index];
}

static const char *refault_kind(size_t index)
{
    return index == 0 ? "file" : "anonymous";
}

const MetricsFamily metrics_host_families[] = {
    {"aerostat_build_info", GAUGE, NONE, "The version that runs; always 1.", HOST_VALUE_BUILD, 1,
     "version", version},
    {"aerostat_uptime_seconds", GAUGE, SECONDS, "Time since the controller started.",
     HOST_VALUE_UPTIME, 1, NULL, NULL},
    {"aerostat_mode", GAUGE, NONE, "1 for the mode in force.", HOST_VALUE_MODE,
     CONTROLLER_MODE_COUNT, "mode", mode},
    {"aerostat_host_memory_bytes", GAUGE, BYTES, "The host's memory.", HOST_VALUE_MEMORY, 1, NULL,
     NULL},
    {"aerostat_host_available_bytes", GAUGE, BYTES,
     "What the host's kernel estimates could be used without swapping.", HOST_VALUE_AVAILABLE, 1,
     NULL, NULL},
    {"aerostat_host_budget_bytes", GAUGE, BYTES, "What all guests together may have.",
     HOST_VALUE_BUDGET, 1, NULL, NULL},
    {"aerostat_host_pool_bytes", GAUGE, BYTES,
     "The part of the budget kept at hand for a sudden need.", HOST_VALUE_POOL, 1, NULL, NULL},
    {"aerostat_host_held_bytes", GAUGE, BYTES, "What the guests have now, added up.",
     HOST_VALUE_HELD, 1, NULL, NULL},
    {"aerostat_host_promised_bytes", GAUGE, BYTES,
     "The most the guests may hold now, added up: kept within the budget.", HOST_VALUE_PROMISED, 1,
     NULL, NULL},
    {"aerostat_host_target_bytes", GAUGE, BYTES, "What the guests are to have, added up.",
     HOST_VALUE_TARGET, 1, NULL, NULL},
    {"aerostat_host_overcommitted", GAUGE, NONE,
     "1 when the least that the guests can be brought to is above the budget.",
     HOST_VALUE_OVERCOMMITTED, 1, NULL, NULL},
    {"aerostat_guests", GAUGE, NONE, "Guests configured, whether or not they can be reached.",
     HOST_VALUE_GUESTS, 1, NULL, NULL},
    {"aerostat_plans", COUNTER, NONE, "Plans made.", HOST_VALUE_PLANS, 1, NULL, NULL},
    {"aerostat_control_dropped_events", COUNTER, NONE,
     "Events dropped because a client of the control socket did not read them.",
     HOST_VALUE_DROPPED_EVENTS, 1, NULL, NULL},
    {"aerostat_journal_lines", COUNTER, NONE, "Lines written to the decision journal.",
     HOST_VALUE_JOURNAL_LINES, 1, NULL, NULL},
    {"aerostat_journal_dropped_lines", COUNTER, NONE,
     "Lines the decision journal lost: its disk was full, too slow or gone.",
     HOST_VALUE_JOURNAL_DROPPED, 1, NULL, NULL},
    {"aerostat_journal_written_bytes", COUNTER, BYTES, "Written to the decision journal.",
     HOST_VALUE_JOURNAL_BYTES, 1, NULL, NULL},
    {"aerostat_host_state", GAUGE, NONE, "1 for the state the host's memory is in.",
     HOST_VALUE_STATE, POLICY_HOST_STATE_COUNT, "state", host_state_name},
    {"aerostat_host_non_guest_bytes", GAUGE, BYTES,
     "What is used on the host by anything but guests' memory.", HOST_VALUE_NON_GUEST, 1, NULL,
     NULL},
    {"aerostat_host_reserved_bytes", GAUGE, BYTES, "What is kept free for guests about to start.",
     HOST_VALUE_RESERVED, 1, NULL, NULL},
    {"aerostat_host_shared_bytes", GAUGE, BYTES, "What the kernel's page sharing saves (KSM).",
     HOST_VALUE_SHARED, 1, NULL, NULL},
    {"aerostat_host_pressure_some_seconds", COUNTER, SECONDS,
     "Time in which at least one task of the host stalled for lack of memory (PSI some).",
     HOST_VALUE_PRESSURE_SOME, 1, NULL, NULL},
    {"aerostat_host_pressure_full_seconds", COUNTER, SECONDS,
     "Time in which all tasks of the host stalled for lack of memory (PSI full).",
     HOST_VALUE_PRESSURE_FULL, 1, NULL, NULL},
};
const size_t metrics_host_family_count = G_N_ELEMENTS(metrics_host_families);

#define REPORT(field) (GUEST_VALUE_REPORT + REPORT_##field), 1, NULL, NULL

const MetricsFamily metrics_guest_families[] = {
    {"aerostat_guest_state", GAUGE, NONE, "1 for the state the guest is in.", GUEST_VALUE_STATE,
     GUEST_STATE_COUNT, "state", state},
    {"aerostat_guest_source", GAUGE, NONE, "1 for where what is known of its need stems from.",
     GUEST_VALUE_SOURCE, GUEST_SOURCE_COUNT, "source", source},
    {"aerostat_guest_size_bytes", GAUGE, BYTES, "Memory with an empty balloon.", GUEST_VALUE_SIZE,
     1, NULL, NULL},
    {"aerostat_guest_actual_bytes", GAUGE, BYTES, "Memory without the balloon, as QEMU tells it.",
     GUEST_VALUE_ACTUAL, 1, NULL, NULL},
    {"aerostat_guest_target_bytes", GAUGE, BYTES, "What the guest is to have.", GUEST_VALUE_TARGET,
     1, NULL, NULL},
    {"aerostat_guest_min_bytes", GAUGE, BYTES, "The least it may be given.", GUEST_VALUE_MIN, 1,
     NULL, NULL},
    {"aerostat_guest_max_bytes", GAUGE, BYTES, "The most it may be given.", GUEST_VALUE_MAX, 1,
     NULL, NULL},
    {"aerostat_guest_weight", GAUGE, NONE, "Its part when memory is scarce.", GUEST_VALUE_WEIGHT, 1,
     NULL, NULL},
    {"aerostat_guest_pinned", GAUGE, NONE, "1 when an operator set its target.", GUEST_VALUE_PINNED,
     1, NULL, NULL},
    {"aerostat_guest_fair_share_bytes", GAUGE, BYTES,
     "What it should have once everything has moved.", GUEST_VALUE_FAIR_SHARE, 1, NULL, NULL},
    {"aerostat_guest_demand_bytes", GAUGE, BYTES, "What it needs, by part.", GUEST_VALUE_DEMAND,
     METRICS_DEMAND_PARTS, "part", demand_part},
    {"aerostat_guest_under_pressure", GAUGE, NONE,
     "1 while its tasks stall for lack of memory, and for a while after.",
     GUEST_VALUE_UNDER_PRESSURE, 1, NULL, NULL},
    {"aerostat_guest_agent_connected", GAUGE, NONE, "1 while its agent is connected.",
     GUEST_VALUE_AGENT_CONNECTED, 1, NULL, NULL},
    {"aerostat_guest_report_age_seconds", GAUGE, SECONDS, "Time since its last report.",
     GUEST_VALUE_REPORT_AGE, 1, NULL, NULL},
    {"aerostat_guest_reports", COUNTER, NONE, "Reports taken.", GUEST_VALUE_REPORTS, 1, NULL, NULL},
    {"aerostat_guest_refused_lines", COUNTER, NONE,
     "Lines of its agent that were no valid message.", GUEST_VALUE_REFUSED_LINES, 1, NULL, NULL},
    {"aerostat_guest_balloon_commands", COUNTER, NONE, "Balloon commands sent to its QEMU.",
     GUEST_VALUE_COMMANDS, 1, NULL, NULL},
    // Of the last report: absent where the guest's kernel does not tell.
    {"aerostat_guest_memory_total_bytes", GAUGE, BYTES, "MemTotal in the guest.",
     REPORT(MEMORY_TOTAL)},
    {"aerostat_guest_memory_free_bytes", GAUGE, BYTES, "MemFree in the guest.",
     REPORT(MEMORY_FREE)},
    {"aerostat_guest_memory_available_bytes", GAUGE, BYTES, "MemAvailable in the guest.",
     REPORT(MEMORY_AVAILABLE)},
    {"aerostat_guest_memory_buffers_bytes", GAUGE, BYTES, "Buffers in the guest.",
     REPORT(MEMORY_BUFFERS)},
    {"aerostat_guest_memory_cached_bytes", GAUGE, BYTES, "Cached in the guest.",
     REPORT(MEMORY_CACHED)},
    {"aerostat_guest_memory_shmem_bytes", GAUGE, BYTES, "Shmem in the guest.",
     REPORT(MEMORY_SHMEM)},
    {"aerostat_guest_memory_anonymous_bytes", GAUGE, BYTES, "AnonPages in the guest.",
     REPORT(MEMORY_ANONYMOUS)},
    {"aerostat_guest_memory_dirty_bytes", GAUGE, BYTES, "Dirty in the guest.",
     REPORT(MEMORY_DIRTY)},
    {"aerostat_guest_swap_total_bytes", GAUGE, BYTES, "SwapTotal in the guest.",
     REPORT(MEMORY_SWAP_TOTAL)},
    {"aerostat_guest_swap_free_bytes", GAUGE, BYTES, "SwapFree in the guest.",
     REPORT(MEMORY_SWAP_FREE)},
    {"aerostat_guest_balloon_bytes", GAUGE, BYTES, "The balloon as the guest's kernel counts it.",
     REPORT(BALLOON)},
    {"aerostat_guest_swap_in_bytes", COUNTER, BYTES, "Swapped in since the guest booted.",
     REPORT(PAGING_SWAP_IN)},
    {"aerostat_guest_swap_out_bytes", COUNTER, BYTES, "Swapped out since the guest booted.",
     REPORT(PAGING_SWAP_OUT)},
    {"aerostat_guest_major_faults", COUNTER, NONE, "Page faults that had to wait for I/O.",
     REPORT(PAGING_MAJOR_FAULTS)},
    {"aerostat_guest_refault_bytes", COUNTER, BYTES,
     "Read back after it was dropped or swapped out: memory the guest would have needed.",
     GUEST_VALUE_REPORT + REPORT_PAGING_REFAULT_FILE, 2, "kind", refault_kind},
    {"aerostat_guest_oom_kills", COUNTER, NONE, "Processes killed for lack of memory.",
     REPORT(PAGING_OOM_KILLS)},
    {"aerostat_guest_pressure_some_seconds", COUNTER, SECONDS,
     "Time in which at least one task stalled for lack of memory (PSI some).",
     REPORT(PRESSURE_SOME_TOTAL)},
    {"aerostat_guest_pressure_full_seconds", COUNTER, SECONDS,
     "Time in which all tasks stalled for lack of memory (PSI full).", REPORT(PRESSURE_FULL_TOTAL)},
};
const size_t metrics_guest_family_count = G_N_ELEMENTS(metrics_guest_families);
