// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/guest-model.h"

#include "host-controller/sim/quantity.h"

// The kernel's own memory: struct pages are a 64th, the rest is text and tables.
#define KERNEL_SIZE_DIVISOR 64
#define KERNEL_BYTES (36 * SIM_MIB)
// khugepaged raises the min watermark to about this; a small guest has a part of its size.
#define MIN_WATERMARK_BYTES (56 * SIM_MIB)
#define MIN_WATERMARK_DIVISOR 16

GuestTraits guest_traits_of_size(int64_t size_bytes)
{
    return (GuestTraits){
        .size_bytes = size_bytes,
        .kernel_bytes = sim_min(size_bytes / KERNEL_SIZE_DIVISOR + KERNEL_BYTES, size_bytes / 2),
        .min_watermark_bytes = sim_min(MIN_WATERMARK_BYTES, size_bytes / MIN_WATERMARK_DIVISOR),
        .growth_rate = 2 * SIM_GIB,
        .inflate_rate = 880 * SIM_MIB,
        .deflate_rate = 2150 * SIM_MIB,
        .disk_rate = 512 * SIM_MIB,
        .swap_rate = 512 * SIM_MIB,
        .swap_touch_us = 60 * SIM_S,
        .oom_grace_us = 200 * SIM_MS,
        .restart_us = 10 * SIM_S,
        .deflate_on_oom = true,
    };
}

// --- watermarks and what they leave (mm/page_alloc.c) -----------------------------------------

static int64_t low_watermark(const GuestTraits *traits)
{
    return traits->min_watermark_bytes / 4 * 5;
}

static int64_t high_watermark(const GuestTraits *traits)
{
    return traits->min_watermark_bytes / 2 * 3;
}

static int64_t cache_bytes(const GuestModel *guest)
{
    return guest->hot_bytes + guest->cold_bytes;
}

int64_t guest_model_actual_bytes(const GuestModel *guest)
{
    return guest->traits->size_bytes - guest->balloon_bytes;
}

int64_t guest_traits_need_bytes(const GuestTraits *traits, int64_t wanted_bytes)
{
    return sim_min(traits->kernel_bytes + traits->min_watermark_bytes + wanted_bytes,
                   traits->size_bytes);
}

int64_t guest_model_need_bytes(const GuestModel *guest)
{
    return guest_traits_need_bytes(guest->traits, guest->wanted_bytes);
}

int64_t guest_model_available_bytes(const GuestModel *guest)
{
    int64_t cache = cache_bytes(guest);
    int64_t kept_cache = sim_min(cache / 2, low_watermark(guest->traits));
    return sim_max(guest->free_bytes - high_watermark(guest->traits) + cache - kept_cache, 0);
}

// --- taking memory ----------------------------------------------------------------------------

// Takes up to `wanted` from `*from`; returns how much.
static int64_t take(int64_t *from, int64_t wanted)
{
    int64_t taken = sim_clamp(*from, 0, sim_max(wanted, 0));
    *from -= taken;
    return taken;
}

// Frees up to `wanted` bytes of page cache, the working set last.
static int64_t reclaim_cache(GuestModel *guest, int64_t wanted)
{
    int64_t freed = take(&guest->cold_bytes, wanted);
    freed += take(&guest->hot_bytes, wanted - freed);
    guest->free_bytes += freed;
    return freed;
}

// Frees up to `wanted` bytes by writing anonymous memory out, as much as `elapsed_us` allows.
static void swap_out(GuestModel *guest, int64_t wanted, int64_t elapsed_us)
{
    int64_t room = guest->traits->swap_bytes - guest->swapped_bytes;
    int64_t speed = sim_scale(guest->traits->swap_rate, elapsed_us, SIM_S);
    int64_t freed = take(&guest->anonymous_bytes, sim_min(wanted, sim_min(room, speed)));
    guest->swapped_bytes += freed;
    guest->free_bytes += freed;
    guest->counters.swap_out_bytes += freed;
}

