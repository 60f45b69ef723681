// SPDX-License-Identifier: Apache-2.0
//
// The smallest budget with which a host gets by.
#pragma once

#include "host-controller/sim/host-model.h"

// Unmet demand up to this part of the demand is nothing: 0.001 %.
#define SEARCH_UNMET_DIVISOR 100000

// Looks for the smallest budget, in permille of `optimum_bytes` and to `resolution_permille`, at
// which no guest is killed, unmet demand stays under its limit and, with setup->keep_budget, the
// budget is never exceeded. Changes setup's budget and limit. `result` is that of the budget found.
// Returns the permille, 0 when even twice the size of all guests does not do.
int64_t budget_search(HostSetup *setup, int64_t optimum_bytes, int64_t needed_kib_ms,
                      int64_t resolution_permille, HostResult *result);
