// SPDX-License-Identifier: Apache-2.0
//
// Lines of the log about a guest.
//
// A change of a guest's state is one line at G_LOG_LEVEL_MESSAGE, a decision one at
// G_LOG_LEVEL_DEBUG, and nothing is said while nothing happens. For the journal each line has the
// fields GUEST=, and ACTUAL= and TARGET= in bytes once they are known; a decision has FROM= and
// BOUND_BY=, too: journalctl GUEST=web1.
#pragma once

#include "host-controller/guest.h"

// Logs "NAME: " and the formatted text.
void guest_log(const Guest *guest, GLogLevelFlags level, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

// Logs that the guest has been sent its target, which was `from_bytes` before, and why.
void guest_log_decision(const Guest *guest, int64_t from_bytes);
