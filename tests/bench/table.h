// SPDX-License-Identifier: Apache-2.0
//
// What is in a bench.json, for people: a table of all figures, and how far two of them differ.
#pragma once

#include <jansson.h>

// Prints a row for each figure of `document`: its median, its spread, and whether it meets the goal
// that is stated for it somewhere, if any; below them what failed.
void table_print(const json_t *document);

// Prints a row for each figure that both documents have, and how far all of them differ.
void table_print_difference(const json_t *first, const json_t *second);
