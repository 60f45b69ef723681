// SPDX-License-Identifier: Apache-2.0
#include "host-controller/config-keys.h"

#include "host-controller/metrics-address.h"
#include "host-controller/guest-name.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <grp.h>
#include <string.h>
#include <sys/un.h>

#define MAX_PATH_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

// Below it a journal would hold next to nothing.
#define LEAST_JOURNAL_BYTES (INT64_C(1) << 20)

// --- values -----------------------------------------------------------------------------------

static bool invalid(GError **error, const char *text, const char *what)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "'%s' is not %s", text, what);
    return false;
}

static bool parse_mode(const char *text, void *member, GError **error)
{
    return controller_mode_parse(text, member) ||
           invalid(error, text, "observe, balance or reclaim");
}

static bool parse_socket_path(const char *text, void *member, GError **error)
{
    char **path = member;
    if (!g_path_is_absolute(text)) {
        return invalid(error, text, "an absolute path");
    }
    if (strlen(text) > MAX_PATH_BYTES) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "a socket's path has at most %zu bytes, this one has %zu", MAX_PATH_BYTES,
                    strlen(text));
        return false;
    }
    g_free(*path);
    *path = g_strdup(text);
    return true;
}

// Empty: there is to be none.
static bool parse_readonly_socket(const char *text, void *member, GError **error)
{
    char **path = member;
    if (text[0] != '\0') {
        return parse_socket_path(text, member, error);
    }
    g_free(*path);
    *path = g_strdup("");
    return true;
}

// Empty: none in particular.
static bool parse_group(const char *text, void *member, GError **error)
{
    char **group = member;
    bool none = text[0] == '\0';
    if (!none && !getgrnam(text)) {
        return invalid(error, text, "a group of this host");
    }
    g_free(*group);
    *group = none ? NULL : g_strdup(text);
    return true;
}

#ifdef HAVE_MICROHTTPD
static bool check_metrics(const char *text, GError **error)
{
    struct sockaddr_storage address;
    socklen_t length;
    return metrics_address_parse(text, &address, &length, error);
}
#else
static bool check_metrics(const char *text, GError **error)
{
    return invalid(error, text, "possible, this controller was built without libmicrohttpd");
}
#endif

static bool parse_metrics(const char *text, void *member, GError **error)
{
    char **metrics = member;
    bool off = text[0] == '\0';
    if (!off && !check_metrics(text, error)) {
        return false;
    }
    g_free(*metrics);
    *metrics = off ? NULL : g_strdup(text);
    return true;
}

static bool parse_journal(const char *text, void *member, GError **error)
{
    char **path = member;
    bool off = text[0] == '\0';
    if (!off && !g_path_is_absolute(text)) {
        return invalid(error, text, "an absolute path");
    }
    if (!off && g_str_has_suffix(text, "/")) {
        return invalid(error, text, "the path of a file");
    }
    g_free(*path);
    *path = off ? NULL : g_strdup(text);
    return true;
}

static bool parse_journal_size(const char *text, void *member, GError **error)
{
    int64_t *bytes = member;
    return size_parse(text, bytes, error) &&
           (*bytes >= LEAST_JOURNAL_BYTES || invalid(error, text, "1M or more"));
}

static bool is_nothing(const RelativeSize *size)
{
    return size->relative ? size->permyriad == 0 : size->bytes == 0;
}

static bool parse_min(const char *text, void *member, GError **error)
{
    return relative_size_parse(text, member, error);
}

static bool parse_max(const char *text, void *member, GError **error)
{
    if (!relative_size_parse(text, member, error)) {
        return false;
    }
    return !is_nothing(member) || invalid(error, text, "above 0");
}

static bool parse_reserve(const char *text, void *member, GError **error)
{
    if (!relative_size_parse(text, member, error)) {
        return false;
    }
    RelativeSize *reserve = member;
    if (reserve->relative && reserve->permyriad >= 10000) {
        return invalid(error, text, "below 100%, so that something is left for guests");
    }
    return true;
}

