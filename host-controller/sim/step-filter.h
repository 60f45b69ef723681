// SPDX-License-Identifier: Apache-2.0
//
// Observations in, plans out: the policy without anything around it.
//
// An observation is one JSON object:
//   {"now-us": 0, "host": {"budget": 0, "mode": "balance"},
//    "guests": [{"name": "web1", "size": 0, "actual": 0, "target": 0, "min": 0, "max": 0,
//                "weight": 100, "report": {..}}]}
// `mode` may be left out (balance), and of a guest size (the largest of actual and max), target
// (actual), min (0), max (size), weight (100) and report (the guest said nothing new). Members that
// are not known are ignored. What the policy remembers of a guest is kept by its name from line to
// line; a guest that a line does not name is forgotten.
//
// A plan:
//   {"guests": [{"name": "web1", "target": 0, "reason": {"demand": 0, "committed": 0, "headroom":
//   0,
//                "cache-share": 0, "fair-share": 0, "bound-by": "demand"}}]}
// A line that is none of this is answered by {"error": {"class": .., "desc": ..}} and changes
// nothing.
#pragma once

#include <glib.h>
#include <stdbool.h>

// The longest line accepted: reports of 10,000 guests are 15 MiB.
#define STEP_LINE_BYTES ((gsize)32 * 1024 * 1024)

typedef struct StepFilter StepFilter;

StepFilter *step_filter_new(void);
void step_filter_free(StepFilter *filter);

// The answer to a line, which ends in a newline. `too_long`: `line` is only the beginning of one
// longer than STEP_LINE_BYTES.
char *step_filter_answer(StepFilter *filter, const char *line, gsize length, bool too_long);
