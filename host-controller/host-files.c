// SPDX-License-Identifier: Apache-2.0
#include "host-controller/host-files.h"

#include "protocol/limits.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KIB INT64_C(1024)

static char *read_text(const char *root, const char *path, gsize *length)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    char *text = NULL;
    return g_file_get_contents(full, &text, length, NULL) ? text : NULL;
}

static bool parse_number(const char *text, int64_t *number)
{
    char *end;
    guint64 value = g_ascii_strtoull(text, &end, 10);
    if (end == text || value > (guint64)LIMIT_REPORT_VALUE) {
        return false;
    }
    *number = (int64_t)value;
    return true;
}

bool host_files_read_number(const char *root, const char *path, int64_t *number)
{
    g_autofree char *text = read_text(root, path, NULL);
    return text && parse_number(text, number);
}

// Not through a new file beside it: it is the kernel's.
bool host_files_write_number(const char *root, const char *path, int64_t number)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    char text[32];
    int length = snprintf(text, sizeof(text), "%" G_GINT64_FORMAT "\n", number);
    int fd = open(full, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, text, (size_t)length) == length;
    return close(fd) == 0 && written;
}

// The number behind `label` at the beginning of a line.
static bool find_number(const char *text, const char *label, int64_t *number)
{
    size_t length = strlen(label);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, label, length) == 0) {
            return parse_number(line + length, number);
        }
    }
    return false;
}

static void read_pressure(const char *root, const char *path, ProcPressure *pressure)
{
    gsize length = 0;
    g_autofree char *text = read_text(root, path, &length);
    *pressure = (ProcPressure){0};
    if (text) {
        proc_pressure_parse(text, length, pressure);
    }
}

bool host_files_read_memory(const char *root, HostMemory *memory)
{
    int64_t total_kib;
    int64_t available_kib;
    g_autofree char *meminfo = read_text(root, "/proc/meminfo", NULL);
    if (!meminfo || !find_number(meminfo, "MemTotal:", &total_kib) ||
        !find_number(meminfo, "MemAvailable:", &available_kib)) {
        return false;
    }
    memory->total_bytes = MIN(total_kib, INT64_MAX / KIB) * KIB;
    memory->available_bytes = MIN(available_kib, total_kib) * KIB;

    gsize length = 0;
    ProcVmstat vmstat = {0};
    g_autofree char *text = read_text(root, "/proc/vmstat", &length);
    if (text) {
        proc_vmstat_parse(text, length, &vmstat);
    }
    int64_t page_bytes = sysconf(_SC_PAGESIZE);
    if (proc_vmstat_has(&vmstat, PROC_VMSTAT_SWAP_OUT)) {
        memory->swapped_out_bytes =
            MIN(vmstat.value[PROC_VMSTAT_SWAP_OUT], INT64_MAX / page_bytes) * page_bytes;
    }
    int64_t pages = 0;
    host_files_read_number(root, HOST_FILES_KSM "/pages_sharing", &pages);
    memory->shared_bytes = MIN(pages, INT64_MAX / page_bytes) * page_bytes;
    read_pressure(root, "/proc/pressure/memory", &memory->pressure);
    return true;
}

// A limit file holds a number or "max".
static int64_t read_limit(const char *root, const char *path, const char *file)
{
    g_autofree char *full = g_strconcat(HOST_FILES_CGROUP, path, file, NULL);
    int64_t limit_bytes;
    return host_files_read_number(root, full, &limit_bytes) ? limit_bytes : INT64_MAX;
}

bool host_files_read_group(const char *root, const char *path, HostGroup *group)
{
    static const char *const droppable[] = {"active_file ", "inactive_file ", "slab_reclaimable "};
    g_autofree char *current = g_strconcat(HOST_FILES_CGROUP, path, "/memory.current", NULL);
    g_autofree char *stat = g_strconcat(HOST_FILES_CGROUP, path, "/memory.stat", NULL);
    g_autofree char *pressure = g_strconcat(HOST_FILES_CGROUP, path, "/memory.pressure", NULL);
    int64_t used_bytes;
    int64_t max_bytes = read_limit(root, path, "/memory.max");
    int64_t high_bytes = read_limit(root, path, "/memory.high");
    group->limit_bytes = MIN(max_bytes, high_bytes);
    if (group->limit_bytes == INT64_MAX || !host_files_read_number(root, current, &used_bytes)) {
        return false;
    }
    g_autofree char *text = read_text(root, stat, NULL);
    for (size_t i = 0; text && i < G_N_ELEMENTS(droppable); i++) {
        int64_t bytes;
        if (find_number(text, droppable[i], &bytes)) {
            used_bytes -= MIN(bytes, used_bytes);
        }
    }
    group->available_bytes = MAX(group->limit_bytes - used_bytes, 0);
    read_pressure(root, pressure, &group->pressure);
    return true;
}