#define GROUP_PREFIX "cgroup:"

static bool parse_budget_group(const char *text, Config *config, GError **error)
{
    const char *path = text + strlen(GROUP_PREFIX);
    if (path[0] != '/' || path[1] == '\0' || strstr(path, "..")) {
        return invalid(error, text, "the path of a control group such as cgroup:/machine.slice");
    }
    config->budget_group = g_strdup(path);
    return true;
}

// Sets all members about the budget: its member is the whole Config.
static bool parse_budget(const char *text, void *member, GError **error)
{
    Config *config = member;
    bool group = g_str_has_prefix(text, GROUP_PREFIX);
    g_clear_pointer(&config->budget_group, g_free);
    config->budget_auto = group || strcmp(text, "auto") == 0;
    if (config->budget_auto) {
        return !group || parse_budget_group(text, config, error);
    }
    g_autoptr(GError) detail = NULL;
    if (!relative_size_parse(text, &config->budget, &detail)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "%s, nor auto or cgroup:/PATH",
                    detail->message);
        return false;
    }
    return !is_nothing(&config->budget) || invalid(error, text, "above 0");
}

// Nothing: no directory is watched.
static bool parse_directory(const char *text, void *member, GError **error)
{
    char **path = member;
    if (text[0] != '\0' && !g_path_is_absolute(text)) {
        return invalid(error, text, "an absolute path, nor empty");
    }
    g_free(*path);
    *path = text[0] != '\0' ? g_strdup(text) : NULL;
    return true;
}

static bool parse_weight(const char *text, void *member, GError **error)
{
    guint64 weight;
    if (!g_ascii_string_to_unsigned(text, 10, 1, 10000, &weight, NULL)) {
        return invalid(error, text, "a whole number from 1 to 10000");
    }
    *(int64_t *)member = (int64_t)weight;
    return true;
}

static bool parse_yes_or_no(const char *text, void *member, GError **error)
{
    bool *value = member;
    *value = strcmp(text, "yes") == 0;
    return *value || strcmp(text, "no") == 0 || invalid(error, text, "yes or no");
}

static bool parse_on_exit(const char *text, void *member, GError **error)
{
    bool *release = member;
    *release = strcmp(text, "release") == 0;
    return *release || strcmp(text, "keep") == 0 || invalid(error, text, "keep or release");
}

static bool parse_uri(const char *text, void *member, GError **error)
{
    g_autofree char *scheme = g_uri_parse_scheme(text);
    if (!scheme) {
        return invalid(error, text, "a uri such as qemu:///system");
    }
    char **uri = member;
    g_free(*uri);
    *uri = g_strdup(text);
    return true;
}

static bool parse_ksm(const char *text, void *member, GError **error)
{
    bool *automatic = member;
    *automatic = strcmp(text, "auto") == 0;
    return *automatic || strcmp(text, "off") == 0 || invalid(error, text, "auto or off");
}

static bool parse_ksm_time(const char *text, void *member, GError **error)
{
    RelativeSize part;
    if (!relative_size_parse(text, &part, NULL) || !part.relative || part.permyriad == 0) {
        return invalid(error, text, "a percentage of a processor above 0%");
    }
    *(int64_t *)member = part.permyriad;
    return true;
}

static bool parse_last_resort(const char *text, void *member, GError **error)
{
    bool *reclaim = member;
    *reclaim = strcmp(text, "memory.reclaim") == 0;
    return *reclaim || strcmp(text, "off") == 0 || invalid(error, text, "off or memory.reclaim");
}

// --- tables -----------------------------------------------------------------------------------

