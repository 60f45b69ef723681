// SPDX-License-Identifier: Apache-2.0
//
// The one place where the simulator meets the policy: `run` and `step` both go through it.
#pragma once

#include "host-controller/policy/policy.h"
#include "protocol/report.h"

// A guest as it stands before a plan.
typedef struct AdapterView {
    int64_t size_bytes;
    int64_t actual_bytes;
    int64_t target_bytes;
    int64_t ceiling_bytes; // the most it may hold
    int64_t min_bytes;
    int64_t max_bytes;
    int64_t weight;
    bool movable; // takes commands
} AdapterView;

// What is kept of a guest from one plan to the next. Zero is a guest not heard of.
typedef struct AdapterGuest {
    PolicyHistory history;
    PolicyDemand demand; // as of the latest report
    PolicyGuest policy;  // the last plan, with its reasons
    bool has_report;
    int64_t report_us; // when the latest report came
    char boot_id[REPORT_BOOT_ID_SIZE];
} AdapterGuest;

// The policy at work on a number of guests; its working memory.
typedef struct Adapter {
    PolicyGuest *plan;
    size_t room;
} Adapter;

void adapter_clear(Adapter *adapter);

// Takes a report in that came at `now_us` from a guest that stands as in `view`.
void adapter_report(AdapterGuest *guest, const AdapterView *view, const MemoryReport *report,
                    int64_t now_us);

// Forgets what a guest said.
void adapter_forget(AdapterGuest *guest);

// Plans for `count` guests. Each one's plan is then in its `policy`.
void adapter_plan(Adapter *adapter, int64_t now_us, int64_t budget_bytes, bool reclaim,
                  AdapterGuest *const *guests, const AdapterView *views, size_t count);

// The last plan's reasons in the words of the control socket.
typedef struct AdapterReason {
    int64_t demand_bytes; // the sum of the next three
    int64_t committed_bytes;
    int64_t headroom_bytes;
    int64_t cache_share_bytes;
    int64_t fair_share_bytes;
    const char *bound_by;
} AdapterReason;

AdapterReason adapter_reason(const AdapterGuest *guest);
