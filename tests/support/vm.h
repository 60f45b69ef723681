// SPDX-License-Identifier: Apache-2.0
//
// A real guest: one QEMU with a small Linux (tests/guest/), a balloon, an agent port, a shell for
// commands and a QMP monitor of the test's own beside the one the controller uses.
//
// QEMU dies with the process that made it. All its sockets and logs lie in one folder, named after
// the guest. Most tests get theirs from a VmLab (tests/support/vm-lab.h).
#pragma once

#include "host-controller/ctl/qmp-session.h"
#include "tests/support/guest-shell.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VM_DEFAULT_MEMORY_BYTES (INT64_C(512) << 20)
// Enough for a boot under TCG on a machine with ten times as much to do as it can.
#define VM_BOOT_TIMEOUT_US (INT64_C(240) * 1000000)
// Enough there for a command in a guest that is short of memory.
#define VM_COMMAND_TIMEOUT_US (INT64_C(240) * 1000000)

// The agent's port, and what QEMU calls its device and its character device.
#define VM_AGENT_PORT "org.aerostat.memory.0"
#define VM_AGENT_PORT_ID "agent-port"
#define VM_AGENT_CHARDEV_ID "agent"

typedef struct Vm Vm;

// Where guests live and what runs them.
typedef struct VmPlace {
    const char *directory;   // for sockets and logs; its path is short enough for sun_path
    const char *image_dir;   // vmlinuz, initrd.gz and, if there is one, the disk usr.squashfs
    const char *accelerator; // "kvm" or "tcg"
} VmPlace;

typedef enum VmBalloon {
    VM_BALLOON_WORKING,
    VM_BALLOON_NO_DRIVER, // the device is there, the guest does not drive it
    VM_BALLOON_NO_DEVICE,
} VmBalloon;

// What is left out is 0: a guest of 512 MiB with balloon and agent, without swap.
typedef struct VmOptions {
    const char *name;
    int64_t memory_bytes; // whole MiB
    bool deflate_on_oom;
    VmBalloon balloon;
    bool without_agent;
    bool without_port;     // the agent's port is missing until vm_plug_port()
    bool snapshots;        // vm_save() and vm_load() can be used
    bool incoming;         // does not boot but waits for vm_migrate()
    int64_t zram_bytes;    // swap on compressed memory
    const char *data_path; // a disk that the guest can read, of no file system; NULL: none
    bool locked_memory;    // QEMU locks all its memory, so that ballooning frees none of it
    const char *kernel_arguments;
} VmOptions;

// Starts a guest and does not wait for it. Returns NULL with an error when QEMU cannot be started.
Vm *vm_new(const VmPlace *place, const VmOptions *options, GError **error);
// Kills QEMU, however it feels. NULL does nothing.
void vm_free(Vm *vm);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

// Waits until QEMU's monitor answers, and opens the observer.
bool vm_wait_monitor(Vm *vm, int64_t timeout_us, GError **error);
// Waits until the guest runs commands. When it fails, the error tells what QEMU and the guest's
// console said last.
bool vm_wait_ready(Vm *vm, int64_t timeout_us, GError **error);

// --- facts ------------------------------------------------------------------------------------

const char *vm_name(const Vm *vm);
int64_t vm_memory_bytes(const Vm *vm);
pid_t vm_pid(const Vm *vm);
bool vm_is_running(Vm *vm);
// The QMP socket meant for the controller, and the agent port's socket.
const char *vm_qmp_path(const Vm *vm);
const char *vm_agent_path(const Vm *vm);
// Where a guest that is `incoming` listens for its state.
const char *vm_incoming_path(const Vm *vm);
// What the serial console and QEMU's stderr have said so far.
char *vm_console(const Vm *vm);
char *vm_log(const Vm *vm);
// The test's own monitor, open once the guest is ready.
QmpSession *vm_observer(Vm *vm);

