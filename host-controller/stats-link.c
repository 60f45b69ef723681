// SPDX-License-Identifier: Apache-2.0
#include "host-controller/stats-link.h"

#include "protocol/transport/timer.h"

#include <string.h>

// How often the guest's driver is asked, by QEMU; its least.
#define INTERVAL_S 1
// How often QEMU is asked what it has got: news is half as old as the guest's answers are apart.
#define LOOK_US INT64_C(500000)
// How often while there is no device, or the guest has not told anything for LIVELY_US.
#define IDLE_LOOK_US INT64_C(5000000)
#define LIVELY_US INT64_C(10000000)
// Somebody else may change how often the guest is asked, so that is looked at this often.
#define CHECK_INTERVAL_US INT64_C(10000000)

#define INTERVAL_PROPERTY "guest-stats-polling-interval"

// The objects whose children devices are: with an id, and without.
static const char *const places[] = {"/machine/peripheral", "/machine/peripheral-anon"};

// What the guest held at most and at least for a while.
typedef struct HeldRange {
    int64_t lowest_bytes;
    int64_t highest_bytes;
} HeldRange;

struct StatsLink {
    QmpClient *qmp;
    StatsLinkFunc *news;
    void *context;
    bool wanted;
    bool asking; // an answer is awaited
    Timer *timer;
    char *device;          // its path; NULL: not known
    size_t place;          // where it is looked for
    int64_t interval_s;    // what somebody else had set
    bool interval_is_ours; // in its place
    int64_t checked_us;    // when that was looked at; 0: not yet
    bool started;          // what QEMU had got before is known
    int64_t updated_s;     // that, or the last news
    int64_t lively_us;     // when the last news came, or the first look was taken
    int64_t actual_bytes;  // what the guest holds; 0: not known
    HeldRange held;        // since the last look, and between that and the one before
    HeldRange former_held;
};

static void ask(StatsLink *link, const char *command, json_t *arguments, QmpReplyFunc *reply)
{
    link->asking = qmp_client_execute(link->qmp, command, arguments, reply, link);
}

static void look_again(StatsLink *link, int64_t after_us)
{
    link->asking = false;
    if (link->wanted || link->interval_is_ours) {
        timer_arm(link->timer, g_get_monotonic_time() + after_us);
    }
}

// --- the device -------------------------------------------------------------------------------

// The first balloon among an object's children, or NULL.
static char *find_balloon(const char *place, const json_t *children)
{
    size_t index;
    json_t *child;
    json_array_foreach (children, index, child) {
        const char *type = json_string_value(json_object_get(child, "type"));
        const char *name = json_string_value(json_object_get(child, "name"));
        if (type && name && g_str_has_prefix(type, "child<virtio-balloon")) {
            return g_strdup_printf("%s/%s", place, name);
        }
    }
    return NULL;
}

static void on_children(const json_t *value, const GError *error, void *context)
{
    (void)error;
    StatsLink *link = context;
    link->device = find_balloon(places[link->place], value);
    link->place = (link->place + 1) % G_N_ELEMENTS(places);
    bool searched = !link->device && link->place == 0;
    look_again(link, searched ? IDLE_LOOK_US : 0);
}

// --- how often the guest is asked -------------------------------------------------------------

static json_t *property(const StatsLink *link, const char *name)
{
    return json_pack("{s:s, s:s}", "path", link->device, "property", name);
}

static void set_interval(StatsLink *link, int64_t interval_s, QmpReplyFunc *reply)
{
    json_t *arguments = property(link, INTERVAL_PROPERTY);
    json_object_set_new(arguments, "value", json_integer(interval_s));
    ask(link, "qom-set", arguments, reply);
}

static void on_interval_set(const json_t *value, const GError *error, void *context)
{
    (void)value;
    (void)error;
    look_again(context, 0);
}

static void on_interval(const json_t *value, const GError *error, void *context)
{
    (void)error;
    StatsLink *link = context;
    if (!json_is_integer(value) || !link->device) {
        g_clear_pointer(&link->device, g_free);
        look_again(link, IDLE_LOOK_US);
        return;
    }
    link->checked_us = g_get_monotonic_time();
    if (json_integer_value(value) == INTERVAL_S || !link->wanted) {
        look_again(link, 0);
        return;
    }
    link->interval_s = json_integer_value(value);
    link->interval_is_ours = true;
    set_interval(link, INTERVAL_S, on_interval_set);
}

