// SPDX-License-Identifier: Apache-2.0
//
// Sizes and times as people write them in configuration files and on command lines.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

// Reads a size: a whole or decimal number and K, M, G or T (powers of 1024; "KiB", "k" and so on
// are understood, no unit means bytes). PROTOCOL_ERROR_INVALID says what is wrong.
bool size_parse(const char *text, int64_t *bytes, GError **error);

// A size given either absolutely or as a part of something.
typedef struct RelativeSize {
    bool relative;
    int64_t bytes;     // absolute
    int64_t permyriad; // relative, 0 to 10000
} RelativeSize;

// Reads a size or a percentage from 0% to 100%.
bool relative_size_parse(const char *text, RelativeSize *size, GError **error);
// The size in bytes, a percentage being taken of `whole_bytes`.
int64_t relative_size_of(const RelativeSize *size, int64_t whole_bytes);

// Reads a time: a whole or decimal number and ms, s or min.
bool duration_parse(const char *text, int64_t *duration_us, GError **error);

// Room for every result of size_format().
#define SIZE_TEXT_SIZE 24

// Writes `bytes` for a person, such as "612 MiB" or "1.5 GiB", into `text`; returns it.
char *size_format(int64_t bytes, char text[static SIZE_TEXT_SIZE]);
