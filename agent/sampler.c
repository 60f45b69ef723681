// SPDX-License-Identifier: Apache-2.0
#include "agent/sampler.h"

#include "protocol/transport/meminfo.h"
#include "protocol/limits.h"
#include "protocol/proc-text.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <unistd.h>

// /proc/vmstat is 4 to 6 KiB on today's kernels.
#define TEXT_BYTES 32768
// Sampling takes a fraction of a millisecond; a balloon that moves through this many of them moves
// steadily, and the last sample is off by no more than what moved within it.
#define MAX_ATTEMPTS 4
// VIRTIO_BALLOON_F_DEFLATE_ON_OOM (virtio specification, section 5.5.3).
#define DEFLATE_ON_OOM_BIT 2

struct Sampler {
    Meminfo *meminfo;
    int vmstat_fd; // -1: there is none
    int pressure_fd;
    int64_t page_bytes;
    int64_t balloon_pages; // of the last sample
    char *features_pattern;
    bool has_deflate_on_oom;
    bool deflate_on_oom;
    char boot_id[REPORT_BOOT_ID_SIZE];
    char text[TEXT_BYTES];
};

// --- files ------------------------------------------------------------------------------------

static int open_below(const char *root, const char *path)
{
    g_autofree char *full = g_strconcat(root, path, NULL);
    return open(full, O_RDONLY | O_CLOEXEC);
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

// Reads the file from its start, as far as there is room; 0 when it cannot be read.
static size_t read_from_start(int fd, char *text, size_t size)
{
    size_t length = 0;
    while (fd >= 0 && length < size) {
        ssize_t count = pread(fd, text + length, size - length, (off_t)length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;
        }
        length += (size_t)count;
    }
    return length;
}

static void read_boot_id(Sampler *sampler, const char *root)
{
    char text[REPORT_BOOT_ID_SIZE] = "";
    int fd = open_below(root, "/proc/sys/kernel/random/boot_id");
    size_t length = read_from_start(fd, text, sizeof(text) - 1);
    close_if_open(fd);
    text[length] = '\0';
    g_strchomp(text);
    if (text[strspn(text, "0123456789abcdef-")] == '\0') {
        memcpy(sampler->boot_id, text, sizeof(text));
    }
}

// Reads one device's features, a string of '0' and '1' that starts with bit 0.
static bool read_features(Sampler *sampler, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = read_from_start(fd, sampler->text, sizeof(sampler->text));
    close_if_open(fd);
    if (length <= DEFLATE_ON_OOM_BIT) {
        return false;
    }
    sampler->deflate_on_oom = sampler->text[DEFLATE_ON_OOM_BIT] == '1';
    return true;
}

void sampler_refresh(Sampler *sampler)
{
    sampler->has_deflate_on_oom = false;
    glob_t devices;
    if (glob(sampler->features_pattern, 0, NULL, &devices) != 0) {
        return;
    }
    // A machine has at most one balloon.
    sampler->has_deflate_on_oom = read_features(sampler, devices.gl_pathv[0]);
    globfree(&devices);
}

Sampler *sampler_new(const char *root, GError **error)
{
    g_autoptr(Meminfo) meminfo = meminfo_new(error);
    if (!meminfo) {
        return NULL;
    }
    Sampler *sampler = g_new0(Sampler, 1);
    sampler->meminfo = g_steal_pointer(&meminfo);
    sampler->vmstat_fd = open_below(root, "/proc/vmstat");
    sampler->pressure_fd = open_below(root, "/proc/pressure/memory");
    sampler->balloon_pages = -1;
    sampler->page_bytes = sysconf(_SC_PAGESIZE);
    sampler->features_pattern =
        g_strconcat(root, "/sys/bus/virtio/drivers/virtio_balloon/virtio*/features", NULL);
    read_boot_id(sampler, root);
    sampler_refresh(sampler);
    return sampler;
}

void sampler_free(Sampler *sampler)
{
    if (sampler) {
        meminfo_free(sampler->meminfo);
        close_if_open(sampler->vmstat_fd);
        close_if_open(sampler->pressure_fd);
        g_free(sampler->features_pattern);
        g_free(sampler);
    }
}

// --- one sample -------------------------------------------------------------------------------

static void read_vmstat(Sampler *sampler, ProcVmstat *vmstat)
{
    size_t length = read_from_start(sampler->vmstat_fd, sampler->text, sizeof(sampler->text));
    proc_vmstat_parse(sampler->text, length, vmstat);
}

// -1: the kernel does not tell.
static int64_t balloon_pages(const ProcVmstat *vmstat)
{
    int64_t pages;
    return proc_vmstat_balloon_pages(vmstat, &pages) ? pages : -1;
}

// Reads meminfo between two readings of the balloon's size that agree: the last sample's and this
// one's, unless the balloon moved in between.
static bool read_moment(Sampler *sampler, MemoryReport *report, ProcVmstat *vmstat, GError **error)
{
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        int64_t before = sampler->balloon_pages;
        report->monotonic_us = g_get_monotonic_time();
        if (!meminfo_read(sampler->meminfo, report, error)) {
            return false;
        }
        read_vmstat(sampler, vmstat);
        sampler->balloon_pages = balloon_pages(vmstat);
        if (sampler->balloon_pages == before) {
            break;
        }
    }
    return true;
}

