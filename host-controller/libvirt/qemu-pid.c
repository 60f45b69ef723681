// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/qemu-pid.h"

#include <glib.h>
#include <string.h>

// The kernel's own limit of pids (PID_MAX_LIMIT).
#define MAX_PID (4 * 1024 * 1024)

char *qemu_pid_folder(const char *uri)
{
    if (strstr(uri, "/session")) {
        return g_build_filename(g_get_user_runtime_dir(), "libvirt/qemu/run", NULL);
    }
    return g_strdup("/run/libvirt/qemu");
}

pid_t qemu_pid_read(const char *folder, const char *domain_name)
{
    g_autofree char *file = g_strconcat(domain_name, ".pid", NULL);
    g_autofree char *path = g_build_filename(folder, file, NULL);
    g_autofree char *text = NULL;
    guint64 pid;
    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        !g_ascii_string_to_unsigned(g_strstrip(text), 10, 2, MAX_PID, &pid, NULL)) {
        return 0;
    }
    g_autofree char *process = g_strdup_printf("/proc/%d", (int)pid);
    return g_file_test(process, G_FILE_TEST_IS_DIR) ? (pid_t)pid : 0;
}
