// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/laws.h"

#include "host-controller/sim/quantity.h"

static const char *const names[LAW_COUNT] = {
    [LAW_RANGE] = "L1",
    [LAW_CONSERVATION] = "L2",
    [LAW_STALE] = "L3",
    [LAW_MINIMUM] = "L10",
};

const char *law_name(Law law)
{
    return names[law];
}

int64_t laws_broken(const LawBreaches *breaches)
{
    int64_t sum = 0;
    for (Law law = 0; law < LAW_COUNT; law++) {
        sum += breaches->count[law];
    }
    return sum;
}

static void note(LawBreaches *breaches, Law law, bool kept, int64_t now_us)
{
    if (!kept && breaches->count[law]++ == 0) {
        breaches->first_us[law] = now_us;
    }
}

void laws_check(LawBreaches *breaches, int64_t now_us, int64_t budget_bytes, const LawGuest *guests,
                size_t count)
{
    int64_t before = 0;
    int64_t after = 0;
    for (size_t i = 0; i < count; i++) {
        const LawGuest *guest = &guests[i];
        before += sim_max(guest->actual_bytes, guest->from_bytes);
        after += sim_max(guest->actual_bytes, guest->to_bytes);
        note(breaches, LAW_MINIMUM, guest->to_bytes >= guest->min_bytes, now_us);
        if (guest->to_bytes == guest->from_bytes) {
            continue;
        }
        note(breaches, LAW_RANGE,
             guest->to_bytes >= guest->min_bytes && guest->to_bytes <= guest->max_bytes, now_us);
        note(breaches, LAW_STALE,
             !guest->stale || guest->to_bytes >= sim_min(guest->from_bytes, guest->actual_bytes),
             now_us);
    }
    note(breaches, LAW_CONSERVATION, after <= sim_max(before, budget_bytes), now_us);
}
