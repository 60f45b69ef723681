// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/guest-files.h"

#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MONITOR_SUFFIX ".qmp"
#define AGENT_SUFFIX ".agent"
#define PID_SUFFIX ".pid"

static char *path_of(const char *folder, const char *name, const char *suffix)
{
    g_autofree char *file = g_strconcat(name, suffix, NULL);
    return g_build_filename(folder, file, NULL);
}

char *guest_files_monitor_path(const char *folder, const char *name)
{
    return path_of(folder, name, MONITOR_SUFFIX);
}

static bool fail(const char *path, GError **error)
{
    int code = errno;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: %s", path,
                g_strerror(code));
    return false;
}

static bool remove_file(const char *path, GError **error)
{
    return g_unlink(path) == 0 || errno == ENOENT || fail(path, error);
}

bool guest_files_set_agent(const char *folder, const char *name, const char *target, GError **error)
{
    g_autofree char *path = path_of(folder, name, AGENT_SUFFIX);
    g_autofree char *former = g_file_read_link(path, NULL);
    if (target && g_strcmp0(former, target) == 0) {
        return true;
    }
    return remove_file(path, error) && (!target || symlink(target, path) == 0 || fail(path, error));
}

bool guest_files_set_pid(const char *folder, const char *name, pid_t pid, GError **error)
{
    g_autofree char *path = path_of(folder, name, PID_SUFFIX);
    if (pid <= 0) {
        return remove_file(path, error);
    }
    g_autofree char *text = g_strdup_printf("%d\n", (int)pid);
    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, error);
}

void guest_files_remove(const char *folder, const char *name)
{
    guest_files_set_agent(folder, name, NULL, NULL);
    guest_files_set_pid(folder, name, 0, NULL);
}

// Whether `path` is a socket of our own user's on which nobody listens.
static bool is_abandoned(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode) || status.st_uid != geteuid()) {
        return false;
    }
    int fd = unix_socket_connect(path, NULL);
    int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 && code == ECONNREFUSED;
}

void guest_files_remove_stale(const char *folder,
                              bool is_wanted(const char *name, const void *context),
                              const void *context)
{
    g_autoptr(GDir) directory = g_dir_open(folder, 0, NULL);
    for (const char *file; directory && (file = g_dir_read_name(directory));) {
        if (!g_str_has_suffix(file, MONITOR_SUFFIX)) {
            continue;
        }
        g_autofree char *path = g_build_filename(folder, file, NULL);
        g_autofree char *name = g_strndup(file, strlen(file) - strlen(MONITOR_SUFFIX));
        if (!is_wanted(name, context) && is_abandoned(path)) {
            g_unlink(path);
            guest_files_remove(folder, name);
        }
    }
}