static void set_scaled(MemoryReport *report, MemoryReportField field, int64_t value, int64_t scale)
{
    if (value <= LIMIT_REPORT_VALUE / scale) {
        memory_report_set(report, field, value * scale);
    }
}

static void set_from_vmstat(const Sampler *sampler, const ProcVmstat *vmstat, MemoryReport *report)
{
    static const struct {
        ProcVmstatCounter counter;
        MemoryReportField field;
    } counters[] = {
        // Only where the meminfo library did not tell.
        {PROC_VMSTAT_ANON_PAGES, REPORT_MEMORY_ANONYMOUS},
        {PROC_VMSTAT_DIRTY_PAGES, REPORT_MEMORY_DIRTY},
        {PROC_VMSTAT_SWAP_IN, REPORT_PAGING_SWAP_IN},
        {PROC_VMSTAT_SWAP_OUT, REPORT_PAGING_SWAP_OUT},
        {PROC_VMSTAT_MAJOR_FAULTS, REPORT_PAGING_MAJOR_FAULTS},
        {PROC_VMSTAT_REFAULT_FILE, REPORT_PAGING_REFAULT_FILE},
        {PROC_VMSTAT_REFAULT_ANON, REPORT_PAGING_REFAULT_ANON},
        {PROC_VMSTAT_OOM_KILLS, REPORT_PAGING_OOM_KILLS},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
        MemoryReportField field = counters[i].field;
        if (proc_vmstat_has(vmstat, counters[i].counter) && !memory_report_has(report, field)) {
            bool is_bytes = memory_report_fields[field].unit == REPORT_UNIT_BYTES;
            set_scaled(report, field, vmstat->value[counters[i].counter],
                       is_bytes ? sampler->page_bytes : 1);
        }
    }
    int64_t pages = balloon_pages(vmstat);
    if (pages >= 0) {
        set_scaled(report, REPORT_BALLOON, pages, sampler->page_bytes);
    }
}

// The four numbers of a line follow each other in the report as they do in the kernel's text.
static void set_pressure_line(const ProcPressureLine *line, MemoryReportField avg10,
                              MemoryReport *report)
{
    if (line->present) {
        memory_report_set(report, avg10, line->avg10_permyriad);
        memory_report_set(report, avg10 + 1, line->avg60_permyriad);
        memory_report_set(report, avg10 + 2, line->avg300_permyriad);
        memory_report_set(report, avg10 + 3, line->total_us);
    }
}

static void read_pressure(Sampler *sampler, MemoryReport *report)
{
    ProcPressure pressure;
    size_t length = read_from_start(sampler->pressure_fd, sampler->text, sizeof(sampler->text));
    proc_pressure_parse(sampler->text, length, &pressure);
    set_pressure_line(&pressure.some, REPORT_PRESSURE_SOME_AVG10, report);
    set_pressure_line(&pressure.full, REPORT_PRESSURE_FULL_AVG10, report);
}

bool sampler_read(Sampler *sampler, MemoryReport *report, GError **error)
{
    ProcVmstat vmstat;
    *report = (MemoryReport){
        .has_deflate_on_oom = sampler->has_deflate_on_oom,
        .deflate_on_oom = sampler->deflate_on_oom,
    };
    memcpy(report->boot_id, sampler->boot_id, sizeof(report->boot_id));
    if (!read_moment(sampler, report, &vmstat, error)) {
        return false;
    }
    set_from_vmstat(sampler, &vmstat, report);
    read_pressure(sampler, report);
    return true;
}
