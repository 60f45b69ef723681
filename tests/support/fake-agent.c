// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake-agent.h"

#include "protocol/framing.h"
#include "protocol/qmp.h"
#include "tests/support/fake-server.h"

#include <string.h>

// How often the guest is looked at while its processes take memory.
#define GROWING_INTERVAL_MS 10
#define DEFAULT_INTERVAL_MS 100
#define DEFAULT_HEARTBEAT_MS 1000
#define DEFAULT_CHANGE_BYTES (INT64_C(1) << 20)

// Flags of commands.
#define ENDS_SUBSCRIPTION 1u
#define DELIMITED 2u // its reply has a sentinel before it
#define OURS 4u      // not a stock agent's

struct FakeAgent {
    FakeServer *server;
    FakeGuest guest;
    GHashTable *counts; // name -> unsigned

    bool subscribed;
    int64_t interval_ms;
    int64_t heartbeat_ms;
    int64_t change_bytes;
    GSource *tick;
    int64_t sequence;
    unsigned reports;
    MemoryReport last;
    int64_t last_us;

    bool silent;
    bool stock;
    uint64_t lies; // bit i: value[i] is claimed
    int64_t claimed[REPORT_FIELD_COUNT];
    int64_t delay_us;
    GQueue delayed; // Delayed*
    GSource *delay;
};

// --- saying something -------------------------------------------------------------------------

typedef struct Delayed {
    int64_t due_us;
    GBytes *bytes;
} Delayed;

static void free_delayed(void *data)
{
    Delayed *delayed = data;
    g_bytes_unref(delayed->bytes);
    g_free(delayed);
}

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static GSource *start_timer(int64_t interval_us, GSourceFunc function, FakeAgent *agent)
{
    GSource *source = g_timeout_source_new((guint)MAX(interval_us / 1000, 0));
    g_source_set_callback(source, function, agent, NULL);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

static gboolean on_delay(void *context)
{
    FakeAgent *agent = context;
    const Delayed *first;
    while ((first = g_queue_peek_head(&agent->delayed)) &&
           first->due_us <= g_get_monotonic_time()) {
        fake_server_send(agent->server, g_bytes_get_data(first->bytes, NULL),
                         g_bytes_get_size(first->bytes));
        free_delayed(g_queue_pop_head(&agent->delayed));
    }
    drop_source(&agent->delay);
    if (first) {
        agent->delay = start_timer(first->due_us - g_get_monotonic_time() + 999, on_delay, agent);
    }
    return G_SOURCE_REMOVE;
}

// Sends bytes in their turn: later, while the agent is slow.
static void say(FakeAgent *agent, const char *bytes, size_t length)
{
    if (agent->delay_us == 0 && g_queue_is_empty(&agent->delayed)) {
        fake_server_send(agent->server, bytes, length);
        return;
    }
    Delayed *delayed = g_new(Delayed, 1);
    *delayed = (Delayed){.due_us = g_get_monotonic_time() + agent->delay_us,
                         .bytes = g_bytes_new(bytes, length)};
    g_queue_push_tail(&agent->delayed, delayed);
    if (!agent->delay) {
        agent->delay = start_timer(agent->delay_us, on_delay, agent);
    }
}

// --- reports ----------------------------------------------------------------------------------

static void make_report(FakeAgent *agent, MemoryReportReason reason, MemoryReport *report)
{
    fake_guest_advance(&agent->guest, g_get_monotonic_time());
    fake_guest_report(&agent->guest, report);
    report->sequence = ++agent->sequence;
    report->reason = reason;
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        if (agent->lies >> field & 1) {
            report->value[field] = agent->claimed[field];
        }
    }
}

void fake_agent_report(FakeAgent *agent, MemoryReportReason reason)
{
    if (!agent->subscribed || agent->silent) {
        return;
    }
    make_report(agent, reason, &agent->last);
    agent->last_us = g_get_monotonic_time();
    agent->reports++;
    g_autoptr(GString) line = g_string_new("{\"event\":\"" QGA_MEMORY_REPORT_EVENT "\",\"data\":");
    memory_report_append_json(&agent->last, line);
    int64_t realtime_us = g_get_real_time();
    g_string_append_printf(line,
                           ",\"timestamp\":{\"seconds\":%" G_GINT64_FORMAT
                           ",\"microseconds\":%" G_GINT64_FORMAT "}}\n",
                           realtime_us / G_USEC_PER_SEC, realtime_us % G_USEC_PER_SEC);
    say(agent, line->str, line->len);
}

