// SPDX-License-Identifier: Apache-2.0
#include "host-controller/journal/fields.h"

#include "host-controller/config.h"
#include "host-controller/policy/policy.h"
#include "protocol/error.h"
#include "protocol/json.h"

#include <string.h>

#define MAX_COUNT (INT64_C(1) << 62)
#define MAX_SHIFT 62

// A member's value as a number, whatever its kind.
static int64_t value_of(const JournalField *field, const void *structure)
{
    const void *member = (const char *)structure + field->offset;
    switch (field->kind) {
    case JOURNAL_KIND_SHIFT:
        return *(const int *)member;
    case JOURNAL_KIND_BOOL:
        return *(const bool *)member;
    case JOURNAL_KIND_BOUND:
        return *(const PolicyBound *)member;
    case JOURNAL_KIND_MODE:
        return *(const ControllerMode *)member;
    case JOURNAL_KIND_ANY:
    case JOURNAL_KIND_COUNT:
    case JOURNAL_KIND_BYTES:
        break;
    }
    return *(const int64_t *)member;
}

static void append_value(GString *out, const JournalField *field, int64_t value)
{
    switch (field->kind) {
    case JOURNAL_KIND_BOOL:
        g_string_append(out, value ? "true" : "false");
        return;
    case JOURNAL_KIND_BOUND:
        g_string_append_printf(out, "\"%s\"", policy_bound_name((PolicyBound)value));
        return;
    case JOURNAL_KIND_MODE:
        g_string_append_printf(out, "\"%s\"", controller_mode_name((ControllerMode)value));
        return;
    case JOURNAL_KIND_SHIFT:
    case JOURNAL_KIND_ANY:
    case JOURNAL_KIND_COUNT:
    case JOURNAL_KIND_BYTES:
        break;
    }
    g_string_append_printf(out, "%" G_GINT64_FORMAT, value);
}

void journal_fields_append(GString *out, const JournalField *fields, const void *before,
                           const void *now)
{
    const char *comma = "";
    for (const JournalField *field = fields; field->name; field++) {
        int64_t value = value_of(field, now);
        if (value != value_of(field, before)) {
            g_string_append_printf(out, "%s\"%s\":", comma, field->name);
            append_value(out, field, value);
            comma = ",";
        }
    }
}

bool journal_fields_equal(const JournalField *fields, const void *a, const void *b)
{
    for (const JournalField *field = fields; field->name; field++) {
        if (value_of(field, a) != value_of(field, b)) {
            return false;
        }
    }
    return true;
}

// --- reading ----------------------------------------------------------------------------------

static bool read_bound(const json_t *object, const char *name, PolicyBound *bound, GError **error)
{
    const char *word;
    if (!json_member_string(object, name, &word, error)) {
        return false;
    }
    for (PolicyBound candidate = 0; candidate < POLICY_BOUND_COUNT; candidate++) {
        if (strcmp(word, policy_bound_name(candidate)) == 0) {
            *bound = candidate;
            return true;
        }
    }
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "'%s' is no reason", name);
    return false;
}

static bool read_mode(const json_t *object, const char *name, ControllerMode *mode, GError **error)
{
    const char *word;
    if (!json_member_string(object, name, &word, error)) {
        return false;
    }
    if (!controller_mode_parse(word, mode)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "'%s' is no mode", name);
        return false;
    }
    return true;
}

static bool read_shift(const json_t *object, const char *name, int *shift, GError **error)
{
    int64_t value;
    bool read = json_member_int(object, name, 0, MAX_SHIFT, &value, error);
    *shift = read ? (int)value : 0;
    return read;
}

static bool read_field(const json_t *object, const JournalField *field, void *structure,
                       GError **error)
{
    void *member = (char *)structure + field->offset;
    switch (field->kind) {
    case JOURNAL_KIND_SHIFT:
        return read_shift(object, field->name, member, error);
    case JOURNAL_KIND_BOOL:
        return json_member_bool(object, field->name, member, error);
    case JOURNAL_KIND_BOUND:
        return read_bound(object, field->name, member, error);
    case JOURNAL_KIND_MODE:
        return read_mode(object, field->name, member, error);
    case JOURNAL_KIND_COUNT:
        return json_member_int(object, field->name, 0, MAX_COUNT, member, error);
    case JOURNAL_KIND_BYTES:
        return json_member_int(object, field->name, 0, POLICY_MAX_BYTES, member, error);
    case JOURNAL_KIND_ANY:
        break;
    }
    return json_member_int(object, field->name, INT64_MIN, INT64_MAX, member, error);
}

bool journal_fields_read(const json_t *object, const JournalField *fields, void *target,
                         GError **error)
{
    for (const JournalField *field = fields; field->name; field++) {
        if (json_object_get(object, field->name) && !read_field(object, field, target, error)) {
            return false;
        }
    }
    return true;
}
