// SPDX-License-Identifier: Apache-2.0
//
// The statistics of one guest's balloon: finds the device, has QEMU ask the guest's driver for them
// once a second, and looks whether it has answered.
//
// QEMU keeps the last answer for ever, so only one that is newer than the one before is news. A
// driver that never answers, or none, leads to nothing. If somebody else has set how often the
// guest is asked, that is put back at the end.
#pragma once

#include "host-controller/balloon-stats.h"
#include "host-controller/qmp-client.h"

typedef struct StatsLink StatsLink;

// The guest has told anew. What it held at that moment, which is not known to the second, was
// between the two.
typedef void StatsLinkFunc(const BalloonStats *stats, int64_t lowest_bytes, int64_t highest_bytes,
                           void *context);

// Statistics of the guest behind `qmp`, which must outlive the link. Asks for nothing yet.
StatsLink *stats_link_new(QmpClient *qmp, StatsLinkFunc *news, void *context);
// NULL does nothing.
void stats_link_free(StatsLink *link);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatsLink, stats_link_free)

// Asks from now on, or no more.
void stats_link_want(StatsLink *link, bool wanted);
// The connection was lost, or a device removed: what is known of it is forgotten.
void stats_link_reset(StatsLink *link);
// The guest starts anew: what QEMU has got is the former one's.
void stats_link_restart(StatsLink *link);
// The guest holds that much now.
void stats_link_note_actual(StatsLink *link, int64_t actual_bytes);
