// SPDX-License-Identifier: Apache-2.0
//
// Every domain that libvirt runs, as a guest in the folder in which the controller finds guests.
#pragma once

#include <glib.h>

typedef struct Bridge Bridge;

// Follows the domains of libvirt at `uri` and keeps `folder`, which must exist, in step with them.
// connection_start() must have been called. Lives as long as the process. When that ends the files
// stay: a domain goes on without us, and its memory must not be taken for free.
Bridge *bridge_new(const char *uri, const char *folder);
