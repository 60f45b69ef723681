// SPDX-License-Identifier: Apache-2.0
#include "tests/support/vm.h"

#include "protocol/error.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/deadline.h"
#include "tests/support/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_EVERY_US (10 * MS_US)
// What an error shows of a log.
#define LOG_TAIL_BYTES 2000

struct Vm {
    char *name;
    int64_t memory_bytes;
    char *qmp_path;
    char *agent_path;
    char *observer_path;
    char *incoming_path;
    char *console_path;
    char *log_path;
    Process *qemu;
    GuestShell *shell;
    QmpSession *observer;
};

// --- the command line -------------------------------------------------------------------------

static void G_GNUC_PRINTF(2, 3) add(GStrvBuilder *arguments, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    g_autofree char *argument = g_strdup_vprintf(format, values);
    va_end(values);
    g_strv_builder_add(arguments, argument);
}

static void add_machine(GStrvBuilder *arguments, const VmPlace *place, const Vm *vm)
{
    static const char *const fixed[] = {"qemu-system-x86_64",
                                        "-nodefaults",
                                        "-no-user-config",
                                        "-no-reboot",
                                        "-display",
                                        "none",
                                        "-machine",
                                        "q35",
                                        "-cpu",
                                        "max",
                                        NULL};
    g_strv_builder_addv(arguments, (const char **)fixed);
    add(arguments, "-accel");
    add(arguments, "%s", place->accelerator);
    add(arguments, "-name");
    add(arguments, "%s", vm->name);
    add(arguments, "-m");
    add(arguments, "%" G_GINT64_FORMAT "M", vm->memory_bytes / MIB);
}

static void add_kernel(GStrvBuilder *arguments, const VmPlace *place, const VmOptions *options)
{
    add(arguments, "-kernel");
    add(arguments, "%s/vmlinuz", place->image_dir);
    add(arguments, "-initrd");
    add(arguments, "%s/initrd.gz", place->image_dir);
    g_autofree char *disk_path = g_build_filename(place->image_dir, "usr.squashfs", NULL);
    if (access(disk_path, R_OK) == 0) {
        add(arguments, "-drive");
        add(arguments, "file=%s,format=raw,if=virtio,readonly=on", disk_path);
    }
    add(arguments, "-append");
    // On a busy host an emulated timer may seem broken to the kernel, which then gives up.
    add(arguments,
        "console=ttyS0 quiet psi=1 panic=-1 no_timer_check aerostat.agent=%d aerostat.balloon=%d "
        "aerostat.zram=%" G_GINT64_FORMAT " %s",
        !options->without_agent, options->balloon == VM_BALLOON_WORKING, options->zram_bytes,
        options->kernel_arguments ? options->kernel_arguments : "");
}

// `shell_fd` and `observer_fd` are the numbers the descriptors have in the child.
static void add_devices(GStrvBuilder *arguments, const Vm *vm, const VmOptions *options,
                        int shell_fd, int observer_fd)
{
    add(arguments, "-chardev");
    add(arguments, "file,id=console,path=%s", vm->console_path);
    add(arguments, "-serial");
    add(arguments, "chardev:console");

    add(arguments, "-chardev");
    add(arguments, "socket,id=qmp,path=%s,server=on,wait=off", vm->qmp_path);
    add(arguments, "-mon");
    add(arguments, "chardev=qmp,mode=control");
    add(arguments, "-chardev");
    add(arguments, "socket,id=observer,fd=%d,server=on,wait=off", observer_fd);
    add(arguments, "-mon");
    add(arguments, "chardev=observer,mode=control");

    add(arguments, "-device");
    add(arguments, "virtio-serial-pci");
    add(arguments, "-chardev");
    add(arguments, "socket,id=" VM_AGENT_CHARDEV_ID ",path=%s,server=on,wait=off", vm->agent_path);
    if (!options->without_port) {
        add(arguments, "-device");
        add(arguments, "virtserialport,id=" VM_AGENT_PORT_ID ",chardev=" VM_AGENT_CHARDEV_ID
                       ",name=" VM_AGENT_PORT);
    }
    add(arguments, "-chardev");
    add(arguments, "socket,id=shell,fd=%d", shell_fd);
    add(arguments, "-device");
    add(arguments, "virtserialport,chardev=shell,name=" GUEST_SHELL_PORT);

    if (options->locked_memory) {
        add(arguments, "-overcommit");
        add(arguments, "mem-lock=on");
    }
    if (options->balloon != VM_BALLOON_NO_DEVICE) {
        add(arguments, "-device");
        add(arguments, "virtio-balloon-pci,id=balloon,deflate-on-oom=%s",
            options->deflate_on_oom ? "on" : "off");
    }
    if (options->snapshots) {
        // A temporary overlay over nothing: an empty disk that the guest does not see, and a place
        // for the machine's state.
        add(arguments, "-drive");
        add(arguments, "if=none,id=snapshots,file=null-co://,snapshot=on");
    }
    if (options->data_path) {
        add(arguments, "-drive");
        add(arguments, "file=%s,format=raw,if=virtio,readonly=on", options->data_path);
    }
    if (options->incoming) {
        add(arguments, "-incoming");
        add(arguments, "unix:%s", vm->incoming_path);
    }
}

