// SPDX-License-Identifier: Apache-2.0
#include "host-controller/config.h"

#include "host-controller/config-keys.h"
#include "host-controller/guest-name.h"
#include "protocol/limits.h"

#include <string.h>

#define SOCKET_SUFFIX ".sock"

GQuark config_error_quark(void)
{
    return g_quark_from_static_string("aerostat-config-error");
}

static const char *const mode_names[CONTROLLER_MODE_COUNT] = {
    [CONTROLLER_MODE_OBSERVE] = "observe",
    [CONTROLLER_MODE_BALANCE] = "balance",
    [CONTROLLER_MODE_RECLAIM] = "reclaim",
};

const char *controller_mode_name(ControllerMode mode)
{
    return mode_names[mode];
}

bool controller_mode_parse(const char *text, ControllerMode *mode)
{
    for (unsigned i = 0; i < CONTROLLER_MODE_COUNT; i++) {
        if (strcmp(text, mode_names[i]) == 0) {
            *mode = i;
            return true;
        }
    }
    return false;
}

// A service has a folder for its logs, of which systemd tells it (LogsDirectory=, systemd.exec(5)).
static char *default_journal_path(void)
{
    const char *folder = g_getenv("LOGS_DIRECTORY");
    return folder && g_path_is_absolute(folder)
               ? g_build_filename(folder, CONFIG_DEFAULT_JOURNAL_NAME, NULL)
               : NULL;
}

char *config_readonly_path(const char *socket_path)
{
    bool suffixed = g_str_has_suffix(socket_path, SOCKET_SUFFIX);
    size_t stem_bytes = strlen(socket_path) - (suffixed ? strlen(SOCKET_SUFFIX) : 0);
    return g_strdup_printf("%.*s-ro%s", (int)stem_bytes, socket_path,
                           suffixed ? SOCKET_SUFFIX : "");
}

static Config *config_new(void)
{
    Config *config = g_new(Config, 1);
    *config = (Config){
        .mode = CONTROLLER_MODE_BALANCE,
        .socket_path = g_strdup(CONFIG_DEFAULT_SOCKET),
        .journal_path = default_journal_path(),
        .journal_size_bytes = INT64_C(256) << 20,
        .reserve = {.relative = true, .permyriad = 1000},
        .budget_auto = true,
        .ksm_permyriad = 1000,
        .guests = g_ptr_array_new_with_free_func((GDestroyNotify)guest_config_free),
        .named =
            g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)guest_config_free),
        .patterns = g_ptr_array_new_with_free_func((GDestroyNotify)guest_config_free),
        .discovery_path = g_strdup(CONFIG_DEFAULT_DIRECTORY),
    };
    return config;
}

void config_free(Config *config)
{
    if (config) {
        g_free(config->socket_path);
        g_free(config->socket_group);
        g_free(config->readonly_path);
        g_free(config->readonly_group);
        g_free(config->metrics_address);
        g_free(config->journal_path);
        g_free(config->libvirt_uri);
        g_free(config->budget_group);
        g_ptr_array_unref(config->guests);
        g_hash_table_unref(config->named);
        g_ptr_array_unref(config->patterns);
        g_free(config->discovery_path);
        g_free(config);
    }
}

// --- drafts -----------------------------------------------------------------------------------

// [defaults] or one guest as far as the files have told.
typedef struct Draft {
    GuestConfig *guest;
    char *group;
    ConfigPlace place;                   // of its first mention
    ConfigPlace places[GUEST_KEY_COUNT]; // of each key; without a file it was not given
    bool broken;                         // a value was not understood
} Draft;

static Draft *draft_new(ConfigPlace place, const char *group, const char *name)
{
    Draft *draft = g_new0(Draft, 1);
    draft->place = place;
    draft->group = g_strdup(group);
    draft->guest = g_new(GuestConfig, 1);
    *draft->guest = (GuestConfig){
        .name = g_strdup(name),
        .min = {.relative = true, .permyriad = 2500},
        .max = {.relative = true, .permyriad = 10000},
        .weight = 100,
        .managed = true,
    };
    return draft;
}

