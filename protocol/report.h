// SPDX-License-Identifier: Apache-2.0
//
// The memory report: what a guest says about its memory at one moment.
//
// One table describes every number in it; encoder, decoder, aerostatctl and documentation walk the
// table, so that a new number is one line here and one in protocol/agent.json.
//
// Sources: Linux Documentation/filesystems/proc.rst (meminfo), mm/vmstat.c,
// Documentation/accounting/psi.rst.
#pragma once

#include "protocol/json.h"

// The numbers. Bytes and counts since boot as the kernel has them, pressure averages in permyriad
// (hundredths of a percent), pressure totals in microseconds.
typedef enum MemoryReportField {
    REPORT_MEMORY_TOTAL,
    REPORT_MEMORY_FREE,
    REPORT_MEMORY_AVAILABLE,
    REPORT_MEMORY_BUFFERS,
    REPORT_MEMORY_CACHED,
    REPORT_MEMORY_SHMEM,
    REPORT_MEMORY_ANONYMOUS,
    REPORT_MEMORY_DIRTY,
    REPORT_MEMORY_SWAP_TOTAL,
    REPORT_MEMORY_SWAP_FREE,
    REPORT_PAGING_SWAP_IN,
    REPORT_PAGING_SWAP_OUT,
    REPORT_PAGING_MAJOR_FAULTS,
    REPORT_PAGING_REFAULT_FILE,
    REPORT_PAGING_REFAULT_ANON,
    REPORT_PAGING_OOM_KILLS,
    REPORT_PRESSURE_SOME_AVG10,
    REPORT_PRESSURE_SOME_AVG60,
    REPORT_PRESSURE_SOME_AVG300,
    REPORT_PRESSURE_SOME_TOTAL,
    REPORT_PRESSURE_FULL_AVG10,
    REPORT_PRESSURE_FULL_AVG60,
    REPORT_PRESSURE_FULL_AVG300,
    REPORT_PRESSURE_FULL_TOTAL,
    REPORT_BALLOON,
    REPORT_FIELD_COUNT
} MemoryReportField;

typedef enum MemoryReportUnit {
    REPORT_UNIT_BYTES,
    REPORT_UNIT_COUNT,
    REPORT_UNIT_PERMYRIAD,
    REPORT_UNIT_MICROSECONDS,
} MemoryReportUnit;

// Where a number stands in the JSON object: outer and inner object (NULL when there is none) and
// the member's name.
typedef struct MemoryReportFieldInfo {
    const char *outer;
    const char *inner;
    const char *name;
    MemoryReportUnit unit;
} MemoryReportFieldInfo;

extern const MemoryReportFieldInfo memory_report_fields[REPORT_FIELD_COUNT];

// Why a report was sent.
typedef enum MemoryReportReason {
    REPORT_REASON_START,     // first one after a subscription
    REPORT_REASON_HEARTBEAT, // nothing else to say for the heartbeat's time
    REPORT_REASON_CHANGE,    // available moved by more than the threshold
    REPORT_REASON_TREND,     // available will be gone within the reaction horizon
    REPORT_REASON_PRESSURE,  // tasks stall for lack of memory
    REPORT_REASON_REQUEST,   // asked for with guest-memory-report
    REPORT_REASON_COUNT
} MemoryReportReason;

// The word on the wire for `reason`.
const char *memory_report_reason_name(MemoryReportReason reason);

// Room for a boot id (a UUID, 36 characters).
#define REPORT_BOOT_ID_SIZE 40

typedef struct MemoryReport {
    int64_t sequence;     // counts reports since the agent's start
    int64_t monotonic_us; // the guest's CLOCK_MONOTONIC
    MemoryReportReason reason;
    bool has_deflate_on_oom;
    bool deflate_on_oom; // bit 2 of the balloon device's features: MemTotal does not shrink
    char boot_id[REPORT_BOOT_ID_SIZE]; // empty when absent
    uint64_t present;                  // bit i: value[i] is there
    int64_t value[REPORT_FIELD_COUNT]; // never negative
} MemoryReport;

static inline bool memory_report_has(const MemoryReport *report, MemoryReportField field)
{
    return report->present >> field & 1;
}

// The number, or 0 when it is absent.
static inline int64_t memory_report_get(const MemoryReport *report, MemoryReportField field)
{
    return memory_report_has(report, field) ? report->value[field] : 0;
}

static inline void memory_report_set(MemoryReport *report, MemoryReportField field, int64_t value)
{
    report->value[field] = value;
    report->present |= UINT64_C(1) << field;
}

// Appends the report as one JSON object, without newline. Allocates nothing once `text` has grown
// to the size of a report.
void memory_report_append_json(const MemoryReport *report, GString *text);

// Decodes what an agent sent. Unknown members are ignored. PROTOCOL_ERROR_INVALID when a member
// that must be there (sequence, monotonic-us, reason, memory.total, memory.available) is missing,
// one is of the wrong type, negative or above LIMIT_REPORT_VALUE, or the numbers contradict each
// other (available or free above total, swap-free above swap-total or without it).
bool memory_report_from_json(const json_t *object, MemoryReport *report, GError **error);

// The same report as a JSON object, for the control socket. New reference.
json_t *memory_report_to_json(const MemoryReport *report);
