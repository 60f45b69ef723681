// SPDX-License-Identifier: Apache-2.0
//
// The controller's configuration: /etc/aerostat/controller.conf and controller.conf.d/*.conf.
//
// Files are GKeyFile text. A later file adds to and overrides an earlier one, key by key. Anything
// not understood is an error that names file, line, group and key, also where a later file
// overrides it; nothing is guessed.
#pragma once

#include "protocol/units.h"

#include <sys/types.h>

// What the controller does with the targets it works out.
typedef enum ControllerMode {
    CONTROLLER_MODE_OBSERVE, // never acts
    CONTROLLER_MODE_BALANCE, // shrinks guests only as far as the host needs
    CONTROLLER_MODE_RECLAIM, // always takes idle memory back
    CONTROLLER_MODE_COUNT
} ControllerMode;

// The word for `mode` in configuration and on the control socket.
const char *controller_mode_name(ControllerMode mode);
// Reads such a word. False when there is no such mode.
bool controller_mode_parse(const char *text, ControllerMode *mode);

// Where a guest was told of; the words of GuestOrigin in protocol/controller.json.
typedef enum GuestOrigin {
    GUEST_ORIGIN_CONFIGURED, // its group names its monitor
    GUEST_ORIGIN_ADDED,      // with add-guest
    GUEST_ORIGIN_FOUND,      // in the watched directory
    GUEST_ORIGIN_COUNT
} GuestOrigin;

// One guest: its group's keys, or what other groups give where it has none.
typedef struct GuestConfig {
    char *name;
    GuestOrigin origin;
    char *qmp_path;   // QEMU's monitor socket; NULL: only settings, for a guest told of elsewhere
    char *agent_path; // the agent port's socket; NULL: no agent
    pid_t pid;        // of its QEMU; 0: whoever listens at qmp_path
    unsigned given;   // which of the settings below are its own: bits of GuestGiven
    // Of the guest's size. When both are of one kind, min is not above max; when one is relative
    // and the other absolute, that can only be told once the size is known, by whoever learns it.
    RelativeSize min;
    RelativeSize max; // never 0
    int64_t weight;   // 1 to 10000, default 100
    bool managed;     // false: never touched, counted at its full size
} GuestConfig;

typedef enum GuestGiven {
    GUEST_GIVEN_MIN = 1 << 0,
    GUEST_GIVEN_MAX = 1 << 1,
    GUEST_GIVEN_WEIGHT = 1 << 2,
    GUEST_GIVEN_MANAGE = 1 << 3,
    GUEST_GIVEN_ALL = (1 << 4) - 1,
} GuestGiven;

typedef struct Config {
    ControllerMode mode;
    char *socket_path;
    char *socket_group; // NULL: that of the process
    // The socket that only tells: NULL: beside the other, "": none.
    char *readonly_path;
    char *readonly_group; // NULL: as socket_group
    bool release_on_exit; // at its end every guest is given back what its balloon holds
    // Where the metrics endpoint listens; NULL: nowhere.
    char *metrics_address;
    char *journal_path;         // where decisions are recorded; NULL: nowhere
    int64_t journal_size_bytes; // the most its files take together
    RelativeSize reserve;       // of the host's memory, to stay available; below 100%
    bool budget_auto;           // whatever the host can spare beyond the reserve
    char *budget_group;         // and this control group, such as /machine.slice; NULL: none
    RelativeSize budget;        // of the host's memory; unless budget_auto; never 0
    char *libvirt_uri;          // what aerostat-libvirt connects to; NULL: not given
    GPtrArray *guests;          // GuestConfig* with a monitor, in the order of their first mention
    // Settings for guests told of elsewhere: GuestConfig* without sockets. By name, complete; and
    // by pattern, from the most specific to "*" for [defaults], which gives all.
    GHashTable *named;
    GPtrArray *patterns;
    char *discovery_path;  // the directory in which guests are found; NULL: none
    bool ksm_auto;         // the kernel shares equal pages while the host is short
    int64_t ksm_permyriad; // of one processor that it may spend on that
    bool last_resort;      // reclaim from guests that do not follow while the host is critical
} Config;

// Built-in locations.
#define CONFIG_DEFAULT_PATH "/etc/aerostat/controller.conf"
#define CONFIG_DEFAULT_SOCKET "/run/aerostat/controller.sock"
#define CONFIG_DEFAULT_READONLY_SOCKET "/run/aerostat/controller-ro.sock"
// In the folder that LOGS_DIRECTORY names; without it there is no journal by default.
#define CONFIG_DEFAULT_JOURNAL_NAME "decisions.jsonl"
#define CONFIG_DEFAULT_DIRECTORY "/run/aerostat/guests"

// Error domain. The message is ready for a person: a line "FILE:LINE: [group] key: what is wrong"
// for every mistake found, without a newline after the last; what belongs to no key or no group has
// none there.
#define CONFIG_ERROR (config_error_quark())
GQuark config_error_quark(void);
typedef enum ConfigError {
    CONFIG_ERROR_FILE,  // a file cannot be read (others may have mistakes besides)
    CONFIG_ERROR_VALUE, // is not understood
} ConfigError;

// Where the read-only socket is when the control socket is at `socket_path` and nothing else is
// configured: there, with "-ro" behind the name, before ".sock". New string.
char *config_readonly_path(const char *socket_path);

// Reads the file at `path` and then the files PATH.d/*.conf in the order of their names. A missing
// `path.d` is no error; a missing `path` is none when `path_optional` (then the defaults hold).
// Returns NULL with CONFIG_ERROR.
Config *config_load(const char *path, bool path_optional, GError **error);
void config_free(Config *config);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

// Gives `guest` the settings it does not have of its own: those of its name, then of each pattern
// that its name matches, the most specific first, then of [defaults].
void config_complete_guest(const Config *config, GuestConfig *guest);

GuestConfig *guest_config_copy(const GuestConfig *guest);
void guest_config_free(GuestConfig *guest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestConfig, guest_config_free)
