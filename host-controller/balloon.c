// SPDX-License-Identifier: Apache-2.0
#include "host-controller/balloon.h"

// QEMU counts the balloon in pages of 4 KiB: nearer than one page is reached.
#define PAGE_BYTES 4096
// A driver that is told to turn round overshoots by the pages it has in hand, 1 MiB at most (Linux,
// drivers/virtio/virtio_balloon.c); the guest's own count and QEMU's differ by no more either.
#define NOISE_BYTES (INT64_C(4) << 20)

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
        .lowest_bytes = actual_bytes,
    };
}

void balloon_take_over(Balloon *balloon, int64_t size_bytes)
{
    balloon->state = BALLOON_SETTLED;
    balloon->target_bytes = larger(balloon->actual_bytes, PAGE_BYTES);
    balloon->ceiling_bytes = larger(balloon->ceiling_bytes, size_bytes);
    balloon->lowest_bytes = balloon->actual_bytes;
    balloon->commands++;
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
    balloon->lowest_bytes = INT64_MAX;
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

void balloon_restart(Balloon *balloon, int64_t size_bytes, int64_t now_us)
{
    balloon->restarted = true;
    balloon->progress_us = now_us;
    balloon->moved_us = now_us;
    balloon->has_left = false;
    balloon->actual_bytes = size_bytes;
    balloon->ceiling_bytes = larger(balloon->ceiling_bytes, size_bytes);
    if (balloon->commands == 0) {
        balloon->target_bytes = size_bytes;
    }
    balloon->state = direction(balloon);
}

void balloon_confirm(Balloon *balloon, int64_t held_bytes)
{
    int64_t distance = held_bytes - balloon->left_bytes;
    if (balloon->has_left && distance > -NOISE_BYTES && distance < NOISE_BYTES) {
        balloon->restarted = false;
    }
}

void balloon_excuse(Balloon *balloon, int64_t until_us)
{
    balloon->progress_us = larger(balloon->progress_us, until_us);
}

// What is to be taken for true of a reading.
static int64_t believed(Balloon *balloon, int64_t reading_bytes)
{
    if (!balloon->restarted) {
        return reading_bytes;
    }
    if (!balloon->has_left) {
        balloon->has_left = true;
        balloon->left_bytes = reading_bytes;
    }
    balloon->restarted = reading_bytes == balloon->left_bytes;
    return balloon->restarted ? balloon->actual_bytes : reading_bytes;
}

// Nothing was asked of it yet: wherever it goes is where it is meant to be.
static BalloonChange observe_untouched(Balloon *balloon, int64_t actual_bytes, int64_t asked_us)
{
    bool moved = actual_bytes != balloon->actual_bytes;
    balloon->moved_us = moved ? asked_us : balloon->moved_us;
    balloon->actual_bytes = balloon->target_bytes = balloon->ceiling_bytes = actual_bytes;
    return moved ? BALLOON_CHANGE_PROGRESS : BALLOON_CHANGE_NONE;
}

// Whether a rise to where the guest is now was its own doing. On its way it may overshoot a little
// when the target is lowered while it grows.
static bool rose_by_itself(const Balloon *balloon)
{
    int64_t from_bytes = larger(balloon->lowest_bytes, balloon->target_bytes);
    int64_t tolerated_bytes = balloon->state == BALLOON_SETTLED ? PAGE_BYTES : NOISE_BYTES;
    return balloon->actual_bytes - from_bytes >= tolerated_bytes;
}

// Judges a reading, already taken into `balloon`, that belongs to the last target.
static BalloonChange judge(Balloon *balloon, int64_t before_bytes, int64_t asked_us)
{
    if (is_reached(balloon)) {
        bool arrived = balloon->state != BALLOON_SETTLED;
        balloon->state = BALLOON_SETTLED;
        return arrived ? BALLOON_CHANGE_REACHED : BALLOON_CHANGE_NONE;
    }
    if (balloon->actual_bytes == before_bytes) {
        return BALLOON_CHANGE_NONE;
    }
    // A guest that moves by itself is on its way again; the first progress ends a stall.
    if (balloon->state == BALLOON_SETTLED) {
        balloon->started_us = asked_us;
    }
    bool rose = balloon->actual_bytes > before_bytes && rose_by_itself(balloon);
    balloon->state = rose ? BALLOON_AUTO_DEFLATED : direction(balloon);
    return BALLOON_CHANGE_PROGRESS;
}

BalloonChange balloon_observe(Balloon *balloon, int64_t reading_bytes, unsigned asked_at,
                              int64_t asked_us)
{
    int64_t actual_bytes = believed(balloon, reading_bytes);
    if (balloon->commands == 0) {
        return observe_untouched(balloon, actual_bytes, asked_us);
    }
    int64_t before_bytes = balloon->actual_bytes;
    int64_t holds = larger(actual_bytes, balloon->target_bytes);
    bool current = asked_at == balloon->commands;
    balloon->actual_bytes = actual_bytes;
    balloon->ceiling_bytes = current ? holds : larger(balloon->ceiling_bytes, holds);
    if (actual_bytes != before_bytes) {
        // Whatever came after the question is news, too.
        balloon->progress_us = larger(balloon->progress_us, asked_us);
        balloon->moved_us = larger(balloon->moved_us, asked_us);
    }
    if (!current) {
        return actual_bytes != before_bytes ? BALLOON_CHANGE_PROGRESS : BALLOON_CHANGE_NONE;
    }
    if (actual_bytes < balloon->lowest_bytes) {
        balloon->lowest_bytes = actual_bytes;
    }
    BalloonChange change = judge(balloon, before_bytes, asked_us);
    bool awaited = balloon->state == BALLOON_SHRINKING || balloon->state == BALLOON_GROWING;
    if (change == BALLOON_CHANGE_NONE && awaited &&
        asked_us - balloon->progress_us >= BALLOON_STALL_US) {
        balloon->state = BALLOON_STALLED;
        return BALLOON_CHANGE_STALLED;
    }
    return change;
}
