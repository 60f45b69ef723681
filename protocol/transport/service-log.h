// SPDX-License-Identifier: Apache-2.0
//
// What a daemon logs: journald gets it with its level and fields, anybody else one plain line a
// message on stderr.
#pragma once

#include <stdbool.h>

// Has GLib log that way from now on. Without `verbose`, what is of G_LOG_LEVEL_INFO or less is left
// out.
void service_log_start(bool verbose);
