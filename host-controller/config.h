// SPDX-License-Identifier: Apache-2.0
//
// The controller's configuration: /etc/aerostat/controller.conf and controller.conf.d/*.conf.
//
// Files are GKeyFile text. A later file adds to and overrides an earlier one, key by key. Anything
// not understood is an error that names file, line, group and key, also where a later file
// overrides it; nothing is guessed.
#pragma once

#include "protocol/units.h"

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

// One guest: its group's keys, or [defaults] where it has none.
typedef struct GuestConfig {
    char *name;
    char *qmp_path;   // QEMU's monitor socket
    char *agent_path; // the agent port's socket; NULL: no agent
    // Of the guest's size. When both are of one kind, min is not above max; when one is relative
    // and the other absolute, that can only be told once the size is known, by whoever learns it.
    RelativeSize min;
    RelativeSize max; // never 0
    int64_t weight;   // 1 to 10000, default 100
    bool managed;     // false: never touched, counted at its full size
} GuestConfig;

typedef struct Config {
    ControllerMode mode;
    char *socket_path;
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
    bool ksm_auto;              // the kernel shares equal pages while the host is short
    int64_t ksm_permyriad;      // of one processor that it may spend on that
    bool last_resort;           // reclaim from guests that do not follow while the host is critical
    GPtrArray *guests;          // GuestConfig*, in the order of their first mention
} Config;

// Built-in locations.
#define CONFIG_DEFAULT_PATH "/etc/aerostat/controller.conf"
#define CONFIG_DEFAULT_SOCKET "/run/aerostat/controller.sock"
// In the folder that LOGS_DIRECTORY names; without it there is no journal by default.
#define CONFIG_DEFAULT_JOURNAL_NAME "decisions.jsonl"

// Error domain. The message is ready for a person: a line "FILE:LINE: [group] key: what is wrong"
// for every mistake found, without a newline after the last; what belongs to no key or no group has
// none there.
#define CONFIG_ERROR (config_error_quark())
GQuark config_error_quark(void);
typedef enum ConfigError {
    CONFIG_ERROR_FILE,  // a file cannot be read (others may have mistakes besides)
    CONFIG_ERROR_VALUE, // is not understood
} ConfigError;

// Reads the file at `path` and then the files PATH.d/*.conf in the order of their names. A missing
// `path.d` is no error; a missing `path` is none when `path_optional` (then the defaults hold).
// Returns NULL with CONFIG_ERROR.
Config *config_load(const char *path, bool path_optional, GError **error);
void config_free(Config *config);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

GuestConfig *guest_config_copy(const GuestConfig *guest);
void guest_config_free(GuestConfig *guest);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestConfig, guest_config_free)
