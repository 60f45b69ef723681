// SPDX-License-Identifier: Apache-2.0
#include "protocol/report.h"

#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

#define BYTES REPORT_UNIT_BYTES
#define COUNT REPORT_UNIT_COUNT
#define PERMYRIAD REPORT_UNIT_PERMYRIAD
#define MICROSECONDS REPORT_UNIT_MICROSECONDS

// Fields of the same object stand together: the encoder opens and closes objects as it walks.
const MemoryReportFieldInfo memory_report_fields[REPORT_FIELD_COUNT] = {
    [REPORT_MEMORY_TOTAL] = {"memory", NULL, "total", BYTES},
    [REPORT_MEMORY_FREE] = {"memory", NULL, "free", BYTES},
    [REPORT_MEMORY_AVAILABLE] = {"memory", NULL, "available", BYTES},
    [REPORT_MEMORY_BUFFERS] = {"memory", NULL, "buffers", BYTES},
    [REPORT_MEMORY_CACHED] = {"memory", NULL, "cached", BYTES},
    [REPORT_MEMORY_SHMEM] = {"memory", NULL, "shmem", BYTES},
    [REPORT_MEMORY_ANONYMOUS] = {"memory", NULL, "anonymous", BYTES},
    [REPORT_MEMORY_DIRTY] = {"memory", NULL, "dirty", BYTES},
    [REPORT_MEMORY_SWAP_TOTAL] = {"memory", NULL, "swap-total", BYTES},
    [REPORT_MEMORY_SWAP_FREE] = {"memory", NULL, "swap-free", BYTES},
    [REPORT_PAGING_SWAP_IN] = {"paging", NULL, "swap-in", BYTES},
    [REPORT_PAGING_SWAP_OUT] = {"paging", NULL, "swap-out", BYTES},
    [REPORT_PAGING_MAJOR_FAULTS] = {"paging", NULL, "major-faults", COUNT},
    [REPORT_PAGING_REFAULT_FILE] = {"paging", NULL, "refault-file", BYTES},
    [REPORT_PAGING_REFAULT_ANON] = {"paging", NULL, "refault-anon", BYTES},
    [REPORT_PAGING_OOM_KILLS] = {"paging", NULL, "oom-kills", COUNT},
    [REPORT_PRESSURE_SOME_AVG10] = {"pressure", "some", "avg10-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_SOME_AVG60] = {"pressure", "some", "avg60-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_SOME_AVG300] = {"pressure", "some", "avg300-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_SOME_TOTAL] = {"pressure", "some", "total-us", MICROSECONDS},
    [REPORT_PRESSURE_FULL_AVG10] = {"pressure", "full", "avg10-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_FULL_AVG60] = {"pressure", "full", "avg60-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_FULL_AVG300] = {"pressure", "full", "avg300-permyriad", PERMYRIAD},
    [REPORT_PRESSURE_FULL_TOTAL] = {"pressure", "full", "total-us", MICROSECONDS},
    [REPORT_BALLOON] = {NULL, NULL, "balloon", BYTES},
};

static const char *const reason_names[REPORT_REASON_COUNT] = {
    [REPORT_REASON_START] = "start",       [REPORT_REASON_HEARTBEAT] = "heartbeat",
    [REPORT_REASON_CHANGE] = "change",     [REPORT_REASON_TREND] = "trend",
    [REPORT_REASON_PRESSURE] = "pressure", [REPORT_REASON_REQUEST] = "request",
};

const char *memory_report_reason_name(MemoryReportReason reason)
{
    return reason_names[reason];
}

// --- encoding ---------------------------------------------------------------------------------

static void close_object(GString *text, const char *name)
{
    if (name) {
        g_string_append_c(text, '}');
    }
}

// Begins the next member of the object open now.
static void append_name(GString *text, const char *name)
{
    if (text->str[text->len - 1] != '{') {
        g_string_append_c(text, ',');
    }
    g_string_append_c(text, '"');
    g_string_append(text, name);
    g_string_append(text, "\":");
}

// g_string_append_printf() would allocate memory.
static void append_integer(GString *text, const char *name, int64_t value)
{
    char digits[24];
    g_snprintf(digits, sizeof digits, "%" G_GINT64_FORMAT, value);
    append_name(text, name);
    g_string_append(text, digits);
}

static void append_string(GString *text, const char *name, const char *value)
{
    append_name(text, name);
    g_string_append_c(text, '"');
    g_string_append(text, value);
    g_string_append_c(text, '"');
}

static void open_object(GString *text, const char *name)
{
    if (name) {
        append_name(text, name);
        g_string_append_c(text, '{');
    }
}

static void append_fields(const MemoryReport *report, GString *text)
{
    const char *outer = NULL;
    const char *inner = NULL;
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        if (!memory_report_has(report, field)) {
            continue;
        }
        const MemoryReportFieldInfo *info = &memory_report_fields[field];
        bool same_outer = g_strcmp0(outer, info->outer) == 0;
        if (!same_outer || g_strcmp0(inner, info->inner) != 0) {
            close_object(text, inner);
            if (!same_outer) {
                close_object(text, outer);
                open_object(text, info->outer);
            }
            open_object(text, info->inner);
            outer = info->outer;
            inner = info->inner;
        }
        append_integer(text, info->name, report->value[field]);
    }
    close_object(text, inner);
    close_object(text, outer);
}

