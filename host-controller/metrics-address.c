// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-address.h"

#include "protocol/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

// Scrapes waiting for their turn.
#define BACKLOG 128

bool metrics_address_parse(const char *text, struct sockaddr_storage *address, socklen_t *length,
                           GError **error)
{
    const char *colon = strrchr(text, ':');
    guint64 port;
    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 1, G_MAXUINT16, &port, NULL)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "'%s' is not ADDRESS:PORT, such as 127.0.0.1:9786", text);
        return false;
    }
    bool bracketed = text[0] == '[' && colon[-1] == ']';
    g_autofree char *host = bracketed ? g_strndup(text + 1, (gsize)(colon - text) - 2)
                                      : g_strndup(text, (gsize)(colon - text));
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    if (!bracketed && inet_pton(AF_INET, host, &ipv4->sin_addr) == 1) {
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = htons((uint16_t)port);
        *length = sizeof(*ipv4);
        return true;
    }
    if (bracketed && inet_pton(AF_INET6, host, &ipv6->sin6_addr) == 1) {
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons((uint16_t)port);
        *length = sizeof(*ipv6);
        return true;
    }
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                "'%s' is not a numeric address, such as 127.0.0.1 or [::1]", host);
    return false;
}

int metrics_address_listen(const char *text, GError **error)
{
    struct sockaddr_storage address;
    socklen_t length;
    if (!metrics_address_parse(text, &address, &length, error)) {
        return -1;
    }
    const int on = 1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    // After a boot the address may come later than we do (ip(7); it holds for IPv6 as well).
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)&address, length) == 0 && listen(fd, BACKLOG) == 0) {
        return fd;
    }
    int reason = errno;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(reason),
                "cannot listen at %s: %s", text, g_strerror(reason));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}
