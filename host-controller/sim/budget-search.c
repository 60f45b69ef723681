// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/budget-search.h"

#include "host-controller/sim/quantity.h"

// No budget is smaller than the clairvoyant's, and this is the first above it that is tried.
#define FIRST_PERMILLE 1000
#define FIRST_STEP_PERMILLE 10

static bool suffices(HostSetup *setup, int64_t optimum_bytes, int64_t permille, HostResult *result)
{
    setup->budget_bytes = sim_scale(optimum_bytes, permille, 1000);
    host_model_run(setup, NULL, NULL, NULL, result);
    return !result->gave_up;
}

static int64_t sum_of_sizes(const HostSetup *setup)
{
    int64_t sum = 0;
    for (guint i = 0; i < setup->guests->len; i++) {
        const GuestSetup *guest = g_ptr_array_index(setup->guests, i);
        sum += guest->traits.size_bytes;
    }
    return sum;
}

int64_t budget_search(HostSetup *setup, int64_t optimum_bytes, int64_t needed_kib_ms,
                      int64_t resolution_permille, HostResult *result)
{
    int64_t cap = sim_scale(2 * sum_of_sizes(setup), 1000, optimum_bytes);
    int64_t fails = FIRST_PERMILLE - 1;
    int64_t works = FIRST_PERMILLE;
    int64_t step = FIRST_STEP_PERMILLE;
    setup->unmet_limit_kib_ms = needed_kib_ms / SEARCH_UNMET_DIVISOR;
    while (!suffices(setup, optimum_bytes, works, result)) {
        if (works >= cap) {
            return 0;
        }
        fails = works;
        works = sim_min(works + step, cap);
        step *= 2;
    }
    while (works - fails > resolution_permille) {
        HostResult tried;
        int64_t middle = fails + (works - fails) / 2;
        if (suffices(setup, optimum_bytes, middle, &tried)) {
            works = middle;
            *result = tried;
        } else {
            fails = middle;
        }
    }
    setup->budget_bytes = result->budget_bytes;
    return works;
}
