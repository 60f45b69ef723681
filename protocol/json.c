// SPDX-License-Identifier: Apache-2.0
#include "protocol/json.h"

#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

GQuark protocol_error_quark(void)
{
    return g_quark_from_static_string("aerostat-protocol-error");
}

// Whether brackets outside of strings nest no deeper than `limit`. Text that is no JSON at all may
// pass: finding that out is the parser's work.
static bool depth_is_within(const char *text, size_t length, int limit)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) {
                return false;
            }
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}

// Parses text whose depth is bounded. `*overflow` tells whether a number too large was the reason
// for a failure.
static json_t *parse_object(const char *text, size_t length, bool *overflow, GError **error)
{
    json_error_t detail;
    g_autoptr(json_t) message =
        json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &detail);
    *overflow = !message && json_error_code(&detail) == json_error_numeric_overflow;
    if (!message) {
        g_autofree char *reason = json_text_for_people(detail.text);
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "JSON parse error, %s", reason);
        return NULL;
    }
    if (!json_is_object(message)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "QMP input must be a JSON object");
        return NULL;
    }
    return g_steal_pointer(&message);
}

static bool check_depth(const char *text, size_t length, GError **error)
{
    if (!depth_is_within(text, length, LIMIT_JSON_DEPTH)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "JSON nested deeper than %d levels", LIMIT_JSON_DEPTH);
        return false;
    }
    return true;
}

json_t *json_message_parse(const char *text, size_t length, GError **error)
{
    bool overflow;
    return check_depth(text, length, error) ? parse_object(text, length, &overflow, error) : NULL;
}

// The largest int64_t has as many digits.
#define INT64_DIGITS "9223372036854775807"

// Whether a number of `count` digits is beyond int64_t.
static bool is_too_large(const char *digits, size_t count)
{
    size_t most = strlen(INT64_DIGITS);
    return count > most || (count == most && memcmp(digits, INT64_DIGITS, most) > 0);
}

// Replaces the whole numbers in `text`, outside of strings, that are beyond int64_t with null.
static void blank_large_numbers(char *text, size_t length)
{
    static const char null[] = {'n', 'u', 'l', 'l'};
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && g_ascii_isdigit(text[i])) {
            size_t count = 1;
            while (i + count < length && g_ascii_isdigit(text[i + count])) {
                count++;
            }
            if (is_too_large(&text[i], count)) {
                memset(&text[i], ' ', count);
                memcpy(&text[i], null, sizeof(null));
            }
            i += count - 1;
        }
    }
}

json_t *json_qemu_message_parse(const char *text, size_t length, GError **error)
{
    bool overflow;
    g_autoptr(GError) first = NULL;
    if (!check_depth(text, length, error)) {
        return NULL;
    }
    json_t *message = parse_object(text, length, &overflow, &first);
    if (overflow) {
        g_autofree char *copy = g_memdup2(text, length);
        blank_large_numbers(copy, length);
        return parse_object(copy, length, &overflow, error);
    }
    if (!message) {
        g_propagate_error(error, g_steal_pointer(&first));
    }
    return message;
}

// Most messages are shorter: they are walked through once, not to learn their length first.
#define SHORT_BYTES 1024

char *json_message_format(const json_t *message)
{
    char brief[SHORT_BYTES];
    size_t length = json_dumpb(message, brief, sizeof(brief), JSON_COMPACT);
    char *text = g_malloc(length + 2);
    if (length <= sizeof(brief)) {
        memcpy(text, brief, length);
    } else {
        json_dumpb(message, text, length, JSON_COMPACT);
    }
    text[length] = '\n';
    text[length + 1] = '\0';
    return text;
}

static json_t *find_member(const json_t *object, const char *name, bool right_type(const json_t *),
                           const char *type_name, GError **error)
{
    json_t *member = json_object_get(object, name);
    if (!member) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "Parameter '%s' is missing",
                    name);
        return NULL;
    }
    if (!right_type(member)) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Invalid parameter type for '%s', expected: %s", name, type_name);
        return NULL;
    }
    return member;
}

// jansson's type predicates are macros.
static bool is_integer(const json_t *value)
{
    return json_is_integer(value);
}

static bool is_boolean(const json_t *value)
{
    return json_is_boolean(value);
}

static bool is_string(const json_t *value)
{
    return json_is_string(value);
}

static bool is_object(const json_t *value)
{
    return json_is_object(value);
}

bool json_member_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *value, GError **error)
{
    json_t *member = find_member(object, name, is_integer, "integer", error);
    if (!member) {
        return false;
    }
    json_int_t number = json_integer_value(member);
    if (number < min || number > max) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                    "Parameter '%s' expects a value from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                    name, min, max);
        return false;
    }
    *value = number;
    return true;
}

bool json_member_bool(const json_t *object, const char *name, bool *value, GError **error)
{
    json_t *member = find_member(object, name, is_boolean, "boolean", error);
    if (!member) {
        return false;
    }
    *value = json_is_true(member);
    return true;
}

bool json_member_string(const json_t *object, const char *name, const char **value, GError **error)
{
    json_t *member = find_member(object, name, is_string, "string", error);
    if (!member) {
        return false;
    }
    *value = json_string_value(member);
    return true;
}

bool json_member_object(const json_t *object, const char *name, json_t **value, GError **error)
{
    json_t *member = find_member(object, name, is_object, "object", error);
    if (!member) {
        return false;
    }
    *value = member;
    return true;
}

static bool is_shown(gunichar letter)
{
    bool breaks_line = letter == 0x2028 || letter == 0x2029;
    return g_unichar_isprint(letter) && !breaks_line;
}

char *json_text_for_people(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)strnlen(text, LIMIT_TEXT_BYTES));
    g_autoptr(GString) shown = g_string_new(NULL);
    for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
        // Replacing an invalid byte makes three of it.
        if (shown->len + (size_t)(g_utf8_next_char(c) - c) > LIMIT_TEXT_BYTES) {
            break;
        }
        gunichar letter = g_utf8_get_char(c);
        g_string_append_unichar(shown, is_shown(letter) ? letter : ' ');
    }
    return g_string_free(g_steal_pointer(&shown), FALSE);
}
