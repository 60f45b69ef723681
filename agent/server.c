// SPDX-License-Identifier: Apache-2.0
#include "agent/server.h"

#include "agent/fault-watch.h"
#include "agent/report-trigger.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"
#include "protocol/transport/pressure-watch.h"

#include <string.h>

#define CHANGE_MIN_BYTES INT64_C(4096)
#define CHANGE_MAX_BYTES (INT64_C(1) << 40)
// The default change is this part of the guest's memory, within limits: below 1 MiB everything is
// noise, and 64 MiB are worth telling on a guest of any size.
#define CHANGE_DIVISOR 256
#define CHANGE_DEFAULT_MIN_BYTES (INT64_C(1) << 20)
#define CHANGE_DEFAULT_MAX_BYTES (INT64_C(64) << 20)

#define US_PER_MS INT64_C(1000)
// Room for a report with its event around it.
#define EVENT_TEXT_BYTES 2048

// Flag of a command whose answer follows a sentinel.
#define COMMAND_DELIMITED 1u

struct AgentServer {
    Sampler *sampler;
    AgentServerSettings settings;
    int64_t sequence; // of the last report

    LineChannel *channel; // NULL: no client
    AgentServerEnded *ended;
    void *context;

    ReportTrigger trigger;
    GSource *timer; // ready when the next sample is due, never without a subscription
    PressureWatch *pressure_watch; // NULL: no subscription, or the kernel has no triggers
    FaultWatch *fault_watch;       // NULL: no subscription, or not permitted
    GString *event_text;
};

// --- the subscription -------------------------------------------------------------------------

static void end_subscription(AgentServer *server)
{
    g_source_set_ready_time(server->timer, -1);
    g_clear_pointer(&server->pressure_watch, pressure_watch_free);
    g_clear_pointer(&server->fault_watch, fault_watch_free);
}

static void on_faults(void *context)
{
    AgentServer *server = context;
    g_source_set_ready_time(server->timer, report_trigger_next_us(&server->trigger));
}

static void append_number(GString *text, const char *before, int64_t value)
{
    char digits[24];
    g_snprintf(digits, sizeof digits, "%" G_GINT64_FORMAT, value);
    g_string_append(text, before);
    g_string_append(text, digits);
}

static void write_event(AgentServer *server, MemoryReport *report)
{
    GString *text = server->event_text;
    int64_t realtime_us = g_get_real_time();
    report->sequence = ++server->sequence;
    g_string_assign(text, "{\"event\":\"" QGA_MEMORY_REPORT_EVENT "\",\"data\":");
    memory_report_append_json(report, text);
    append_number(text, ",\"timestamp\":{\"seconds\":", realtime_us / G_USEC_PER_SEC);
    append_number(text, ",\"microseconds\":", realtime_us % G_USEC_PER_SEC);
    g_string_append(text, "}}\n");
}

static void sample(AgentServer *server, bool stalled)
{
    MemoryReport report;
    if (!sampler_read(server->sampler, &report, NULL)) {
        // The client misses the heartbeat; should the file come back, so do the reports.
        g_source_set_ready_time(server->timer,
                                g_get_monotonic_time() + server->trigger.settings.heartbeat_us);
        return;
    }
    if (report_trigger_sample(&server->trigger, &report, report.monotonic_us, stalled,
                              &report.reason)) {
        write_event(server, &report);
        line_channel_send_event(server->channel, server->event_text->str, server->event_text->len);
    }
    g_source_set_ready_time(server->timer, report_trigger_latest_us(&server->trigger));
    if (server->fault_watch) {
        fault_watch_arm(server->fault_watch);
    }
}

static gboolean on_sample_due(void *data)
{
    sample(data, false);
    return G_SOURCE_CONTINUE;
}

static void on_pressure(void *context)
{
    sample(context, true);
}

