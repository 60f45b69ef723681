// SPDX-License-Identifier: Apache-2.0
//
// A guest: its kernel's view of memory, the processes in it, and its balloon.
//
// Every byte is somewhere: size = kernel + anonymous + hot + cold + free + balloon, always.
// Processes want anonymous memory as their workload says, no faster than memory can be cleared. It
// comes from free memory down to the min watermark, then from the page cache (what was read once
// first, the working set last), then from swap if there is any. What cannot be had is unmet: the
// guest stalls, and after a short grace its largest process is killed, to start anew later. The
// working set is read steadily; what of it was evicted is read again from the disk, which costs
// time.
//
// The balloon follows its target at the speeds measured on KVM (hyperalloc-bench: 4 KiB balloon,
// inflating touched memory 0.86 GiB/s, deflating 2.1 GiB/s). It takes what processes would get too,
// but never kills for it.
//
// Sources: Linux mm/page_alloc.c (watermarks, si_mem_available), drivers/virtio/virtio_balloon.c.
#pragma once

#include "host-controller/sim/workload.h"

#include <stdbool.h>

// What kind of guest it is. Rates in bytes a second.
typedef struct GuestTraits {
    int64_t size_bytes;
    int64_t kernel_bytes;        // never reaches the processes
    int64_t min_watermark_bytes; // kept free for the kernel's own needs
    int64_t growth_rate;         // of anonymous memory
    int64_t inflate_rate;
    int64_t deflate_rate;
    int64_t disk_rate;
    int64_t swap_bytes;    // 0: none
    int64_t swap_rate;     // both ways
    int64_t swap_touch_us; // in this time processes touch each of their pages once
    int64_t oom_grace_us;  // from nothing left to the kill
    int64_t restart_us;    // from the kill until the process starts anew
    bool deflate_on_oom;   // MemTotal stays when the balloon grows
} GuestTraits;

// What has happened to the guest since the start. Products of bytes and time are in KiB times
// milliseconds, which sums over days and thousands of guests.
typedef struct GuestCounters {
    int64_t needed_kib_ms;   // what the guest needs to live: kernel, watermark, anonymous memory
    int64_t unmet_kib_ms;    // anonymous memory wanted and not to be had
    int64_t idle_kib_ms;     // memory neither needed nor part of the working set
    int64_t returned_kib_ms; // what of that the host had
    int64_t stall_us;        // time tasks waited for memory
    int64_t ideal_us;        // time passed
    int64_t progress_us;     // time's worth of work done
    int64_t refault_bytes;   // working set read again
    int64_t swap_in_bytes;
    int64_t swap_out_bytes;
    int64_t moved_bytes; // by the balloon, both ways
    int64_t oom_kills;
} GuestCounters;

typedef struct GuestModel {
    const GuestTraits *traits;
    const Workload *workload;
    CurveCursor anonymous_cursor;
    CurveCursor working_set_cursor;
    CurveCursor scan_cursor;

    int64_t now_us;
    int64_t wanted_bytes; // anonymous memory the processes would have if there were no limit
    int64_t lost_bytes;   // anonymous memory of a process that was killed and is not yet back
    int64_t anonymous_bytes;
    int64_t swapped_bytes;
    int64_t working_set_bytes; // wanted in the cache
    int64_t known_bytes;       // how much of it has been read before
    int64_t hot_bytes;         // how much of it is cached
    int64_t cold_bytes;        // cache of what is read once
    int64_t free_bytes;
    int64_t balloon_bytes;
    int64_t target_bytes; // what the host wants the guest to have

    int64_t short_since_us; // nothing is left since then; -1: something is
    int64_t killed_until_us;
    int64_t stall_us; // PSI "some" total, since boot
    GuestCounters counters;
} GuestModel;

// Traits of an ordinary guest of `size_bytes` on KVM. Measured on 1 GiB: 52 MiB never reach
// MemTotal, the min watermark is 56 MiB.
GuestTraits guest_traits_of_size(int64_t size_bytes);

// A guest at time 0 with what its workload wants then, as far as it has room for it, and a balloon
// that leaves it `actual_bytes`. `traits` and `workload` must outlive it.
void guest_model_init(GuestModel *guest, const GuestTraits *traits, const Workload *workload,
                      int64_t actual_bytes);

// Lets time pass until `now_us`.
void guest_model_step(GuestModel *guest, int64_t now_us);

// Whether until `until_us` nothing happens in the guest but slow drift, by less than `drift_bytes`,
// with nothing short: then one long step tells as much as many short ones.
bool guest_model_is_quiet(GuestModel *guest, int64_t until_us, int64_t drift_bytes);

// The guest starts anew: all of its memory is free but for kernel and balloon.
void guest_model_reboot(GuestModel *guest);

// What it holds of the host's memory.
int64_t guest_model_actual_bytes(const GuestModel *guest);
// What it needs to live: kernel, watermark and what its processes want, at most its size.
int64_t guest_model_need_bytes(const GuestModel *guest);
// MemAvailable as Linux works it out.
int64_t guest_model_available_bytes(const GuestModel *guest);

// The need of a guest of these traits that wants `wanted_bytes` of anonymous memory.
int64_t guest_traits_need_bytes(const GuestTraits *traits, int64_t wanted_bytes);
