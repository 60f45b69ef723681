// SPDX-License-Identifier: Apache-2.0
//
// The fake QEMU's balloon device as an object: where it is, and the statistics of its guest.
#include "tests/support/fake-qemu-internal.h"

#include "protocol/error.h"

#include <string.h>

#define PERIPHERAL "/machine/peripheral"
#define ANONYMOUS "/machine/peripheral-anon"
#define INTERVAL "guest-stats-polling-interval"

static const char *device_path(const FakeQemu *qemu)
{
    return qemu->anonymous ? ANONYMOUS "/device[1]" : PERIPHERAL "/balloon0";
}

json_t *fake_qemu_qom_list(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    (void)error;
    const FakeQemu *qemu = context;
    const char *path = json_string_value(json_object_get(arguments, "path"));
    g_autofree char *folder = g_path_get_dirname(device_path(qemu));
    json_t *children = json_pack("[{s:s, s:s}]", "name", "type", "type", "string");
    if (qemu->has_device && strcmp(path, folder) == 0) {
        g_autofree char *name = g_path_get_basename(device_path(qemu));
        json_array_append_new(
            children, json_pack("{s:s, s:s}", "name", name, "type", "child<virtio-balloon-pci>"));
    }
    return children;
}

static bool check_path(const FakeQemu *qemu, const json_t *arguments, GError **error)
{
    const char *path = json_string_value(json_object_get(arguments, "path"));
    if (!qemu->has_device || strcmp(path, device_path(qemu)) != 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "Device '%s' not found", path);
        return false;
    }
    return true;
}

// QEMU asks the driver by a timer; here it is found out what the driver told by now.
static void ask_driver(FakeQemu *qemu)
{
    int64_t now_us = g_get_monotonic_time();
    bool asks = qemu->tells_stats && qemu->interval_s > 0 && qemu->has_driver && qemu->running;
    if (asks && now_us - qemu->stats_at_us >= qemu->interval_s * G_USEC_PER_SEC) {
        qemu->stats_at_us = now_us;
        qemu->stats_held_bytes = fake_qemu_actual_bytes(qemu);
    }
}

// What QEMU says of a statistic that the guest has not told.
#define UNKNOWN "18446744073709551615"

static void append_stat(const FakeQemu *qemu, GString *text, const char *name, int64_t value)
{
    bool lies = g_strcmp0(name, qemu->lie_member) == 0;
    if (lies) {
        g_string_append_printf(text, "\"%s\": %s, ", name, qemu->lie_number);
    } else if (qemu->stats_at_us > 0) {
        g_string_append_printf(text, "\"%s\": %" G_GINT64_FORMAT ", ", name, value);
    } else {
        g_string_append_printf(text, "\"%s\": " UNKNOWN ", ", name);
    }
}

char *fake_qemu_format_stats(const FakeQemu *qemu)
{
    int64_t available_bytes = MAX(qemu->stats_held_bytes - qemu->used_bytes, 0);
    int64_t updated_s = qemu->stats_at_us ? qemu->stats_at_us / G_USEC_PER_SEC + 1 : 0;
    GString *text = g_string_new("{\"stats\": {");
    append_stat(qemu, text, "stat-total-memory", qemu->stats_held_bytes);
    append_stat(qemu, text, "stat-available-memory", available_bytes);
    append_stat(qemu, text, "stat-free-memory", MAX(available_bytes - qemu->cache_bytes, 0));
    append_stat(qemu, text, "stat-swap-in", 0);
    g_string_append_printf(
        text, "\"stat-htlb-pgalloc\": " UNKNOWN "}, \"last-update\": %" G_GINT64_FORMAT "}",
        updated_s);
    return g_string_free(text, FALSE);
}

json_t *fake_qemu_qom_get(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    FakeQemu *qemu = context;
    const char *property = json_string_value(json_object_get(arguments, "property"));
    if (!check_path(qemu, arguments, error)) {
        return NULL;
    }
    if (strcmp(property, INTERVAL) == 0) {
        return json_integer(qemu->interval_s);
    }
    ask_driver(qemu);
    return json_string(FAKE_QEMU_STATS);
}

json_t *fake_qemu_qom_set(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    FakeQemu *qemu = context;
    if (!check_path(qemu, arguments, error)) {
        return NULL;
    }
    qemu->interval_s = json_integer_value(json_object_get(arguments, "value"));
    return json_object();
}

void fake_qemu_set_stats(FakeQemu *qemu, int64_t used_bytes, int64_t cache_bytes)
{
    qemu->tells_stats = true;
    qemu->used_bytes = used_bytes;
    qemu->cache_bytes = cache_bytes;
}

void fake_qemu_stop_stats(FakeQemu *qemu)
{
    qemu->tells_stats = false;
    qemu->stats_at_us = g_get_monotonic_time();
    qemu->stats_held_bytes = fake_qemu_actual_bytes(qemu);
}

void fake_qemu_lie_in_stats(FakeQemu *qemu, const char *member, const char *number)
{
    g_free(qemu->lie_member);
    g_free(qemu->lie_number);
    qemu->lie_member = g_strdup(member);
    qemu->lie_number = g_strdup(number);
}

int64_t fake_qemu_stats_interval_s(const FakeQemu *qemu)
{
    return qemu->interval_s;
}

void fake_qemu_set_stats_interval(FakeQemu *qemu, int64_t interval_s)
{
    qemu->interval_s = interval_s;
}

void fake_qemu_set_anonymous(FakeQemu *qemu)
{
    qemu->anonymous = true;
}