// --- starting and ending ----------------------------------------------------------------------

static bool start_qemu(Vm *vm, const VmPlace *place, const VmOptions *options, GError **error)
{
    int observer_fd = unix_socket_listen(vm->observer_path, 0600, error);
    if (observer_fd < 0) {
        return false;
    }
    int shell_fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, shell_fds) < 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "socketpair: %s", g_strerror(errno));
        close(observer_fd);
        return false;
    }
    vm->shell = guest_shell_new(shell_fds[0]);

    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    add_machine(builder, place, vm);
    add_kernel(builder, place, options);
    add_devices(builder, vm, options, 3, 4);
    g_auto(GStrv) arguments = g_strv_builder_end(builder);
    const int fds[] = {shell_fds[1], observer_fd};
    vm->qemu = process_start(&(ProcessOptions){.arguments = (const char *const *)arguments,
                                               .log_path = vm->log_path,
                                               .fds = fds,
                                               .fd_count = G_N_ELEMENTS(fds)},
                             error);
    // QEMU has the only copies now, so that its end is seen at once.
    close(shell_fds[1]);
    close(observer_fd);
    return vm->qemu != NULL;
}

Vm *vm_new(const VmPlace *place, const VmOptions *options, GError **error)
{
    Vm *vm = g_new0(Vm, 1);
    vm->name = g_strdup(options->name);
    vm->memory_bytes = options->memory_bytes ? options->memory_bytes : VM_DEFAULT_MEMORY_BYTES;
    vm->qmp_path = g_strdup_printf("%s/%s.qmp", place->directory, vm->name);
    vm->agent_path = g_strdup_printf("%s/%s.agent", place->directory, vm->name);
    vm->observer_path = g_strdup_printf("%s/%s.observer", place->directory, vm->name);
    vm->incoming_path = g_strdup_printf("%s/%s.incoming", place->directory, vm->name);
    vm->console_path = g_strdup_printf("%s/%s.console", place->directory, vm->name);
    vm->log_path = g_strdup_printf("%s/%s.log", place->directory, vm->name);
    if (!start_qemu(vm, place, options, error)) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(Vm *vm)
{
    if (!vm) {
        return;
    }
    qmp_session_close(vm->observer);
    guest_shell_free(vm->shell);
    process_free(vm->qemu);
    g_free(vm->name);
    g_free(vm->qmp_path);
    g_free(vm->agent_path);
    g_free(vm->observer_path);
    g_free(vm->incoming_path);
    g_free(vm->console_path);
    g_free(vm->log_path);
    g_free(vm);
}

static const char *tail(const char *text)
{
    size_t length = strlen(text);
    return length > LOG_TAIL_BYTES ? text + length - LOG_TAIL_BYTES : text;
}

bool vm_wait_monitor(Vm *vm, int64_t timeout_us, GError **error)
{
    if (!vm->observer) {
        // The greeting comes from QEMU's main loop, when all its sockets are there.
        vm->observer = qmp_session_open(vm->observer_path, timeout_us, error);
    }
    return vm->observer != NULL;
}

bool vm_wait_ready(Vm *vm, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    g_autoptr(GError) cause = NULL;
    if (vm_wait_monitor(vm, timeout_us, &cause) &&
        vm_run(vm, "true", deadline_left_us(deadline_us), NULL, &cause) == 0) {
        return true;
    }
    bool in_time = !g_error_matches(cause, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT);
    g_autofree char *log = vm_log(vm);
    g_autofree char *console = vm_console(vm);
    g_set_error(error, PROTOCOL_ERROR, in_time ? PROTOCOL_ERROR_CLOSED : PROTOCOL_ERROR_TIMEOUT,
                "guest %s did not boot: %s\nQEMU: %s\nconsole: %s", vm->name,
                cause ? cause->message : "its shell fails", tail(log), tail(console));
    return false;
}

// --- facts ------------------------------------------------------------------------------------

const char *vm_name(const Vm *vm)
{
    return vm->name;
}

int64_t vm_memory_bytes(const Vm *vm)
{
    return vm->memory_bytes;
}

pid_t vm_pid(const Vm *vm)
{
    return process_pid(vm->qemu);
}

bool vm_is_running(Vm *vm)
{
    return process_is_running(vm->qemu);
}

const char *vm_qmp_path(const Vm *vm)
{
    return vm->qmp_path;
}

const char *vm_agent_path(const Vm *vm)
{
    return vm->agent_path;
}

const char *vm_incoming_path(const Vm *vm)
{
    return vm->incoming_path;
}

char *vm_console(const Vm *vm)
{
    char *text = NULL;
    g_file_get_contents(vm->console_path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

char *vm_log(const Vm *vm)
{
    return process_log(vm->qemu);
}

QmpSession *vm_observer(Vm *vm)
{
    return vm->observer;
}

// --- inside the guest -------------------------------------------------------------------------

int vm_run(Vm *vm, const char *command, int64_t timeout_us, char **output, GError **error)
{
    int status = guest_shell_run(vm->shell, command, timeout_us, output, error);
    if (status < 0) {
        g_prefix_error(error, "guest %s, '%s': ", vm->name, command);
    }
    return status;
}

bool vm_begin(Vm *vm, const char *command, GError **error)
{
    return guest_shell_begin(vm->shell, command, error);
}

GuestShellResult vm_poll(Vm *vm, int *status, char **output, GError **error)
{
    return guest_shell_poll(vm->shell, 0, status, output, error);
}

// Runs `command`, which must print one number. Returns it, or -1.
static int64_t run_for_number(Vm *vm, const char *command, GError **error)
{
    g_autofree char *output = NULL;
    if (vm_run(vm, command, VM_COMMAND_TIMEOUT_US, &output, error) < 0) {
        return -1;
    }
    gint64 number;
    if (!g_ascii_string_to_signed(g_strstrip(output), 10, 0, G_MAXINT64, &number, error)) {
        g_prefix_error(error, "guest %s, '%s': ", vm->name, command);
        return -1;
    }
    return number;
}

int64_t vm_run_in_background(Vm *vm, const char *command, GError **error)
{
    g_autofree char *script = g_strdup_printf("exec >/tmp/$$.out 2>&1; %s", command);
    g_autofree char *quoted = g_shell_quote(script);
    // A session of its own, so that all of it can be ended together.
    g_autofree char *line = g_strdup_printf("setsid sh -c %s & echo $!", quoted);
    return run_for_number(vm, line, error);
}

bool vm_end_background(Vm *vm, int64_t pid, GError **error)
{
    g_autofree char *line = g_strdup_printf("while kill -9 -%" G_GINT64_FORMAT " 2>/dev/null; do "
                                            "usleep 10000; done",
                                            pid);
    return vm_run(vm, line, VM_COMMAND_TIMEOUT_US, NULL, error) >= 0;
}

int64_t vm_oom_kills(Vm *vm, GError **error)
{
    return run_for_number(vm, "sed -n 's/^oom_kill //p' /proc/vmstat", error);
}

void vm_kill(Vm *vm)
{
    process_kill(vm->qemu, SIGKILL);
    process_wait(vm->qemu, 60 * SECOND_US, NULL);
}

// --- waiting ----------------------------------------------------------------------------------

bool vm_wait_until(Vm *vm, VmCondition *condition, void *context, const char *what,
                   int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    for (;;) {
        switch (condition(vm, context, error)) {
        case VM_CONDITION_HOLDS:
            return true;
        case VM_CONDITION_FAILED:
            return false;
        case VM_CONDITION_NOT_YET:
            break;
        }
        if (deadline_left_us(deadline_us) == 0) {
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT,
                        "guest %s: waited %" G_GINT64_FORMAT " ms in vain for %s", vm->name,
                        timeout_us / MS_US, what);
            return false;
        }
        g_usleep(LOOK_EVERY_US);
    }
}

typedef struct Range {
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t seen_bytes;
} Range;

static VmConditionResult actual_is_within(Vm *vm, void *context, GError **error)
{
    Range *range = context;
    range->seen_bytes = vm_actual_bytes(vm, error);
    if (range->seen_bytes < 0) {
        return VM_CONDITION_FAILED;
    }
    return range->seen_bytes >= range->min_bytes && range->seen_bytes <= range->max_bytes
               ? VM_CONDITION_HOLDS
               : VM_CONDITION_NOT_YET;
}

bool vm_wait_actual(Vm *vm, int64_t min_bytes, int64_t max_bytes, int64_t timeout_us,
                    GError **error)
{
    Range range = {.min_bytes = min_bytes, .max_bytes = max_bytes};
    bool held = vm_wait_until(vm, actual_is_within, &range, "its size", timeout_us, error);
    if (!held) {
        g_prefix_error(error,
                       "wanted %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                       " MiB, it has %" G_GINT64_FORMAT " MiB; ",
                       min_bytes / MIB, max_bytes / MIB, range.seen_bytes / MIB);
    }
    return held;
}