static void draft_free(Draft *draft)
{
    guest_config_free(draft->guest);
    g_free(draft->group);
    g_free(draft);
}

static bool draft_has(const Draft *draft, GuestKey key)
{
    return draft->places[key].file != NULL;
}

// --- reading settings -------------------------------------------------------------------------

typedef struct Loader {
    ConfigMistakes mistakes;
    GPtrArray *files; // the paths that places refer to
    Config *config;
    Draft *defaults;
    GPtrArray *drafts;          // Draft*, one for each guest
    GHashTable *drafts_by_name; // both borrowed
    ConfigGroup group;          // the one being read, and its draft
    Draft *draft;
    bool too_many_guests;
} Loader;

// What is wrong with the name of a guest's group, or NULL: a pattern's is like that of a guest.
static const char *find_fault_in_name(const char *name)
{
    g_autofree char *plain = g_strdelimit(g_strdup(name), "*?", 'x');
    return name[0] == '\0' ? "a guest's group is written as [guest NAME]" : guest_name_fault(plain);
}

// The draft of a guest's group, begun with its first mention; NULL after a mistake.
static Draft *open_guest(Loader *loader, const ConfigSetting *setting, const char *name)
{
    const char *fault = find_fault_in_name(name);
    if (fault) {
        config_mistakes_add(&loader->mistakes, setting->place, setting->group, NULL, "%s", fault);
        return NULL;
    }
    Draft *draft = g_hash_table_lookup(loader->drafts_by_name, name);
    if (draft) {
        return draft;
    }
    if (loader->drafts->len >= LIMIT_GUESTS) {
        if (!loader->too_many_guests) {
            config_mistakes_add(&loader->mistakes, setting->place, setting->group, NULL,
                                "more than %d guests", LIMIT_GUESTS);
        }
        loader->too_many_guests = true;
        return NULL;
    }
    draft = draft_new(setting->place, setting->group, name);
    g_ptr_array_add(loader->drafts, draft);
    g_hash_table_insert(loader->drafts_by_name, draft->guest->name, draft);
    return draft;
}

static void open_group(Loader *loader, const ConfigSetting *setting)
{
    const char *name = NULL;
    loader->group = config_group_find(setting->group, &name);
    loader->draft = NULL;
    if (loader->group == CONFIG_GROUP_UNKNOWN) {
        config_mistakes_add_unknown_group(&loader->mistakes, setting);
    } else if (loader->group == CONFIG_GROUP_DEFAULTS) {
        loader->draft = loader->defaults;
    } else if (loader->group == CONFIG_GROUP_GUEST) {
        loader->draft = open_guest(loader, setting, name);
        if (!loader->draft) {
            loader->group = CONFIG_GROUP_UNKNOWN;
        }
    }
}

static void read_key(Loader *loader, const ConfigSetting *setting)
{
    const ConfigKey *key = config_key_find(loader->group, setting->key);
    if (!key) {
        config_mistakes_add_unknown_key(&loader->mistakes, setting, loader->group);
        return;
    }
    Draft *draft = loader->draft;
    if (draft) {
        draft->places[config_guest_key_index(key)] = setting->place;
    }
    void *target = draft ? (void *)draft->guest : (void *)loader->config;
    g_autoptr(GError) error = NULL;
    if (!config_key_read(key, setting->value, target, &error)) {
        const char *hint = strstr(setting->value, " #") ? "; a comment has a line of its own" : "";
        config_mistakes_add(&loader->mistakes, setting->place, setting->group, setting->key, "%s%s",
                            error->message, hint);
        if (draft) {
            draft->broken = true;
        }
    }
}

static void read_setting(void *context, const ConfigSetting *setting)
{
    Loader *loader = context;
    if (!setting->key) {
        open_group(loader, setting);
    } else if (loader->group != CONFIG_GROUP_UNKNOWN) {
        read_key(loader, setting);
    }
}

// --- checking what was read -------------------------------------------------------------------

