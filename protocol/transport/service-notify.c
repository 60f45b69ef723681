// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/service-notify.h"

#include <glib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void service_notify(const char *state)
{
    const char *path = g_getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    // A path, or a name in the abstract namespace.
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path)) {
        return;
    }
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                     address_length);
        close(fd);
    }
}

int64_t service_watchdog_interval_us(void)
{
    const char *timeout = g_getenv("WATCHDOG_USEC");
    const char *pid = g_getenv("WATCHDOG_PID");
    guint64 timeout_us;
    if (!timeout || !g_ascii_string_to_unsigned(timeout, 10, 2, INT64_MAX, &timeout_us, NULL) ||
        (pid && g_ascii_strtoll(pid, NULL, 10) != getpid())) {
        return 0;
    }
    return (int64_t)timeout_us / 2;
}
