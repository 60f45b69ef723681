// SPDX-License-Identifier: Apache-2.0
//
// The text of a configuration file: groups, keys and values with the lines they stand on.
//
// The dialect is GKeyFile's, whose escapes it leaves to GKeyFile; the lines are read here because
// GKeyFile does not tell on which line a key stood, keeps the last of two duplicates in silence and
// stops at the first mistake.
#pragma once

#include <glib.h>
#include <stdbool.h>

// Where something stands.
typedef struct ConfigPlace {
    const char *file;
    unsigned line; // from 1; 0: the file as a whole
} ConfigPlace;

// All mistakes found so far, as lines for a person. Clear with config_mistakes_clear().
typedef struct ConfigMistakes {
    GString *text;
    unsigned count;
    bool unreadable; // one of them is a file that cannot be read
} ConfigMistakes;

void config_mistakes_init(ConfigMistakes *mistakes);
void config_mistakes_clear(ConfigMistakes *mistakes);

// Adds "FILE:LINE: [group] key: MESSAGE"; `group` and `key` may be NULL. Text from files is made
// fit to be shown; `format`'s own arguments must be already. Past the first 50 mistakes the rest is
// only counted.
void config_mistakes_add(ConfigMistakes *mistakes, ConfigPlace place, const char *group,
                         const char *key, const char *format, ...) G_GNUC_PRINTF(5, 6);
// Tells how many mistakes are not shown, if any.
void config_mistakes_finish(ConfigMistakes *mistakes);

// A group's header (`key` and `value` NULL) or a key below it. Borrowed for the call's time, but
// for `place.file`, which is the path given.
typedef struct ConfigSetting {
    ConfigPlace place;
    const char *group;
    const char *key;
    const char *value; // escapes resolved, no blanks around it
} ConfigSetting;

typedef void ConfigSettingHandler(void *context, const ConfigSetting *setting);

// Reads the file at `path`, which `mistakes` and `handler` borrow, and calls `handler` for each
// setting in order. What is no setting is a mistake and left out. A missing file is a mistake too
// unless `optional`.
void config_text_read(const char *path, bool optional, ConfigMistakes *mistakes,
                      ConfigSettingHandler *handler, void *context);
