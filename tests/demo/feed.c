// SPDX-License-Identifier: Apache-2.0
#include "tests/demo/feed.h"

#include "tests/support/deadline.h"

#include <string.h>

// A move this long after the last one, or after the first one of the line, is a new line.
#define JOIN_WITHIN_US (400 * MS_US)
#define JOIN_FOR_US SECOND_US

static void clear_line(FeedLine *line)
{
    g_free(line->guest);
    g_free(line->text);
    *line = (FeedLine){0};
}

void feed_clear(Feed *feed)
{
    for (unsigned i = 0; i < feed->count; i++) {
        clear_line(&feed->lines[i]);
    }
    feed->count = 0;
}

// Appends an empty line, dropping the oldest when there are too many.
static FeedLine *append(Feed *feed, int64_t at_us, const char *guest)
{
    if (feed->count == FEED_LINES) {
        clear_line(&feed->lines[0]);
        memmove(&feed->lines[0], &feed->lines[1], (FEED_LINES - 1) * sizeof(FeedLine));
        feed->count--;
    }
    FeedLine *line = &feed->lines[feed->count++];
    *line = (FeedLine){.began_us = at_us, .last_us = at_us, .guest = g_strdup(guest)};
    feed->total++;
    return line;
}

void feed_tell(Feed *feed, int64_t at_us, const char *text)
{
    append(feed, at_us, NULL)->text = g_strdup(text);
}

bool feed_line_is_final(const FeedLine *line, int64_t now_us)
{
    return !line->is_move || now_us - line->last_us >= JOIN_WITHIN_US ||
           now_us - line->began_us >= JOIN_FOR_US;
}

// The guest's latest move, if one from `from_bytes` to `to_bytes` goes on from there.
static FeedLine *find_joinable(Feed *feed, int64_t at_us, const char *guest, int64_t from_bytes,
                               int64_t to_bytes)
{
    for (unsigned i = feed->count; i-- > 0;) {
        FeedLine *line = &feed->lines[i];
        if (g_strcmp0(line->guest, guest) == 0) {
            bool same_way = (line->to_bytes > line->from_bytes) == (to_bytes > from_bytes);
            bool joins = line->is_move && same_way && !feed_line_is_final(line, at_us);
            return joins ? line : NULL;
        }
    }
    return NULL;
}

static void add_move(Feed *feed, int64_t at_us, const char *guest, const json_t *data)
{
    int64_t to_bytes = json_integer_value(json_object_get(data, "target"));
    json_t *from = json_object_get(data, "from");
    const char *bound_by = json_string_value(json_object_get(data, "bound-by"));
    if (!from) {
        return; // the first target says what the guest has
    }
    int64_t from_bytes = json_integer_value(from);
    FeedLine *line = find_joinable(feed, at_us, guest, from_bytes, to_bytes);
    if (!line) {
        line = append(feed, at_us, guest);
        line->is_move = true;
        line->from_bytes = from_bytes;
    }
    line->last_us = at_us;
    line->to_bytes = to_bytes;
    g_free(line->text);
    line->text = g_strdup_printf("target %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " MiB (%s)",
                                 line->from_bytes / MIB, to_bytes / MIB,
                                 bound_by ? bound_by : "no reason given");
}

void feed_add_event(Feed *feed, int64_t at_us, const json_t *event)
{
    static const struct {
        const char *name;
        const char *text;
    } known[] = {
        {"GUEST_ADDED", "known to the controller"},
        {"GUEST_AGENT_CONNECTED", "agent connected"},
        {"GUEST_AGENT_LOST", "agent lost"},
        {"GUEST_PRESSURE", "tasks stall for lack of memory"},
        {"GUEST_STALLED", "balloon makes no progress"},
        {"HOST_PRESSURE", "the host itself is short of memory"},
        {"HOST_OVERCOMMITTED", "the guests' minimums exceed the budget"},
    };
    const char *name = json_string_value(json_object_get(event, "event"));
    const json_t *data = json_object_get(event, "data");
    const char *guest = json_string_value(json_object_get(data, "name"));
    if (g_strcmp0(name, "GUEST_TARGET_CHANGED") == 0) {
        add_move(feed, at_us, guest, data);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_strcmp0(name, known[i].name) == 0) {
            append(feed, at_us, guest ? guest : "host")->text = g_strdup(known[i].text);
        }
    }
}
