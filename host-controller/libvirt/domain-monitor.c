// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-monitor.h"

#include "host-controller/libvirt/domain-commands.h"
#include "protocol/limits.h"
#include "protocol/transport/fd-watch.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/timer.h"
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SOCKET_MODE 0660
// The controller gives a command five seconds.
#define ANSWER_LIMIT_US (4 * (int64_t)G_USEC_PER_SEC)
// A domain that could not be asked is not asked again before.
#define PAUSE_US (1 * (int64_t)G_USEC_PER_SEC)
// What reads the XML and has no client.
#define INSPECTION "{\"execute\":\"query-memory-size-summary\"}"

// One command on its way through the pool. While it is there, only the members of the first group
// are touched by the main loop.
typedef struct Call {
    DomainMonitor *monitor; // NULL: it is gone
    bool stale;             // an event came meanwhile
    bool given_up;          // it took too long

    uint64_t client; // who asked; 0: nobody
    int64_t arrived_us;
    char *line;
    size_t length;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int id;
    DomainTask task;
    QmpResult result;
} Call;

struct DomainMonitor {
    CallPool *pool;
    char *name;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int id;
    const DomainMonitorHandlers *handlers;
    void *context;

    char *path;
    int listener; // -1: it does not listen
    FdWatch *listening;
    bool available;
    int64_t paused_until_us;
    Timer *timer; // the next of all that takes time

    LineChannel *channel; // of the client; NULL: there is none
    uint64_t client;      // counts them
    bool negotiated;
    bool inspect_due;
    GQueue requests; // Call*, not begun
    Call *running;
};

static void settle(DomainMonitor *monitor);

static void free_call(Call *call)
{
    qmp_result_clear(&call->result);
    domain_xml_clear(&call->task.xml);
    g_free(call->line);
    g_free(call);
}

// --- in a thread of the pool ------------------------------------------------------------------

void domain_monitor_work(virConnectPtr connection, void *data)
{
    Call *call = data;
    DomainTask *task = &call->task;
    task->domain = connection ? virDomainLookupByUUIDString(connection, call->uuid) : NULL;
    // Started anew it is another one, which nobody has asked for yet.
    if (task->domain && (int)virDomainGetID(task->domain) == call->id) {
        qmp_serve_line(domain_commands, domain_commands_gate, task, call->line, call->length,
                       &call->result);
    } else {
        task->unavailable = true;
    }
    g_clear_pointer(&task->domain, virDomainFree);
}

// --- calls ------------------------------------------------------------------------------------

static Call *new_call(const DomainMonitor *monitor, uint64_t client, const char *line,
                      size_t length)
{
    Call *call = g_new0(Call, 1);
    call->client = client;
    call->arrived_us = g_get_monotonic_time();
    call->line = g_strndup(line, length);
    call->length = length;
    call->id = monitor->id;
    memcpy(call->uuid, monitor->uuid, sizeof(call->uuid));
    return call;
}

static void begin(DomainMonitor *monitor, Call *call)
{
    monitor->running = call;
    call->monitor = monitor;
    call->stale = false;
    call->task.negotiated = call->client ? monitor->negotiated : true;
    call_pool_push(monitor->pool, call);
}

static bool is_paused(const DomainMonitor *monitor)
{
    return monitor->paused_until_us > g_get_monotonic_time();
}

static void begin_next(DomainMonitor *monitor)
{
    if (monitor->running || !monitor->available || is_paused(monitor)) {
        return;
    }
    if (monitor->inspect_due) {
        monitor->inspect_due = false;
        begin(monitor, new_call(monitor, 0, INSPECTION, strlen(INSPECTION)));
    } else if (!g_queue_is_empty(&monitor->requests)) {
        begin(monitor, g_queue_pop_head(&monitor->requests));
    }
}

// What the client has asked and nobody has begun is not carried out any more.
static void drop_client(DomainMonitor *monitor, const char *why)
{
    if (monitor->channel) {
        g_message("%s: the connection ends: %s", monitor->name, why);
        g_clear_pointer(&monitor->channel, line_channel_free);
    }
    monitor->negotiated = false;
    g_queue_clear_full(&monitor->requests, (GDestroyNotify)free_call);
}

static void answer(DomainMonitor *monitor, const Call *call)
{
    const QmpResult *result = &call->result;
    if (!monitor->channel || call->client != monitor->client) {
        return; // who asked has gone
    }
    if (result->succeeded && strcmp(result->command->name, "qmp_capabilities") == 0) {
        monitor->negotiated = true;
    }
    g_autofree char *line = json_message_format(result->reply);
    line_channel_send_reply(monitor->channel, line, strlen(line));
}

static bool must_be_asked_again(const Call *call)
{
    const QmpCommand *command = call->result.command;
    return call->stale && !call->given_up && !call->task.unavailable && command &&
           (command->flags & DOMAIN_COMMAND_TELLS_STATE);
}

void domain_monitor_done(void *data)
{
    Call *call = data;
    DomainMonitor *monitor = call->monitor;
    if (!monitor) {
        free_call(call);
        return;
    }
    monitor->running = NULL;
    if (must_be_asked_again(call)) {
        qmp_result_clear(&call->result);
        begin(monitor, call);
        return;
    }
    if (call->task.xml_read) {
        monitor->handlers->inspected(&call->task.xml, monitor->context);
    } else if (!call->client && !call->given_up) {
        monitor->handlers->inspected(NULL, monitor->context);
    }
    if (call->task.unavailable) {
        drop_client(monitor, "libvirt cannot be asked for the domain");
        monitor->paused_until_us = g_get_monotonic_time() + PAUSE_US;
        monitor->inspect_due |= !call->client;
    } else if (call->client) {
        answer(monitor, call);
    }
    free_call(call);
    settle(monitor);
}

