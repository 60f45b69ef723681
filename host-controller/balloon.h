// SPDX-License-Identifier: Apache-2.0
//
// What is known of one guest's balloon, and where it is on its way: a pure state machine.
//
// QEMU's `balloon` command returns at once and its target cannot be asked back; only
// `query-balloon` tells the truth. So the target is remembered here, and every reading of `actual`
// is judged against it: reached, still moving, stalled, or gone its own way.
//
// And not even that is the truth right after a reset: QEMU keeps the `actual` that the former
// kernel's driver wrote until another driver writes its own, though the balloon is empty and all
// the memory in use again. A kernel without the driver never corrects it, nor does a driver that
// finds nothing to inflate.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// A move without progress for this long is stalled.
#define BALLOON_STALL_US INT64_C(5000000)

typedef enum BalloonState {
    BALLOON_SETTLED,
    BALLOON_SHRINKING, // the guest gives memory back: the balloon inflates
    BALLOON_GROWING,   // the guest gets memory: the balloon deflates
    BALLOON_STALLED,   // the guest does not follow
    // The guest took more than its target: its kernel ran out of memory and deflated the balloon by
    // itself (VIRTIO_BALLOON_F_DEFLATE_ON_OOM). It stays there until the next command.
    BALLOON_AUTO_DEFLATED,
} BalloonState;

// What a reading meant.
typedef enum BalloonChange {
    BALLOON_CHANGE_NONE,
    BALLOON_CHANGE_PROGRESS, // actual moved, wherever to
    BALLOON_CHANGE_REACHED,  // the target is reached
    BALLOON_CHANGE_STALLED,  // no progress for BALLOON_STALL_US
} BalloonChange;

typedef struct Balloon {
    BalloonState state;
    int64_t actual_bytes;
    int64_t target_bytes;  // last set; actual when none was
    int64_t ceiling_bytes; // the most the guest may hold: a lowered target counts only once a
                           // later reading confirms it
    unsigned commands;     // targets sent; a reading belongs to the target that was last sent
                           // before it was asked for
    int64_t lowest_bytes;  // the lowest reading that belongs to the last target
    int64_t started_us;    // when the move began
    int64_t progress_us;   // when actual last moved, or was not expected to
    int64_t moved_us;      // when actual last moved
    bool restarted;        // no driver has been heard of since a reset: actual is what the guest
                           // may hold, and QEMU's word for it is not taken
    bool has_left;         // what QEMU has said since the reset is known:
    int64_t left_bytes;    // the former driver's last word
} Balloon;

// Takes the balloon as it is found; sends and expects nothing.
void balloon_adopt(Balloon *balloon, int64_t actual_bytes);

// Takes over a balloon whose target may have become any other meanwhile: where it is is where it
// is meant to be, a page at least because QEMU takes no target of 0; but it counts with all of the
// guest's `size_bytes` until a target was sent and confirmed.
void balloon_take_over(Balloon *balloon, int64_t size_bytes);

// A `balloon` command for `target_bytes` is being sent.
void balloon_set_target(Balloon *balloon, int64_t target_bytes, int64_t now_us);

// The guest, of `size_bytes`, starts anew: its balloon is empty, and readings are not believed
// until they change or balloon_confirm() is called.
void balloon_restart(Balloon *balloon, int64_t size_bytes, int64_t now_us);

// Nothing was to be expected of the guest until now: it is not stalled for having done nothing.
void balloon_excuse(Balloon *balloon, int64_t until_us);

// The guest itself says that it holds `held_bytes`, its balloon taken off. After a reset that
// decides whether QEMU's word is to be believed again.
void balloon_confirm(Balloon *balloon, int64_t held_bytes);

// A reading of `actual`, asked for at `asked_us`, when balloon->commands was `asked_at`.
BalloonChange balloon_observe(Balloon *balloon, int64_t actual_bytes, unsigned asked_at,
                              int64_t asked_us);

// Whether readings are wanted often.
static inline bool balloon_is_moving(const Balloon *balloon)
{
    return balloon->state == BALLOON_SHRINKING || balloon->state == BALLOON_GROWING ||
           balloon->state == BALLOON_AUTO_DEFLATED;
}
