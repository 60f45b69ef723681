// SPDX-License-Identifier: Apache-2.0
//
// Runs commands in a test guest, over the virtio-serial port served by tests/guest/init (which
// describes the protocol).
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_SHELL_PORT "org.aerostat.test.shell"

typedef struct GuestShell GuestShell;

// Takes over `fd`, the host's end of the port.
GuestShell *guest_shell_new(int fd);
// NULL does nothing.
void guest_shell_free(GuestShell *shell);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestShell, guest_shell_free)

typedef enum GuestShellResult {
    GUEST_SHELL_RUNNING,
    GUEST_SHELL_ENDED,
    GUEST_SHELL_FAILED, // the error is set
} GuestShellResult;

// Sends `command` (one line) to be run with `sh -c`. If an earlier one is not over, this one waits
// for its end in the guest, and the earlier one's answer is dropped. False with
// PROTOCOL_ERROR_CLOSED when the machine is gone.
bool guest_shell_begin(GuestShell *shell, const char *command, GError **error);
// Waits at most `timeout_us` (0: not at all) for the end of the command begun last. Once it has
// ended, `*status` is its exit status and `*output`, when asked for, stdout and stderr together.
GuestShellResult guest_shell_poll(GuestShell *shell, int64_t timeout_us, int *status, char **output,
                                  GError **error);

// Runs `command` to its end. Returns its exit status, or -1 with PROTOCOL_ERROR_TIMEOUT after
// `timeout_us` (it goes on in the guest) or PROTOCOL_ERROR_CLOSED.
int guest_shell_run(GuestShell *shell, const char *command, int64_t timeout_us, char **output,
                    GError **error);