// Which settings the group itself gives.
static unsigned settings_given(const Draft *draft)
{
    static const GuestGiven settings[GUEST_KEY_COUNT] = {
        [GUEST_KEY_MIN] = GUEST_GIVEN_MIN,
        [GUEST_KEY_MAX] = GUEST_GIVEN_MAX,
        [GUEST_KEY_WEIGHT] = GUEST_GIVEN_WEIGHT,
        [GUEST_KEY_MANAGE] = GUEST_GIVEN_MANAGE,
    };
    unsigned given = 0;
    for (GuestKey key = GUEST_KEY_MIN; key < GUEST_KEY_COUNT; key++) {
        given |= draft_has(draft, key) ? settings[key] : 0;
    }
    return given;
}

static bool is_above(const RelativeSize *a, const RelativeSize *b)
{
    if (a->relative != b->relative) {
        return false;
    }
    return a->relative ? a->permyriad > b->permyriad : a->bytes > b->bytes;
}

static char *format_relative_size(const RelativeSize *size)
{
    if (size->relative) {
        return g_strdup_printf("%g%%", (double)size->permyriad / 100);
    }
    char text[SIZE_TEXT_SIZE];
    return g_strdup(size_format(size->bytes, text));
}

// Tells of a min above max where the one is that the group itself gives: if it gives neither,
// [defaults] is to blame and has been told of.
static void check_range(Loader *loader, const Draft *draft)
{
    if (draft->broken || loader->defaults->broken ||
        !is_above(&draft->guest->min, &draft->guest->max)) {
        return;
    }
    g_autofree char *min = format_relative_size(&draft->guest->min);
    g_autofree char *max = format_relative_size(&draft->guest->max);
    if (draft_has(draft, GUEST_KEY_MIN)) {
        config_mistakes_add(&loader->mistakes, draft->places[GUEST_KEY_MIN], draft->group, "min",
                            "%s is above max, which is %s", min, max);
    } else if (draft_has(draft, GUEST_KEY_MAX)) {
        config_mistakes_add(&loader->mistakes, draft->places[GUEST_KEY_MAX], draft->group, "max",
                            "%s is below min, which is %s", max, min);
    }
}

// Two peers cannot be behind one socket. `owners` tells whose each path is.
static void check_path(Loader *loader, GHashTable *owners, const Draft *draft, GuestKey key,
                       const char *path)
{
    if (!path) {
        return;
    }
    const char *name = config_guest_key(key)->name;
    char *canonical = g_canonicalize_filename(path, "/");
    const char *owner = g_hash_table_lookup(owners, canonical);
    if (owner) {
        config_mistakes_add(&loader->mistakes, draft->places[key], draft->group, name,
                            "'%s' is already %s", path, owner);
        g_free(canonical);
        return;
    }
    g_hash_table_insert(owners, canonical, g_strdup_printf("%s of [%s]", name, draft->group));
}

// Whether the group has the sockets it may have: a pattern stands for many guests, and an agent
// alone is none.
static void check_sockets(Loader *loader, GHashTable *owners, const Draft *draft)
{
    bool pattern = guest_name_is_pattern(draft->guest->name);
    for (GuestKey key = GUEST_KEY_QMP; key <= GUEST_KEY_AGENT; key++) {
        if (draft_has(draft, key) && (pattern || !draft_has(draft, GUEST_KEY_QMP))) {
            config_mistakes_add(&loader->mistakes, draft->places[key], draft->group,
                                config_guest_key(key)->name,
                                pattern ? "is of one guest, this group is for many"
                                        : "is of no use without qmp, the guest's monitor socket");
            return;
        }
    }
    check_path(loader, owners, draft, GUEST_KEY_QMP, draft->guest->qmp_path);
    check_path(loader, owners, draft, GUEST_KEY_AGENT, draft->guest->agent_path);
}

// Hands a guest's group over to where it belongs.
static void place_guest(Config *config, GuestConfig *guest)
{
    if (guest->qmp_path) {
        g_ptr_array_add(config->guests, guest);
    } else {
        g_hash_table_insert(config->named, guest->name, guest);
    }
}