static void start_subscription(AgentServer *server, ReportTriggerSettings settings)
{
    int64_t window_us;
    const char *why;
    end_subscription(server);
    g_autofree char *path = g_strconcat(server->settings.root, PRESSURE_MEMORY_PATH, NULL);
    int fd = pressure_trigger_open(path, &window_us, &why);
    if (fd >= 0) {
        server->pressure_watch = pressure_watch_new(fd, on_pressure, server);
    }
    server->fault_watch = fault_watch_new(on_faults, server, NULL);
    settings.has_tripwire = server->fault_watch != NULL;
    report_trigger_init(&server->trigger, &settings);
    // Due at once, from the loop: after the reply.
    g_source_set_ready_time(server->timer, 0);
}

// --- commands ---------------------------------------------------------------------------------

static json_t *on_sync(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    (void)error;
    // A client that starts anew must not meet events it did not ask for.
    end_subscription(context);
    return json_incref(json_object_get(arguments, "id"));
}

static json_t *on_ping(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_object();
}

static json_t *on_report(void *context, const QmpCommand *command, json_t *arguments,
                         GError **error)
{
    (void)command;
    (void)arguments;
    AgentServer *server = context;
    MemoryReport report;
    sampler_refresh(server->sampler);
    if (!sampler_read(server->sampler, &report, error)) {
        return NULL;
    }
    report.reason = REPORT_REASON_REQUEST;
    report.sequence = ++server->sequence;
    return memory_report_to_json(&report);
}

static bool optional_int(const json_t *arguments, const char *name, int64_t min, int64_t max,
                         int64_t *value, GError **error)
{
    return !json_object_get(arguments, name) ||
           json_member_int(arguments, name, min, max, value, error);
}

static json_t *on_subscribe(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    AgentServer *server = context;
    MemoryReport now;
    sampler_refresh(server->sampler);
    if (!sampler_read(server->sampler, &now, error)) {
        return NULL;
    }
    int64_t interval_ms = AGENT_INTERVAL_MS;
    int64_t heartbeat_ms = AGENT_HEARTBEAT_MS;
    int64_t change_bytes = CLAMP(memory_report_get(&now, REPORT_MEMORY_TOTAL) / CHANGE_DIVISOR,
                                 CHANGE_DEFAULT_MIN_BYTES, CHANGE_DEFAULT_MAX_BYTES);
    if (!optional_int(arguments, "interval-ms", AGENT_INTERVAL_MIN_MS, AGENT_INTERVAL_MAX_MS,
                      &interval_ms, error) ||
        !optional_int(arguments, "heartbeat-ms", AGENT_HEARTBEAT_MIN_MS, AGENT_HEARTBEAT_MAX_MS,
                      &heartbeat_ms, error) ||
        !optional_int(arguments, "change-bytes", CHANGE_MIN_BYTES, CHANGE_MAX_BYTES, &change_bytes,
                      error)) {
        return NULL;
    }
    interval_ms = MAX(interval_ms, server->settings.interval_ms);
    heartbeat_ms = MAX(heartbeat_ms, server->settings.heartbeat_ms);
    ReportTriggerSettings settings = {
        .interval_us = interval_ms * US_PER_MS,
        .heartbeat_us = heartbeat_ms * US_PER_MS,
        .change_bytes = change_bytes,
    };
    start_subscription(server, settings);
    return json_pack("{s:I, s:I, s:I}", "interval-ms", (json_int_t)interval_ms, "heartbeat-ms",
                     (json_int_t)heartbeat_ms, "change-bytes", (json_int_t)change_bytes);
}

static json_t *on_unsubscribe(void *context, const QmpCommand *command, json_t *arguments,
                              GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    end_subscription(context);
    return json_object();
}

static QmpHandler on_info;

static const QmpArgument sync_arguments[] = {
    {.name = "id", .type = JSON_INTEGER},
    {0},
};
static const QmpArgument subscribe_arguments[] = {
    {.name = "interval-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "heartbeat-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "change-bytes", .type = JSON_INTEGER, .optional = true},
    {0},
};

