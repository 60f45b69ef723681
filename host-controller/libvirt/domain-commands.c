// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-commands.h"

#include "host-controller/libvirt/domain-stats.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define KIB INT64_C(1024)

// --- what libvirt refuses ---------------------------------------------------------------------

// A domain that is gone, or a libvirtd, or one that waits in vain for another's job on the domain,
// says nothing; anything else is an answer.
json_t *domain_commands_fail(DomainTask *task, GError **error)
{
    const virError *cause = virGetLastError();
    int code = cause ? cause->code : VIR_ERR_OK;
    g_autofree char *message = json_text_for_people(virGetLastErrorMessage());
    task->unavailable = code == VIR_ERR_OPERATION_TIMEOUT || virDomainIsActive(task->domain) != 1;
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, message);
    return NULL;
}

static json_t *refuse(GError **error, const char *why)
{
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, why);
    return NULL;
}

// --- the domain's state -----------------------------------------------------------------------

// The words of QEMU's RunState.
static const char *paused_word(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_PAUSED_IOERROR:
        return "io-error";
    case VIR_DOMAIN_PAUSED_WATCHDOG:
        return "watchdog";
    case VIR_DOMAIN_PAUSED_CRASHED:
        return "guest-panicked";
    case VIR_DOMAIN_PAUSED_SAVE:
    case VIR_DOMAIN_PAUSED_SNAPSHOT:
        return "save-vm";
    case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
        return "shutdown";
    case VIR_DOMAIN_PAUSED_STARTING_UP:
        return "prelaunch";
    default:
        return "paused";
    }
}

static const char *state_word(int state, int reason)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return "running";
    case VIR_DOMAIN_PAUSED:
        return paused_word(reason);
    case VIR_DOMAIN_PMSUSPENDED:
        return "suspended";
    case VIR_DOMAIN_CRASHED:
        return "guest-panicked";
    default:
        return "shutdown";
    }
}

static json_t *query_status(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    DomainTask *task = context;
    int state;
    int reason;
    if (virDomainGetState(task->domain, &state, &reason, 0) < 0) {
        return domain_commands_fail(task, error);
    }
    const char *word = state_word(state, reason);
    return json_pack("{s:s, s:b}", "status", word, "running", strcmp(word, "running") == 0);
}

// --- migration --------------------------------------------------------------------------------

static bool is_in_migration(int state, int reason)
{
    return (state == VIR_DOMAIN_PAUSED &&
            (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_POSTCOPY)) ||
           (state == VIR_DOMAIN_RUNNING && reason == VIR_DOMAIN_RUNNING_POSTCOPY);
}

// Whether QEMU sends the domain's memory somewhere: to another host, or to a file.
static bool sends_memory(int operation)
{
    switch (operation) {
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN:
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
    case VIR_DOMAIN_JOB_OPERATION_SAVE:
    case VIR_DOMAIN_JOB_OPERATION_RESTORE:
    case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
    case VIR_DOMAIN_JOB_OPERATION_DUMP:
        return true;
    default:
        return false;
    }
}

// libvirt's jobs rather than QEMU's migration: while one of them is under way libvirt would let a
// change of the balloon wait.
static json_t *query_migrate(void *context, const QmpCommand *command, json_t *arguments,
                             GError **error)
{
    (void)command;
    (void)arguments;
    DomainTask *task = context;
    int state;
    int reason;
    if (virDomainGetState(task->domain, &state, &reason, 0) < 0) {
        return domain_commands_fail(task, error);
    }
    if (is_in_migration(state, reason)) {
        return json_pack("{s:s}", "status", "active");
    }
    int type = VIR_DOMAIN_JOB_NONE;
    virTypedParameterPtr parameters = NULL;
    int count = 0;
    if (virDomainGetJobStats(task->domain, &type, &parameters, &count, 0) < 0) {
        return domain_commands_fail(task, error);
    }
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
    virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(parameters, count);
    bool active = (type == VIR_DOMAIN_JOB_BOUNDED || type == VIR_DOMAIN_JOB_UNBOUNDED) &&
                  sends_memory(operation);
    return json_pack("{s:s}", "status", active ? "active" : "none");
}

// libvirt has QEMU tell of migrations anyway; nothing else may be set.
static json_t *migrate_set_capabilities(void *context, const QmpCommand *command, json_t *arguments,
                                        GError **error)
{
    (void)context;
    (void)command;
    g_autoptr(json_t) allowed =
        json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1);
    return json_equal(arguments, allowed) ? json_object()
                                          : refuse(error, "migrations are libvirt's to set up");
}

