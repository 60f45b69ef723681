// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-name.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define MAX_NAME_BYTES 64
#define MAX_STEM_BYTES 40
// A UUID is 8-4-4-4-12 digits.
#define UUID_FIRST_PART_BYTES 8

static bool is_fit(char c)
{
    return g_ascii_isalnum(c) || (c != '\0' && strchr("._+@-", c));
}

static bool is_fit_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME_BYTES || name[0] == '.' || name[0] == '-') {
        return false;
    }
    for (const char *c = name; *c; c++) {
        if (!is_fit(*c)) {
            return false;
        }
    }
    return true;
}

char *domain_guest_name(const char *domain_name, const char *uuid)
{
    if (is_fit_name(domain_name)) {
        return g_strdup(domain_name);
    }
    g_autofree char *stem = g_strndup(domain_name, MAX_STEM_BYTES);
    for (char *c = stem; *c; c++) {
        if (!is_fit(*c) || (c == stem && (*c == '.' || *c == '-'))) {
            *c = '_';
        }
    }
    return g_strdup_printf("%s-%.*s", stem, UUID_FIRST_PART_BYTES, uuid);
}
