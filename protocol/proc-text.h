// SPDX-License-Identifier: Apache-2.0
//
// Parsers of the kernel's text about memory, paging and pressure. Pure: the caller has read the
// text.
//
// The kernel is trusted, but what it prints changes from release to release: a line that is
// unknown, damaged or cut off counts as absent, and no text, however long or odd, does harm.
//
// Sources: Linux mm/vmstat.c, fs/proc/meminfo.c, Documentation/accounting/psi.rst.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The lines of /proc/vmstat that matter here. Pages unless said otherwise; what happened is counted
// since boot.
typedef enum ProcVmstatCounter {
    PROC_VMSTAT_ANON_PAGES,
    PROC_VMSTAT_DIRTY_PAGES,
    PROC_VMSTAT_BALLOON_PAGES, // nr_balloon_pages, Linux 6.18
    PROC_VMSTAT_REFAULT_ANON,
    PROC_VMSTAT_REFAULT_FILE, // before Linux 5.9 it was workingset_refault, and of files alone
    PROC_VMSTAT_SWAP_IN,
    PROC_VMSTAT_SWAP_OUT,
    PROC_VMSTAT_MAJOR_FAULTS, // a count
    PROC_VMSTAT_OOM_KILLS,    // a count, Linux 4.13
    PROC_VMSTAT_BALLOON_INFLATE,
    PROC_VMSTAT_BALLOON_DEFLATE,
    PROC_VMSTAT_COUNTER_COUNT
} ProcVmstatCounter;

typedef struct ProcVmstat {
    uint64_t present; // bit i: value[i] is there
    int64_t value[PROC_VMSTAT_COUNTER_COUNT];
} ProcVmstat;

// Reads the text of /proc/vmstat.
void proc_vmstat_parse(const char *text, size_t length, ProcVmstat *vmstat);

static inline bool proc_vmstat_has(const ProcVmstat *vmstat, ProcVmstatCounter counter)
{
    return vmstat->present >> counter & 1;
}

// How many pages the balloon holds. Of the two ways to tell, the difference of the event counters
// is preferred: it is exact, while nr_balloon_pages is summed from per-processor remainders now and
// then. Returns false when the kernel tells neither.
bool proc_vmstat_balloon_pages(const ProcVmstat *vmstat, int64_t *pages);

// Reads MemAvailable, in bytes, from the text of /proc/meminfo. Returns false when it is not there.
bool proc_meminfo_available(const char *text, size_t length, int64_t *available_bytes);

// One line of /proc/pressure/memory: the share of time some, or all, tasks stalled for memory.
typedef struct ProcPressureLine {
    bool present;
    int64_t avg10_permyriad; // hundredths of a percent over 10, 60 and 300 s
    int64_t avg60_permyriad;
    int64_t avg300_permyriad;
    int64_t total_us; // since boot
} ProcPressureLine;

typedef struct ProcPressure {
    ProcPressureLine some;
    ProcPressureLine full;
} ProcPressure;

// Reads the text of /proc/pressure/memory.
void proc_pressure_parse(const char *text, size_t length, ProcPressure *pressure);
