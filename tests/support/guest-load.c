// SPDX-License-Identifier: Apache-2.0
#include "tests/support/guest-load.h"

#include "protocol/error.h"

#include <string.h>

#define CLOCK_SAMPLES 5

bool guest_clock_align(Vm *vm, GuestClock *clock, GError **error)
{
    *clock = (GuestClock){.error_us = G_MAXINT64};
    for (int i = 0; i < CLOCK_SAMPLES; i++) {
        g_autofree char *output = NULL;
        int64_t before_us = g_get_monotonic_time();
        if (vm_run(vm, "load clock", VM_COMMAND_TIMEOUT_US, &output, error) < 0) {
            return false;
        }
        int64_t half_us = (g_get_monotonic_time() - before_us) / 2;
        if (half_us < clock->error_us) {
            int64_t guest_us = g_ascii_strtoll(output, NULL, 10);
            *clock = (GuestClock){.offset_us = before_us + half_us - guest_us, .error_us = half_us};
        }
    }
    return true;
}

bool guest_load_parse(const char *output, const GuestClock *clock, GuestLoadTimes *times,
                      GError **error)
{
    if (!strchr(output, '{')) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED,
                    "the program that needed memory was killed");
        return false;
    }
    g_autoptr(json_t) line = json_message_parse(output, strlen(output), error);
    if (!line || !json_member_int(line, "began-us", 0, G_MAXINT64, &times->began_us, error) ||
        !json_member_int(line, "ended-us", 0, G_MAXINT64, &times->ended_us, error)) {
        return false;
    }
    times->began_us += clock->offset_us;
    times->ended_us += clock->offset_us;
    return true;
}
