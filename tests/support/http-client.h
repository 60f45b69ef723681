// SPDX-License-Identifier: Apache-2.0
//
// A plain HTTP client of a server on 127.0.0.1, in the same main loop as the test's fakes: sends
// bytes, gathers the answer until the server ends the connection.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct HttpClient {
    int fd; // -1: ended
    GString *answer;
} HttpClient;

// A port nobody listens on, and that nobody is given who takes just any port while this process
// lives: tests run side by side.
uint16_t http_free_port(void);

// Connects to `port` and sends `request` as it stands. Fails the test when nobody listens.
HttpClient *http_client_new(uint16_t port, const char *request);
void http_client_free(HttpClient *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpClient, http_client_free)

// Takes what has come, at most `bytes`; true once the server has ended the connection.
bool http_client_read(HttpClient *client, size_t bytes);

// Sends a whole GET for `path` with `header` (a line with its end; may be ""), and returns the
// whole answer; free with g_free().
char *http_get(uint16_t port, const char *path, const char *header);