static const ConfigKey controller_keys[] = {
    {"mode", parse_mode, offsetof(Config, mode)},
    {"socket", parse_socket_path, offsetof(Config, socket_path)},
    {"socket-group", parse_group, offsetof(Config, socket_group)},
    {"readonly-socket", parse_readonly_socket, offsetof(Config, readonly_path)},
    {"readonly-group", parse_group, offsetof(Config, readonly_group)},
    {"metrics", parse_metrics, offsetof(Config, metrics_address)},
    {"journal", parse_journal, offsetof(Config, journal_path)},
    {"journal-size", parse_journal_size, offsetof(Config, journal_size_bytes)},
    {"on-exit", parse_on_exit, offsetof(Config, release_on_exit)},
    {0},
};

static const ConfigKey host_keys[] = {
    {"reserve", parse_reserve, offsetof(Config, reserve)},
    {"budget", parse_budget, 0},
    {"ksm", parse_ksm, offsetof(Config, ksm_auto)},
    {"ksm-time", parse_ksm_time, offsetof(Config, ksm_permyriad)},
    {"last-resort", parse_last_resort, offsetof(Config, last_resort)},
    {0},
};

static const ConfigKey guest_keys[GUEST_KEY_COUNT + 1] = {
    [GUEST_KEY_QMP] = {"qmp", parse_socket_path, offsetof(GuestConfig, qmp_path)},
    [GUEST_KEY_AGENT] = {"agent", parse_socket_path, offsetof(GuestConfig, agent_path)},
    [GUEST_KEY_MIN] = {"min", parse_min, offsetof(GuestConfig, min)},
    [GUEST_KEY_MAX] = {"max", parse_max, offsetof(GuestConfig, max)},
    [GUEST_KEY_WEIGHT] = {"weight", parse_weight, offsetof(GuestConfig, weight)},
    [GUEST_KEY_MANAGE] = {"manage", parse_yes_or_no, offsetof(GuestConfig, managed)},
};

static const ConfigKey libvirt_keys[] = {
    {"uri", parse_uri, offsetof(Config, libvirt_uri)},
    {0},
};

static const ConfigKey discovery_keys[] = {
    {"path", parse_directory, offsetof(Config, discovery_path)},
    {0},
};

static const struct {
    const char *name; // its first word
    const char *more; // what stands behind it
    const ConfigKey *keys;
} groups[CONFIG_GROUP_COUNT] = {
    [CONFIG_GROUP_CONTROLLER] = {"controller", "", controller_keys},
    [CONFIG_GROUP_HOST] = {"host", "", host_keys},
    [CONFIG_GROUP_DEFAULTS] = {"defaults", "", guest_keys + GUEST_KEY_MIN},
    [CONFIG_GROUP_GUEST] = {"guest", " NAME", guest_keys},
    [CONFIG_GROUP_LIBVIRT] = {"discovery", " libvirt", libvirt_keys},
    [CONFIG_GROUP_DISCOVERY] = {"discovery", " directory", discovery_keys},
};

ConfigGroup config_group_find(const char *name, const char **guest_name)
{
    size_t word_length = strcspn(name, " ");
    const char *rest = name + word_length;
    for (ConfigGroup group = 0; group < CONFIG_GROUP_COUNT; group++) {
        if (strlen(groups[group].name) != word_length ||
            memcmp(groups[group].name, name, word_length) != 0) {
            continue;
        }
        if (group == CONFIG_GROUP_GUEST) {
            *guest_name = *rest ? rest + 1 : rest;
            return group;
        }
        if (strcmp(rest, groups[group].more) == 0) {
            return group;
        }
    }
    return CONFIG_GROUP_UNKNOWN;
}

const ConfigKey *config_key_find(ConfigGroup group, const char *name)
{
    for (const ConfigKey *key = groups[group].keys; key->name; key++) {
        if (strcmp(key->name, name) == 0) {
            return key;
        }
    }
    return NULL;
}

// Whether an empty value says something.
static bool may_be_empty(const ConfigKey *key)
{
    return key->parse == parse_metrics || key->parse == parse_readonly_socket ||
           key->parse == parse_group || key->parse == parse_journal ||
           key->parse == parse_directory;
}

