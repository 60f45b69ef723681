// SPDX-License-Identifier: Apache-2.0
//
// The groups and keys a configuration may have, and how the value of each is read.
#pragma once

#include "protocol/transport/config-text.h"
#include "host-controller/config.h"

// A guest's keys in the order of their table. [defaults] has those from GUEST_KEY_MIN on.
typedef enum GuestKey {
    GUEST_KEY_QMP,
    GUEST_KEY_AGENT,
    GUEST_KEY_MIN,
    GUEST_KEY_MAX,
    GUEST_KEY_WEIGHT,
    GUEST_KEY_MANAGE,
    GUEST_KEY_COUNT
} GuestKey;

// Reads `text` into `member`. Returns false with PROTOCOL_ERROR_INVALID, `member` being undefined
// but still owning what it owned.
typedef bool ConfigValueParser(const char *text, void *member, GError **error);

typedef struct ConfigKey {
    const char *name; // NULL ends a table
    ConfigValueParser *parse;
    size_t offset; // where its member stands in Config or GuestConfig
} ConfigKey;

// What a group may hold.
typedef enum ConfigGroup {
    CONFIG_GROUP_CONTROLLER, // keys of a Config
    CONFIG_GROUP_HOST,       // keys of a Config
    CONFIG_GROUP_DEFAULTS,   // keys of a GuestConfig
    CONFIG_GROUP_GUEST,      // keys of a GuestConfig; the group's name goes on with the guest's
    CONFIG_GROUP_LIBVIRT,    // keys of a Config
    CONFIG_GROUP_DISCOVERY,  // keys of a Config
    CONFIG_GROUP_COUNT,
    CONFIG_GROUP_UNKNOWN = CONFIG_GROUP_COUNT
} ConfigGroup;

// Tells which group `name` is; for a guest `*guest_name` is the rest of it, which may be empty or
// unfit.
ConfigGroup config_group_find(const char *name, const char **guest_name);

// The key `name` of `group`, or NULL.
const ConfigKey *config_key_find(ConfigGroup group, const char *name);
// Reads the value of a key into its member of `target`, a Config or GuestConfig. Returns false with
// an error that says what is wrong with it; the member is undefined then.
bool config_key_read(const ConfigKey *key, const char *text, void *target, GError **error);
// The entry of a guest's key.
const ConfigKey *config_guest_key(GuestKey key);
// Which of a guest's keys `key`, found in [defaults] or a guest's group, is.
GuestKey config_guest_key_index(const ConfigKey *key);

// Puts the most specific pattern first: the one with the most characters that are no wildcards.
// Equals keep their order.
void config_sort_patterns(Config *config);

// Add the mistake of an unknown group or key, with what was probably meant.
void config_mistakes_add_unknown_group(ConfigMistakes *mistakes, const ConfigSetting *setting);
void config_mistakes_add_unknown_key(ConfigMistakes *mistakes, const ConfigSetting *setting,
                                     ConfigGroup group);