static const QmpCommand commands[] = {
    {QGA_SYNC, sync_arguments, on_sync, 0},
    {QGA_SYNC_DELIMITED, sync_arguments, on_sync, COMMAND_DELIMITED},
    {"guest-ping", NULL, on_ping, 0},
    {"guest-info", NULL, on_info, 0},
    {QGA_MEMORY_REPORT, NULL, on_report, 0},
    {QGA_MEMORY_SUBSCRIBE, subscribe_arguments, on_subscribe, 0},
    {QGA_MEMORY_UNSUBSCRIBE, NULL, on_unsubscribe, 0},
    {0},
};

static json_t *on_info(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    json_t *list = json_array();
    for (const QmpCommand *each = commands; each->name; each++) {
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", each->name, "enabled", 1,
                                              "success-response", 1));
    }
    return json_pack("{s:s, s:o}", "version", AEROSTAT_VERSION, "supported_commands", list);
}

// --- the client -------------------------------------------------------------------------------

static void send_reply(AgentServer *server, const json_t *reply, bool delimited)
{
    g_autofree char *text = json_message_format(reply);
    g_autoptr(GString) line = g_string_new(NULL);
    if (delimited) {
        g_string_append_c(line, LINE_SENTINEL);
    }
    g_string_append(line, text);
    line_channel_send_reply(server->channel, line->str, line->len);
}

static bool is_white_space(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!g_ascii_isspace(line[i])) {
            return false;
        }
    }
    return true;
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    (void)after_sentinel;
    AgentServer *server = context;
    if (is_white_space(line, length)) {
        return;
    }
    QmpResult result;
    qmp_serve_line(commands, NULL, server, line, length, &result);
    bool delimited = result.succeeded && (result.command->flags & COMMAND_DELIMITED) != 0;
    send_reply(server, result.reply, delimited);
    qmp_result_clear(&result);
}

static void refuse_long_line(AgentServer *server)
{
    g_autoptr(GError) error =
        g_error_new(PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "JSON parse error, line longer than %zu bytes", LIMIT_REQUEST_LINE_BYTES);
    g_autoptr(json_t) reply = qmp_error_reply(error);
    send_reply(server, reply, false);
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    AgentServer *server = context;
    if (end == LINE_CHANNEL_END_TOO_LONG) {
        refuse_long_line(server);
        return true;
    }
    end_subscription(server);
    server->channel = NULL;
    line_channel_free(channel);
    server->ended(server->context, end, message);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

static gboolean dispatch_timer(GSource *source, GSourceFunc callback, void *data)
{
    (void)source;
    return callback(data);
}

static GSourceFuncs timer_functions = {.dispatch = dispatch_timer};

// Touches what a report needs.
static void rehearse(AgentServer *server)
{
    MemoryReport report;
    if (sampler_read(server->sampler, &report, NULL)) {
        report.reason = REPORT_REASON_START;
        write_event(server, &report);
        server->sequence = 0;
    }
}

AgentServer *agent_server_new(Sampler *sampler, const AgentServerSettings *settings)
{
    AgentServer *server = g_new0(AgentServer, 1);
    server->sampler = sampler;
    server->settings = *settings;
    server->event_text = g_string_sized_new(EVENT_TEXT_BYTES);
    server->timer = g_source_new(&timer_functions, sizeof(GSource));
    g_source_set_callback(server->timer, on_sample_due, server, NULL);
    g_source_attach(server->timer, g_main_context_get_thread_default());
    rehearse(server);
    return server;
}

void agent_server_free(AgentServer *server)
{
    if (server) {
        end_subscription(server);
        line_channel_free(server->channel);
        g_source_destroy(server->timer);
        g_source_unref(server->timer);
        g_string_free(server->event_text, TRUE);
        g_free(server);
    }
}

void agent_server_serve(AgentServer *server, int fd, AgentServerEnded *ended, void *context)
{
    g_assert(!server->channel);
    server->ended = ended;
    server->context = context;
    server->channel = line_channel_new(fd, LIMIT_REQUEST_LINE_BYTES, 1, &channel_handlers, server);
}
