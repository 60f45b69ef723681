// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http-client.h"

#include "tests/support/wait.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
#define ANY_AMOUNT ((size_t)64 * 1024)

static struct sockaddr_in local_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

uint16_t http_free_port(void)
{
    const int on = 1;
    struct sockaddr_in address = local_address(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    // Left open: as long as the port is bound the kernel gives it to nobody else, and one who asks
    // for it with SO_REUSEADDR, as the controller does, can listen there all the same (socket(7)).
    return ntohs(address.sin_port);
}

HttpClient *http_client_new(uint16_t port, const char *request)
{
    struct sockaddr_in address = local_address(port);
    HttpClient *client = g_new0(HttpClient, 1);
    client->answer = g_string_new(NULL);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    // So that whoever does not read soon keeps the server from writing.
    const int small = 4096;
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    size_t length = strlen(request);
    assert_int_equal(send(client->fd, request, length, MSG_NOSIGNAL), length);
    return client;
}

void http_client_free(HttpClient *client)
{
    if (client) {
        if (client->fd >= 0) {
            close(client->fd);
        }
        g_string_free(client->answer, TRUE);
        g_free(client);
    }
}

bool http_client_read(HttpClient *client, size_t bytes)
{
    char block[ANY_AMOUNT];
    while (client->fd >= 0 && bytes > 0) {
        ssize_t length = recv(client->fd, block, MIN(bytes, sizeof(block)), MSG_DONTWAIT);
        if (length > 0) {
            g_string_append_len(client->answer, block, length);
            bytes -= (size_t)length;
        } else if (length < 0 && errno == EAGAIN) {
            return false;
        } else {
            close(client->fd);
            client->fd = -1;
        }
    }
    return client->fd < 0;
}

char *http_get(uint16_t port, const char *path, const char *header)
{
    g_autofree char *request =
        g_strdup_printf("GET %s HTTP/1.0\r\nHost: test\r\n%s\r\n", path, header);
    g_autoptr(HttpClient) client = http_client_new(port, request);
    wait_for(http_client_read(client, ANY_AMOUNT), PATIENCE_US);
    return g_strdup(client->answer->str);
}
