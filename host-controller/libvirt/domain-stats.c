// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-stats.h"

#include "host-controller/libvirt/domain-commands.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

#define KIB 1024

#define PERIPHERAL "/machine/peripheral"
#define PERIPHERAL_ANON "/machine/peripheral-anon"
#define BALLOON "balloon0"
#define BALLOON_PATH PERIPHERAL "/" BALLOON
#define STATS "guest-stats"
#define INTERVAL "guest-stats-polling-interval"

const QmpArgument domain_stats_list_arguments[] = {{.name = "path", .type = JSON_STRING}, {0}};
const QmpArgument domain_stats_get_arguments[] = {
    {.name = "path", .type = JSON_STRING}, {.name = "property", .type = JSON_STRING}, {0}};
const QmpArgument domain_stats_set_arguments[] = {{.name = "path", .type = JSON_STRING},
                                                  {.name = "property", .type = JSON_STRING},
                                                  {.name = "value", .type = JSON_INTEGER},
                                                  {0}};

static const char *text_of(const json_t *arguments, const char *name)
{
    return json_string_value(json_object_get(arguments, name));
}

static json_t *refuse(GError **error, const char *what, const char *name)
{
    g_autofree char *shown = json_text_for_people(name);
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "%s '%s' not found", what, shown);
    return NULL;
}

// Whether the balloon is meant, and the domain has one.
static bool find_balloon(DomainTask *task, const json_t *arguments, GError **error)
{
    const char *path = text_of(arguments, "path");
    if (!domain_commands_read_xml(task, error)) {
        return false;
    }
    if (strcmp(path, BALLOON_PATH) != 0 || !task->xml.has_balloon) {
        refuse(error, "Device", path);
        return false;
    }
    return true;
}

json_t *domain_stats_list(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    DomainTask *task = context;
    const char *path = text_of(arguments, "path");
    if (strcmp(path, PERIPHERAL_ANON) == 0) {
        return json_array();
    }
    if (strcmp(path, PERIPHERAL) != 0) {
        return refuse(error, "Device", path);
    }
    if (!domain_commands_read_xml(task, error)) {
        return NULL;
    }
    return task->xml.has_balloon
               ? json_pack("[{s:s, s:s}]", "name", BALLOON, "type", "child<virtio-balloon-pci>")
               : json_array();
}

// What libvirt calls it, in its unit, and QEMU.
static const struct {
    int tag;
    int64_t unit;
    const char *name;
} stat_names[] = {
    {VIR_DOMAIN_MEMORY_STAT_SWAP_IN, KIB, "stat-swap-in"},
    {VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, KIB, "stat-swap-out"},
    {VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, 1, "stat-major-faults"},
    {VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, 1, "stat-minor-faults"},
    {VIR_DOMAIN_MEMORY_STAT_UNUSED, KIB, "stat-free-memory"},
    {VIR_DOMAIN_MEMORY_STAT_AVAILABLE, KIB, "stat-total-memory"},
    {VIR_DOMAIN_MEMORY_STAT_USABLE, KIB, "stat-available-memory"},
    {VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, KIB, "stat-disk-caches"},
};

static void add_stat(json_t *stats, const virDomainMemoryStatStruct *stat)
{
    for (size_t i = 0; i < G_N_ELEMENTS(stat_names); i++) {
        int64_t unit = stat_names[i].unit;
        if (stat_names[i].tag == stat->tag &&
            stat->val <= (unsigned long long)(LIMIT_REPORT_VALUE / unit)) {
            json_object_set_new(stats, stat_names[i].name,
                                json_integer((json_int_t)stat->val * unit));
        }
    }
}

// What the guest does not tell is left out.
static json_t *read_stats(DomainTask *task, GError **error)
{
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int count = virDomainMemoryStats(task->domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
    if (count < 0) {
        return domain_commands_fail(task, error);
    }
    json_t *values = json_object();
    json_int_t updated_s = 0;
    for (int i = 0; i < count; i++) {
        add_stat(values, &stats[i]);
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE &&
            stats[i].val <= LIMIT_REPORT_VALUE) {
            updated_s = (json_int_t)stats[i].val;
        }
    }
    return json_pack("{s:o, s:I}", "stats", values, "last-update", updated_s);
}

json_t *domain_stats_get(void *context, const QmpCommand *command, json_t *arguments,
                         GError **error)
{
    (void)command;
    DomainTask *task = context;
    const char *property = text_of(arguments, "property");
    if (!find_balloon(task, arguments, error)) {
        return NULL;
    }
    if (strcmp(property, INTERVAL) == 0) {
        return json_integer(task->xml.stats_period_s);
    }
    return strcmp(property, STATS) == 0 ? read_stats(task, error)
                                        : refuse(error, "Property", property);
}

json_t *domain_stats_set(void *context, const QmpCommand *command, json_t *arguments,
                         GError **error)
{
    (void)command;
    DomainTask *task = context;
    const char *property = text_of(arguments, "property");
    int64_t period_s;
    if (!json_member_int(arguments, "value", 0, G_MAXINT, &period_s, error) ||
        !find_balloon(task, arguments, error)) {
        return NULL;
    }
    if (strcmp(property, INTERVAL) != 0) {
        return refuse(error, "Property", property);
    }
    if (virDomainSetMemoryStatsPeriod(task->domain, (int)period_s, VIR_DOMAIN_AFFECT_LIVE) < 0) {
        return domain_commands_fail(task, error);
    }
    return json_object();
}
