// SPDX-License-Identifier: Apache-2.0
//
// What a guest's balloon driver tells of its memory without an agent: the statistics that QEMU asks
// it for once in a while and keeps (guest-stats).
//
// They come from the guest and may be anything. A statistic the guest does not tell, QEMU gives as
// 2^64 - 1.
//
// Source: QEMU, docs/interop/virtio-balloon-stats; virtio specification, 5.5.6.3.
#pragma once

#include "host-controller/policy/policy.h"
#include "protocol/json.h"

typedef enum BalloonStat {
    BALLOON_STAT_TOTAL,     // bytes, these and the next
    BALLOON_STAT_AVAILABLE, // since Linux 4.6
    BALLOON_STAT_FREE,
    BALLOON_STAT_CACHES, // since Linux 4.16
    BALLOON_STAT_SWAP_IN,
    BALLOON_STAT_SWAP_OUT,
    BALLOON_STAT_MAJOR_FAULTS, // a count
    BALLOON_STAT_COUNT
} BalloonStat;

typedef struct BalloonStats {
    int64_t updated_s; // when QEMU got them, by the host's clock; 0: never
    unsigned present;  // bit i: value[i] is there
    int64_t value[BALLOON_STAT_COUNT];
} BalloonStats;

// The name of a statistic on the control socket.
const char *balloon_stat_name(BalloonStat stat);

static inline bool balloon_stats_has(const BalloonStats *stats, BalloonStat stat)
{
    return stats->present >> stat & 1;
}

// Decodes QEMU's guest-stats; a statistic that is missing or out of range is absent. False when it
// is something else, or the numbers contradict each other.
bool balloon_stats_from_json(const json_t *value, BalloonStats *stats);

// What of a guest that holds `held_bytes` is free for its programs as the statistics have it:
// `available`, or where the guest does not tell that, `free`. False when it tells neither.
bool balloon_stats_available(const BalloonStats *stats, int64_t *available_bytes);
