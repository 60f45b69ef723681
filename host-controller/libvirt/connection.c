// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/connection.h"

#include <glib.h>
#include <libvirt/virterror.h>

// Asked whether it lives this often; given up when so many answers are missing.
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_COUNT 3

static void ignore_error(void *context, virErrorPtr error)
{
    (void)context;
    (void)error;
}

static void *run_events(void *context)
{
    (void)context;
    for (;;) {
        virEventRunDefaultImpl();
    }
    return NULL;
}

void connection_start(void)
{
    virSetErrorFunc(NULL, ignore_error);
    virEventRegisterDefaultImpl();
    g_thread_unref(g_thread_new("libvirt-events", run_events, NULL));
}

virConnectPtr connection_open(const char *uri)
{
    virConnectPtr connection = virConnectOpen(uri);
    if (connection) {
        // A driver within this process needs none, and says so.
        virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
    }
    return connection;
}
