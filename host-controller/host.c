// SPDX-License-Identifier: Apache-2.0
#include "host-controller/host.h"

#define IDLE_DIVISOR 4

// What the host is told to do, and how far a reading has got.
struct Host {
    char *root;
    RelativeSize reserve;
    bool budget_auto;
    RelativeSize budget;
    char *group_path; // NULL: no control group is looked at
    bool group_known; // it exists and has a limit
    HostMemory memory;
    int64_t guests_bytes;    // added up in this reading
    PolicyHostHistory whole; // the host
    PolicyHostHistory group; // and the control group
};

static void take_over(Host *host, const Config *config)
{
    host->reserve = config->reserve;
    host->budget_auto = config->budget_auto;
    host->budget = config->budget;
    g_free(host->group_path);
    host->group_path = g_strdup(config->budget_group);
    host->group_known = false;
    host->group = (PolicyHostHistory){0};
}

Host *host_new(const char *root, const Config *config, GError **error)
{
    g_autoptr(Host) host = g_new0(Host, 1);
    host->root = g_strdup(root);
    take_over(host, config);
    if (!host_files_read_memory(root, &host->memory)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    "%s/proc/meminfo does not tell how much memory there is", root);
        return NULL;
    }
    host_end(host, g_get_monotonic_time());
    return g_steal_pointer(&host);
}

void host_free(Host *host)
{
    if (host) {
        g_free(host->root);
        g_free(host->group_path);
        g_free(host);
    }
}

void host_configure(Host *host, const Config *config)
{
    // What others use does not change with the configuration: the guests' part of it is known.
    int64_t guests_bytes = host->whole.last.guests_bytes;
    take_over(host, config);
    host_begin(host);
    host_add_guest(host, guests_bytes);
    host_end(host, g_get_monotonic_time());
}

// --- readings ---------------------------------------------------------------------------------

void host_begin(Host *host)
{
    host->guests_bytes = 0;
    host_files_read_memory(host->root, &host->memory);
}

void host_add_guest(Host *host, int64_t bytes)
{
    host->guests_bytes += bytes;
}

static void update(PolicyHostHistory *history, PolicyHostReading *reading,
                   const RelativeSize *reserve, const ProcPressure *pressure)
{
    reading->reserve_bytes = relative_size_of(reserve, reading->total_bytes);
    reading->some_permyriad = pressure->some.present ? pressure->some.avg10_permyriad : 0;
    reading->full_permyriad = pressure->full.present ? pressure->full.avg10_permyriad : 0;
    policy_host_update(history, reading);
}

static void update_group(Host *host, int64_t now_us)
{
    HostGroup group;
    bool known = host->group_path && host_files_read_group(host->root, host->group_path, &group);
    if (host->group_path && known != host->group_known) {
        g_message("control group %s %s", host->group_path,
                  known ? "limits the budget" : "is not there or has no limit");
    }
    host->group_known = known;
    if (!known) {
        host->group = (PolicyHostHistory){0};
        return;
    }
    PolicyHostReading reading = {
        .at_us = now_us,
        .total_bytes = group.limit_bytes,
        .available_bytes = group.available_bytes,
        .guests_bytes = host->guests_bytes,
    };
    update(&host->group, &reading, &host->reserve, &group.pressure);
}

// While guests were looked at one after another, others moved. Of the two readings around them the
// one that leaves less to others is taken: what a guest grew by is not mistaken for somebody
// else's.
void host_end(Host *host, int64_t now_us)
{
    int64_t available_bytes = host->memory.available_bytes;
    host_files_read_memory(host->root, &host->memory);
    PolicyHostReading reading = {
        .at_us = now_us,
        .total_bytes = host->memory.total_bytes,
        .available_bytes = MAX(available_bytes, host->memory.available_bytes),
        .guests_bytes = host->guests_bytes,
        .shared_bytes = host->memory.shared_bytes,
        .swapped_out_bytes = host->memory.swapped_out_bytes,
    };
    update(&host->whole, &reading, &host->reserve, &host->memory.pressure);
    update_group(host, now_us);
}

void host_credit(Host *host, int64_t bytes)
{
    policy_host_credit(&host->whole, bytes);
    policy_host_credit(&host->group, bytes);
}

// --- what follows from them -------------------------------------------------------------------

const char *host_root(const Host *host)
{
    return host->root;
}

const HostMemory *host_memory(const Host *host)
{
    return &host->memory;
}

PolicyHostState host_state(const Host *host)
{
    return MAX(host->whole.state, host->group.state);
}

const char *host_short_group(const Host *host, int64_t *available_bytes)
{
    if (host->group.state <= host->whole.state) {
        return NULL;
    }
    *available_bytes = host->group.last.available_bytes;
    return host->group_path;
}

static bool is_idle(const PolicyHostReading *reading)
{
    return reading->available_bytes - reading->reserve_bytes > reading->total_bytes / IDLE_DIVISOR;
}

bool host_is_idle(const Host *host)
{
    return is_idle(&host->whole.last) && (!host->group_known || is_idle(&host->group.last));
}

bool host_has_group(const Host *host)
{
    return host->group_known;
}

int64_t host_non_guest_bytes(const Host *host)
{
    return host->whole.non_guest_bytes;
}

int64_t host_reserve_bytes(const Host *host)
{
    return host->whole.last.reserve_bytes;
}

int64_t host_budget_bytes(const Host *host)
{
    int64_t total_bytes = host->memory.total_bytes;
    if (!host->budget_auto) {
        int64_t limit_bytes = MAX(total_bytes - relative_size_of(&host->reserve, total_bytes), 0);
        return CLAMP(relative_size_of(&host->budget, total_bytes), 0, limit_bytes);
    }
    int64_t budget_bytes = policy_host_budget_bytes(&host->whole);
    return host->group_known ? MIN(budget_bytes, policy_host_budget_bytes(&host->group))
                             : budget_bytes;
}
