// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/jobs.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// Takes every `processes`-th thing from `first` on, and tells of each by a byte in the pipe.
static void work_through(size_t first, unsigned processes, size_t count, size_t result_size,
                         char *shared, int done_fd, JobFunc *work, void *context)
{
    for (size_t i = first; i < count; i += processes) {
        work(i, shared + i * result_size, context);
        if (write(done_fd, "", 1) != 1) {
            _exit(1);
        }
    }
    _exit(0);
}

static unsigned start(unsigned processes, size_t count, size_t result_size, char *shared,
                      const int pipe_fds[2], JobFunc *work, void *context)
{
    unsigned started = 0;
    while (started < processes) {
        pid_t pid = fork();
        if (pid < 0) {
            break;
        }
        if (pid == 0) {
            close(pipe_fds[0]);
            work_through(started, processes, count, result_size, shared, pipe_fds[1], work,
                         context);
        }
        started++;
    }
    return started;
}

// Until every process has closed its end of the pipe.
static size_t follow(int fd, size_t count, JobProgress *progress, void *context)
{
    char bytes[64];
    size_t done = 0;
    ssize_t length;
    while ((length = read(fd, bytes, sizeof bytes)) > 0) {
        done += (size_t)length;
        if (progress) {
            progress(done, count, context);
        }
    }
    return done;
}

bool jobs_run(size_t count, unsigned processes, size_t result_size, void *results, JobFunc *work,
              JobProgress *progress, void *context)
{
    int pipe_fds[2];
    size_t length = count * result_size;
    char *shared = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return false;
    }
    if (pipe(pipe_fds) != 0) {
        munmap(shared, length);
        return false;
    }
    unsigned started = start(processes, count, result_size, shared, pipe_fds, work, context);
    close(pipe_fds[1]);
    size_t done = follow(pipe_fds[0], count, progress, context);
    close(pipe_fds[0]);
    for (unsigned i = 0; i < started; i++) {
        wait(NULL);
    }
    memcpy(results, shared, length);
    munmap(shared, length);
    return done == count;
}
