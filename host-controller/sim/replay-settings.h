// SPDX-License-Identifier: Apache-2.0
//
// What `aerostat-sim replay` is to change of what was recorded: --set KEY=VALUE.
#pragma once

#include "host-controller/journal/record.h"
#include "protocol/units.h"

typedef struct ReplaySettings {
    bool has_mode;
    ControllerMode mode;
    bool has_budget;
    RelativeSize budget; // of the host's memory
    GArray *guests;      // GuestSetting
} ReplaySettings;

void replay_settings_init(ReplaySettings *settings);
void replay_settings_clear(ReplaySettings *settings);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReplaySettings, replay_settings_clear)

// Adds one: mode=MODE, budget=SIZE, guest.NAME.min=SIZE, .max=SIZE or .weight=N, NAME being * for
// all guests; a later one overrides an earlier. PROTOCOL_ERROR_INVALID, after which they are good
// for nothing.
bool replay_settings_add(ReplaySettings *settings, const char *text, GError **error);
// Whether there is any.
bool replay_settings_given(const ReplaySettings *settings);
// The first name of a guest that is set and for which `known` is false; NULL: there is none.
const char *replay_settings_find_unknown(const ReplaySettings *settings,
                                         bool known(const char *name, void *context),
                                         void *context);

// The host and a guest's input as they would be.
JournalHost replay_settings_host(const ReplaySettings *settings, const JournalHost *recorded);
void replay_settings_apply(const ReplaySettings *settings, const char *name, PolicyGuest *input);
