// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "agent/server.h"
#include "protocol/limits.h"
#include "protocol/report.h"
#include "tests/support/agent-wire.h"
#include "tests/support/deadline.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// The agent's server in this process, with a client at the other end of a socketpair.
typedef struct Fixture {
    Sampler *sampler;
    AgentServer *server;
    AgentWire wire;
    int server_fd; // the server's
    unsigned ended;
} Fixture;

static void on_ended(void *context, LineChannelEnd end, const char *message)
{
    (void)end;
    (void)message;
    Fixture *fixture = context;
    fixture->ended++;
}

static void connect_client(Fixture *fixture)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    agent_wire_init(&fixture->wire, fds[0], true);
    fixture->server_fd = fds[1];
    agent_server_serve(fixture->server, fds[1], on_ended, fixture);
}

// Closes the client's end and waits until the server has noticed.
static void disconnect_client(Fixture *fixture)
{
    unsigned before = fixture->ended;
    agent_wire_clear(&fixture->wire);
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    while (fixture->ended == before && deadline_left_us(deadline_us) > 0) {
        g_main_context_iteration(NULL, FALSE);
    }
    assert_int_equal(fixture->ended, before + 1);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->sampler = sampler_new("", NULL);
    assert_non_null(fixture->sampler);
    const AgentServerSettings settings = {
        .root = "",
        .interval_ms = AGENT_INTERVAL_MIN_MS,
        .heartbeat_ms = AGENT_HEARTBEAT_MIN_MS,
    };
    fixture->server = agent_server_new(fixture->sampler, &settings);
    connect_client(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    agent_wire_clear(&fixture->wire);
    agent_server_free(fixture->server);
    sampler_free(fixture->sampler);
    g_free(fixture);
    return 0;
}

#define PING "{'execute':'guest-ping'}"
#define PONG "{'return':{}}"
#define SUBSCRIBE "{'execute':'guest-memory-subscribe'}"
// A machine at rest sends heartbeats only; one that is short of memory has more to tell.
#define SUBSCRIBE_TO_HEARTBEATS                                                                    \
    "{'execute':'guest-memory-subscribe','arguments':"                                             \
    "{'interval-ms':10000,'heartbeat-ms':100,'change-bytes':1099511627776}}"

// Receives an event and takes the report out of it.
static MemoryReport receive_report(Fixture *fixture)
{
    MemoryReport report;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) event = agent_wire_receive(&fixture->wire);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "GUEST_MEMORY_REPORT");
    memory_report_from_json(json_object_get(event, "data"), &report, &error);
    assert_no_error(error);
    return report;
}

static void subscribe_to_heartbeats(Fixture *fixture)
{
    agent_wire_assert(
        &fixture->wire, SUBSCRIBE_TO_HEARTBEATS,
        "{'return':{'interval-ms':10000,'heartbeat-ms':100,'change-bytes':1099511627776}}");
    assert_int_equal(receive_report(fixture).reason, REPORT_REASON_START);
}

// Whether nothing but an event on a descriptor would wake the main loop.
static bool nothing_is_timed(void)
{
    GMainContext *context = g_main_context_default();
    GPollFD fds[8];
    gint priority;
    gint timeout_ms;
    while (g_main_context_iteration(context, FALSE)) {
    }
    assert_true(g_main_context_acquire(context));
    g_main_context_prepare(context, &priority);
    g_main_context_query(context, G_MAXINT, &timeout_ms, fds, G_N_ELEMENTS(fds));
    g_main_context_release(context);
    return timeout_ms < 0;
}

// --- the guest-agent protocol -----------------------------------------------------------------

static void test_sync_echoes_the_number(void **state)
{
    Fixture *fixture = *state;
    static const char *const numbers[] = {"0", "-1", "4294967295", "9223372036854775807"};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *line =
            g_strdup_printf("{'execute':'guest-sync','arguments':{'id':%s}}", numbers[i]);
        g_autofree char *expected = g_strdup_printf("{'return':%s}", numbers[i]);
        agent_wire_assert(&fixture->wire, line, expected);
    }
}

