// SPDX-License-Identifier: Apache-2.0
//
// A host's /proc, /sys and control groups as files in a folder, for a controller that is started
// with --host-root.
//
// The whole of it is written anew from the struct; the test changes members and calls
// fake_host_write(). Files are replaced whole, so that a reader never meets half of one.
#pragma once

#include "tests/support/scratch.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_HOST_GROUP "/machine.slice"
#define FAKE_HOST_KSMD 41

typedef struct FakeHost {
    char *root; // below the scratch folder
    int64_t total_bytes;
    int64_t available_bytes;
    int64_t swapped_out_bytes;
    int some_percent; // of the last ten seconds
    int full_percent;
    // Of the control group; without a limit there is none.
    int64_t group_limit_bytes;
    int64_t group_used_bytes;
    int64_t group_cache_bytes; // of that, page cache
    // Processes that are QEMUs: how much they have.
    pid_t qemu_pid; // 0: none
    int64_t qemu_bytes;
} FakeHost;

// A calm host of `total_bytes` with nine tenths available, written.
void fake_host_init(FakeHost *host, const Scratch *scratch, int64_t total_bytes);
void fake_host_clear(FakeHost *host);

// Writes what the struct says.
void fake_host_write(const FakeHost *host);
// Writes any other file of it.
void fake_host_write_file(const FakeHost *host, const char *path, const char *text);
// Reads a number that somebody has written; -1: there is none.
int64_t fake_host_read_number(const FakeHost *host, const char *path);

// Gives it KSM, switched off, with a thread that has spent `busy_us` of processor time.
void fake_host_write_ksm(const FakeHost *host, int64_t busy_us);
