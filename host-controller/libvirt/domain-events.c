// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-events.h"

#include <string.h>

static void emit(const DomainEvents *events, virDomainPtr domain, const char *name, json_t *data)
{
    events->handlers->qmp(domain, name, data, events->context);
}

static void emit_migration(const DomainEvents *events, virDomainPtr domain, const char *status)
{
    emit(events, domain, "MIGRATION", json_pack("{s:s}", "status", status));
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *context)
{
    (void)connection;
    const DomainEvents *events = context;
    switch (event) {
    case VIR_DOMAIN_EVENT_SUSPENDED:
    case VIR_DOMAIN_EVENT_CRASHED:
        emit(events, domain, "STOP", NULL);
        break;
    case VIR_DOMAIN_EVENT_RESUMED:
        // Arrived here, or stayed because it could not leave.
        if (detail == VIR_DOMAIN_EVENT_RESUMED_MIGRATED) {
            emit_migration(events, domain, "completed");
        }
        emit(events, domain, "RESUME", NULL);
        break;
    case VIR_DOMAIN_EVENT_SHUTDOWN:
        emit(events, domain, "SHUTDOWN", NULL);
        break;
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
        emit(events, domain,
             detail == VIR_DOMAIN_EVENT_PMSUSPENDED_DISK ? "SUSPEND_DISK" : "SUSPEND", NULL);
        break;
    default:
        // Started, ended, defined, undefined: what runs now is asked for.
        events->handlers->domains(events->context);
    }
    return 0;
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *context)
{
    (void)connection;
    emit(context, domain, "RESET", NULL);
}

static void on_wakeup(virConnectPtr connection, virDomainPtr domain, int reason, void *context)
{
    (void)connection;
    (void)reason;
    emit(context, domain, "WAKEUP", NULL);
}

static void on_balloon(virConnectPtr connection, virDomainPtr domain, unsigned long long actual_kib,
                       void *context)
{
    (void)connection;
    emit(context, domain, "BALLOON_CHANGE",
         json_pack("{s:I}", "actual", (json_int_t)(actual_kib * 1024)));
}

static void on_device_added(virConnectPtr connection, virDomainPtr domain, const char *alias,
                            void *context)
{
    (void)connection;
    (void)alias;
    const DomainEvents *events = context;
    events->handlers->devices(domain, events->context);
}

static void on_device_removed(virConnectPtr connection, virDomainPtr domain, const char *alias,
                              void *context)
{
    (void)connection;
    const DomainEvents *events = context;
    events->handlers->devices(domain, events->context);
    emit(events, domain, "DEVICE_DELETED", json_pack("{s:s*}", "device", alias));
}

static void on_migration_pass(virConnectPtr connection, virDomainPtr domain, int pass,
                              void *context)
{
    (void)connection;
    (void)pass;
    emit_migration(context, domain, "active");
}

// Migrating away, saving and dumping alike end with it.
static void on_job_completed(virConnectPtr connection, virDomainPtr domain,
                             virTypedParameterPtr parameters, int count, void *context)
{
    (void)connection;
    int success = 1;
    virTypedParamsGetBoolean(parameters, count, VIR_DOMAIN_JOB_SUCCESS, &success);
    emit_migration(context, domain, success ? "completed" : "failed");
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback callback;
} kinds[DOMAIN_EVENT_KINDS] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    {VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot)},
    {VIR_DOMAIN_EVENT_ID_PMWAKEUP, VIR_DOMAIN_EVENT_CALLBACK(on_wakeup)},
    {VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device_added)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device_removed)},
    {VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_migration_pass)},
    {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed)},
};

bool domain_events_begin(DomainEvents *events, virConnectPtr connection)
{
    events->connection = connection;
    for (int i = 0; i < DOMAIN_EVENT_KINDS; i++) {
        events->callbacks[i] = virConnectDomainEventRegisterAny(connection, NULL, kinds[i].id,
                                                                kinds[i].callback, events, NULL);
    }
    return events->callbacks[0] >= 0;
}

void domain_events_end(DomainEvents *events)
{
    for (int i = 0; i < DOMAIN_EVENT_KINDS; i++) {
        if (events->callbacks[i] >= 0) {
            virConnectDomainEventDeregisterAny(events->connection, events->callbacks[i]);
        }
    }
}