bool config_key_read(const ConfigKey *key, const char *text, void *target, GError **error)
{
    const char *fault = NULL;
    if (text[0] == '\0' && !may_be_empty(key)) {
        fault = "has no value";
    } else if (strlen(text) > LIMIT_TEXT_BYTES) {
        fault = "has a value longer than " G_STRINGIFY(LIMIT_TEXT_BYTES) " bytes";
    } else if (!text_is_printable(text)) {
        fault = "has a value with unprintable characters";
    }
    if (fault) {
        g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, fault);
        return false;
    }
    return key->parse(text, (char *)target + key->offset, error);
}

const ConfigKey *config_guest_key(GuestKey key)
{
    return &guest_keys[key];
}

GuestKey config_guest_key_index(const ConfigKey *key)
{
    return (GuestKey)(key - guest_keys);
}

// --- suggestions ------------------------------------------------------------------------------

// Longer words than this are like none of ours.
#define MAX_WORD_BYTES 16

// How many letters must be inserted, removed or replaced to make `a` into `b`, whatever their case
// (Levenshtein's distance). Both are at most MAX_WORD_BYTES long.
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[MAX_WORD_BYTES + 1];
    size_t b_length = strlen(b);
    for (unsigned j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (unsigned i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (unsigned j = 0; j < b_length; j++) {
            unsigned replaced = diagonal + (g_ascii_tolower(a[i]) != g_ascii_tolower(b[j]));
            diagonal = row[j + 1];
            row[j + 1] = MIN(replaced, MIN(row[j], diagonal) + 1);
        }
    }
    return row[b_length];
}

// Whether `typed` is nearer to `known` than `*best_distance`, which it then becomes.
static bool is_nearer(const char *typed, const char *known, unsigned *best_distance)
{
    if (strlen(typed) > MAX_WORD_BYTES) {
        return false;
    }
    unsigned distance = edit_distance(typed, known);
    if (distance >= *best_distance) {
        return false;
    }
    *best_distance = distance;
    return true;
}

// Further off than this is no slip of the finger.
static unsigned first_distance_too_far(const char *typed)
{
    return strlen(typed) > 3 ? 3 : 2;
}

void config_mistakes_add_unknown_group(ConfigMistakes *mistakes, const ConfigSetting *setting)
{
    g_autofree char *word = g_strndup(setting->group, strcspn(setting->group, " "));
    unsigned distance = first_distance_too_far(word);
    ConfigGroup nearest = CONFIG_GROUP_UNKNOWN;
    for (ConfigGroup group = 0; group < CONFIG_GROUP_COUNT; group++) {
        if (is_nearer(word, groups[group].name, &distance)) {
            nearest = group;
        }
    }
    bool found = nearest != CONFIG_GROUP_UNKNOWN;
    config_mistakes_add(mistakes, setting->place, setting->group, NULL,
                        found ? "unknown group, did you mean '%s%s'?" : "unknown group%s%s",
                        found ? groups[nearest].name : "", found ? groups[nearest].more : "");
}

void config_mistakes_add_unknown_key(ConfigMistakes *mistakes, const ConfigSetting *setting,
                                     ConfigGroup group)
{
    for (ConfigGroup other = 0; other < CONFIG_GROUP_COUNT; other++) {
        if (config_key_find(other, setting->key)) {
            config_mistakes_add(mistakes, setting->place, setting->group, setting->key,
                                "unknown key here, it belongs in [%s%s]", groups[other].name,
                                groups[other].more);
            return;
        }
    }
    unsigned distance = first_distance_too_far(setting->key);
    const char *nearest = NULL;
    for (const ConfigKey *key = groups[group].keys; key->name; key++) {
        if (is_nearer(setting->key, key->name, &distance)) {
            nearest = key->name;
        }
    }
    config_mistakes_add(mistakes, setting->place, setting->group, setting->key,
                        nearest ? "unknown key, did you mean '%s'?" : "unknown key%s",
                        nearest ? nearest : "");
}
