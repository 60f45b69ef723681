// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-events.h"

#include <string.h>

const char *const control_event_names[] = {
    CONTROL_EVENTS_LOST,     "CLAIM_EXPIRED",
    "GUEST_ADDED",           "GUEST_REMOVED",
    "GUEST_AGENT_CONNECTED", "GUEST_AGENT_LOST",
    "GUEST_AUTO_DEFLATED",   "GUEST_FORCED_RECLAIM",
    "GUEST_PRESSURE",        "GUEST_RECLAIM_INEFFECTIVE",
    "GUEST_STALLED",         "GUEST_TARGET_CHANGED",
    "GUEST_TARGET_REACHED",  "HOST_OVERCOMMITTED",
    "HOST_PRESSURE",         NULL,
};

uint64_t control_event_bit(const char *name)
{
    for (unsigned i = 0; control_event_names[i]; i++) {
        if (strcmp(control_event_names[i], name) == 0) {
            return UINT64_C(1) << i;
        }
    }
    return 0;
}
