// SPDX-License-Identifier: Apache-2.0
//
// What QEMU's process holds of the host's memory: the proof of what ballooning brought back.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// What the process has resident, huge pages included, from `root`/proc/PID/status (proc(5): VmRSS
// and HugetlbPages; `root` is "" but in tests). False when that cannot be told. Takes some 20 us
// and no lock of the process, unlike smaps.
bool process_memory_read(const char *root, pid_t pid, int64_t *resident_bytes);

// What of the host's memory a QEMU has in use that cannot simply be dropped: anonymous and shared
// memory, and huge pages. Files that are mapped do not count, they are page cache, nor does what is
// swapped out: it takes none of the host's memory.
//
// False when the process cannot be read, is no QEMU, or does not even map `size_bytes`, the size of
// its guest: then it is the process of a manager that handed QEMU its socket, or one that is
// ending.
bool process_memory_read_guest(const char *root, pid_t pid, int64_t size_bytes,
                               int64_t *used_bytes);

// Whether a guest of `size_bytes` that is left `actual_bytes` by its balloon has so much resident
// that the balloon cannot have freed what it holds: with VFIO, huge pages or locked memory it frees
// nothing.
//
// Only that much is certain: what is resident and is neither `actual` nor QEMU's own is ballooned
// memory that did not come back. The other way round nothing follows, since memory that the guest
// never touched was not resident before either and brings nothing back: so it is not asked how much
// residence fell, and a guest is cleared in doubt. A verdict takes a considerable balloon (256 MiB
// and an eighth of the guest) of which more than half is still there, beyond 128 MiB for QEMU
// itself.
bool process_memory_shows_no_reclaim(int64_t size_bytes, int64_t actual_bytes,
                                     int64_t resident_bytes);