// --- the statistics ---------------------------------------------------------------------------

static void take(StatsLink *link, const BalloonStats *stats)
{
    bool is_news = link->started && stats->updated_s != link->updated_s;
    link->started = true;
    link->updated_s = stats->updated_s;
    if (is_news) {
        link->lively_us = g_get_monotonic_time();
        link->news(stats, policy_min(link->held.lowest_bytes, link->former_held.lowest_bytes),
                   policy_max(link->held.highest_bytes, link->former_held.highest_bytes),
                   link->context);
    }
}

static void on_stats(const json_t *value, const GError *error, void *context)
{
    (void)error;
    StatsLink *link = context;
    BalloonStats stats;
    if (!value) {
        g_clear_pointer(&link->device, g_free);
        look_again(link, IDLE_LOOK_US);
        return;
    }
    if (link->wanted && balloon_stats_from_json(value, &stats)) {
        take(link, &stats);
    }
    link->former_held = link->held;
    link->held = (HeldRange){link->actual_bytes, link->actual_bytes};
    bool lively = g_get_monotonic_time() - link->lively_us < LIVELY_US;
    look_again(link, lively ? LOOK_US : IDLE_LOOK_US);
}

// --- the next step ----------------------------------------------------------------------------

// Asks for whatever is to be known next.
static void look(void *context)
{
    StatsLink *link = context;
    bool has_work = link->wanted || link->interval_is_ours;
    if (!has_work || link->asking || !qmp_client_is_ready(link->qmp)) {
        return; // stats_link_want(), the answer or stats_link_reset() goes on from here
    }
    if (!link->device) {
        ask(link, "qom-list", json_pack("{s:s}", "path", places[link->place]), on_children);
    } else if (!link->wanted) {
        link->interval_is_ours = false;
        set_interval(link, link->interval_s, on_interval_set);
    } else if (g_get_monotonic_time() - link->checked_us >= CHECK_INTERVAL_US) {
        ask(link, "qom-get", property(link, INTERVAL_PROPERTY), on_interval);
    } else {
        ask(link, "qom-get", property(link, "guest-stats"), on_stats);
    }
    if (!link->asking) {
        look_again(link, LOOK_US); // too many commands are open
    }
}

void stats_link_want(StatsLink *link, bool wanted)
{
    if (wanted != link->wanted) {
        link->wanted = wanted;
        link->started = false;
        link->checked_us = 0;
        link->lively_us = g_get_monotonic_time();
        timer_arm(link->timer, link->lively_us);
    }
}

void stats_link_reset(StatsLink *link)
{
    g_clear_pointer(&link->device, g_free);
    link->place = 0;
    link->interval_is_ours = false;
    link->started = false;
    link->checked_us = 0;
    link->lively_us = g_get_monotonic_time();
    if (!link->asking) {
        look_again(link, 0);
    }
}

void stats_link_restart(StatsLink *link)
{
    link->started = false;
}

void stats_link_note_actual(StatsLink *link, int64_t actual_bytes)
{
    if (link->actual_bytes == 0) {
        link->held = (HeldRange){actual_bytes, actual_bytes};
        link->former_held = link->held;
    }
    link->actual_bytes = actual_bytes;
    link->held.lowest_bytes = policy_min(link->held.lowest_bytes, actual_bytes);
    link->held.highest_bytes = policy_max(link->held.highest_bytes, actual_bytes);
}

// --- life -------------------------------------------------------------------------------------

StatsLink *stats_link_new(QmpClient *qmp, StatsLinkFunc *news, void *context)
{
    StatsLink *link = g_new0(StatsLink, 1);
    link->qmp = qmp;
    link->news = news;
    link->context = context;
    link->timer = timer_new(look, link);
    return link;
}

void stats_link_free(StatsLink *link)
{
    if (link) {
        timer_free(link->timer);
        g_free(link->device);
        g_free(link);
    }
}
