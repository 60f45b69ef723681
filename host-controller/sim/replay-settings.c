// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/replay-settings.h"

#include "protocol/error.h"
#include "protocol/json.h"

#include <string.h>

#define MAX_WEIGHT 10000
#define EVERY_GUEST "*"

typedef enum GuestSettingKey { SETTING_MIN, SETTING_MAX, SETTING_WEIGHT } GuestSettingKey;

typedef struct GuestSetting {
    char *name; // EVERY_GUEST: of all
    GuestSettingKey key;
    RelativeSize size;
    int64_t weight;
} GuestSetting;

static void setting_clear(void *data)
{
    g_free(((GuestSetting *)data)->name);
}

void replay_settings_init(ReplaySettings *settings)
{
    *settings = (ReplaySettings){.guests = g_array_new(FALSE, TRUE, sizeof(GuestSetting))};
    g_array_set_clear_func(settings->guests, setting_clear);
}

void replay_settings_clear(ReplaySettings *settings)
{
    g_clear_pointer(&settings->guests, g_array_unref);
}

bool replay_settings_given(const ReplaySettings *settings)
{
    return settings->has_mode || settings->has_budget || settings->guests->len > 0;
}

// --- reading ----------------------------------------------------------------------------------

static bool invalid(GError **error, const char *text, const char *what)
{
    g_autofree char *shown = json_text_for_people(text);
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "'%s' is not %s", shown, what);
    return false;
}

static bool read_value(GuestSetting *setting, const char *key, const char *value, GError **error)
{
    guint64 weight = 0;
    if (strcmp(key, "weight") == 0) {
        setting->key = SETTING_WEIGHT;
        bool read = g_ascii_string_to_unsigned(value, 10, 1, MAX_WEIGHT, &weight, NULL);
        setting->weight = (int64_t)weight;
        return read || invalid(error, value, "a whole number from 1 to 10000");
    }
    setting->key = strcmp(key, "max") == 0 ? SETTING_MAX : SETTING_MIN;
    if (setting->key == SETTING_MIN && strcmp(key, "min") != 0) {
        return invalid(error, key, "min, max or weight");
    }
    return relative_size_parse(value, &setting->size, error);
}

// `rest` is NAME.KEY; a name may have dots in it.
static bool add_guest(ReplaySettings *settings, const char *rest, const char *value, GError **error)
{
    const char *dot = strrchr(rest, '.');
    if (!dot || dot == rest) {
        return invalid(error, rest, "a guest's name, a dot, and min, max or weight");
    }
    guint count = settings->guests->len;
    g_array_set_size(settings->guests, count + 1);
    GuestSetting *setting = &g_array_index(settings->guests, GuestSetting, count);
    setting->name = g_strndup(rest, (size_t)(dot - rest));
    return read_value(setting, dot + 1, value, error);
}

bool replay_settings_add(ReplaySettings *settings, const char *text, GError **error)
{
    // The value has no '=', a guest's name may.
    const char *sign = strrchr(text, '=');
    if (!sign) {
        return invalid(error, text, "KEY=VALUE");
    }
    g_autofree char *key = g_strndup(text, (size_t)(sign - text));
    const char *value = sign + 1;
    if (strcmp(key, "mode") == 0) {
        settings->has_mode = controller_mode_parse(value, &settings->mode);
        return settings->has_mode || invalid(error, value, "observe, balance or reclaim");
    }
    if (strcmp(key, "budget") == 0) {
        settings->has_budget = relative_size_parse(value, &settings->budget, error);
        return settings->has_budget;
    }
    if (g_str_has_prefix(key, "guest.")) {
        return add_guest(settings, key + strlen("guest."), value, error);
    }
    return invalid(error, key, "mode, budget, guest.NAME.min, guest.NAME.max or guest.NAME.weight");
}

const char *replay_settings_find_unknown(const ReplaySettings *settings,
                                         bool known(const char *name, void *context), void *context)
{
    for (guint i = 0; i < settings->guests->len; i++) {
        const char *name = g_array_index(settings->guests, GuestSetting, i).name;
        if (strcmp(name, EVERY_GUEST) != 0 && !known(name, context)) {
            return name;
        }
    }
    return NULL;
}

// --- applying ---------------------------------------------------------------------------------

JournalHost replay_settings_host(const ReplaySettings *settings, const JournalHost *recorded)
{
    JournalHost host = *recorded;
    host.mode = settings->has_mode ? settings->mode : host.mode;
    if (settings->has_budget) {
        host.budget_bytes = relative_size_of(&settings->budget, host.total_bytes);
    }
    return host;
}

void replay_settings_apply(const ReplaySettings *settings, const char *name, PolicyGuest *input)
{
    int64_t size_bytes = policy_clamp(input->size_bytes, 0, POLICY_MAX_BYTES);
    for (guint i = 0; i < settings->guests->len; i++) {
        const GuestSetting *setting = &g_array_index(settings->guests, GuestSetting, i);
        if (strcmp(setting->name, EVERY_GUEST) != 0 && strcmp(setting->name, name) != 0) {
            continue;
        }
        int64_t bytes = policy_min(relative_size_of(&setting->size, size_bytes), size_bytes);
        switch (setting->key) {
        case SETTING_MIN:
            input->min_bytes = bytes;
            break;
        case SETTING_MAX:
            input->max_bytes = bytes;
            break;
        case SETTING_WEIGHT:
            input->weight = setting->weight;
            break;
        }
    }
    input->max_bytes = policy_max(input->max_bytes, input->min_bytes);
}
