// SPDX-License-Identifier: Apache-2.0
#include "host-controller/host.h"

#include "protocol/transport/meminfo.h"

struct Host {
    Meminfo *meminfo;
    HostMemory memory;
};

Host *host_new(GError **error)
{
    g_autoptr(Meminfo) meminfo = meminfo_new(error);
    if (!meminfo) {
        return NULL;
    }
    Host *host = g_new0(Host, 1);
    host->meminfo = g_steal_pointer(&meminfo);
    host_refresh(host);
    return host;
}

void host_free(Host *host)
{
    if (host) {
        meminfo_free(host->meminfo);
        g_free(host);
    }
}

void host_refresh(Host *host)
{
    MemoryReport report = {0};
    if (meminfo_read(host->meminfo, &report, NULL)) {
        host->memory.total_bytes = memory_report_get(&report, REPORT_MEMORY_TOTAL);
        host->memory.available_bytes = memory_report_get(&report, REPORT_MEMORY_AVAILABLE);
    }
}

const HostMemory *host_memory(const Host *host)
{
    return &host->memory;
}

int64_t host_budget_bytes(const Host *host, const Config *config)
{
    int64_t total_bytes = host->memory.total_bytes;
    int64_t limit_bytes = total_bytes - relative_size_of(&config->reserve, total_bytes);
    if (config->budget_auto) {
        return MAX(limit_bytes, 0);
    }
    return CLAMP(relative_size_of(&config->budget, total_bytes), 0, MAX(limit_bytes, 0));
}
