// SPDX-License-Identifier: Apache-2.0
//
// The part of a guest's fixture that works through the observer: the machine itself.
#include "tests/support/vm.h"

#include "protocol/error.h"
#include "tests/support/deadline.h"

#include <string.h>

// Saving a machine is one command.
#define OBSERVER_TIMEOUT_US (120 * SECOND_US)

static json_t *execute(Vm *vm, const char *command, json_t *arguments, GError **error)
{
    json_t *value =
        qmp_session_execute(vm_observer(vm), command, arguments, OBSERVER_TIMEOUT_US, error);
    if (!value) {
        g_prefix_error(error, "guest %s, %s: ", vm_name(vm), command);
    }
    return value;
}

static bool order(Vm *vm, const char *command, json_t *arguments, GError **error)
{
    g_autoptr(json_t) value = execute(vm, command, arguments, error);
    return value != NULL;
}

int64_t vm_actual_bytes(Vm *vm, GError **error)
{
    int64_t actual_bytes;
    g_autoptr(json_t) value = execute(vm, "query-balloon", NULL, error);
    if (!value || !json_member_int(value, "actual", 0, G_MAXINT64, &actual_bytes, error)) {
        return -1;
    }
    return actual_bytes;
}

bool vm_set_target(Vm *vm, int64_t bytes, GError **error)
{
    return order(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)bytes), error);
}

#define TARGET_TRACE "virtio_balloon_to_target"

bool vm_trace_targets(Vm *vm, GError **error)
{
    return order(vm, "trace-event-set-state",
                 json_pack("{s:s, s:b}", "name", TARGET_TRACE, "enable", 1), error);
}

unsigned vm_targets_traced(const Vm *vm)
{
    g_autofree char *log = vm_log(vm);
    unsigned count = 0;
    for (const char *at = log; (at = strstr(at, TARGET_TRACE)); at++) {
        count++;
    }
    return count;
}

bool vm_stop(Vm *vm, GError **error)
{
    return order(vm, "stop", NULL, error);
}

bool vm_continue(Vm *vm, GError **error)
{
    return order(vm, "cont", NULL, error);
}

static bool set_reboot_action(Vm *vm, const char *action, GError **error)
{
    return order(vm, "set-action", json_pack("{s:s}", "reboot", action), error);
}

static bool wait_event(Vm *vm, const char *name, int64_t deadline_us, GError **error)
{
    for (;;) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(json_t) event =
            qmp_session_next_event(vm_observer(vm), deadline_left_us(deadline_us), &cause);
        if (!event) {
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "guest %s: no event %s: %s",
                        vm_name(vm), name, cause ? cause->message : "not in time");
            return false;
        }
        if (g_strcmp0(json_string_value(json_object_get(event, "event")), name) == 0) {
            return true;
        }
    }
}

bool vm_reset(Vm *vm, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    // Otherwise a reset ends QEMU (-no-reboot), as a guest's panic should. The firmware may reset
    // once more on its own, so this holds until the guest is up.
    return set_reboot_action(vm, "reset", error) && order(vm, "system_reset", NULL, error) &&
           wait_event(vm, "RESET", deadline_us, error) &&
           vm_wait_ready(vm, deadline_left_us(deadline_us), error) &&
           set_reboot_action(vm, "shutdown", error);
}

// --- the agent's port -------------------------------------------------------------------------

bool vm_plug_port(Vm *vm, GError **error)
{
    return order(vm, "device_add",
                 json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id",
                           VM_AGENT_PORT_ID, "chardev", VM_AGENT_CHARDEV_ID, "name", VM_AGENT_PORT),
                 error);
}

bool vm_unplug_port(Vm *vm, GError **error)
{
    return order(vm, "device_del", json_pack("{s:s}", "id", VM_AGENT_PORT_ID), error);
}

// --- sleep ------------------------------------------------------------------------------------

// Whether the machine's state is the one named `context`.
static VmConditionResult status_is(Vm *vm, void *context, GError **error)
{
    g_autoptr(json_t) value = execute(vm, "query-status", NULL, error);
    if (!value) {
        return VM_CONDITION_FAILED;
    }
    const char *status = json_string_value(json_object_get(value, "status"));
    return g_strcmp0(status, context) == 0 ? VM_CONDITION_HOLDS : VM_CONDITION_NOT_YET;
}

bool vm_suspend(Vm *vm, GError **error)
{
    // Ends when the guest wakes.
    return vm_begin(vm, "echo mem >/sys/power/state", error) &&
           vm_wait_until(vm, status_is, "suspended", "its sleep", VM_COMMAND_TIMEOUT_US, error);
}

static VmConditionResult has_woken(Vm *vm, void *context, GError **error)
{
    int *status = context;
    switch (vm_poll(vm, status, NULL, error)) {
    case GUEST_SHELL_RUNNING:
        return VM_CONDITION_NOT_YET;
    case GUEST_SHELL_ENDED:
        return VM_CONDITION_HOLDS;
    case GUEST_SHELL_FAILED:
        break;
    }
    return VM_CONDITION_FAILED;
}

bool vm_wake(Vm *vm, GError **error)
{
    int status = 0;
    if (!order(vm, "system_wakeup", NULL, error) ||
        !vm_wait_until(vm, has_woken, &status, "its waking", VM_COMMAND_TIMEOUT_US, error)) {
        return false;
    }
    if (status != 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, "guest %s did not suspend",
                    vm_name(vm));
    }
    return status == 0;
}

// --- snapshots --------------------------------------------------------------------------------

// Executes a command of QEMU's human monitor, which says nothing when all went well.
static bool order_human(Vm *vm, const char *command, const char *argument, GError **error)
{
    g_autofree char *line = g_strdup_printf("%s %s", command, argument);
    g_autoptr(json_t) value =
        execute(vm, "human-monitor-command", json_pack("{s:s}", "command-line", line), error);
    if (value && json_string_length(value) > 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, "guest %s, %s: %s", vm_name(vm),
                    line, json_string_value(value));
    }
    return value && json_string_length(value) == 0;
}

bool vm_save(Vm *vm, const char *name, GError **error)
{
    return order_human(vm, "savevm", name, error);
}

bool vm_load(Vm *vm, const char *name, GError **error)
{
    return order_human(vm, "loadvm", name, error);
}

// --- migration --------------------------------------------------------------------------------

static VmConditionResult has_migrated(Vm *vm, void *context, GError **error)
{
    (void)context;
    g_autoptr(json_t) value = execute(vm, "query-migrate", NULL, error);
    if (!value) {
        return VM_CONDITION_FAILED;
    }
    const char *status = json_string_value(json_object_get(value, "status"));
    if (g_strcmp0(status, "failed") == 0) {
        const char *why = json_string_value(json_object_get(value, "error-desc"));
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, "guest %s does not migrate: %s",
                    vm_name(vm), why ? why : "for no reason given");
        return VM_CONDITION_FAILED;
    }
    return g_strcmp0(status, "completed") == 0 ? VM_CONDITION_HOLDS : VM_CONDITION_NOT_YET;
}

bool vm_migrate(Vm *from, Vm *to, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    g_autofree char *uri = g_strconcat("unix:", vm_incoming_path(to), NULL);
    return vm_wait_monitor(to, timeout_us, error) &&
           order(from, "migrate", json_pack("{s:s}", "uri", uri), error) &&
           vm_wait_until(from, has_migrated, NULL, "its migration", deadline_left_us(deadline_us),
                         error) &&
           vm_wait_ready(to, deadline_left_us(deadline_us), error);
}
