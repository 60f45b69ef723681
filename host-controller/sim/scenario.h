// SPDX-License-Identifier: Apache-2.0
//
// Built-in scenarios: small hosts on which one thing happens.
#pragma once

#include "host-controller/sim/host-setup.h"
#include "host-controller/sim/random.h"

typedef struct Scenario Scenario;

struct Scenario {
    const char *name;
    const char *summary;
    int64_t duration_us;
    int64_t budget_permille; // of the clairvoyant optimum, unless told otherwise
    void (*populate)(GPtrArray *guests, SimRandom *random, guint count, int64_t size_bytes,
                     int64_t duration_us);
    guint guests; // unless told otherwise
    int64_t size_bytes;
};

// The scenarios in the order they are listed to people; a name of NULL ends them.
extern const Scenario scenarios[];

// NULL when there is no scenario of that name.
const Scenario *scenario_find(const char *name);

// What the command line may change of a scenario; 0 leaves it as it is.
typedef struct ScenarioSettings {
    guint guests;
    int64_t size_bytes;
    int64_t min_bytes;
    int64_t duration_us;
    uint64_t seed;
} ScenarioSettings;

// The scenario's host, its guests and its duration filled in.
HostSetup *scenario_host_new(const Scenario *scenario, const ScenarioSettings *settings);
