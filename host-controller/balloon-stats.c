// SPDX-License-Identifier: Apache-2.0
#include "host-controller/balloon-stats.h"

#include "protocol/limits.h"

// QEMU's names for them, and ours.
static const struct {
    const char *member;
    const char *name;
} names[BALLOON_STAT_COUNT] = {
    [BALLOON_STAT_TOTAL] = {"stat-total-memory", "total"},
    [BALLOON_STAT_AVAILABLE] = {"stat-available-memory", "available"},
    [BALLOON_STAT_FREE] = {"stat-free-memory", "free"},
    [BALLOON_STAT_CACHES] = {"stat-disk-caches", "caches"},
    [BALLOON_STAT_SWAP_IN] = {"stat-swap-in", "swap-in"},
    [BALLOON_STAT_SWAP_OUT] = {"stat-swap-out", "swap-out"},
    [BALLOON_STAT_MAJOR_FAULTS] = {"stat-major-faults", "major-faults"},
};

const char *balloon_stat_name(BalloonStat stat)
{
    return names[stat].name;
}

// Whether one part is not larger than the whole, as far as both are told.
static bool fits(const BalloonStats *stats, BalloonStat part, BalloonStat whole)
{
    return !balloon_stats_has(stats, part) || !balloon_stats_has(stats, whole) ||
           stats->value[part] <= stats->value[whole];
}

bool balloon_stats_from_json(const json_t *value, BalloonStats *stats)
{
    json_t *members;
    *stats = (BalloonStats){0};
    if (!json_member_int(value, "last-update", 0, LIMIT_REPORT_VALUE, &stats->updated_s, NULL) ||
        !json_member_object(value, "stats", &members, NULL)) {
        return false;
    }
    for (BalloonStat stat = 0; stat < BALLOON_STAT_COUNT; stat++) {
        bool told = json_member_int(members, names[stat].member, 0, LIMIT_REPORT_VALUE,
                                    &stats->value[stat], NULL);
        stats->present |= (unsigned)told << stat;
    }
    return fits(stats, BALLOON_STAT_AVAILABLE, BALLOON_STAT_TOTAL) &&
           fits(stats, BALLOON_STAT_FREE, BALLOON_STAT_TOTAL);
}

bool balloon_stats_available(const BalloonStats *stats, int64_t *available_bytes)
{
    BalloonStat stat = balloon_stats_has(stats, BALLOON_STAT_AVAILABLE) ? BALLOON_STAT_AVAILABLE
                                                                        : BALLOON_STAT_FREE;
    *available_bytes = stats->value[stat];
    return balloon_stats_has(stats, stat);
}
