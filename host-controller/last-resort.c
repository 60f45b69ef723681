// SPDX-License-Identifier: Apache-2.0
#include "host-controller/last-resort.h"

#include "host-controller/host-files.h"

#include <errno.h>
#include <string.h>

struct LastResort {
    const char *root;
    GThread *worker; // NULL: idle
    char *path;      // what it writes to, below the root
    int64_t bytes;
    gint done; // set by the worker at its end
};

LastResort *last_resort_new(const char *root)
{
    LastResort *resort = g_new0(LastResort, 1);
    resort->root = root;
    return resort;
}

static void join(LastResort *resort)
{
    if (resort->worker) {
        g_thread_join(g_steal_pointer(&resort->worker));
        g_clear_pointer(&resort->path, g_free);
    }
}

void last_resort_free(LastResort *resort)
{
    if (resort) {
        join(resort);
        g_free(resort);
    }
}

bool last_resort_is_idle(const LastResort *resort)
{
    return !resort->worker || g_atomic_int_get(&resort->done);
}

// --- whose group it is ------------------------------------------------------------------------

static char *read_text(const LastResort *resort, const char *path, GError **error)
{
    g_autofree char *full = g_strconcat(resort->root, path, NULL);
    char *text = NULL;
    return g_file_get_contents(full, &text, NULL, error) ? text : NULL;
}

// The group of version 2 that /proc/PID/cgroup names; NULL: none.
static char *named_group(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "0::/")) {
            return g_strdup(*line + strlen("0::"));
        }
    }
    return NULL;
}

static bool has_file(const LastResort *resort, const char *group, const char *file)
{
    g_autofree char *path = g_strconcat(resort->root, HOST_FILES_CGROUP, group, file, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

// The kernel's own threads have no memory.
static bool has_no_memory(const LastResort *resort, const char *pid)
{
    g_autofree char *path = g_strconcat("/proc/", pid, "/status", NULL);
    g_autofree char *text = read_text(resort, path, NULL);
    return text && !strstr(text, "\nVmRSS:");
}

// Beside QEMU, older kernels list the threads there that work for it: vhost's before Linux 6.4, and
// KVM's.
static bool holds_only(const LastResort *resort, const char *group, pid_t pid)
{
    g_autofree char *path = g_strconcat(HOST_FILES_CGROUP, group, "/cgroup.procs", NULL);
    g_autofree char *text = read_text(resort, path, NULL);
    g_autofree char *wanted = g_strdup_printf("%d", (int)pid);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    bool found = false;
    for (char **line = lines; *line; line++) {
        if (strcmp(*line, wanted) == 0) {
            found = true;
        } else if (**line && !has_no_memory(resort, *line)) {
            return false;
        }
    }
    return found;
}

char *last_resort_find_group(const LastResort *resort, pid_t pid, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int)pid);
    g_autofree char *text = read_text(resort, path, error);
    if (!text) {
        return NULL;
    }
    g_autofree char *group = named_group(text);
    // libvirt gives threads groups of their own below QEMU's, which have no memory controller.
    while (group && strlen(group) > 1 && !has_file(resort, group, "/memory.reclaim")) {
        char *parent = g_path_get_dirname(group);
        g_free(group);
        group = parent;
    }
    if (!group || strlen(group) <= 1 || !holds_only(resort, group, pid)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                    "process %d has no control group with memory.reclaim to itself", (int)pid);
        return NULL;
    }
    return g_steal_pointer(&group);
}

// --- reclaiming -------------------------------------------------------------------------------

// The kernel answers EAGAIN when it could not reclaim all of it.
static void *reclaim(void *context)
{
    LastResort *resort = context;
    bool all = host_files_write_number(resort->root, resort->path, resort->bytes);
    int why = errno;
    g_message("%s: %s", resort->path,
              all             ? "all of it was reclaimed"
              : why == EAGAIN ? "only a part of it was reclaimed"
                              : g_strerror(why));
    g_atomic_int_set(&resort->done, 1);
    return NULL;
}

void last_resort_reclaim(LastResort *resort, const char *group, int64_t bytes)
{
    join(resort);
    resort->path = g_strconcat(HOST_FILES_CGROUP, group, "/memory.reclaim", NULL);
    resort->bytes = bytes;
    g_atomic_int_set(&resort->done, 0);
    resort->worker = g_thread_new("last-resort", reclaim, resort);
}
