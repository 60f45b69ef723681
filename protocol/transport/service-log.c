// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/service-log.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count,
                                  void *context)
{
    bool verbose = GPOINTER_TO_INT(context);
    if (!verbose && level >= G_LOG_LEVEL_INFO) {
        return G_LOG_WRITER_HANDLED;
    }
    if (g_log_writer_is_journald(fileno(stderr)) &&
        g_log_writer_journald(level, fields, count, context) == G_LOG_WRITER_HANDLED) {
        return G_LOG_WRITER_HANDLED;
    }
    for (gsize i = 0; i < count; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            fprintf(stderr, "%s%s\n", level <= G_LOG_LEVEL_WARNING ? "warning: " : "",
                    (const char *)fields[i].value);
        }
    }
    return G_LOG_WRITER_HANDLED;
}

void service_log_start(bool verbose)
{
    g_log_set_writer_func(write_log, GINT_TO_POINTER(verbose), NULL);
}
