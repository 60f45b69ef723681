// SPDX-License-Identifier: Apache-2.0
//
// Waiting in the main loop, in which a test's fakes live: for something to happen, with a deadline,
// or for a while in which nothing may.
#pragma once

#include "tests/support/deadline.h"

// Runs the main loop until `condition`, which is evaluated again and again, holds. The test fails
// when it does not within `timeout_us`.
#define wait_for(condition, timeout_us)                                                            \
    do {                                                                                           \
        int64_t wait_deadline_us = deadline_after(timeout_us);                                     \
        while (!(condition)) {                                                                     \
            wait_turn(wait_deadline_us, #condition, __FILE__, __LINE__);                           \
        }                                                                                          \
    } while (0)

// One turn of wait_for(): returns after something happened in the main loop, or a few milliseconds,
// as a condition may depend on another process or on time. Fails the test past `deadline_us`.
void wait_turn(int64_t deadline_us, const char *condition, const char *file, int line);

// Runs the main loop for a time.
void wait_while(int64_t duration_us);
