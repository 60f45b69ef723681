// SPDX-License-Identifier: Apache-2.0
//
// Guests that are started, stopped, replaced and given or deprived of their agents at random, in
// the directory that a real controller watches. Now and then everything holds still, and the
// controller must know exactly those that are there.
#pragma once

#include "tests/support/rig.h"

typedef struct Churn Churn;

typedef struct ChurnFigures {
    unsigned started;
    unsigned stopped;
    unsigned replaced; // stopped and started at once, under the same name
    unsigned agents;   // that came or went while their guest stayed
    unsigned checks;   // of who is there
    int64_t slowest_check_us;
    int most_descriptors; // of the controller's
    int64_t most_resident_bytes;
} ChurnFigures;

// Fake guests come and go in `places` places around a rig whose controller runs. Both are to last
// as long as each other.
Churn *churn_new(Rig *rig, int places);
// Stops every guest and waits until the controller knows of none.
void churn_free(Churn *churn);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Churn, churn_free)

// Goes on for that long, and ends with a check.
void churn_run(Churn *churn, int64_t duration_us);
// Stops every guest and waits until the controller knows of none.
void churn_stop_all(Churn *churn);

const ChurnFigures *churn_figures(const Churn *churn);
