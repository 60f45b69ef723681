// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/bridge.h"

#include "host-controller/libvirt/domain-monitor.h"
#include "host-controller/libvirt/guest-files.h"
#include "host-controller/libvirt/domain-name.h"
#include "host-controller/libvirt/libvirt-watch.h"
#include "host-controller/libvirt/qemu-pid.h"

#include <string.h>

struct Bridge {
    char *folder;
    char *pid_folder;
    CallPool *pool;
    LibvirtWatch *watch;
    GHashTable *guests; // UUID -> BridgedGuest*
    bool cleaned;       // of what a former process left behind
    bool away;          // libvirt was not there when last heard of
};

typedef struct BridgedGuest {
    Bridge *bridge;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int id;
    char *domain_name;
    char *name;
    DomainMonitor *monitor;
    bool inspected; // its XML was read, or it was tried to
    bool refused;   // its socket cannot be made, and that was told of
    bool listed;    // in the list that is gone through now
} BridgedGuest;

// --- one guest --------------------------------------------------------------------------------

static void report(const BridgedGuest *guest, const GError *error)
{
    if (error) {
        g_warning("%s: %s", guest->name, error->message);
    }
}

static void set_agent(const BridgedGuest *guest, const DomainXml *xml)
{
    g_autoptr(GError) error = NULL;
    guest_files_set_agent(guest->bridge->folder, guest->name, xml ? xml->agent_path : NULL, &error);
    report(guest, error);
}

// The monitor's socket comes last: who sees it finds the rest.
static void publish(BridgedGuest *guest)
{
    const Bridge *bridge = guest->bridge;
    g_autofree char *path = guest_files_monitor_path(bridge->folder, guest->name);
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) pid_error = NULL;
    guest_files_set_pid(bridge->folder, guest->name,
                        qemu_pid_read(bridge->pid_folder, guest->domain_name), &pid_error);
    report(guest, pid_error);
    if (domain_monitor_listen(guest->monitor, path, &error)) {
        guest->refused = false;
        g_message("%s: domain %s is served", guest->name, guest->uuid);
    } else if (!guest->refused) {
        guest->refused = true;
        report(guest, error);
    }
}

static void on_inspected(const DomainXml *xml, void *context)
{
    BridgedGuest *guest = context;
    bool first = !guest->inspected;
    guest->inspected = true;
    if (xml || first) {
        set_agent(guest, xml);
    }
    if (first) {
        publish(guest);
    }
}

static const DomainMonitorHandlers monitor_handlers = {.inspected = on_inspected};

static void free_guest(void *data)
{
    BridgedGuest *guest = data;
    bool served = domain_monitor_is_listening(guest->monitor);
    domain_monitor_free(guest->monitor);
    if (served) {
        guest_files_remove(guest->bridge->folder, guest->name);
        g_message("%s: domain %s has ended", guest->name, guest->uuid);
    }
    g_free(guest->domain_name);
    g_free(guest->name);
    g_free(guest);
}

static bool is_name_of_guest(const char *name, const void *context)
{
    const Bridge *bridge = context;
    GHashTableIter guests;
    gpointer value;
    g_hash_table_iter_init(&guests, bridge->guests);
    while (g_hash_table_iter_next(&guests, NULL, &value)) {
        if (strcmp(((const BridgedGuest *)value)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static BridgedGuest *add_guest(Bridge *bridge, const RunningDomain *domain)
{
    BridgedGuest *guest = g_new0(BridgedGuest, 1);
    guest->bridge = bridge;
    memcpy(guest->uuid, domain->uuid, sizeof(guest->uuid));
    guest->id = domain->id;
    guest->domain_name = g_strdup(domain->name);
    guest->name = domain_guest_name(domain->name, domain->uuid);
    if (is_name_of_guest(guest->name, bridge)) {
        g_free(guest->name);
        guest->name = g_strdup(guest->uuid);
    }
    guest->monitor = domain_monitor_new(bridge->pool, guest->name, guest->uuid, guest->id,
                                        &monitor_handlers, guest);
    g_hash_table_insert(bridge->guests, guest->uuid, guest);
    domain_monitor_inspect(guest->monitor);
    return guest;
}

// --- what libvirt tells -----------------------------------------------------------------------

static gboolean is_unlisted(gpointer key, gpointer value, gpointer context)
{
    (void)key;
    (void)context;
    BridgedGuest *guest = value;
    bool listed = guest->listed;
    guest->listed = false;
    return !listed;
}

// A domain that was ended and started again since the last list is another one.
static void mark_listed(const Bridge *bridge, const RunningDomain *domain)
{
    BridgedGuest *guest = g_hash_table_lookup(bridge->guests, domain->uuid);
    if (guest) {
        guest->listed = guest->id == domain->id;
    }
}

static void take_listed(Bridge *bridge, const RunningDomain *domain)
{
    BridgedGuest *guest = g_hash_table_lookup(bridge->guests, domain->uuid);
    guest = guest ? guest : add_guest(bridge, domain);
    domain_monitor_set_available(guest->monitor, true);
    if (guest->inspected && !domain_monitor_is_listening(guest->monitor)) {
        publish(guest);
    }
}

static void on_listed(const GPtrArray *domains, void *context)
{
    Bridge *bridge = context;
    if (bridge->away) {
        g_message("libvirt is there again, %u domains run", domains->len);
        bridge->away = false;
    }
    for (guint i = 0; i < domains->len; i++) {
        mark_listed(bridge, g_ptr_array_index(domains, i));
    }
    // Who has ended goes first: its name may be another's now.
    g_hash_table_foreach_remove(bridge->guests, is_unlisted, NULL);
    for (guint i = 0; i < domains->len; i++) {
        take_listed(bridge, g_ptr_array_index(domains, i));
    }
    if (!bridge->cleaned) {
        bridge->cleaned = true;
        guest_files_remove_stale(bridge->folder, is_name_of_guest, bridge);
    }
}

static void on_lost(const char *why, void *context)
{
    Bridge *bridge = context;
    GHashTableIter guests;
    gpointer value;
    g_warning("libvirt is away: %s", why);
    bridge->away = true;
    g_hash_table_iter_init(&guests, bridge->guests);
    while (g_hash_table_iter_next(&guests, NULL, &value)) {
        domain_monitor_set_available(((const BridgedGuest *)value)->monitor, false);
    }
}

static void on_event(const char *uuid, const char *name, json_t *data, void *context)
{
    const Bridge *bridge = context;
    const BridgedGuest *guest = g_hash_table_lookup(bridge->guests, uuid);
    if (guest) {
        domain_monitor_emit(guest->monitor, name, data);
    }
}

static void on_devices(const char *uuid, void *context)
{
    const Bridge *bridge = context;
    const BridgedGuest *guest = g_hash_table_lookup(bridge->guests, uuid);
    if (guest) {
        domain_monitor_inspect(guest->monitor);
    }
}

static const LibvirtWatchHandlers watch_handlers = {
    .listed = on_listed, .lost = on_lost, .event = on_event, .devices = on_devices};

Bridge *bridge_new(const char *uri, const char *folder)
{
    Bridge *bridge = g_new0(Bridge, 1);
    bridge->folder = g_strdup(folder);
    bridge->pid_folder = qemu_pid_folder(uri);
    bridge->pool = call_pool_new(uri, domain_monitor_work, domain_monitor_done);
    bridge->guests = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_guest);
    bridge->watch = libvirt_watch_new(uri, &watch_handlers, bridge);
    return bridge;
}