// Takes up to `wanted` bytes out of free memory, reclaiming what is needed for it.
static int64_t allocate(GuestModel *guest, int64_t wanted, int64_t elapsed_us)
{
    int64_t floor = guest->traits->min_watermark_bytes;
    if (guest->free_bytes - floor < wanted) {
        reclaim_cache(guest, wanted - (guest->free_bytes - floor));
    }
    if (guest->free_bytes - floor < wanted && guest->traits->swap_bytes > 0) {
        swap_out(guest, wanted - (guest->free_bytes - floor), elapsed_us);
    }
    int64_t taken = sim_clamp(guest->free_bytes - floor, 0, wanted);
    guest->free_bytes -= taken;
    return taken;
}

// --- what happens in a step -------------------------------------------------------------------

static void move_balloon(GuestModel *guest, int64_t elapsed_us)
{
    const GuestTraits *traits = guest->traits;
    int64_t goal = sim_clamp(traits->size_bytes - guest->target_bytes, 0, traits->size_bytes);
    if (goal < guest->balloon_bytes) {
        int64_t most = sim_scale(traits->deflate_rate, elapsed_us, SIM_S);
        int64_t given = sim_min(guest->balloon_bytes - goal, most);
        guest->balloon_bytes -= given;
        guest->free_bytes += given;
        guest->counters.moved_bytes += given;
    } else if (goal > guest->balloon_bytes) {
        int64_t most = sim_scale(traits->inflate_rate, elapsed_us, SIM_S);
        int64_t taken = allocate(guest, sim_min(goal - guest->balloon_bytes, most), elapsed_us);
        guest->balloon_bytes += taken;
        guest->counters.moved_bytes += taken;
    }
}

static int64_t unmet_bytes(const GuestModel *guest)
{
    return guest->wanted_bytes - guest->anonymous_bytes - guest->swapped_bytes;
}

static void release_anonymous(GuestModel *guest, int64_t bytes)
{
    int64_t from_swap = take(&guest->swapped_bytes, bytes);
    guest->free_bytes += take(&guest->anonymous_bytes, bytes - from_swap);
}

static void move_anonymous(GuestModel *guest, int64_t elapsed_us)
{
    int64_t goal = curve_at(&guest->workload->anonymous, &guest->anonymous_cursor, guest->now_us);
    int64_t most = sim_scale(guest->traits->growth_rate, elapsed_us, SIM_S);
    guest->lost_bytes = guest->now_us < guest->killed_until_us ? goal : 0;
    if (guest->lost_bytes > 0) {
        return;
    }
    guest->wanted_bytes = sim_min(goal, guest->wanted_bytes + most);
    int64_t lacking = unmet_bytes(guest);
    if (lacking < 0) {
        release_anonymous(guest, -lacking);
    } else if (lacking > 0) {
        guest->anonymous_bytes += allocate(guest, sim_min(lacking, most), elapsed_us);
    }
}

// Reads the working set for `elapsed_us`. Returns the time that what had been evicted costs.
static int64_t read_working_set(GuestModel *guest, int64_t elapsed_us)
{
    const Workload *workload = guest->workload;
    guest->working_set_bytes =
        curve_at(&workload->working_set, &guest->working_set_cursor, guest->now_us);
    guest->cold_bytes += take(&guest->hot_bytes, guest->hot_bytes - guest->working_set_bytes);
    guest->known_bytes = sim_min(guest->known_bytes, guest->working_set_bytes);
    int64_t missing = guest->working_set_bytes - guest->hot_bytes;
    if (missing <= 0) {
        return 0;
    }
    int64_t read = sim_scale(workload->read_bytes_per_s, elapsed_us, SIM_S);
    int64_t missed = sim_scale(read, missing, guest->working_set_bytes);
    int64_t evicted = sim_scale(missed, guest->known_bytes - guest->hot_bytes, missing);
    int64_t loaded = sim_min(missed, missing);
    int64_t replaced = take(&guest->cold_bytes, loaded);
    int64_t room = guest->free_bytes - high_watermark(guest->traits);
    int64_t added = sim_clamp(room, 0, loaded - replaced);
    guest->free_bytes -= added;
    guest->hot_bytes += replaced + added;
    guest->known_bytes = sim_clamp(guest->known_bytes + missed - evicted, guest->hot_bytes,
                                   guest->working_set_bytes);
    // Who waits reads less.
    int64_t waited_us = sim_scale(evicted, SIM_S, guest->traits->disk_rate);
    guest->counters.refault_bytes += sim_scale(evicted, elapsed_us, elapsed_us + waited_us);
    return waited_us;
}

