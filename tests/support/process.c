// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include "protocol/error.h"
#include "tests/support/deadline.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The first descriptor a child gets of those passed on.
#define FIRST_FD 3
#define MAX_FDS 8

struct Process {
    pid_t pid;
    int pidfd;
    bool ended;
    int status; // once ended
    char *program;
    char *log_path;
};

// --- starting ---------------------------------------------------------------------------------

// Runs in the child.
static void die_with_parent(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)GPOINTER_TO_INT(parent)) {
        _exit(1); // the parent died before the line above
    }
}

static Process *spawn(const char *const *arguments, int output_fd, int log_fd, const int *fds,
                      size_t fd_count, GError **error)
{
    int targets[MAX_FDS];
    g_assert(fd_count <= MAX_FDS);
    for (size_t i = 0; i < fd_count; i++) {
        targets[i] = FIRST_FD + (int)i;
    }
    int input_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    GPid pid;
    bool spawned = g_spawn_async_with_pipes_and_fds(
        NULL, arguments, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, die_with_parent,
        GINT_TO_POINTER(getpid()), input_fd, output_fd, log_fd, fds, targets, fd_count, &pid, NULL,
        NULL, NULL, error);
    close(input_fd);
    if (!spawned) {
        return NULL;
    }
    Process *process = g_new0(Process, 1);
    process->pid = pid;
    process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    process->program = g_path_get_basename(arguments[0]);
    return process;
}

static int open_for_append(const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = errno;
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: %s", path,
                    g_strerror(code));
    }
    return fd;
}

Process *process_start(const ProcessOptions *options, GError **error)
{
    int log_fd = open_for_append(options->log_path, error);
    if (log_fd < 0) {
        return NULL;
    }
    int output_fd = log_fd;
    if (options->output_path) {
        output_fd = open_for_append(options->output_path, error);
    }
    Process *process = NULL;
    if (output_fd >= 0) {
        process =
            spawn(options->arguments, output_fd, log_fd, options->fds, options->fd_count, error);
    }
    if (process) {
        process->log_path = g_strdup(options->log_path);
    }
    if (output_fd >= 0 && output_fd != log_fd) {
        close(output_fd);
    }
    close(log_fd);
    return process;
}

void process_free(Process *process)
{
    if (!process) {
        return;
    }
    process_kill(process, SIGKILL);
    process_wait(process, SECOND_US * 60, NULL);
    close(process->pidfd);
    g_free(process->program);
    g_free(process->log_path);
    g_free(process);
}

// --- living and ending ------------------------------------------------------------------------

pid_t process_pid(const Process *process)
{
    return process->pid;
}

// Takes note of the child's end if it has ended.
static bool reap(Process *process)
{
    int status;
    if (!process->ended && waitpid(process->pid, &status, WNOHANG) == process->pid) {
        process->ended = true;
        process->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return process->ended;
}

bool process_is_running(Process *process)
{
    return !reap(process);
}

void process_kill(Process *process, int signal_number)
{
    if (!reap(process)) {
        kill(process->pid, signal_number);
    }
}

int process_wait(Process *process, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    while (!reap(process)) {
        int left_ms = deadline_left_ms(deadline_us);
        if (left_ms == 0) {
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "%s did not end in time",
                        process->program);
            return -1;
        }
        struct pollfd pollfd = {.fd = process->pidfd, .events = POLLIN};
        poll(&pollfd, 1, left_ms);
    }
    return process->status;
}

// --- what it says -----------------------------------------------------------------------------

char *process_log(const Process *process)
{
    char *text = NULL;
    g_file_get_contents(process->log_path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

static bool log_contains(const Process *process, const char *text)
{
    g_autofree char *log = process_log(process);
    return strstr(log, text) != NULL;
}

// Waits until the log grows, the child ends or the deadline passes.
static void wait_for_news(const Process *process, int watch_fd, int64_t deadline_us)
{
    struct pollfd pollfds[] = {{.fd = watch_fd, .events = POLLIN},
                               {.fd = process->pidfd, .events = POLLIN}};
    if (poll(pollfds, G_N_ELEMENTS(pollfds), deadline_left_ms(deadline_us)) > 0 &&
        pollfds[0].revents) {
        char events[4096];
        (void)!read(watch_fd, events, sizeof(events));
    }
}

bool process_wait_for_log(Process *process, const char *text, int64_t timeout_us, GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    inotify_add_watch(watch_fd, process->log_path, IN_MODIFY);
    bool found = false;
    for (;;) {
        // In this order: what it said last is seen even when it has ended since.
        bool ended = !process_is_running(process);
        found = log_contains(process, text);
        if (found || ended || deadline_left_us(deadline_us) == 0) {
            break;
        }
        wait_for_news(process, watch_fd, deadline_us);
    }
    close(watch_fd);
    if (!found) {
        bool running = process_is_running(process);
        g_autofree char *log = process_log(process);
        g_set_error(error, PROTOCOL_ERROR, running ? PROTOCOL_ERROR_TIMEOUT : PROTOCOL_ERROR_CLOSED,
                    "%s %s without saying '%s'; its log:\n%s", process->program,
                    running ? "went on" : "ended", text, log);
    }
    return found;
}

// --- running to the end -----------------------------------------------------------------------

// Reads a whole memory file and closes it.
static char *take_contents(int fd)
{
    struct stat status;
    size_t length = fstat(fd, &status) == 0 ? (size_t)status.st_size : 0;
    char *text = g_malloc(length + 1);
    ssize_t got = pread(fd, text, length, 0);
    text[MAX(got, 0)] = '\0';
    close(fd);
    return text;
}

int process_run(const char *const *arguments, int64_t timeout_us, char **output, char **errors,
                GError **error)
{
    int output_fd = memfd_create("stdout", MFD_CLOEXEC);
    int errors_fd = memfd_create("stderr", MFD_CLOEXEC);
    g_autoptr(Process) process = spawn(arguments, output_fd, errors_fd, NULL, 0, error);
    int status = process ? process_wait(process, timeout_us, error) : -1;
    g_autofree char *output_text = take_contents(output_fd);
    g_autofree char *errors_text = take_contents(errors_fd);
    if (output) {
        *output = g_steal_pointer(&output_text);
    }
    if (errors) {
        *errors = g_steal_pointer(&errors_text);
    }
    return status;
}

int process_descriptors(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    assert_non_null(folder);
    int count = 0;
    while (g_dir_read_name(folder)) {
        count++;
    }
    return count;
}

int64_t process_status_bytes(pid_t pid, const char *field)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autofree char *start = g_strdup_printf("\n%s:", field);
    const char *line = strstr(text, start);
    assert_non_null(line);
    return g_ascii_strtoll(line + strlen(start), NULL, 10) * 1024;
}
