// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int fail(const char *path, const char *what, int fd, GError **error)
{
    int code = errno;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: %s: %s", path, what,
                g_strerror(code));
    if (fd >= 0) {
        close(fd);
    }
    errno = code;
    return -1;
}

static int open_socket(const char *path, struct sockaddr_un *address, GError **error)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return fail(path, "socket path", -1, error);
    }
    memcpy(address->sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : fail(path, "socket", -1, error);
}

int unix_socket_connect(const char *path, GError **error)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, error);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        return fail(path, "connect", fd, error);
    }
    return fd;
}

// Removes a socket nobody listens on any more. False with errno set when something else is there.
static bool remove_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0) {
        return errno == ENOENT;
    }
    if (!S_ISSOCK(status.st_mode)) {
        errno = EEXIST;
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return false;
    }
    bool refused = connect(probe, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
                   errno == ECONNREFUSED;
    close(probe);
    if (!refused) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(address->sun_path) == 0;
}

int unix_socket_listen(const char *path, mode_t mode, GError **error)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, error);
    if (fd < 0) {
        return -1;
    }
    if (!remove_stale(&address)) {
        return fail(path, "cannot listen", fd, error);
    }
    // The permissions are in force from the first moment: nobody slips in before a chmod().
    mode_t old_mask = umask(~mode & 0777);
    int result = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(old_mask);
    if (result < 0 || listen(fd, BACKLOG) < 0) {
        return fail(path, "cannot listen", fd, error);
    }
    return fd;
}

int unix_socket_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

bool unix_socket_peer_pid(int fd, pid_t *pid)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0 ||
        credentials.pid <= 0) {
        return false;
    }
    *pid = credentials.pid;
    return true;
}
