// SPDX-License-Identifier: Apache-2.0
#include "tests/support/guest-farm.h"

#include "protocol/framing.h"
#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/report.h"
#include "protocol/transport/unix-socket.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define READ_BYTES 4096

// One end that the controller connects to.
typedef struct Wire {
    int guest;
    bool is_agent;
    int listener;
    int fd; // -1: no client
    LineFramer framer;
} Wire;

typedef struct FarmGuest {
    Wire qmp;
    Wire agent;
    int64_t size_bytes;
    int64_t actual_bytes;
    bool subscribed;
    int64_t sequence;
    unsigned commands;
    int64_t commanded_us;
} FarmGuest;

struct GuestFarm {
    char *folder;
    int count;
    int epoll;
    int reporting;
    bool commanded;
    FarmGuest *guests;
};

static char *socket_path(const GuestFarm *farm, const Wire *wire)
{
    return g_strdup_printf("%s/g%d.%s", farm->folder, wire->guest,
                           wire->is_agent ? "agent" : "qmp");
}

static void watch(GuestFarm *farm, int fd, Wire *wire)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = wire};
    if (epoll_ctl(farm->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        g_error("epoll: %s", g_strerror(errno));
    }
}

static void open_wire(GuestFarm *farm, Wire *wire, int guest, bool is_agent)
{
    g_autoptr(GError) error = NULL;
    *wire = (Wire){.guest = guest, .is_agent = is_agent, .fd = -1};
    g_autofree char *path = socket_path(farm, wire);
    wire->listener = unix_socket_listen(path, 0600, &error);
    if (wire->listener < 0) {
        g_error("%s", error->message);
    }
    line_framer_init(&wire->framer, LIMIT_REQUEST_LINE_BYTES);
    watch(farm, wire->listener, wire);
}

static void close_wire(Wire *wire)
{
    if (wire->listener >= 0) {
        close(wire->listener);
    }
    if (wire->fd >= 0) {
        close(wire->fd);
    }
    line_framer_clear(&wire->framer);
}

GuestFarm *guest_farm_new(const char *folder, int count, int64_t size_bytes)
{
    GuestFarm *farm = g_new0(GuestFarm, 1);
    farm->folder = g_strdup(folder);
    farm->count = count;
    farm->epoll = epoll_create1(EPOLL_CLOEXEC);
    farm->guests = g_new0(FarmGuest, (gsize)count);
    for (int i = 0; i < count; i++) {
        guest_farm_resize(farm, i, size_bytes, size_bytes);
        open_wire(farm, &farm->guests[i].qmp, i, false);
        open_wire(farm, &farm->guests[i].agent, i, true);
    }
    return farm;
}

void guest_farm_resize(GuestFarm *farm, int guest, int64_t size_bytes, int64_t actual_bytes)
{
    farm->guests[guest].size_bytes = size_bytes;
    farm->guests[guest].actual_bytes = actual_bytes;
}

void guest_farm_free(GuestFarm *farm)
{
    for (int i = 0; i < farm->count; i++) {
        close_wire(&farm->guests[i].qmp);
        close_wire(&farm->guests[i].agent);
    }
    close(farm->epoll);
    g_free(farm->guests);
    g_free(farm->folder);
    g_free(farm);
}

char *guest_farm_configuration(const GuestFarm *farm)
{
    GString *text = g_string_new(NULL);
    for (int i = 0; i < farm->count; i++) {
        g_string_append_printf(text, "[guest g%d]\nqmp=%s/g%d.qmp\nagent=%s/g%d.agent\n", i,
                               farm->folder, i, farm->folder, i);
    }
    return g_string_free(text, FALSE);
}

// --- answers ----------------------------------------------------------------------------------

