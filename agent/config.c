// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include "agent/port.h"
#include "agent/server.h"
#include "protocol/limits.h"
#include "protocol/transport/config-text.h"
#include "protocol/units.h"

#include <string.h>

#define GROUP "agent"
#define US_PER_MS 1000

GQuark agent_config_error_quark(void)
{
    return g_quark_from_static_string("aerostat-agent-config-error");
}

typedef struct Loader {
    AgentConfig *config;
    ConfigMistakes mistakes;
} Loader;

static void add_mistake(Loader *loader, const ConfigSetting *setting, const char *message)
{
    config_mistakes_add(&loader->mistakes, setting->place, setting->group, setting->key, "%s",
                        message);
}

static void read_port(Loader *loader, const ConfigSetting *setting)
{
    const char *text = setting->value;
    if (text[0] == '\0') {
        add_mistake(loader, setting, "is empty");
    } else if (strlen(text) > LIMIT_TEXT_BYTES) {
        add_mistake(loader, setting, "is longer than any port's name");
    } else if (strchr(text, '/') && !g_path_is_absolute(text)) {
        add_mistake(loader, setting, "is neither a port's name nor an absolute path");
    } else {
        g_free(loader->config->port);
        loader->config->port = g_strdup(text);
    }
}

static void read_time(Loader *loader, const ConfigSetting *setting, int64_t min_ms, int64_t max_ms,
                      int64_t *value_ms)
{
    g_autoptr(GError) error = NULL;
    int64_t value_us;
    if (!duration_parse(setting->value, &value_us, &error)) {
        add_mistake(loader, setting, error->message);
    } else if (value_us < min_ms * US_PER_MS || value_us > max_ms * US_PER_MS) {
        g_autofree char *message =
            g_strdup_printf("'%s' is not from %" G_GINT64_FORMAT "ms to %" G_GINT64_FORMAT "s",
                            setting->value, min_ms, max_ms / 1000);
        add_mistake(loader, setting, message);
    } else {
        *value_ms = value_us / US_PER_MS;
    }
}

static void on_setting(void *context, const ConfigSetting *setting)
{
    Loader *loader = context;
    AgentConfig *config = loader->config;
    if (strcmp(setting->group, GROUP) != 0) {
        if (!setting->key) {
            add_mistake(loader, setting, "unknown group, there is [" GROUP "] only");
        }
    } else if (!setting->key) {
        return;
    } else if (strcmp(setting->key, "port") == 0) {
        read_port(loader, setting);
    } else if (strcmp(setting->key, "interval") == 0) {
        read_time(loader, setting, AGENT_INTERVAL_MIN_MS, AGENT_INTERVAL_MAX_MS,
                  &config->interval_ms);
    } else if (strcmp(setting->key, "heartbeat") == 0) {
        read_time(loader, setting, AGENT_HEARTBEAT_MIN_MS, AGENT_HEARTBEAT_MAX_MS,
                  &config->heartbeat_ms);
    } else {
        add_mistake(loader, setting, "unknown key, there are port, interval and heartbeat");
    }
}

AgentConfig *agent_config_load(const char *path, bool optional, GError **error)
{
    g_autoptr(AgentConfig) config = g_new(AgentConfig, 1);
    *config = (AgentConfig){
        .port = g_strdup(PORT_DEFAULT_NAME),
        .interval_ms = AGENT_INTERVAL_MIN_MS,
        .heartbeat_ms = AGENT_HEARTBEAT_MIN_MS,
    };
    Loader loader = {.config = config};
    config_mistakes_init(&loader.mistakes);
    config_text_read(path, optional, &loader.mistakes, on_setting, &loader);
    bool is_correct = loader.mistakes.count == 0;
    if (!is_correct) {
        config_mistakes_finish(&loader.mistakes);
        g_set_error_literal(error, AGENT_CONFIG_ERROR, AGENT_CONFIG_ERROR_MISTAKES,
                            loader.mistakes.text->str);
    }
    config_mistakes_clear(&loader.mistakes);
    return is_correct ? g_steal_pointer(&config) : NULL;
}

void agent_config_free(AgentConfig *config)
{
    if (config) {
        g_free(config->port);
        g_free(config);
    }
}