void memory_report_append_json(const MemoryReport *report, GString *text)
{
    g_string_append_c(text, '{');
    append_integer(text, "sequence", report->sequence);
    append_integer(text, "monotonic-us", report->monotonic_us);
    if (report->boot_id[0]) {
        append_string(text, "boot-id", report->boot_id);
    }
    append_string(text, "reason", reason_names[report->reason]);
    if (report->has_deflate_on_oom) {
        append_name(text, "deflate-on-oom");
        g_string_append(text, report->deflate_on_oom ? "true" : "false");
    }
    append_fields(report, text);
    g_string_append_c(text, '}');
}

json_t *memory_report_to_json(const MemoryReport *report)
{
    g_autoptr(GString) text = g_string_sized_new(1024);
    memory_report_append_json(report, text);
    return json_loadb(text->str, text->len, 0, NULL);
}

// --- decoding ---------------------------------------------------------------------------------

static bool invalid(GError **error, const char *name, const char *what)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "report: %s %s", name, what);
    return false;
}

static bool decode_field(const json_t *object, MemoryReportField field, MemoryReport *report,
                         GError **error)
{
    const MemoryReportFieldInfo *info = &memory_report_fields[field];
    const json_t *holder = object;
    for (int level = 0; level < 2; level++) {
        const char *name = level == 0 ? info->outer : info->inner;
        if (name) {
            holder = json_object_get(holder, name);
            if (holder && !json_is_object(holder)) {
                return invalid(error, name, "is not an object");
            }
        }
    }
    if (!json_object_get(holder, info->name)) {
        return true;
    }
    int64_t value;
    if (!json_member_int(holder, info->name, 0, LIMIT_REPORT_VALUE, &value, error)) {
        g_prefix_error(error, "report: ");
        return false;
    }
    memory_report_set(report, field, value);
    return true;
}

static bool decode_reason(const json_t *object, MemoryReport *report, GError **error)
{
    const char *name;
    if (!json_member_string(object, "reason", &name, error)) {
        return false;
    }
    // A reason of a newer agent is a change like any other.
    report->reason = REPORT_REASON_CHANGE;
    for (MemoryReportReason reason = 0; reason < REPORT_REASON_COUNT; reason++) {
        if (strcmp(name, reason_names[reason]) == 0) {
            report->reason = reason;
        }
    }
    return true;
}

static bool decode_boot_id(const json_t *object, MemoryReport *report, GError **error)
{
    if (!json_object_get(object, "boot-id")) {
        return true;
    }
    const char *boot_id;
    if (!json_member_string(object, "boot-id", &boot_id, error)) {
        return false;
    }
    size_t length = strspn(boot_id, "0123456789abcdefABCDEF-");
    if (boot_id[length] != '\0' || length >= REPORT_BOOT_ID_SIZE) {
        return invalid(error, "boot-id", "is not a UUID");
    }
    memcpy(report->boot_id, boot_id, length + 1);
    return true;
}

static bool check_consistency(const MemoryReport *report, GError **error)
{
    static const MemoryReportField pairs[][2] = {
        {REPORT_MEMORY_FREE, REPORT_MEMORY_TOTAL},
        {REPORT_MEMORY_AVAILABLE, REPORT_MEMORY_TOTAL},
        {REPORT_MEMORY_SWAP_FREE, REPORT_MEMORY_SWAP_TOTAL},
    };
    if (!memory_report_has(report, REPORT_MEMORY_TOTAL) ||
        !memory_report_has(report, REPORT_MEMORY_AVAILABLE)) {
        return invalid(error, "memory", "lacks total or available");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (memory_report_get(report, pairs[i][0]) > memory_report_get(report, pairs[i][1])) {
            return invalid(error, memory_report_fields[pairs[i][0]].name, "is above its total");
        }
    }
    return true;
}

bool memory_report_from_json(const json_t *object, MemoryReport *report, GError **error)
{
    *report = (MemoryReport){0};
    if (!json_member_int(object, "sequence", 0, INT64_MAX, &report->sequence, error) ||
        !json_member_int(object, "monotonic-us", 0, INT64_MAX, &report->monotonic_us, error) ||
        !decode_reason(object, report, error) || !decode_boot_id(object, report, error)) {
        return false;
    }
    if (json_object_get(object, "deflate-on-oom")) {
        if (!json_member_bool(object, "deflate-on-oom", &report->deflate_on_oom, error)) {
            return false;
        }
        report->has_deflate_on_oom = true;
    }
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        if (!decode_field(object, field, report, error)) {
            return false;
        }
    }
    return check_consistency(report, error);
}
