// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/meminfo.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KIB INT64_C(1024)

static bool fail(int code, GError **error)
{
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "/proc/meminfo: %s",
                g_strerror(code));
    return false;
}

#ifdef HAVE_LIBPROCPS

#include <proc/sysinfo.h>

// libprocps keeps its state to itself.
struct Meminfo {
    char unused;
};

Meminfo *meminfo_new(GError **error)
{
    // meminfo() ends the process when the file cannot be opened: look first.
    if (access("/proc/meminfo", R_OK) < 0) {
        fail(errno, error);
        return NULL;
    }
    return g_new0(Meminfo, 1);
}

void meminfo_free(Meminfo *self)
{
    g_free(self);
}

bool meminfo_read(Meminfo *self, MemoryReport *report, GError **error)
{
    (void)self;
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
    return true;
}

#else

#include <libproc2/meminfo.h>

struct Meminfo {
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
    g_autoptr(Meminfo) meminfo = g_new0(Meminfo, 1);
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
    return true;
}

#endif