// What is read once fills what is free and then replaces its like.
static void scan_files(GuestModel *guest, int64_t elapsed_us)
{
    int64_t rate = curve_at(&guest->workload->scan, &guest->scan_cursor, guest->now_us);
    int64_t room = guest->free_bytes - high_watermark(guest->traits);
    int64_t cached = sim_clamp(room, 0, sim_scale(rate, elapsed_us, SIM_S));
    guest->free_bytes -= cached;
    guest->cold_bytes += cached;
}

// Touches what was swapped out. Returns the time that costs.
static int64_t swap_in(GuestModel *guest, int64_t elapsed_us)
{
    const GuestTraits *traits = guest->traits;
    if (guest->swapped_bytes == 0) {
        return 0;
    }
    int64_t touched = sim_min(sim_scale(guest->swapped_bytes, elapsed_us, traits->swap_touch_us),
                              sim_scale(traits->swap_rate, elapsed_us, SIM_S));
    int64_t room = sim_clamp(guest->free_bytes - high_watermark(traits), 0, touched);
    guest->free_bytes -= room;
    guest->anonymous_bytes += room;
    guest->swapped_bytes -= room;
    // What finds no room pushes others out.
    guest->counters.swap_in_bytes += touched;
    guest->counters.swap_out_bytes += touched - room;
    return sim_scale(2 * touched - room, SIM_S, traits->swap_rate);
}

// kswapd: wakes below the low watermark, sleeps above the high one.
static void reclaim_in_background(GuestModel *guest)
{
    if (guest->free_bytes < low_watermark(guest->traits)) {
        reclaim_cache(guest, high_watermark(guest->traits) - guest->free_bytes);
    }
}

static void kill_if_hopeless(GuestModel *guest)
{
    if (unmet_bytes(guest) <= 0) {
        guest->short_since_us = -1;
        return;
    }
    if (guest->short_since_us < 0) {
        guest->short_since_us = guest->now_us;
    }
    if (guest->now_us - guest->short_since_us >= guest->traits->oom_grace_us) {
        guest->counters.oom_kills++;
        release_anonymous(guest, guest->anonymous_bytes + guest->swapped_bytes);
        guest->wanted_bytes = 0;
        guest->killed_until_us = guest->now_us + guest->traits->restart_us;
        guest->short_since_us = -1;
    }
}

static int64_t kib_ms(int64_t bytes, int64_t elapsed_us)
{
    return sim_scale(bytes / 1024, elapsed_us, SIM_MS);
}

static void count(GuestModel *guest, int64_t elapsed_us, int64_t waited_us)
{
    GuestCounters *counters = &guest->counters;
    int64_t unmet = unmet_bytes(guest) + guest->lost_bytes;
    int64_t need = guest_traits_need_bytes(guest->traits, guest->wanted_bytes + guest->lost_bytes);
    int64_t idle = sim_max(guest->traits->size_bytes - need - guest->working_set_bytes, 0);
    counters->needed_kib_ms += kib_ms(need, elapsed_us);
    counters->idle_kib_ms += kib_ms(idle, elapsed_us);
    counters->returned_kib_ms += kib_ms(sim_min(guest->balloon_bytes, idle), elapsed_us);
    counters->ideal_us += elapsed_us;
    if (unmet > 0) {
        counters->unmet_kib_ms += kib_ms(unmet, elapsed_us);
        counters->stall_us += elapsed_us;
        // Nobody waits for the memory of a process that is gone.
        guest->stall_us += guest->lost_bytes > 0 ? 0 : elapsed_us;
        return;
    }
    // Work that takes `elapsed_us` takes so much longer for the waiting in it.
    int64_t progress_us =
        waited_us ? sim_scale(elapsed_us, elapsed_us, elapsed_us + waited_us) : elapsed_us;
    counters->progress_us += progress_us;
    counters->stall_us += elapsed_us - progress_us;
    guest->stall_us += elapsed_us - progress_us;
}

