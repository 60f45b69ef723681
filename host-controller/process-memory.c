// SPDX-License-Identifier: Apache-2.0
#include "host-controller/process-memory.h"

#include <glib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)
#define KIB INT64_C(1024)
#define CONSIDERABLE_BYTES (256 * MIB)
#define CONSIDERABLE_DIVISOR 8
#define QEMU_OWN_BYTES (128 * MIB)

// Adds the value of the line "LABEL:  NUMBER kB" to `*bytes`. False when there is no such line.
static bool add_line(const char *text, const char *label, int64_t *bytes)
{
    const char *line = strstr(text, label);
    char *end;
    if (!line) {
        return false;
    }
    const char *number = line + strlen(label);
    guint64 kib = g_ascii_strtoull(number, &end, 10);
    if (end == number || kib > (guint64)(INT64_MAX / KIB / 4)) {
        return false;
    }
    *bytes += (int64_t)kib * KIB;
    return true;
}

bool process_memory_read(const char *root, pid_t pid, int64_t *resident_bytes)
{
    g_autofree char *path = g_strdup_printf("%s/proc/%d/status", root, (int)pid);
    g_autofree char *text = NULL;
    int64_t bytes = 0;
    if (pid <= 0 || !g_file_get_contents(path, &text, NULL, NULL) ||
        !add_line(text, "\nVmRSS:", &bytes)) {
        return false;
    }
    // Absent where the kernel knows no huge pages.
    add_line(text, "\nHugetlbPages:", &bytes);
    *resident_bytes = bytes;
    return true;
}

// Names that QEMU runs under: qemu-system-x86_64, qemu-kvm, and kvm on Proxmox VE.
static bool is_qemu(const char *text)
{
    static const char label[] = "Name:\t";
    if (!g_str_has_prefix(text, label)) {
        return false;
    }
    const char *name = text + strlen(label);
    return g_str_has_prefix(name, "qemu") || g_str_has_prefix(name, "kvm\n");
}

bool process_memory_read_guest(const char *root, pid_t pid, int64_t size_bytes, int64_t *used_bytes)
{
    static const char *const labels[] = {"\nRssAnon:", "\nRssShmem:", "\nHugetlbPages:"};
    g_autofree char *path = g_strdup_printf("%s/proc/%d/status", root, (int)pid);
    g_autofree char *text = NULL;
    int64_t mapped_bytes = 0;
    int64_t bytes = 0;
    if (pid <= 0 || !g_file_get_contents(path, &text, NULL, NULL) || !is_qemu(text) ||
        !add_line(text, "\nVmSize:", &mapped_bytes) || mapped_bytes < size_bytes) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(labels); i++) {
        add_line(text, labels[i], &bytes);
    }
    *used_bytes = bytes;
    return true;
}

bool process_memory_shows_no_reclaim(int64_t size_bytes, int64_t actual_bytes,
                                     int64_t resident_bytes)
{
    int64_t ballooned_bytes = size_bytes - actual_bytes;
    if (ballooned_bytes < MAX(CONSIDERABLE_BYTES, size_bytes / CONSIDERABLE_DIVISOR)) {
        return false;
    }
    return resident_bytes - actual_bytes - QEMU_OWN_BYTES > ballooned_bytes / 2;
}
