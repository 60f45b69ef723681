// SPDX-License-Identifier: Apache-2.0
//
// The host: what of its memory guests may have, and how well it is, from readings of its memory.
//
// Pure like the rest of the policy: the reading brings its time along. The same arithmetic serves
// the whole host and a control group with a limit of its own (docs/host.md).
//
//   non-guest = total - available - what guests have of it
//   budget    = total - reserve - non-guest, the latter held high
//
// Growth of what others use lowers the budget at once, with what it will have grown by when the
// guests have followed. A fall raises it only when it has lasted, and neither does what is within
// the noise: each change of the budget may move every guest.
#pragma once

#include "host-controller/policy/policy.h"

// Each has stricter thresholds for entering than for leaving.
typedef enum PolicyHostState {
    POLICY_HOST_CALM,
    POLICY_HOST_SCARCE,   // the reserve is being used, or tasks stall for it
    POLICY_HOST_CRITICAL, // the kernel is about to take memory from whom it can, or does
    POLICY_HOST_STATE_COUNT
} PolicyHostState;

// The word of HostState in protocol/controller.json.
const char *policy_host_state_name(PolicyHostState state);

typedef struct PolicyHostReading {
    int64_t at_us;             // monotonic
    int64_t total_bytes;       // MemTotal, or a control group's limit
    int64_t available_bytes;   // MemAvailable, or what the group has left and could drop
    int64_t reserve_bytes;     // what is to stay available
    int64_t guests_bytes;      // what guests have of the memory that is not available
    int64_t shared_bytes;      // how often pages are used beyond the first time (KSM)
    int64_t swapped_out_bytes; // since boot
    int64_t some_permyriad;    // of the last ten seconds in which some task stalled for memory,
    int64_t full_permyriad;    // or all did
} PolicyHostReading;

// What is remembered between readings. Zero is a fresh start.
typedef struct PolicyHostHistory {
    bool started;
    PolicyHostReading last;
    int64_t non_guest_bytes; // at the last reading
    int64_t growth_bytes;    // what it had grown by since the one before
    int64_t charged_bytes;   // what the budget is made with
    int64_t charged_us;      // when that last rose
    int64_t window_us;       // how long this window has lasted
    int64_t peak_bytes;      // the most that others needed in this window,
    int64_t former_peak_bytes;
    int64_t swapped_bytes; // and what was swapped out in it
    int64_t former_swapped_bytes;
    PolicyHostState state;
    int64_t eased_us; // since when a calmer state would do; 0: it would not
} PolicyHostHistory;

// Takes a reading into account. Any numbers are safe.
void policy_host_update(PolicyHostHistory *history, const PolicyHostReading *reading);

// A guest has become known that had `bytes` of what was taken for others' until now.
void policy_host_credit(PolicyHostHistory *history, int64_t bytes);

// What all guests together may have.
int64_t policy_host_budget_bytes(const PolicyHostHistory *history);
