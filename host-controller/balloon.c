// SPDX-License-Identifier: Apache-2.0
#include "host-controller/balloon.h"

// QEMU counts the balloon in pages of 4 KiB: nearer than one page is reached.
#define PAGE_BYTES 4096

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void balloon_adopt(Balloon *balloon, int64_t actual_bytes)
{
    *balloon = (Balloon){
        .state = BALLOON_SETTLED,
        .actual_bytes = actual_bytes,
        .target_bytes = actual_bytes,
        .ceiling_bytes = actual_bytes,
    };
}

static bool is_reached(const Balloon *balloon)
{
    int64_t distance = balloon->actual_bytes - balloon->target_bytes;
    return distance > -PAGE_BYTES && distance < PAGE_BYTES;
}

static BalloonState direction(const Balloon *balloon)
{
    if (is_reached(balloon)) {
        return BALLOON_SETTLED;
    }
    return balloon->target_bytes < balloon->actual_bytes ? BALLOON_SHRINKING : BALLOON_GROWING;
}

void balloon_set_target(Balloon *balloon, int64_t target_bytes, int64_t now_us)
{
    balloon->target_bytes = target_bytes;
    balloon->ceiling_bytes = larger(balloon->ceiling_bytes, target_bytes);
    balloon->commands++;
    BalloonState before = balloon->state;
    balloon->state = direction(balloon);
    if (balloon->state != before) {
        balloon->started_us = now_us;
        balloon->progress_us = now_us;
    }
    // Even a target that is reached already wants a reading that confirms the ceiling.
    if (balloon->state == BALLOON_SETTLED && balloon->ceiling_bytes > target_bytes) {
        balloon->state = BALLOON_SHRINKING;
    }
}

BalloonChange balloon_observe(Balloon *balloon, int64_t actual_bytes, unsigned asked_at,
                              int64_t now_us)
{
    if (balloon->commands == 0) {
        // Nothing was asked of it yet: wherever it goes is where it is meant to be.
        bool went = actual_bytes != balloon->actual_bytes;
        balloon_adopt(balloon, actual_bytes);
        return went ? BALLOON_CHANGE_PROGRESS : BALLOON_CHANGE_NONE;
    }
    bool moved = actual_bytes != balloon->actual_bytes;
    balloon->actual_bytes = actual_bytes;
    int64_t holds = larger(actual_bytes, balloon->target_bytes);
    bool current = asked_at == balloon->commands;
    balloon->ceiling_bytes = current ? holds : larger(balloon->ceiling_bytes, holds);
    if (moved) {
        balloon->progress_us = now_us;
    }

    if (is_reached(balloon) && current) {
        bool arrived = balloon->state != BALLOON_SETTLED;
        balloon->state = BALLOON_SETTLED;
        return arrived ? BALLOON_CHANGE_REACHED : BALLOON_CHANGE_NONE;
    }
    if (balloon->state == BALLOON_STALLED && !moved) {
        return BALLOON_CHANGE_NONE;
    }
    if (now_us - balloon->progress_us >= BALLOON_STALL_US && balloon->state != BALLOON_SETTLED) {
        balloon->state = BALLOON_STALLED;
        return BALLOON_CHANGE_STALLED;
    }
    if (!moved) {
        return BALLOON_CHANGE_NONE;
    }
    // The first progress ends a stall; a guest that moves by itself is on its way again.
    if (balloon->state == BALLOON_SETTLED) {
        balloon->started_us = now_us;
    }
    balloon->state = current ? direction(balloon) : balloon->state;
    return BALLOON_CHANGE_PROGRESS;
}