// What does not fit into the socket is lost: the controller reads, or the run is void anyway.
static void say(const Wire *wire, const char *text)
{
    if (wire->fd >= 0) {
        (void)!send(wire->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void answer(const Wire *wire, json_int_t id, const char *value)
{
    g_autofree char *line =
        g_strdup_printf("{\"return\": %s, \"id\": %" JSON_INTEGER_FORMAT "}\n", value, id);
    say(wire, line);
}

static void on_qmp_command(GuestFarm *farm, FarmGuest *guest, const char *name,
                           const json_t *arguments, json_int_t id)
{
    g_autofree char *value = NULL;
    if (strcmp(name, "query-balloon") == 0) {
        value = g_strdup_printf("{\"actual\": %" G_GINT64_FORMAT "}", guest->actual_bytes);
    } else if (strcmp(name, "query-memory-size-summary") == 0) {
        value = g_strdup_printf("{\"base-memory\": %" G_GINT64_FORMAT ", \"plugged-memory\": 0}",
                                guest->size_bytes);
    } else if (strcmp(name, "query-status") == 0) {
        value = g_strdup("{\"status\": \"running\", \"running\": true}");
    } else {
        value = g_strdup("{}");
    }
    if (strcmp(name, "balloon") == 0) {
        guest->commanded_us = g_get_monotonic_time();
        guest->commands++;
        guest->actual_bytes = json_integer_value(json_object_get(arguments, "value"));
        farm->commanded = true;
    }
    answer(&guest->qmp, id, value);
}

static void on_agent_command(GuestFarm *farm, FarmGuest *guest, const char *name,
                             const json_t *arguments, json_int_t id)
{
    if (strcmp(name, "guest-sync-delimited") == 0) {
        g_autofree char *line =
            g_strdup_printf("%c{\"return\": %" JSON_INTEGER_FORMAT "}\n", LINE_SENTINEL,
                            json_integer_value(json_object_get(arguments, "id")));
        say(&guest->agent, line);
    } else if (strcmp(name, "guest-info") == 0) {
        answer(&guest->agent, id,
               "{\"version\": \"farm\", \"supported_commands\": [{\"name\": "
               "\"guest-memory-subscribe\", \"enabled\": true, \"success-response\": true}]}");
    } else {
        answer(&guest->agent, id, "{}");
    }
    if (strcmp(name, "guest-memory-subscribe") == 0 && !guest->subscribed) {
        guest->subscribed = true;
        farm->reporting++;
    }
}

static void on_line(GuestFarm *farm, Wire *wire)
{
    const GString *line = wire->framer.line;
    g_autoptr(json_t) command = json_message_parse(line->str, line->len, NULL);
    const char *name = json_string_value(json_object_get(command, "execute"));
    const json_t *arguments = json_object_get(command, "arguments");
    json_int_t id = json_integer_value(json_object_get(command, "id"));
    FarmGuest *guest = &farm->guests[wire->guest];
    if (!name) {
        g_error("g%d: no command: %s", wire->guest, line->str);
    }
    if (wire->is_agent) {
        on_agent_command(farm, guest, name, arguments, id);
    } else {
        on_qmp_command(farm, guest, name, arguments, id);
    }
}

// --- input ------------------------------------------------------------------------------------

static void take_client(GuestFarm *farm, Wire *wire)
{
    if (wire->listener < 0) {
        return;
    }
    wire->fd = unix_socket_accept(wire->listener);
    if (wire->fd >= 0) {
        // Nobody else is to come, and descriptors are few.
        close(wire->listener);
        wire->listener = -1;
        watch(farm, wire->fd, wire);
        if (!wire->is_agent) {
            say(wire, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, "
                      "\"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\n");
        }
    }
}

static void read_client(GuestFarm *farm, Wire *wire)
{
    char chunk[READ_BYTES];
    ssize_t count = wire->fd < 0 ? -1 : recv(wire->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (count == 0) {
        close(wire->fd);
        wire->fd = -1;
        line_framer_reset(&wire->framer);
    }
    const char *bytes = chunk;
    size_t length = count > 0 ? (size_t)count : 0;
    while (line_framer_push(&wire->framer, &bytes, &length) == LINE_EVENT_LINE) {
        on_line(farm, wire);
    }
}

void guest_farm_serve(GuestFarm *farm, int64_t until_us, bool stop_at_command)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    farm->commanded = false;
    while (!(stop_at_command && farm->commanded)) {
        int64_t left_us = until_us - g_get_monotonic_time();
        if (left_us <= 0) {
            return;
        }
        int count = epoll_wait(farm->epoll, events, EVENTS_AT_ONCE, (int)(left_us / 1000 + 1));
        for (int i = 0; i < count; i++) {
            Wire *wire = events[i].data.ptr;
            take_client(farm, wire);
            read_client(farm, wire);
        }
    }
}

// --- what is to be known ----------------------------------------------------------------------

int guest_farm_reporting(const GuestFarm *farm)
{
    return farm->reporting;
}

int guest_farm_agent_fd(const GuestFarm *farm, int guest)
{
    return farm->guests[guest].agent.fd;
}

void guest_farm_report(GuestFarm *farm, int index, const char *reason, int64_t used_bytes)
{
    FarmGuest *guest = &farm->guests[index];
    if (!guest->subscribed) {
        return;
    }
    int64_t available_bytes = MAX(guest->actual_bytes - used_bytes, 0);
    g_autofree char *line = g_strdup_printf(
        "{\"event\": \"GUEST_MEMORY_REPORT\", \"timestamp\": {\"seconds\": 1795289110, "
        "\"microseconds\": 848436}, \"data\": {\"sequence\": %" G_GINT64_FORMAT
        ", \"monotonic-us\": %" G_GINT64_FORMAT ", \"boot-id\": \"fa12\", \"reason\": \"%s\", "
        "\"memory\": {\"total\": %" G_GINT64_FORMAT ", \"free\": %" G_GINT64_FORMAT
        ", \"available\": %" G_GINT64_FORMAT
        ", \"buffers\": 4096, \"cached\": 4096, \"shmem\": 0, \"anonymous\": 4096, \"dirty\": 0, "
        "\"swap-total\": 0, \"swap-free\": 0}, \"paging\": {\"swap-in\": 0, \"swap-out\": 0, "
        "\"major-faults\": 0, \"refault-file\": 0, \"refault-anon\": 0, \"oom-kills\": 0}, "
        "\"pressure\": {\"some\": {\"avg10-permyriad\": 0, \"avg60-permyriad\": 0, "
        "\"avg300-permyriad\": 0, \"total-us\": 0}}, \"balloon\": %" G_GINT64_FORMAT "}}\n",
        ++guest->sequence, g_get_monotonic_time(), reason, guest->actual_bytes, available_bytes,
        available_bytes, guest->size_bytes - guest->actual_bytes);
    say(&guest->agent, line);
}

unsigned guest_farm_commands(const GuestFarm *farm, int guest)
{
    return farm->guests[guest].commands;
}

int64_t guest_farm_commanded_us(const GuestFarm *farm, int guest)
{
    return farm->guests[guest].commanded_us;
}