static void test_a_delimited_sync_is_answered_after_a_sentinel(void **state)
{
    Fixture *fixture = *state;
    agent_wire_send(&fixture->wire,
                    "{\"half\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":7}}\n",
                    -1);
    g_autofree char *line = agent_wire_receive_line(&fixture->wire);
    assert_string_equal(line, "\xff{\"return\":7}");
}

static void test_a_delimited_sync_that_fails_has_no_sentinel(void **state)
{
    Fixture *fixture = *state;
    agent_wire_assert_error(&fixture->wire, "{'execute':'guest-sync-delimited'}", "GenericError",
                            "Parameter 'id' is missing");
}

static void test_the_id_of_a_request_comes_back_whatever_it_is(void **state)
{
    Fixture *fixture = *state;
    agent_wire_assert(&fixture->wire, "{'execute':'guest-ping','id':[1,{'a':null}]}",
                      "{'return':{},'id':[1,{'a':null}]}");
    g_autoptr(json_t) message = agent_wire_ask(&fixture->wire, "{'execute':'guest-none','id':'x'}");
    assert_non_null(json_object_get(message, "error"));
    assert_string_equal(json_string_value(json_object_get(message, "id")), "x");
}

static void test_what_is_wrong_with_a_request_is_told_in_qemu_s_words(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *line;
        const char *class_name;
        const char *desc;
    } wrong[] = {
        {"{'execute':'guest-shutdown'}", "CommandNotFound",
         "The command guest-shutdown has not been found"},
        {"{}", "GenericError", "QMP input lacks member 'execute'"},
        {"[]", "GenericError", "QMP input must be a JSON object"},
        {"1", "GenericError", "QMP input must be a JSON object"},
        {"'guest-ping'", "GenericError", "QMP input must be a JSON object"},
        {"{'execute':1}", "GenericError", "QMP input member 'execute' must be a string"},
        {"{'execute':'guest-ping','arguments':[]}", "GenericError",
         "QMP input member 'arguments' must be an object"},
        {"{'execute':'guest-ping','control':1}", "GenericError",
         "QMP input member 'control' is unexpected"},
        {"{'execute':'guest-ping','arguments':{'a':1}}", "GenericError",
         "Parameter 'a' is unexpected"},
        {"{'execute':'guest-sync'}", "GenericError", "Parameter 'id' is missing"},
        {"{'execute':'guest-sync','arguments':{'id':'1'}}", "GenericError",
         "Invalid parameter type for 'id', expected: integer"},
        {"{'execute':'guest-sync','arguments':{'id':1.5}}", "GenericError",
         "Invalid parameter type for 'id', expected: integer"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        agent_wire_assert_error(&fixture->wire, wrong[i].line, wrong[i].class_name, wrong[i].desc);
    }
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_info_lists_every_command_there_is(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) message = agent_wire_ask(&fixture->wire, "{'execute':'guest-info'}");
    const json_t *info = json_object_get(message, "return");
    assert_string_equal(json_string_value(json_object_get(info, "version")), AEROSTAT_VERSION);
    const json_t *list = json_object_get(info, "supported_commands");
    assert_int_equal(json_array_size(list), 7);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *command = json_array_get(list, i);
        assert_true(json_is_true(json_object_get(command, "enabled")));
        assert_true(json_is_true(json_object_get(command, "success-response")));
        g_autofree char *line = g_strdup_printf(
            "{'execute':'%s'}", json_string_value(json_object_get(command, "name")));
        g_autoptr(json_t) answer = agent_wire_ask(&fixture->wire, line);
        const char *class_name =
            json_string_value(json_object_get(json_object_get(answer, "error"), "class"));
        assert_true(!class_name || strcmp(class_name, "GenericError") == 0);
    }
}

