// SPDX-License-Identifier: Apache-2.0
//
// A guest's settings: its own, and what the groups of its name and of matching patterns give.
#include "host-controller/config-keys.h"

#include <string.h>

GuestConfig *guest_config_copy(const GuestConfig *guest)
{
    GuestConfig *copy = g_new(GuestConfig, 1);
    *copy = *guest;
    copy->name = g_strdup(guest->name);
    copy->qmp_path = g_strdup(guest->qmp_path);
    copy->agent_path = g_strdup(guest->agent_path);
    return copy;
}

void guest_config_free(GuestConfig *guest)
{
    if (guest) {
        g_free(guest->name);
        g_free(guest->qmp_path);
        g_free(guest->agent_path);
        g_free(guest);
    }
}

// Takes over the settings that `from` has and `guest` has not.
static void inherit(GuestConfig *guest, const GuestConfig *from)
{
    unsigned taken = from->given & ~guest->given;
    if (taken & GUEST_GIVEN_MIN) {
        guest->min = from->min;
    }
    if (taken & GUEST_GIVEN_MAX) {
        guest->max = from->max;
    }
    if (taken & GUEST_GIVEN_WEIGHT) {
        guest->weight = from->weight;
    }
    if (taken & GUEST_GIVEN_MANAGE) {
        guest->managed = from->managed;
    }
    guest->given |= taken;
}

void config_complete_guest(const Config *config, GuestConfig *guest)
{
    const GuestConfig *named = g_hash_table_lookup(config->named, guest->name);
    if (named) {
        inherit(guest, named);
    }
    for (guint i = 0; i < config->patterns->len && guest->given != GUEST_GIVEN_ALL; i++) {
        const GuestConfig *pattern = g_ptr_array_index(config->patterns, i);
        if (g_pattern_match_simple(pattern->name, guest->name)) {
            inherit(guest, pattern);
        }
    }
}

static size_t literal_bytes(const char *pattern)
{
    size_t count = 0;
    for (const char *c = pattern; *c; c++) {
        count += *c != '*' && *c != '?';
    }
    return count;
}

// GLib's sort keeps the order of equals.
static int compare_patterns(const void *a, const void *b)
{
    size_t left = literal_bytes((*(GuestConfig *const *)a)->name);
    size_t right = literal_bytes((*(GuestConfig *const *)b)->name);
    return (left < right) - (left > right);
}

void config_sort_patterns(Config *config)
{
    g_ptr_array_sort(config->patterns, compare_patterns);
}
