// SPDX-License-Identifier: Apache-2.0
//
// The one place that includes cmocka, whose headers want others first and whose names changed
// between 1.1 and 2.0.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <glib.h>

// Asserts that a GError of `domain` and `code` is set and that its message contains `text`.
#define assert_error_contains(error, domain, code, text)                                           \
    do {                                                                                           \
        assert_non_null(error);                                                                    \
        if (!g_error_matches(error, domain, code) || !strstr((error)->message, text)) {            \
            fail_msg("unexpected error: %s (wanted: %s)", (error)->message, text);                 \
        }                                                                                          \
    } while (0)

// Asserts that no GError is set, showing it otherwise.
#define assert_no_error(error)                                                                     \
    do {                                                                                           \
        if (error) {                                                                               \
            fail_msg("unexpected error: %s", (error)->message);                                    \
        }                                                                                          \
    } while (0)

// Runs a table of tests: the last expression of every test's main().
#define run_test_table(tests) cmocka_run_group_tests(tests, NULL, NULL)
