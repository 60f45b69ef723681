// SPDX-License-Identifier: Apache-2.0
//
// The metrics endpoint: HTTP with /metrics for Prometheus and a status page at /.
//
// It shares the controller's loop, at a lower priority than all else there: a turn in which a guest
// or a control client has something to say is not its turn, and in its own it writes a few
// kilobytes a connection. Connections are few, answer one request each, and end after a deadline
// however slowly the other side reads or writes.
#pragma once

#include "host-controller/control-server.h"

typedef struct MetricsServer MetricsServer;

// Connections at one time; others wait to be accepted.
#define METRICS_MAX_CONNECTIONS 16
// From being accepted to being closed.
#define METRICS_DEADLINE_US INT64_C(10000000)

// Serves at `address` (see metrics-address.h) in the thread-default main context. `controller` and
// `control` must outlive the server. NULL with a PROTOCOL_ERROR or G_FILE_ERROR when it cannot
// listen there.
MetricsServer *metrics_server_new(const char *address, const Controller *controller,
                                  const ControlServer *control, GError **error);
// NULL does nothing.
void metrics_server_free(MetricsServer *server);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MetricsServer, metrics_server_free)