// --- inside the guest -------------------------------------------------------------------------

// Runs one line with `sh -c` in the guest. Returns its exit status, and what it printed when
// `output` is not NULL; -1 with PROTOCOL_ERROR_TIMEOUT or PROTOCOL_ERROR_CLOSED.
int vm_run(Vm *vm, const char *command, int64_t timeout_us, char **output, GError **error);
// The same in two steps, for who has other things to do meanwhile: vm_poll() answers at once
// whether the command begun last is over.
bool vm_begin(Vm *vm, const char *command, GError **error);
GuestShellResult vm_poll(Vm *vm, int *status, char **output, GError **error);
// Starts one line in the guest's background. Its output goes to /tmp/PID.out in the guest. Returns
// the guest's pid, or -1 as vm_run() does.
int64_t vm_run_in_background(Vm *vm, const char *command, GError **error);
// Ends a background command and everything it started, and waits until all of it is gone. No error
// when it has ended already.
bool vm_end_background(Vm *vm, int64_t pid, GError **error);
// How often the guest's kernel has killed for lack of memory since it booted; -1 on error.
int64_t vm_oom_kills(Vm *vm, GError **error);

// --- the machine, through the observer --------------------------------------------------------

// The guest's memory as QEMU sees it, without what the balloon holds (query-balloon's "actual");
// -1 on error.
int64_t vm_actual_bytes(Vm *vm, GError **error);
// Sets the size the balloon should leave to the guest.
bool vm_set_target(Vm *vm, int64_t bytes, GError **error);
// Has QEMU write down every size its balloon is set to from now on, and tells how many there were.
bool vm_trace_targets(Vm *vm, GError **error);
unsigned vm_targets_traced(const Vm *vm);
// Pauses and resumes the guest's processors.
bool vm_stop(Vm *vm, GError **error);
bool vm_continue(Vm *vm, GError **error);
// Plugs the agent's port in, and out again; its socket on the host stays either way.
bool vm_plug_port(Vm *vm, GError **error);
bool vm_unplug_port(Vm *vm, GError **error);
// Has the guest suspend to memory and waits until it has.
bool vm_suspend(Vm *vm, GError **error);
// Wakes the guest that vm_suspend() sent to sleep and waits until it runs commands again.
bool vm_wake(Vm *vm, GError **error);
// Saves the running machine's state under `name`; the guest is paused meanwhile.
bool vm_save(Vm *vm, const char *name, GError **error);
// Goes back to the state saved under `name`.
bool vm_load(Vm *vm, const char *name, GError **error);
// Moves the running guest `from` to `to`, which is `incoming` and otherwise has the same options,
// and waits until it runs commands there. `from` stays as it is then, stopped.
bool vm_migrate(Vm *from, Vm *to, int64_t timeout_us, GError **error);
// Presses the reset button and waits until the guest runs commands again.
bool vm_reset(Vm *vm, int64_t timeout_us, GError **error);
// Kills QEMU at once and waits for its end.
void vm_kill(Vm *vm);

// --- waiting ----------------------------------------------------------------------------------

// Looks at the guest: VM_CONDITION_HOLDS ends the waiting.
typedef enum VmConditionResult {
    VM_CONDITION_HOLDS,
    VM_CONDITION_NOT_YET,
    VM_CONDITION_FAILED, // the error is set
} VmConditionResult;
typedef VmConditionResult VmCondition(Vm *vm, void *context, GError **error);

// Looks every 10 ms until `condition` holds. `what` completes "waited for ..." in the error,
// PROTOCOL_ERROR_TIMEOUT.
bool vm_wait_until(Vm *vm, VmCondition *condition, void *context, const char *what,
                   int64_t timeout_us, GError **error);
// Waits until `actual` is between the two sizes, both included.
bool vm_wait_actual(Vm *vm, int64_t min_bytes, int64_t max_bytes, int64_t timeout_us,
                    GError **error);
