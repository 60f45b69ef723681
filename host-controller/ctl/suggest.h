// SPDX-License-Identifier: Apache-2.0
//
// Names near to a mistyped one.
#pragma once

#include <glib.h>

// Those of `names` (const char*) that `typed` may have been meant for, nearest first, at most
// three. The array is new, the names are borrowed.
GPtrArray *suggest_names(const char *typed, const GPtrArray *names);