static void test_blank_lines_are_ignored(void **state)
{
    Fixture *fixture = *state;
    agent_wire_send(&fixture->wire, "\n  \t \r\n\xff\n", -1);
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_requests_in_one_piece_are_answered_in_their_order(void **state)
{
    Fixture *fixture = *state;
    GString *lines = g_string_new(NULL);
    for (int i = 0; i < 100; i++) {
        g_string_append_printf(lines, "{\"execute\":\"guest-ping\",\"id\":%d}\r\n", i);
    }
    agent_wire_send(&fixture->wire, lines->str, (gssize)lines->len);
    g_string_free(lines, TRUE);
    for (int i = 0; i < 100; i++) {
        g_autoptr(json_t) message = agent_wire_receive(&fixture->wire);
        assert_int_equal(json_integer_value(json_object_get(message, "id")), i);
    }
}

// --- hostile input ----------------------------------------------------------------------------

static void test_a_line_too_long_is_refused_and_the_next_one_served(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *line = g_strnfill(LIMIT_REQUEST_LINE_BYTES + 1, 'x');
    agent_wire_assert_error(&fixture->wire, line, "GenericError",
                            "JSON parse error, line longer than 65536 bytes");
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_deep_nesting_is_refused_and_the_next_line_served(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *line = g_strnfill(LIMIT_REQUEST_LINE_BYTES, '[');
    agent_wire_assert_error(&fixture->wire, line, "GenericError",
                            "JSON nested deeper than 32 levels");
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_garbage_is_refused_line_by_line(void **state)
{
    Fixture *fixture = *state;
    static const char *const garbage[] = {
        "hello", "{",         "{\"execute\"",        "\x01\x02\x03", "{\"a\":1,\"a\":2}",
        "\"",    "\xc3\x28x", "nullnullnullnullnul", "{\"a\":\\}",   "9999999999999999999999"};
    for (size_t i = 0; i < G_N_ELEMENTS(garbage); i++) {
        agent_wire_send(&fixture->wire, garbage[i], -1);
        agent_wire_send(&fixture->wire, "\n", 1);
        g_autoptr(json_t) message = agent_wire_receive(&fixture->wire);
        const json_t *error = json_object_get(message, "error");
        assert_string_equal(json_string_value(json_object_get(error, "class")), "GenericError");
        const char *desc = json_string_value(json_object_get(error, "desc"));
        assert_true(g_str_has_prefix(desc, "JSON parse error") ||
                    g_str_has_prefix(desc, "QMP input"));
    }
}

// --- reports ----------------------------------------------------------------------------------

static void test_a_report_is_made_on_request(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    MemoryReport reports[2];
    for (size_t i = 0; i < G_N_ELEMENTS(reports); i++) {
        g_autoptr(json_t) message =
            agent_wire_ask(&fixture->wire, "{'execute':'guest-memory-report'}");
        memory_report_from_json(json_object_get(message, "return"), &reports[i], &error);
        assert_no_error(error);
        assert_int_equal(reports[i].reason, REPORT_REASON_REQUEST);
    }
    assert_int_equal(reports[1].sequence, reports[0].sequence + 1);
    assert_true(reports[1].monotonic_us > reports[0].monotonic_us);
}

static void test_a_subscription_answers_with_its_settings_and_starts_with_a_report(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) message = agent_wire_ask(&fixture->wire, SUBSCRIBE);
    const json_t *settings = json_object_get(message, "return");
    assert_int_equal(json_integer_value(json_object_get(settings, "interval-ms")), 100);
    assert_int_equal(json_integer_value(json_object_get(settings, "heartbeat-ms")), 1000);
    MemoryReport report = receive_report(fixture);
    assert_int_equal(report.reason, REPORT_REASON_START);
    int64_t change_bytes = memory_report_get(&report, REPORT_MEMORY_TOTAL) / 256;
    assert_int_equal(json_integer_value(json_object_get(settings, "change-bytes")),
                     CLAMP(change_bytes, MIB, 64 * MIB));
}

static void test_settings_out_of_range_are_refused_and_nothing_is_subscribed(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *arguments;
        const char *desc;
    } wrong[] = {
        {"'interval-ms':9", "Parameter 'interval-ms' expects a value from 10 to 10000"},
        {"'interval-ms':10001", "Parameter 'interval-ms' expects a value from 10 to 10000"},
        {"'heartbeat-ms':99", "Parameter 'heartbeat-ms' expects a value from 100 to 3600000"},
        {"'heartbeat-ms':3600001", "Parameter 'heartbeat-ms' expects a value from 100 to 3600000"},
        {"'change-bytes':4095",
         "Parameter 'change-bytes' expects a value from 4096 to 1099511627776"},
        {"'change-bytes':-1",
         "Parameter 'change-bytes' expects a value from 4096 to 1099511627776"},
        {"'interval-ms':'10'", "Invalid parameter type for 'interval-ms', expected: integer"},
        {"'interval':10", "Parameter 'interval' is unexpected"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *line = g_strdup_printf(
            "{'execute':'guest-memory-subscribe','arguments':{%s}}", wrong[i].arguments);
        agent_wire_assert_error(&fixture->wire, line, "GenericError", wrong[i].desc);
    }
    assert_true(nothing_is_timed());
}

static void test_what_the_guest_is_configured_for_bounds_what_a_host_asks_for(void **state)
{
    Fixture *fixture = *state;
    const AgentServerSettings slow = {.root = "", .interval_ms = 500, .heartbeat_ms = 5000};
    disconnect_client(fixture);
    agent_server_free(fixture->server);
    fixture->server = agent_server_new(fixture->sampler, &slow);
    connect_client(fixture);
    agent_wire_assert(&fixture->wire,
                      "{'execute':'guest-memory-subscribe','arguments':"
                      "{'interval-ms':10,'heartbeat-ms':6000,'change-bytes':4096}}",
                      "{'return':{'interval-ms':500,'heartbeat-ms':6000,'change-bytes':4096}}");
}

static void test_heartbeats_come_in_their_time_and_number_the_reports(void **state)
{
    Fixture *fixture = *state;
    subscribe_to_heartbeats(fixture);
    MemoryReport last = receive_report(fixture);
    for (int heartbeats = 0; heartbeats < 5;) {
        MemoryReport report = receive_report(fixture);
        bool is_heartbeat = report.reason == REPORT_REASON_HEARTBEAT;
        assert_int_equal(report.sequence, last.sequence + 1);
        assert_true(!is_heartbeat || report.monotonic_us - last.monotonic_us >= 100 * MS_US);
        heartbeats += is_heartbeat;
        last = report;
    }
}

static void test_a_subscription_ends_with_a_sync_or_an_unsubscribe(void **state)
{
    Fixture *fixture = *state;
    static const char *const ends[][2] = {
        {"{'execute':'guest-sync','arguments':{'id':1}}", "{'return':1}"},
        {"{'execute':'guest-memory-unsubscribe'}", PONG},
        {"{'execute':'guest-memory-unsubscribe'}", PONG},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        subscribe_to_heartbeats(fixture);
        assert_false(nothing_is_timed());
        agent_wire_assert(&fixture->wire, ends[i][0], ends[i][1]);
        assert_true(nothing_is_timed());
    }
}

static void test_without_a_subscription_nothing_is_timed(void **state)
{
    Fixture *fixture = *state;
    assert_true(nothing_is_timed());
    agent_wire_assert(&fixture->wire, PING, PONG);
    assert_true(nothing_is_timed());
}

// --- a client that does not read --------------------------------------------------------------

#define UNREAD_REQUESTS 100

// Asks for more than the socket holds, reads nothing, and lets ten heartbeats pass. Returns a
// moment until which all that were due have been made.
static int64_t leave_unread(Fixture *fixture)
{
    int least = 1;
    setsockopt(fixture->server_fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
    for (int i = 0; i < UNREAD_REQUESTS; i++) {
        agent_wire_send(&fixture->wire, "{\"execute\":\"guest-memory-report\"}\n", -1);
    }
    int64_t turned_us = 0;
    for (int i = 0; i < 10; i++) {
        int64_t due_us = deadline_after(110 * MS_US);
        while (turned_us < due_us) {
            turned_us = g_get_monotonic_time();
            g_main_context_iteration(NULL, TRUE);
        }
    }
    return turned_us;
}

static void test_unread_answers_stay_and_of_unread_reports_the_newest_stays(void **state)
{
    Fixture *fixture = *state;
    subscribe_to_heartbeats(fixture);
    int64_t turned_us = leave_unread(fixture);
    int answers = 0;
    int reports = 1; // the one at the start
    while (answers < UNREAD_REQUESTS) {
        g_autoptr(json_t) message = agent_wire_receive(&fixture->wire);
        bool is_answer = json_object_get(message, "return") != NULL;
        answers += is_answer;
        reports += !is_answer;
    }
    // Behind the answers stands the newest; those before it are gone.
    MemoryReport newest = receive_report(fixture);
    assert_true(newest.monotonic_us > turned_us - 300 * MS_US);
    assert_true(newest.sequence - UNREAD_REQUESTS - reports > 5);
}

// --- one client after the other ---------------------------------------------------------------

static void test_a_new_client_finds_nothing_of_the_former_one(void **state)
{
    Fixture *fixture = *state;
    subscribe_to_heartbeats(fixture);
    agent_wire_send(&fixture->wire, "{\"execute\":\"guest-", -1);
    disconnect_client(fixture);
    assert_true(nothing_is_timed());
    connect_client(fixture);
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_a_hundred_clients_come_and_go(void **state)
{
    Fixture *fixture = *state;
    for (int i = 0; i < 100; i++) {
        agent_wire_assert(&fixture->wire, PING, PONG);
        agent_wire_send(&fixture->wire, "{\"execute\":\"guest-memory-subscribe\"}\n{\"ex", -1);
        disconnect_client(fixture);
        connect_client(fixture);
    }
    agent_wire_assert(&fixture->wire, PING, PONG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sync_echoes_the_number),
        TEST(test_a_delimited_sync_is_answered_after_a_sentinel),
        TEST(test_a_delimited_sync_that_fails_has_no_sentinel),
        TEST(test_the_id_of_a_request_comes_back_whatever_it_is),
        TEST(test_what_is_wrong_with_a_request_is_told_in_qemu_s_words),
        TEST(test_info_lists_every_command_there_is),
        TEST(test_blank_lines_are_ignored),
        TEST(test_requests_in_one_piece_are_answered_in_their_order),
        TEST(test_a_line_too_long_is_refused_and_the_next_one_served),
        TEST(test_deep_nesting_is_refused_and_the_next_line_served),
        TEST(test_garbage_is_refused_line_by_line),
        TEST(test_a_report_is_made_on_request),
        TEST(test_a_subscription_answers_with_its_settings_and_starts_with_a_report),
        TEST(test_settings_out_of_range_are_refused_and_nothing_is_subscribed),
        TEST(test_what_the_guest_is_configured_for_bounds_what_a_host_asks_for),
        TEST(test_heartbeats_come_in_their_time_and_number_the_reports),
        TEST(test_a_subscription_ends_with_a_sync_or_an_unsubscribe),
        TEST(test_without_a_subscription_nothing_is_timed),
        TEST(test_unread_answers_stay_and_of_unread_reports_the_newest_stays),
        TEST(test_a_new_client_finds_nothing_of_the_former_one),
        TEST(test_a_hundred_clients_come_and_go),
    };
    return run_test_table(tests);
}