// --- time -------------------------------------------------------------------------------------

// The moment at which the oldest request has waited too long; INT64_MAX: none waits.
static int64_t limit_of_oldest(DomainMonitor *monitor)
{
    const Call *oldest =
        monitor->running ? monitor->running : g_queue_peek_head(&monitor->requests);
    return oldest && !oldest->given_up ? oldest->arrived_us + ANSWER_LIMIT_US : INT64_MAX;
}

static void on_timer(void *context)
{
    DomainMonitor *monitor = context;
    if (limit_of_oldest(monitor) <= g_get_monotonic_time()) {
        drop_client(monitor, "libvirt does not answer for the domain");
        Call *running = monitor->running;
        if (running) {
            running->given_up = true;
            if (!running->client) {
                monitor->handlers->inspected(NULL, monitor->context);
            }
        }
    }
    settle(monitor);
}

// Brings all that depends on the monitor's state up to date with it.
static void settle(DomainMonitor *monitor)
{
    begin_next(monitor);
    bool paused = is_paused(monitor);
    bool greets = monitor->available && !paused && !monitor->channel && !monitor->running;
    if (monitor->listening) {
        fd_watch_set(monitor->listening, greets ? EPOLLIN : 0);
    }
    int64_t next_us = limit_of_oldest(monitor);
    if (paused) {
        next_us = MIN(next_us, monitor->paused_until_us);
    }
    if (next_us < INT64_MAX) {
        timer_arm(monitor->timer, next_us);
    } else {
        timer_disarm(monitor->timer);
    }
}

// --- the client -------------------------------------------------------------------------------

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    (void)after_sentinel;
    DomainMonitor *monitor = context;
    if (g_queue_get_length(&monitor->requests) >= LIMIT_PENDING_COMMANDS) {
        drop_client(monitor, "the client asks without waiting for answers");
    } else {
        g_queue_push_tail(&monitor->requests, new_call(monitor, monitor->client, line, length));
    }
    settle(monitor);
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    DomainMonitor *monitor = context;
    drop_client(monitor, message);
    settle(monitor);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

static void greet(DomainMonitor *monitor)
{
    g_autoptr(json_t) greeting = json_pack(
        "{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP", "version", "qemu", "major", 0, "minor", 0,
        "micro", 0, "package", "aerostat-libvirt " AEROSTAT_VERSION, "capabilities");
    g_autofree char *line = json_message_format(greeting);
    line_channel_send_reply(monitor->channel, line, strlen(line));
}

static void on_connection(uint32_t events, void *context)
{
    (void)events;
    DomainMonitor *monitor = context;
    int fd = unix_socket_accept(monitor->listener);
    if (fd >= 0) {
        monitor->client++;
        monitor->channel = line_channel_new(fd, LIMIT_REQUEST_LINE_BYTES, LIMIT_PENDING_EVENTS,
                                            &channel_handlers, monitor);
        greet(monitor);
    } else if (errno == EMFILE || errno == ENFILE) {
        // It would be told of again at once.
        monitor->paused_until_us = g_get_monotonic_time() + PAUSE_US;
    }
    settle(monitor);
}

// --- life -------------------------------------------------------------------------------------

DomainMonitor *domain_monitor_new(CallPool *pool, const char *name, const char *uuid, int id,
                                  const DomainMonitorHandlers *handlers, void *context)
{
    DomainMonitor *monitor = g_new0(DomainMonitor, 1);
    monitor->pool = pool;
    monitor->name = g_strdup(name);
    g_strlcpy(monitor->uuid, uuid, sizeof(monitor->uuid));
    monitor->id = id;
    monitor->handlers = handlers;
    monitor->context = context;
    monitor->listener = -1;
    monitor->available = true;
    monitor->timer = timer_new(on_timer, monitor);
    g_queue_init(&monitor->requests);
    return monitor;
}

bool domain_monitor_listen(DomainMonitor *monitor, const char *path, GError **error)
{
    monitor->listener = unix_socket_listen(path, SOCKET_MODE, error);
    if (monitor->listener < 0) {
        return false;
    }
    monitor->path = g_strdup(path);
    monitor->listening = fd_watch_new(monitor->listener, on_connection, monitor);
    settle(monitor);
    return true;
}

bool domain_monitor_is_listening(const DomainMonitor *monitor)
{
    return monitor->listener >= 0;
}

void domain_monitor_free(DomainMonitor *monitor)
{
    if (!monitor) {
        return;
    }
    if (monitor->running) {
        monitor->running->monitor = NULL;
    }
    g_queue_clear_full(&monitor->requests, (GDestroyNotify)free_call);
    line_channel_free(monitor->channel);
    fd_watch_free(monitor->listening);
    timer_free(monitor->timer);
    if (monitor->listener >= 0) {
        unlink(monitor->path);
        close(monitor->listener);
    }
    g_free(monitor->path);
    g_free(monitor->name);
    g_free(monitor);
}

void domain_monitor_set_available(DomainMonitor *monitor, bool available)
{
    if (monitor->available == available) {
        return;
    }
    monitor->available = available;
    if (!available) {
        drop_client(monitor, "libvirtd is away");
    }
    settle(monitor);
}

void domain_monitor_inspect(DomainMonitor *monitor)
{
    monitor->inspect_due = true;
    settle(monitor);
}

void domain_monitor_emit(DomainMonitor *monitor, const char *name, json_t *data)
{
    if (monitor->running) {
        monitor->running->stale = true;
    }
    if (monitor->channel && monitor->negotiated) {
        g_autoptr(json_t) event = qmp_event_new(name, json_incref(data), g_get_real_time());
        g_autofree char *line = json_message_format(event);
        line_channel_send_event(monitor->channel, line, strlen(line));
    }
}
