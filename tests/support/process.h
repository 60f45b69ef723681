// SPDX-License-Identifier: Apache-2.0
//
// Child processes for tests: they die with the test, are waited for with a deadline, and what they
// say is kept in a file.
//
// Only for single-threaded programs: the kernel ties a child's life to the thread that made it.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Process Process;

typedef struct ProcessOptions {
    const char *const *arguments; // NULL-terminated; the first is the program, looked up in PATH
    const char *log_path;         // stderr is appended to this file
    const char *output_path;      // stdout likewise; NULL: to the log as well
    const int *fds;               // become the child's descriptors 3, 4, ...; stay the caller's
    size_t fd_count;
} ProcessOptions;

// Starts a child with stdin from /dev/null. It is killed when this process ends, however it ends.
// Returns NULL with a G_SPAWN_ERROR or G_FILE_ERROR.
Process *process_start(const ProcessOptions *options, GError **error);
// Kills the child if it still runs, waits for it and frees. NULL does nothing.
void process_free(Process *process);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Process, process_free)

pid_t process_pid(const Process *process);
// Whether the child has not ended yet.
bool process_is_running(Process *process);
// How many descriptors a process has open, and what its /proc/PID/status says of `field`, such as
// "VmRSS", in bytes. Fails the test when there is no such process or field (proc(5)).
int process_descriptors(pid_t pid);
int64_t process_status_bytes(pid_t pid, const char *field);

// Sends a signal, unless the child has ended.
void process_kill(Process *process, int signal_number);

// Waits until the child has ended. Returns its exit status, 128 + signal when a signal ended it, or
// -1 with PROTOCOL_ERROR_TIMEOUT after `timeout_us`.
int process_wait(Process *process, int64_t timeout_us, GError **error);

// All that stands in the log so far (of earlier children with the same log too).
char *process_log(const Process *process);
// Waits until `text` stands in the log. False with PROTOCOL_ERROR_TIMEOUT, or with
// PROTOCOL_ERROR_CLOSED when the child ended without it.
bool process_wait_for_log(Process *process, const char *text, int64_t timeout_us, GError **error);

// Runs a program to its end. Returns its exit status as process_wait() does and what it wrote to
// stdout and stderr (`output` and `errors` may be NULL); -1 with an error when it could not be
// started or did not end within `timeout_us`.
int process_run(const char *const *arguments, int64_t timeout_us, char **output, char **errors,
                GError **error);
