// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/meminfo.h"

#include "protocol/proc-text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PATH "/proc/meminfo"
#define KIB INT64_C(1024)
// MemAvailable is the third of its lines.
#define TEXT_BYTES 512

static bool fail(int code, GError **error)
{
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), PATH ": %s",
                g_strerror(code));
    return false;
}

// Both libraries take a MemAvailable of 0 for that of a kernel that has none (before Linux 3.14)
// and say MemFree instead: a guest with nothing left would seem to have all that is below its
// watermarks. So where the two are equal, the kernel's own text is asked.
static void correct_available(int fd, MemoryReport *report)
{
    char text[TEXT_BYTES];
    int64_t available_bytes;
    if (memory_report_get(report, REPORT_MEMORY_AVAILABLE) !=
        memory_report_get(report, REPORT_MEMORY_FREE)) {
        return;
    }
    ssize_t length = pread(fd, text, sizeof(text), 0);
    if (length > 0 && proc_meminfo_available(text, (size_t)length, &available_bytes)) {
        memory_report_set(report, REPORT_MEMORY_AVAILABLE, available_bytes);
    }
}

static int open_text(GError **error)
{
    int fd = open(PATH, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(errno, error);
    }
    return fd;
}

#ifdef HAVE_LIBPROCPS

#include <proc/sysinfo.h>

// libprocps keeps its state to itself.
struct Meminfo {
    int fd;
};

Meminfo *meminfo_new(GError **error)
{
    // meminfo() ends the process when the file cannot be opened: it was, here.
    int fd = open_text(error);
    if (fd < 0) {
        return NULL;
    }
    Meminfo *self = g_new0(Meminfo, 1);
    self->fd = fd;
    return self;
}

void meminfo_free(Meminfo *self)
{
    if (self) {
        close(self->fd);
        g_free(self);
    }
}

bool meminfo_read(Meminfo *self, MemoryReport *report, GError **error)
{
    meminfo();
    if (kb_main_total == 0) {
        return fail(EIO, error);
    }
    // kb_main_cached is the page cache and reclaimable slab in one, which is another figure than
    // "cached", and the library does not export anonymous and dirty memory.
    memory_report_set(report, REPORT_MEMORY_TOTAL, (int64_t)kb_main_total * KIB);
    memory_report_set(report, REPORT_MEMORY_FREE, (int64_t)kb_main_free * KIB);
    memory_report_set(report, REPORT_MEMORY_AVAILABLE, (int64_t)kb_main_available * KIB);
    memory_report_set(report, REPORT_MEMORY_BUFFERS, (int64_t)kb_main_buffers * KIB);
    memory_report_set(report, REPORT_MEMORY_SHMEM, (int64_t)kb_main_shared * KIB);
    memory_report_set(report, REPORT_MEMORY_SWAP_TOTAL, (int64_t)kb_swap_total * KIB);
    memory_report_set(report, REPORT_MEMORY_SWAP_FREE, (int64_t)kb_swap_free * KIB);
    correct_available(self->fd, report);
    return true;
}

#else

#include <libproc2/meminfo.h>

struct Meminfo {
    int fd;
    struct meminfo_info *info;
};

// Which item of the library is which field of the report; one order for both.
static enum meminfo_item items[] = {
    MEMINFO_MEM_TOTAL,  MEMINFO_MEM_FREE,   MEMINFO_MEM_AVAILABLE, MEMINFO_MEM_BUFFERS,
    MEMINFO_MEM_CACHED, MEMINFO_MEM_SHARED, MEMINFO_MEM_ANON,      MEMINFO_MEM_DIRTY,
    MEMINFO_SWAP_TOTAL, MEMINFO_SWAP_FREE,
};
static const MemoryReportField fields[G_N_ELEMENTS(items)] = {
    REPORT_MEMORY_TOTAL,     REPORT_MEMORY_FREE,   REPORT_MEMORY_AVAILABLE,
    REPORT_MEMORY_BUFFERS,   REPORT_MEMORY_CACHED, REPORT_MEMORY_SHMEM,
    REPORT_MEMORY_ANONYMOUS, REPORT_MEMORY_DIRTY,  REPORT_MEMORY_SWAP_TOTAL,
    REPORT_MEMORY_SWAP_FREE,
};

Meminfo *meminfo_new(GError **error)
{
    int fd = open_text(error);
    if (fd < 0) {
        return NULL;
    }
    g_autoptr(Meminfo) meminfo = g_new0(Meminfo, 1);
    meminfo->fd = fd;
    int result = procps_meminfo_new(&meminfo->info);
    if (result < 0) {
        fail(-result, error);
        return NULL;
    }
    return g_steal_pointer(&meminfo);
}

void meminfo_free(Meminfo *meminfo)
{
    if (meminfo) {
        if (meminfo->info) {
            procps_meminfo_unref(&meminfo->info);
        }
        close(meminfo->fd);
        g_free(meminfo);
    }
}

bool meminfo_read(Meminfo *meminfo, MemoryReport *report, GError **error)
{
    // Unlike procps_meminfo_get(), which answers from a copy up to a second old, this reads anew.
    struct meminfo_stack *stack =
        procps_meminfo_select(meminfo->info, items, (int)G_N_ELEMENTS(items));
    if (!stack) {
        return fail(errno, error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        memory_report_set(report, fields[i], (int64_t)stack->head[i].result.ul_int * KIB);
    }
    correct_available(meminfo->fd, report);
    return true;
}

#endif
