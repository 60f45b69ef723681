// SPDX-License-Identifier: Apache-2.0
//
// Whatever stands in a configuration file, of the controller or of the agent: it is understood and
// within its bounds, or every mistake is told on a line.
#include "agent/config.h"
#include "agent/server.h"
#include "host-controller/config.h"
#include "protocol/limits.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A message for a person: lines of valid text with something on each.
static void check_error(const GError *error, GQuark domain)
{
    g_assert_true(error->domain == domain);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_assert_true(**line != '\0');
    }
}

static void try_controller(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_load(path, false, &error);
    if (!config) {
        check_error(error, CONFIG_ERROR);
        return;
    }
    g_assert_cmpuint(config->guests->len, <=, LIMIT_GUESTS);
    for (guint i = 0; i < config->guests->len; i++) {
        const GuestConfig *guest = g_ptr_array_index(config->guests, i);
        g_assert_true(guest->qmp_path && strlen(guest->name) <= LIMIT_NAME_BYTES);
        g_assert_true(guest->weight >= 1 && guest->weight <= 10000);
    }
}

static void try_agent(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AgentConfig) config = agent_config_load(path, false, &error);
    if (!config) {
        check_error(error, AGENT_CONFIG_ERROR);
        return;
    }
    g_assert_true(config->interval_ms >= AGENT_INTERVAL_MIN_MS &&
                  config->interval_ms <= AGENT_INTERVAL_MAX_MS);
    g_assert_true(config->heartbeat_ms >= AGENT_HEARTBEAT_MIN_MS &&
                  config->heartbeat_ms <= AGENT_HEARTBEAT_MAX_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz.conf", 0);
        g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    g_assert_true(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    try_controller(path);
    try_agent(path);
    return 0;
}
