// SPDX-License-Identifier: Apache-2.0
//
// The commands of the fake QEMU's monitor.
#include "tests/support/fake-qemu-internal.h"

#include "protocol/error.h"

#include <string.h>

#define PAGE_BYTES 4096

static json_t *handle_capabilities(void *context, const QmpCommand *command, json_t *arguments,
                                   GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    FakeQemu *qemu = context;
    qemu->negotiated = true;
    return json_object();
}

static bool check_device(const FakeQemu *qemu, GError **error)
{
    if (!qemu->has_device) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "No balloon device has been activated");
    }
    return qemu->has_device;
}

static json_t *handle_balloon(void *context, const QmpCommand *command, json_t *arguments,
                              GError **error)
{
    (void)command;
    FakeQemu *qemu = context;
    int64_t target_bytes = json_integer_value(json_object_get(arguments, "value"));
    if (!check_device(qemu, error)) {
        return NULL;
    }
    if (target_bytes <= 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter 'target' expects a size");
        return NULL;
    }
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->keeps = false;
    target_bytes = MIN(target_bytes, qemu->size_bytes);
    qemu->target_bytes = target_bytes - target_bytes % PAGE_BYTES;
    return json_object();
}

static json_t *handle_query_balloon(void *context, const QmpCommand *command, json_t *arguments,
                                    GError **error)
{
    (void)command;
    (void)arguments;
    FakeQemu *qemu = context;
    if (!check_device(qemu, error)) {
        return NULL;
    }
    if (qemu->asked) {
        qemu->asked(qemu->asked_context);
    }
    return json_pack("{s:I}", "actual", fake_qemu_told_bytes(qemu));
}

static json_t *handle_query_memory(void *context, const QmpCommand *command, json_t *arguments,
                                   GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const FakeQemu *qemu = context;
    return json_pack("{s:I, s:I}", "base-memory", qemu->size_bytes - qemu->plugged_bytes,
                     "plugged-memory", qemu->plugged_bytes);
}

static json_t *handle_query_status(void *context, const QmpCommand *command, json_t *arguments,
                                   GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const FakeQemu *qemu = context;
    return json_pack("{s:s, s:b, s:b}", "status", qemu->running ? "running" : "paused",
                     "singlestep", 0, "running", qemu->running);
}

static json_t *handle_query_migrate(void *context, const QmpCommand *command, json_t *arguments,
                                    GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const FakeQemu *qemu = context;
    return json_pack("{s:s*}", "status", qemu->migration);
}

static json_t *handle_set_capabilities(void *context, const QmpCommand *command, json_t *arguments,
                                       GError **error)
{
    (void)command;
    (void)arguments;
    FakeQemu *qemu = context;
    if (g_strcmp0(qemu->migration, "active") == 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "There's a migration process in progress");
        return NULL;
    }
    qemu->tells_migration = true;
    return json_object();
}

static const QmpArgument balloon_arguments[] = {{.name = "value", .type = JSON_INTEGER}, {0}};
static const QmpArgument capabilities_arguments[] = {
    {.name = "enable", .type = JSON_ARRAY, .optional = true}, {0}};

static const QmpArgument set_capabilities_arguments[] = {
    {.name = "capabilities", .type = JSON_ARRAY}, {0}};

static const QmpArgument qom_list_arguments[] = {{.name = "path", .type = JSON_STRING}, {0}};
static const QmpArgument qom_get_arguments[] = {
    {.name = "path", .type = JSON_STRING}, {.name = "property", .type = JSON_STRING}, {0}};
static const QmpArgument qom_set_arguments[] = {{.name = "path", .type = JSON_STRING},
                                                {.name = "property", .type = JSON_STRING},
                                                {.name = "value", .type = JSON_INTEGER},
                                                {0}};

const QmpCommand fake_qemu_commands_table[] = {
    {.name = "qmp_capabilities",
     .arguments = capabilities_arguments,
     .handler = handle_capabilities},
    {.name = "balloon", .arguments = balloon_arguments, .handler = handle_balloon},
    {.name = "query-balloon", .handler = handle_query_balloon},
    {.name = "query-memory-size-summary", .handler = handle_query_memory},
    {.name = "query-status", .handler = handle_query_status},
    {.name = "query-migrate", .handler = handle_query_migrate},
    {.name = "qom-list", .arguments = qom_list_arguments, .handler = fake_qemu_qom_list},
    {.name = "qom-get", .arguments = qom_get_arguments, .handler = fake_qemu_qom_get},
    {.name = "qom-set", .arguments = qom_set_arguments, .handler = fake_qemu_qom_set},
    {.name = "migrate-set-capabilities",
     .arguments = set_capabilities_arguments,
     .handler = handle_set_capabilities},
    {0},
};

bool fake_qemu_gate(void *context, const QmpCommand *command, const char *name, GError **error)
{
    const FakeQemu *qemu = context;
    bool negotiates = command && strcmp(name, "qmp_capabilities") == 0;
    if (negotiates != qemu->negotiated) {
        return true;
    }
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_COMMAND_NOT_FOUND,
                        negotiates ? "Capabilities negotiation is already complete, command ignored"
                                   : "Expecting capabilities negotiation with 'qmp_capabilities'");
    return false;
}
