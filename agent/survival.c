// SPDX-License-Identifier: Apache-2.0
#include "agent/survival.h"

#include "agent/fault-watch.h"
#include "protocol/transport/pressure-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// Never to be killed: the agent holds a few megabytes, and its death would blind the host in the
// very moment that the guest is in need.
#define OOM_SCORE_ADJ "-1000"

static bool fail(const char *what, GError **error)
{
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "%s: %s", what,
                g_strerror(errno));
    return false;
}

bool survival_lock_memory(GError **error)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    bool is_unlimited = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ||
                        (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY);
    int future = is_unlimited ? MCL_FUTURE : 0;
    return mlockall(MCL_CURRENT | MCL_ONFAULT | future) == 0 || fail("mlockall", error);
}

bool survival_avoid_oom_killer(const char *root, GError **error)
{
    g_autofree char *path = g_strconcat(root, "/proc/self/oom_score_adj", NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(path, error);
    }
    bool written = write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ)) >= 0 || fail(path, error);
    close(fd);
    return written;
}

static void say(const char *what, const char *why)
{
    g_printerr("aerostat-agent: %s: %s\n", what, why);
}

static void try_pressure_trigger(void)
{
    int64_t window_us;
    const char *why;
    int fd = pressure_trigger_open(PRESSURE_MEMORY_PATH, &window_us, &why);
    if (fd < 0) {
        say("no pressure trigger, stalls are seen by sampling", why);
        return;
    }
    close(fd);
    if (window_us > PRESSURE_BEST_WINDOW_US) {
        say("stalls are seen within 200 ms instead of 50", "no CAP_SYS_RESOURCE");
    }
}

static void ignore(void *context)
{
    (void)context;
}

static void try_fault_watch(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(FaultWatch) watch = fault_watch_new(ignore, NULL, &error);
    if (!watch) {
        say("page faults are not watched, samples are more frequent (CAP_PERFMON)", error->message);
    }
}

void survival_prepare(void)
{
    g_autoptr(GError) lock_error = NULL;
    g_autoptr(GError) oom_error = NULL;
    if (!survival_lock_memory(&lock_error)) {
        say("memory is not locked, reports may be late while the guest swaps", lock_error->message);
    }
    if (!survival_avoid_oom_killer("", &oom_error)) {
        say("the OOM killer may end this process", oom_error->message);
    }
    try_pressure_trigger();
    try_fault_watch();
}
