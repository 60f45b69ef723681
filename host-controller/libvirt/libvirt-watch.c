// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/libvirt-watch.h"

#include "host-controller/backoff.h"
#include "host-controller/libvirt/connection.h"
#include "host-controller/libvirt/domain-events.h"

#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stdlib.h>

#define LIST_EVERY_US (10 * (int64_t)G_USEC_PER_SEC)
#define BACKOFF_FIRST_US INT64_C(50000)
#define BACKOFF_CAP_US (1 * (int64_t)G_USEC_PER_SEC)

struct LibvirtWatch {
    char *uri;
    const LibvirtWatchHandlers *handlers;
    void *context;

    // The watching thread's own.
    Backoff backoff;
    bool was_lost; // the owner knows
    DomainEvents events;

    GMutex mutex;
    GCond changed;
    bool list_due;
    bool closed;
};

// --- news for the main loop -------------------------------------------------------------------

typedef struct News {
    LibvirtWatch *watch;
    GPtrArray *domains;                // the list, or NULL
    char *why;                         // libvirtd is gone, or NULL
    char uuid[VIR_UUID_STRING_BUFLEN]; // of the domain that has the following
    const char *event;                 // NULL: its devices have changed
    json_t *data;
} News;

static gboolean tell(void *data)
{
    const News *news = data;
    const LibvirtWatch *watch = news->watch;
    if (news->domains) {
        watch->handlers->listed(news->domains, watch->context);
    } else if (news->why) {
        watch->handlers->lost(news->why, watch->context);
    } else if (news->event) {
        watch->handlers->event(news->uuid, news->event, news->data, watch->context);
    } else {
        watch->handlers->devices(news->uuid, watch->context);
    }
    return G_SOURCE_REMOVE;
}

static void free_news(void *data)
{
    News *news = data;
    g_clear_pointer(&news->domains, g_ptr_array_unref);
    g_free(news->why);
    json_decref(news->data);
    g_free(news);
}

// Takes over what `news` holds. Told in the order of the calls.
static void post(News news)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, tell, g_memdup2(&news, sizeof(news)), free_news);
}

// --- events, in libvirt's thread --------------------------------------------------------------

static void post_of_domain(LibvirtWatch *watch, virDomainPtr domain, const char *event,
                           json_t *data)
{
    News news = {.watch = watch, .event = event, .data = data};
    virDomainGetUUIDString(domain, news.uuid);
    post(news);
}

static void on_qmp(virDomainPtr domain, const char *name, json_t *data, void *context)
{
    post_of_domain(context, domain, name, data);
}

static void on_devices(virDomainPtr domain, void *context)
{
    post_of_domain(context, domain, NULL, NULL);
}

static void on_domains(void *context)
{
    libvirt_watch_look(context);
}

static void on_closed(virConnectPtr connection, int reason, void *context)
{
    (void)connection;
    (void)reason;
    LibvirtWatch *watch = context;
    g_mutex_lock(&watch->mutex);
    watch->closed = true;
    g_cond_signal(&watch->changed);
    g_mutex_unlock(&watch->mutex);
}

static const DomainEventHandlers event_handlers = {
    .qmp = on_qmp, .devices = on_devices, .domains = on_domains};

// --- the watching thread ----------------------------------------------------------------------

static void free_domain(void *data)
{
    RunningDomain *domain = data;
    g_free(domain->name);
    g_free(domain);
}

// Tells of all domains that run. False when libvirtd did not say.
static bool list_domains(LibvirtWatch *watch, virConnectPtr connection)
{
    virDomainPtr *found = NULL;
    int count = virConnectListAllDomains(connection, &found, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    if (count < 0) {
        return false;
    }
    GPtrArray *domains = g_ptr_array_new_with_free_func(free_domain);
    for (int i = 0; i < count; i++) {
        RunningDomain *domain = g_new0(RunningDomain, 1);
        virDomainGetUUIDString(found[i], domain->uuid);
        domain->id = (int)virDomainGetID(found[i]);
        domain->name = g_strdup(virDomainGetName(found[i]));
        g_ptr_array_add(domains, domain);
        virDomainFree(found[i]);
    }
    free(found); // libvirt's
    post((News){.watch = watch, .domains = domains});
    return true;
}

// Waits until the list is due. False when the connection is closed.
static bool wait_for_news(LibvirtWatch *watch)
{
    int64_t deadline_us = g_get_monotonic_time() + LIST_EVERY_US;
    g_mutex_lock(&watch->mutex);
    while (!watch->list_due && !watch->closed &&
           g_cond_wait_until(&watch->changed, &watch->mutex, deadline_us)) {
    }
    watch->list_due = false;
    bool closed = watch->closed;
    g_mutex_unlock(&watch->mutex);
    return !closed;
}

// Follows the connection until it is of no use any more.
static void follow(LibvirtWatch *watch, virConnectPtr connection)
{
    g_mutex_lock(&watch->mutex);
    watch->closed = false;
    g_mutex_unlock(&watch->mutex);
    virConnectRegisterCloseCallback(connection, on_closed, watch, NULL);
    // First the events, then the list: nothing falls in between.
    if (domain_events_begin(&watch->events, connection)) {
        while (list_domains(watch, connection)) {
            watch->was_lost = false;
            backoff_reset(&watch->backoff);
            if (!wait_for_news(watch)) {
                break;
            }
        }
    }
    domain_events_end(&watch->events);
    virConnectUnregisterCloseCallback(connection, on_closed);
}

static void tell_lost(LibvirtWatch *watch, const char *why)
{
    if (!watch->was_lost) {
        watch->was_lost = true;
        post((News){.watch = watch, .why = g_strdup(why)});
    }
}

static void *run(void *data)
{
    LibvirtWatch *watch = data;
    for (;;) {
        virConnectPtr connection = connection_open(watch->uri);
        if (connection) {
            follow(watch, connection);
            virConnectClose(connection);
            tell_lost(watch, "libvirtd closed the connection or does not answer");
        } else {
            tell_lost(watch, virGetLastErrorMessage());
        }
        g_usleep((gulong)backoff_next_us(&watch->backoff));
    }
    return NULL;
}

LibvirtWatch *libvirt_watch_new(const char *uri, const LibvirtWatchHandlers *handlers,
                                void *context)
{
    LibvirtWatch *watch = g_new0(LibvirtWatch, 1);
    watch->uri = g_strdup(uri);
    watch->handlers = handlers;
    watch->context = context;
    watch->events = (DomainEvents){.handlers = &event_handlers, .context = watch};
    watch->backoff = (Backoff){.first_us = BACKOFF_FIRST_US, .cap_us = BACKOFF_CAP_US};
    g_mutex_init(&watch->mutex);
    g_cond_init(&watch->changed);
    g_thread_unref(g_thread_new("libvirt-watch", run, watch));
    return watch;
}

void libvirt_watch_look(LibvirtWatch *watch)
{
    g_mutex_lock(&watch->mutex);
    watch->list_due = true;
    g_cond_signal(&watch->changed);
    g_mutex_unlock(&watch->mutex);
}