// Why a report is due now, or REPORT_REASON_COUNT when none is.
static MemoryReportReason reason_now(const FakeAgent *agent, bool growing)
{
    const MemoryReport *last = &agent->last;
    MemoryReport now;
    fake_guest_report(&agent->guest, &now);
    int64_t change = memory_report_get(&now, REPORT_MEMORY_AVAILABLE) -
                     memory_report_get(last, REPORT_MEMORY_AVAILABLE);
    if (memory_report_get(&now, REPORT_PRESSURE_SOME_TOTAL) >
        memory_report_get(last, REPORT_PRESSURE_SOME_TOTAL)) {
        return REPORT_REASON_PRESSURE;
    }
    if (ABS(change) >= agent->change_bytes) {
        return growing ? REPORT_REASON_TREND : REPORT_REASON_CHANGE;
    }
    int64_t age_us = now.monotonic_us - agent->last_us;
    return age_us >= agent->heartbeat_ms * 1000 ? REPORT_REASON_HEARTBEAT : REPORT_REASON_COUNT;
}

static void schedule(FakeAgent *agent, bool growing);

static gboolean on_tick(void *context)
{
    FakeAgent *agent = context;
    bool growing = fake_guest_advance(&agent->guest, g_get_monotonic_time());
    MemoryReportReason reason = reason_now(agent, growing);
    if (reason < REPORT_REASON_COUNT) {
        fake_agent_report(agent, reason);
    }
    schedule(agent, growing);
    return G_SOURCE_REMOVE;
}

static void schedule(FakeAgent *agent, bool growing)
{
    drop_source(&agent->tick);
    if (agent->subscribed) {
        int64_t interval_ms =
            growing ? GROWING_INTERVAL_MS : MIN(agent->interval_ms, agent->heartbeat_ms);
        agent->tick = start_timer(interval_ms * 1000, on_tick, agent);
    }
}

FakeGuest *fake_agent_guest(FakeAgent *agent)
{
    return &agent->guest;
}

void fake_agent_grow(FakeAgent *agent, int64_t goal_bytes, int64_t bytes_per_s)
{
    fake_guest_advance(&agent->guest, g_get_monotonic_time());
    agent->guest.goal_bytes = goal_bytes;
    agent->guest.growth_bytes_per_s = bytes_per_s;
    schedule(agent, true);
}

// --- commands ---------------------------------------------------------------------------------

static json_t *handle_sync(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)context;
    (void)command;
    (void)error;
    return json_incref(json_object_get(arguments, "id"));
}

static json_t *handle_nothing(void *context, const QmpCommand *command, json_t *arguments,
                              GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_object();
}

static json_t *handle_report(void *context, const QmpCommand *command, json_t *arguments,
                             GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    MemoryReport report;
    make_report(context, REPORT_REASON_REQUEST, &report);
    return memory_report_to_json(&report);
}

static int64_t integer_or(const json_t *arguments, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(arguments, name);
    return value ? json_integer_value(value) : otherwise;
}

static json_t *handle_subscribe(void *context, const QmpCommand *command, json_t *arguments,
                                GError **error)
{
    (void)command;
    (void)error;
    FakeAgent *agent = context;
    agent->subscribed = true;
    agent->interval_ms = integer_or(arguments, "interval-ms", DEFAULT_INTERVAL_MS);
    agent->heartbeat_ms = integer_or(arguments, "heartbeat-ms", DEFAULT_HEARTBEAT_MS);
    agent->change_bytes = integer_or(arguments, "change-bytes", DEFAULT_CHANGE_BYTES);
    return json_pack("{s:I, s:I, s:I}", "interval-ms", agent->interval_ms, "heartbeat-ms",
                     agent->heartbeat_ms, "change-bytes", agent->change_bytes);
}

static json_t *handle_info(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error);

static const QmpArgument sync_arguments[] = {{.name = "id", .type = JSON_INTEGER}, {0}};
static const QmpArgument subscribe_arguments[] = {
    {.name = "interval-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "heartbeat-ms", .type = JSON_INTEGER, .optional = true},
    {.name = "change-bytes", .type = JSON_INTEGER, .optional = true},
    {0},
};

static const QmpCommand commands[] = {
    {QGA_SYNC, sync_arguments, handle_sync, ENDS_SUBSCRIPTION},
    {QGA_SYNC_DELIMITED, sync_arguments, handle_sync, ENDS_SUBSCRIPTION | DELIMITED},
    {"guest-ping", NULL, handle_nothing, 0},
    {"guest-info", NULL, handle_info, 0},
    {QGA_MEMORY_REPORT, NULL, handle_report, OURS},
    {QGA_MEMORY_SUBSCRIBE, subscribe_arguments, handle_subscribe, OURS},
    {QGA_MEMORY_UNSUBSCRIBE, NULL, handle_nothing, OURS | ENDS_SUBSCRIPTION},
    {0},
};

static json_t *handle_info(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    const FakeAgent *agent = context;
    json_t *list = json_array();
    for (const QmpCommand *listed = commands; listed->name; listed++) {
        if (!agent->stock || !(listed->flags & OURS)) {
            json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", listed->name,
                                                  "enabled", 1, "success-response", 1));
        }
    }
    return json_pack("{s:s, s:o}", "version", "fake", "supported_commands", list);
}

