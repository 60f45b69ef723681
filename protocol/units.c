// SPDX-License-Identifier: Apache-2.0
#include "protocol/units.h"

#include "protocol/error.h"

#include <math.h>
#include <string.h>

static bool invalid(GError **error, const char *text, const char *what)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "'%s' is not %s", text, what);
    return false;
}

// Reads a plain decimal number without sign, exponent or hexadecimal digits; `*end` is what follows
// it and any blanks.
static bool parse_number(const char *text, double *number, const char **end)
{
    size_t length = strspn(text, "0123456789.");
    if (length == 0 || length > 20 || !g_ascii_isdigit(text[0])) {
        return false;
    }
    g_autofree char *digits = g_strndup(text, length);
    char *stop;
    *number = g_ascii_strtod(digits, &stop);
    *end = text + length + strspn(text + length, " ");
    return *stop == '\0';
}

bool size_parse(const char *text, int64_t *bytes, GError **error)
{
    static const char *const suffixes[][3] = {
        {"", "B", "b"}, {"K", "k", "KiB"}, {"M", "m", "MiB"}, {"G", "g", "GiB"}, {"T", "t", "TiB"},
    };
    double number;
    const char *unit;
    if (!parse_number(text, &number, &unit)) {
        return invalid(error, text, "a size such as 512M or 4G");
    }
    double factor = 1;
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++, factor *= 1024) {
        for (size_t j = 0; j < G_N_ELEMENTS(suffixes[i]); j++) {
            if (strcmp(unit, suffixes[i][j]) == 0) {
                if (number * factor > (double)(INT64_C(1) << 60)) {
                    return invalid(error, text, "a size below 1 EiB");
                }
                *bytes = (int64_t)round(number * factor);
                return true;
            }
        }
    }
    return invalid(error, text, "a size such as 512M or 4G");
}

bool relative_size_parse(const char *text, RelativeSize *size, GError **error)
{
    size_t length = strlen(text);
    if (length == 0 || text[length - 1] != '%') {
        *size = (RelativeSize){0};
        return size_parse(text, &size->bytes, error);
    }
    double number;
    const char *end;
    if (!parse_number(text, &number, &end) || strcmp(end, "%") != 0 || number > 100) {
        return invalid(error, text, "a percentage from 0% to 100%");
    }
    *size = (RelativeSize){.relative = true, .permyriad = (int64_t)round(number * 100)};
    return true;
}

int64_t relative_size_of(const RelativeSize *size, int64_t whole_bytes)
{
    if (!size->relative) {
        return size->bytes;
    }
    // Divided first: a whole of 1 EiB times 10,000 would not fit.
    return whole_bytes / 10000 * size->permyriad + whole_bytes % 10000 * size->permyriad / 10000;
}

bool duration_parse(const char *text, int64_t *duration_us, GError **error)
{
    static const struct {
        const char *suffix;
        int64_t factor_us;
    } units[] = {{"ms", 1000}, {"s", G_USEC_PER_SEC}, {"min", 60 * (int64_t)G_USEC_PER_SEC}};
    double number;
    const char *unit;
    if (parse_number(text, &number, &unit)) {
        for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
            if (strcmp(unit, units[i].suffix) == 0 && number <= 1e9) {
                *duration_us = (int64_t)round(number * (double)units[i].factor_us);
                return true;
            }
        }
    }
    return invalid(error, text, "a time such as 500ms, 5s or 2min");
}

char *size_format(int64_t bytes, char text[static SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double number = (double)bytes;
    size_t unit = 0;
    // Up to 9999 MiB stays MiB: guests are compared at that grain.
    while (fabs(number) >= (unit < 2 ? 1024 : 10000) && unit + 1 < G_N_ELEMENTS(units)) {
        number /= 1024;
        unit++;
    }
    // A fraction is shown only where rounding would hide more than a percent.
    bool whole = unit == 0 || fabs(number) >= 100 || fabs(number - round(number)) < 0.05;
    g_snprintf(text, SIZE_TEXT_SIZE, "%.*f %s", whole ? 0 : 1, number, units[unit]);
    return text;
}
