// SPDX-License-Identifier: Apache-2.0
//
// Waiting times between attempts: doubled from attempt to attempt up to a cap.
#pragma once

#include <stdint.h>

typedef struct Backoff {
    int64_t first_us;
    int64_t cap_us;
    int64_t next_us; // 0: no attempt has failed yet
} Backoff;

// How long to wait before the next attempt.
static inline int64_t backoff_next_us(Backoff *backoff)
{
    int64_t wait_us = backoff->next_us ? backoff->next_us : backoff->first_us;
    backoff->next_us = wait_us * 2 < backoff->cap_us ? wait_us * 2 : backoff->cap_us;
    return wait_us;
}

// An attempt succeeded.
static inline void backoff_reset(Backoff *backoff)
{
    backoff->next_us = 0;
}