// --- memory -----------------------------------------------------------------------------------

bool domain_commands_read_xml(DomainTask *task, GError **error)
{
    char *text = virDomainGetXMLDesc(task->domain, 0);
    if (!text) {
        domain_commands_fail(task, error);
        return false;
    }
    task->xml_read = domain_xml_parse(text, &task->xml, error);
    free(text); // libvirt's
    return task->xml_read;
}

static json_t *query_memory_size(void *context, const QmpCommand *command, json_t *arguments,
                                 GError **error)
{
    (void)command;
    (void)arguments;
    DomainTask *task = context;
    if (!domain_commands_read_xml(task, error)) {
        return NULL;
    }
    return json_pack("{s:I, s:I}", "base-memory", (json_int_t)task->xml.base_bytes,
                     "plugged-memory", (json_int_t)task->xml.plugged_bytes);
}

// libvirt asks QEMU: not what virDomainGetInfo() has from the last BALLOON_CHANGE, of which there
// is one a second.
static json_t *query_balloon(void *context, const QmpCommand *command, json_t *arguments,
                             GError **error)
{
    (void)command;
    (void)arguments;
    DomainTask *task = context;
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int count = virDomainMemoryStats(task->domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
    for (int i = 0; i < count; i++) {
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON &&
            stats[i].val <= (unsigned long long)(LIMIT_REPORT_VALUE / KIB)) {
            json_int_t actual_bytes = (json_int_t)stats[i].val * KIB;
            return json_pack("{s:I}", "actual", actual_bytes);
        }
    }
    if (count >= 0) {
        return refuse(error, "No balloon device has been activated");
    }
    domain_commands_fail(task, error);
    // Only that there is no device is an answer: all else would be taken for it.
    task->unavailable = true;
    return NULL;
}

static json_t *balloon(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    DomainTask *task = context;
    int64_t bytes;
    if (!json_member_int(arguments, "value", KIB, LIMIT_REPORT_VALUE, &bytes, error)) {
        return NULL;
    }
    if (virDomainSetMemoryFlags(task->domain, (unsigned long)(bytes / KIB),
                                VIR_DOMAIN_AFFECT_LIVE) < 0) {
        return domain_commands_fail(task, error);
    }
    return json_object();
}

// --- the table --------------------------------------------------------------------------------

static json_t *qmp_capabilities(void *context, const QmpCommand *command, json_t *arguments,
                                GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_object();
}

static const QmpArgument negotiation_arguments[] = {
    {.name = "enable", .type = JSON_ARRAY, .optional = true}, {0}};
static const QmpArgument balloon_arguments[] = {{.name = "value", .type = JSON_INTEGER}, {0}};
static const QmpArgument capabilities_arguments[] = {{.name = "capabilities", .type = JSON_ARRAY},
                                                     {0}};

const QmpCommand domain_commands[] = {
    {.name = "qmp_capabilities", .arguments = negotiation_arguments, .handler = qmp_capabilities},
    {.name = "query-status", .handler = query_status, .flags = DOMAIN_COMMAND_TELLS_STATE},
    {.name = "query-migrate", .handler = query_migrate, .flags = DOMAIN_COMMAND_TELLS_STATE},
    {.name = "migrate-set-capabilities",
     .arguments = capabilities_arguments,
     .handler = migrate_set_capabilities},
    {.name = "query-memory-size-summary", .handler = query_memory_size},
    {.name = "query-balloon", .handler = query_balloon, .flags = DOMAIN_COMMAND_TELLS_STATE},
    {.name = "balloon", .arguments = balloon_arguments, .handler = balloon},
    {.name = "qom-list", .arguments = domain_stats_list_arguments, .handler = domain_stats_list},
    {.name = "qom-get", .arguments = domain_stats_get_arguments, .handler = domain_stats_get},
    {.name = "qom-set", .arguments = domain_stats_set_arguments, .handler = domain_stats_set},
    {0},
};

bool domain_commands_gate(void *context, const QmpCommand *command, const char *name,
                          GError **error)
{
    const DomainTask *task = context;
    bool negotiates = command && strcmp(name, "qmp_capabilities") == 0;
    if (negotiates != task->negotiated) {
        return true;
    }
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                        negotiates ? "Capabilities negotiation is already complete, command ignored"
                                   : "Expecting capabilities negotiation with 'qmp_capabilities'");
    return false;
}
