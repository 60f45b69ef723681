// SPDX-License-Identifier: Apache-2.0
#include "host-controller/guest-log.h"

// MESSAGE, PRIORITY, GUEST, ACTUAL, TARGET, FROM, BOUND_BY.
#define MAX_FIELDS 7
#define NUMBER_TEXT_SIZE 24

// A line being put together. All it points to belongs to others.
typedef struct Line {
    GLogField fields[MAX_FIELDS];
    gsize count;
    char numbers[MAX_FIELDS][NUMBER_TEXT_SIZE];
} Line;

static void add_text(Line *line, const char *key, const char *text)
{
    line->fields[line->count++] = (GLogField){.key = key, .value = text, .length = -1};
}

static void add_bytes(Line *line, const char *key, int64_t bytes)
{
    char *number = line->numbers[line->count];
    g_snprintf(number, NUMBER_TEXT_SIZE, "%" G_GINT64_FORMAT, bytes);
    add_text(line, key, number);
}

// The journal's number for a level: syslog(3).
static const char *priority_of(GLogLevelFlags level)
{
    if (level <= G_LOG_LEVEL_WARNING) {
        return "4";
    }
    return level <= G_LOG_LEVEL_MESSAGE ? "5" : "7";
}

static void begin(Line *line, const Guest *guest, GLogLevelFlags level, const char *message)
{
    *line = (Line){0};
    add_text(line, "MESSAGE", message);
    add_text(line, "PRIORITY", priority_of(level));
    add_text(line, "GUEST", guest->config->name);
    if (guest_is_known(guest) && guest->has_balloon) {
        add_bytes(line, "ACTUAL", guest->balloon.actual_bytes);
        add_bytes(line, "TARGET", guest->balloon.target_bytes);
    }
}

void guest_log(const Guest *guest, GLogLevelFlags level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *message = g_strdup_printf("%s: %s", guest->config->name, text);
    Line line;
    begin(&line, guest, level, message);
    g_log_structured_array(level, line.fields, line.count);
}

void guest_log_decision(const Guest *guest, int64_t from_bytes)
{
    char from[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    const char *bound = policy_bound_name(guest->plan.bound);
    g_autofree char *message = g_strdup_printf("%s: target %s, was %s: %s", guest->config->name,
                                               size_format(guest->plan.plan_bytes, target),
                                               size_format(from_bytes, from), bound);
    Line line;
    begin(&line, guest, G_LOG_LEVEL_DEBUG, message);
    add_bytes(&line, "FROM", from_bytes);
    add_text(&line, "BOUND_BY", bound);
    g_log_structured_array(G_LOG_LEVEL_DEBUG, line.fields, line.count);
}
