// SPDX-License-Identifier: Apache-2.0
//
// What the journal keeps of a guest and of the host: everything a plan is made of, and what came of
// it. docs/man/aerostat-journal.5.scd describes the file for those who read it.
//
// A line tells what is different from what its reader expects. It expects a guest to be as in the
// line before, after its reports since then (if the line has them) have been taken in with
// policy_demand_update(). So a line is exact whatever happened in between, and small.
#pragma once

#include "host-controller/config.h"
#include "host-controller/journal/fields.h"
#include "host-controller/policy/policy.h"

// The longest line there can be: 10,000 guests told in full take 9 MiB.
#define JOURNAL_LINE_BYTES ((size_t)32 * 1024 * 1024)
// A guest that reported more often than this since the last line has the line tell what the policy
// learned of it rather than the reports.
#define JOURNAL_REPORTS 8

// What a plan made of a guest.
typedef struct JournalOutcome {
    int64_t plan_bytes;
    int64_t fair_share_bytes;
    PolicyBound bound;
} JournalOutcome;

typedef struct JournalRecord {
    PolicyGuest input; // as it went into the plan; its results are not used
    PolicyHistory history;
    JournalOutcome outcome;
} JournalRecord;

typedef struct JournalHost {
    ControllerMode mode;
    int64_t budget_bytes;
    int64_t total_bytes; // the host's memory
    bool adopting;
    bool starting; // nothing is sent yet
    bool ending;   // everything is given back
} JournalHost;

extern const JournalField journal_record_fields[];
extern const JournalField journal_host_fields[];
extern const JournalField journal_sample_fields[];

// The guest as it is to be expected after `count` reports.
JournalRecord journal_record_expect(const JournalRecord *former, const PolicySample *samples,
                                    size_t count);

// What the policy is told of the host.
PolicyHost journal_policy_host(const JournalHost *host);
// Whether targets are sent.
bool journal_host_acts(const JournalHost *host);
// What a plan has made of a guest.
JournalOutcome journal_outcome_of(const PolicyGuest *planned);