static void check_guests(Loader *loader)
{
    g_autoptr(GHashTable) owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Config *config = loader->config;
    g_hash_table_insert(owners, g_canonicalize_filename(config->socket_path, "/"),
                        g_strdup("socket of [controller]"));
    const char *readonly_path = loader->config->readonly_path;
    if (readonly_path && *readonly_path) {
        g_hash_table_insert(owners, g_canonicalize_filename(readonly_path, "/"),
                            g_strdup("readonly-socket of [controller]"));
    }
    check_range(loader, loader->defaults);
    for (unsigned i = 0; i < loader->drafts->len; i++) {
        Draft *draft = g_ptr_array_index(loader->drafts, i);
        draft->guest->given = settings_given(draft);
        check_sockets(loader, owners, draft);
        if (guest_name_is_pattern(draft->guest->name)) {
            g_ptr_array_insert(config->patterns, 0, guest_config_copy(draft->guest));
        }
    }
    loader->defaults->guest->given = GUEST_GIVEN_ALL;
    g_ptr_array_add(config->patterns, guest_config_copy(loader->defaults->guest));
    config_sort_patterns(config);
    for (unsigned i = 0; i < loader->drafts->len; i++) {
        Draft *draft = g_ptr_array_index(loader->drafts, i);
        config_complete_guest(config, draft->guest);
        check_range(loader, draft);
        if (!guest_name_is_pattern(draft->guest->name)) {
            place_guest(config, g_steal_pointer(&draft->guest));
        }
    }
}

// --- files ------------------------------------------------------------------------------------

static void read_file(Loader *loader, char *path, bool optional)
{
    g_ptr_array_add(loader->files, path);
    config_text_read(path, optional, &loader->mistakes, read_setting, loader);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The names of the files in `folder` that count, sorted; empty when there is no such folder.
static GPtrArray *list_folder(Loader *loader, const char *folder)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) directory = g_dir_open(folder, 0, &error);
    if (!directory) {
        if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            loader->mistakes.unreadable = true;
            config_mistakes_add(&loader->mistakes, (ConfigPlace){.file = folder}, NULL, NULL, "%s",
                                error->message);
        }
        return names;
    }
    for (const char *name; (name = g_dir_read_name(directory));) {
        if (g_str_has_suffix(name, ".conf") && name[0] != '.') {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void loader_init(Loader *loader)
{
    *loader = (Loader){
        .files = g_ptr_array_new_with_free_func(g_free),
        .config = config_new(),
        .defaults = draft_new((ConfigPlace){0}, "defaults", "*"),
        .drafts = g_ptr_array_new_with_free_func((GDestroyNotify)draft_free),
        .drafts_by_name = g_hash_table_new(g_str_hash, g_str_equal),
    };
    config_mistakes_init(&loader->mistakes);
}

static void loader_clear(Loader *loader)
{
    g_hash_table_unref(loader->drafts_by_name);
    g_ptr_array_unref(loader->drafts);
    draft_free(loader->defaults);
    config_free(loader->config);
    config_mistakes_clear(&loader->mistakes);
    g_ptr_array_unref(loader->files);
}

Config *config_load(const char *path, bool path_optional, GError **error)
{
    Loader loader;
    loader_init(&loader);
    read_file(&loader, g_strdup(path), path_optional);
    g_autofree char *folder = g_strconcat(path, ".d", NULL);
    g_autoptr(GPtrArray) names = list_folder(&loader, folder);
    for (unsigned i = 0; i < names->len; i++) {
        read_file(&loader, g_build_filename(folder, g_ptr_array_index(names, i), NULL), false);
    }
    check_guests(&loader);

    Config *config = NULL;
    if (loader.mistakes.count == 0) {
        config = g_steal_pointer(&loader.config);
    } else {
        config_mistakes_finish(&loader.mistakes);
        g_set_error_literal(error, CONFIG_ERROR,
                            loader.mistakes.unreadable ? CONFIG_ERROR_FILE : CONFIG_ERROR_VALUE,
                            loader.mistakes.text->str);
    }
    loader_clear(&loader);
    return config;
}
