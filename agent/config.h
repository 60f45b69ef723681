// SPDX-License-Identifier: Apache-2.0
//
// The agent's configuration, /etc/aerostat/agent.conf: one group [agent], every key of it optional,
// as is the file.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define AGENT_CONFIG_DEFAULT_PATH "/etc/aerostat/agent.conf"

typedef struct AgentConfig {
    char *port;           // a port's name, or the absolute path of a device
    int64_t interval_ms;  // no subscription gets a shorter one
    int64_t heartbeat_ms; // nor here
} AgentConfig;

#define AGENT_CONFIG_ERROR (agent_config_error_quark())
GQuark agent_config_error_quark(void);

typedef enum AgentConfigError {
    AGENT_CONFIG_ERROR_MISTAKES, // its message has a line for each: whoever wrote the file is told
} AgentConfigError;

// Reads the file at `path`; without one everything has its default if `optional`. NULL with
// AGENT_CONFIG_ERROR. Free with agent_config_free().
AgentConfig *agent_config_load(const char *path, bool optional, GError **error);
// NULL does nothing.
void agent_config_free(AgentConfig *config);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentConfig, agent_config_free)