static void count_command(FakeAgent *agent, const QmpCommand *command)
{
    unsigned *count = g_hash_table_lookup(agent->counts, command->name);
    if (!count) {
        count = g_new0(unsigned, 1);
        g_hash_table_insert(agent->counts, (char *)command->name, count);
    }
    (*count)++;
}

static void on_line(const char *line, size_t length, bool after_sentinel, void *context)
{
    (void)after_sentinel;
    FakeAgent *agent = context;
    if (agent->silent) {
        return;
    }
    QmpResult result;
    qmp_serve_line(commands, NULL, agent, line, length, &result);
    g_autofree char *reply = json_message_format(result.reply);
    unsigned flags = result.command && result.succeeded ? result.command->flags : 0;
    if (flags & DELIMITED) {
        static const char sentinel[] = {LINE_SENTINEL};
        say(agent, sentinel, sizeof(sentinel));
    }
    say(agent, reply, strlen(reply));
    if (flags & ENDS_SUBSCRIPTION) {
        agent->subscribed = false;
    }
    if (result.command) {
        count_command(agent, result.command);
    }
    bool subscribes = result.succeeded && result.command->handler == handle_subscribe;
    qmp_result_clear(&result);
    schedule(agent, false);
    if (subscribes) {
        fake_agent_report(agent, REPORT_REASON_START);
    }
}

// --- life -------------------------------------------------------------------------------------

static void on_disconnected(void *context)
{
    FakeAgent *agent = context;
    agent->subscribed = false;
    drop_source(&agent->tick);
    drop_source(&agent->delay);
    g_queue_clear_full(&agent->delayed, free_delayed);
}

static const FakeServerHandlers server_handlers = {
    .line = on_line,
    .disconnected = on_disconnected,
};

FakeAgent *fake_agent_new(const char *path, FakeQemu *qemu)
{
    FakeAgent *agent = g_new0(FakeAgent, 1);
    fake_guest_init(&agent->guest, qemu);
    agent->counts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    agent->server = fake_server_new(path, &server_handlers, agent);
    return agent;
}

void fake_agent_free(FakeAgent *agent)
{
    if (agent) {
        fake_server_free(agent->server);
        on_disconnected(agent);
        g_hash_table_unref(agent->counts);
        g_free(agent);
    }
}

bool fake_agent_is_subscribed(const FakeAgent *agent)
{
    return agent->subscribed;
}

unsigned fake_agent_reports(const FakeAgent *agent)
{
    return agent->reports;
}

unsigned fake_agent_connections(const FakeAgent *agent)
{
    return fake_server_connections(agent->server);
}

unsigned fake_agent_count(const FakeAgent *agent, const char *name)
{
    const unsigned *count = g_hash_table_lookup(agent->counts, name);
    return count ? *count : 0;
}

// --- misbehaving ------------------------------------------------------------------------------

void fake_agent_set_silent(FakeAgent *agent, bool silent)
{
    agent->silent = silent;
}

void fake_agent_forget(FakeAgent *agent)
{
    agent->subscribed = false;
    drop_source(&agent->tick);
}

void fake_agent_set_delay(FakeAgent *agent, int64_t delay_us)
{
    agent->delay_us = delay_us;
}

void fake_agent_lie(FakeAgent *agent, MemoryReportField field, int64_t value)
{
    agent->lies |= UINT64_C(1) << field;
    agent->claimed[field] = value;
}

void fake_agent_stop_lying(FakeAgent *agent)
{
    agent->lies = 0;
}

void fake_agent_set_stock(FakeAgent *agent, bool stock)
{
    agent->stock = stock;
}

void fake_agent_flood(FakeAgent *agent, unsigned reports)
{
    for (unsigned i = 0; i < reports; i++) {
        fake_agent_report(agent, REPORT_REASON_PRESSURE);
    }
}

void fake_agent_send(FakeAgent *agent, const char *bytes, size_t length)
{
    fake_server_send(agent->server, bytes, length);
}

void fake_agent_drop_client(FakeAgent *agent)
{
    fake_server_drop_client(agent->server);
}

void fake_agent_close(FakeAgent *agent)
{
    fake_server_close(agent->server);
}

void fake_agent_open(FakeAgent *agent)
{
    fake_server_open(agent->server);
}
