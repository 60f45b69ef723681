// SPDX-License-Identifier: Apache-2.0
#include "host-controller/guest-name.h"

#include "protocol/limits.h"

#include <glib.h>
#include <string.h>

bool text_is_printable(const char *text)
{
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        if (!g_unichar_isprint(g_utf8_get_char(c))) {
            return false;
        }
    }
    return true;
}

const char *guest_name_fault(const char *name)
{
    if (name[0] == '\0') {
        return "a guest's name is not empty";
    }
    if (strlen(name) > LIMIT_NAME_BYTES) {
        return "a guest's name has at most " G_STRINGIFY(LIMIT_NAME_BYTES) " bytes";
    }
    if (!g_utf8_validate(name, -1, NULL) || !text_is_printable(name)) {
        return "a guest's name has only printable characters";
    }
    if (name[0] == ' ' || name[strlen(name) - 1] == ' ') {
        return "a guest's name neither begins nor ends with a blank";
    }
    if (strpbrk(name, "*?[]")) {
        return "a guest's name has none of * ? [ ]";
    }
    return NULL;
}

bool guest_name_is_pattern(const char *name)
{
    return strpbrk(name, "*?") != NULL;
}
