// SPDX-License-Identifier: Apache-2.0
//
// Where the metrics endpoint listens: a numeric address and a port, so that no name server is
// asked.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>

// Reads "127.0.0.1:9786" or "[::1]:9786". PROTOCOL_ERROR_INVALID.
bool metrics_address_parse(const char *text, struct sockaddr_storage *address, socklen_t *length,
                           GError **error);

// Listens at such an address with a non-blocking, close-on-exec socket. Returns the descriptor, or
// -1 with PROTOCOL_ERROR_INVALID or a G_FILE_ERROR.
int metrics_address_listen(const char *text, GError **error);