void guest_model_step(GuestModel *guest, int64_t now_us)
{
    int64_t elapsed_us = now_us - guest->now_us;
    if (elapsed_us <= 0) {
        return;
    }
    guest->now_us = now_us;
    move_balloon(guest, elapsed_us);
    move_anonymous(guest, elapsed_us);
    int64_t waited_us = 0;
    if (guest->workload->working_set.points) {
        waited_us += read_working_set(guest, elapsed_us);
    }
    if (guest->workload->scan.points) {
        scan_files(guest, elapsed_us);
    }
    waited_us += swap_in(guest, elapsed_us);
    reclaim_in_background(guest);
    count(guest, elapsed_us, waited_us);
    kill_if_hopeless(guest);
}

// --- whether anything happens -----------------------------------------------------------------

bool guest_model_is_quiet(GuestModel *guest, int64_t until_us, int64_t drift_bytes)
{
    const Workload *workload = guest->workload;
    int64_t scan = curve_at(&workload->scan, &guest->scan_cursor, guest->now_us);
    if (unmet_bytes(guest) > 0 || guest->now_us < guest->killed_until_us ||
        guest->swapped_bytes > 0 || scan > 0 || guest->hot_bytes < guest->working_set_bytes ||
        guest->target_bytes != guest_model_actual_bytes(guest) ||
        curve_next_point_us(&workload->working_set, &guest->working_set_cursor, guest->now_us) <=
            until_us) {
        return false;
    }
    CurveCursor ahead = guest->anonymous_cursor;
    int64_t next_us = curve_next_point_us(&workload->anonymous, &ahead, guest->now_us);
    int64_t later = curve_at(&workload->anonymous, &ahead, sim_min(next_us, until_us));
    int64_t drift = later - guest->anonymous_bytes;
    if (next_us < until_us) {
        return false;
    }
    return drift > -drift_bytes && drift < drift_bytes &&
           guest->free_bytes - sim_max(drift, 0) > low_watermark(guest->traits);
}

// --- life -------------------------------------------------------------------------------------

void guest_model_reboot(GuestModel *guest)
{
    guest->free_bytes += guest->anonymous_bytes + cache_bytes(guest);
    guest->anonymous_bytes = 0;
    guest->wanted_bytes = 0;
    guest->swapped_bytes = 0;
    guest->hot_bytes = 0;
    guest->cold_bytes = 0;
    guest->known_bytes = 0;
    guest->stall_us = 0;
}

void guest_model_init(GuestModel *guest, const GuestTraits *traits, const Workload *workload,
                      int64_t actual_bytes)
{
    *guest = (GuestModel){.traits = traits, .workload = workload, .short_since_us = -1};
    guest->wanted_bytes = curve_at(&workload->anonymous, &guest->anonymous_cursor, 0);
    guest->wanted_bytes =
        sim_clamp(guest->wanted_bytes, 0,
                  traits->size_bytes - traits->kernel_bytes - traits->min_watermark_bytes);
    guest->working_set_bytes = curve_at(&workload->working_set, &guest->working_set_cursor, 0);
    int64_t own_bytes = traits->kernel_bytes + traits->min_watermark_bytes;
    guest->target_bytes = sim_clamp(actual_bytes, own_bytes, traits->size_bytes);
    guest->balloon_bytes = traits->size_bytes - guest->target_bytes;
    guest->anonymous_bytes = sim_min(guest->wanted_bytes, guest->target_bytes - own_bytes);
    guest->free_bytes = guest->target_bytes - traits->kernel_bytes - guest->anonymous_bytes;
    guest->hot_bytes =
        sim_clamp(guest->free_bytes - high_watermark(traits), 0, guest->working_set_bytes);
    guest->free_bytes -= guest->hot_bytes;
    guest->known_bytes = guest->working_set_bytes;
}
