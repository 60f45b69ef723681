// SPDX-License-Identifier: Apache-2.0
//
// Drives the real aerostat-agent on a unix socket, as a stock client of the guest-agent protocol
// would.
#include "tests/test.h"

#include "protocol/report.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/agent-wire.h"
#include "tests/support/deadline.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
#define PING "{'execute':'guest-ping'}"
#define PONG "{'return':{}}"
#define LARGE_BYTES ((gsize)1 << 20)

typedef struct Fixture {
    Scratch scratch;
    char *program;
    char *socket_path;
    char *log_path;
    Process *agent;
    AgentWire wire;
} Fixture;

static Process *start_agent(const Fixture *fixture, GError **error)
{
    const char *const arguments[] = {fixture->program, "--socket", fixture->socket_path, NULL};
    return process_start(&(ProcessOptions){.arguments = arguments, .log_path = fixture->log_path},
                         error);
}

// Connects as soon as the agent listens.
static void connect_client(Fixture *fixture, AgentWire *wire)
{
    int64_t deadline_us = deadline_after(PATIENCE_US);
    int fd = unix_socket_connect(fixture->socket_path, NULL);
    while (fd < 0 && process_is_running(fixture->agent) && deadline_left_us(deadline_us) > 0) {
        g_usleep(1000);
        fd = unix_socket_connect(fixture->socket_path, NULL);
    }
    if (fd < 0) {
        g_autofree char *log = process_log(fixture->agent);
        fail_msg("the agent does not listen: %s", log);
    }
    agent_wire_init(wire, fd, false);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autoptr(GError) error = NULL;
    *state = fixture;
    scratch_init(&fixture->scratch);
    fixture->program = g_build_filename(build ? build : "build", "aerostat-agent", NULL);
    fixture->socket_path = scratch_path(&fixture->scratch, "agent.sock");
    fixture->log_path = scratch_path(&fixture->scratch, "agent.log");
    fixture->agent = start_agent(fixture, &error);
    assert_no_error(error);
    connect_client(fixture, &fixture->wire);
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    agent_wire_clear(&fixture->wire);
    process_free(fixture->agent);
    g_free(fixture->program);
    g_free(fixture->socket_path);
    g_free(fixture->log_path);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

static void reconnect(Fixture *fixture)
{
    agent_wire_clear(&fixture->wire);
    connect_client(fixture, &fixture->wire);
}

// --- a stock client ---------------------------------------------------------------------------

static void test_a_stock_client_syncs_and_asks_who_is_there(void **state)
{
    Fixture *fixture = *state;
    agent_wire_send(&fixture->wire, "\xff", 1);
    agent_wire_send(&fixture->wire,
                    "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":123456}}\n", -1);
    g_autofree char *line = agent_wire_receive_line(&fixture->wire);
    assert_string_equal(line, "\xff{\"return\":123456}");
    agent_wire_assert(&fixture->wire, "{'execute':'guest-sync','arguments':{'id':-5}}",
                      "{'return':-5}");
    agent_wire_assert(&fixture->wire, "{'execute':'guest-ping','id':'libvirt-1'}",
                      "{'return':{},'id':'libvirt-1'}");
    g_autoptr(json_t) message = agent_wire_ask(&fixture->wire, "{'execute':'guest-info'}");
    const json_t *info = json_object_get(message, "return");
    assert_string_equal(json_string_value(json_object_get(info, "version")), AEROSTAT_VERSION);
    assert_int_equal(json_array_size(json_object_get(info, "supported_commands")), 7);
}

static void test_errors_are_worded_as_those_of_qemu_s_agent(void **state)
{
    Fixture *fixture = *state;
    agent_wire_assert_error(&fixture->wire, "{'execute':'guest-exec'}", "CommandNotFound",
                            "The command guest-exec has not been found");
    agent_wire_assert_error(&fixture->wire, "{'execute':'guest-sync','arguments':{}}",
                            "GenericError", "Parameter 'id' is missing");
    agent_wire_assert_error(&fixture->wire, "{'execute':'guest-sync','arguments':{'id':'a'}}",
                            "GenericError", "Invalid parameter type for 'id', expected: integer");
    agent_wire_assert_error(&fixture->wire, "{'execute':'guest-info','arguments':{'a':0}}",
                            "GenericError", "Parameter 'a' is unexpected");
}

static MemoryReport expect_event(Fixture *fixture)
{
    MemoryReport report;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) event = agent_wire_receive(&fixture->wire);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "GUEST_MEMORY_REPORT");
    const json_t *timestamp = json_object_get(event, "timestamp");
    assert_true(json_integer_value(json_object_get(timestamp, "seconds")) > 0);
    assert_in_range(json_integer_value(json_object_get(timestamp, "microseconds")), 0, 999999);
    memory_report_from_json(json_object_get(event, "data"), &report, &error);
    assert_no_error(error);
    return report;
}

static void test_a_subscriber_gets_events_until_it_syncs_anew(void **state)
{
    Fixture *fixture = *state;
    agent_wire_assert(&fixture->wire,
                      "{'execute':'guest-memory-subscribe','arguments':{'interval-ms':10000,"
                      "'heartbeat-ms':100,'change-bytes':1099511627776}}",
                      "{'return':{'interval-ms':10000,'heartbeat-ms':100,"
                      "'change-bytes':1099511627776}}");
    assert_int_equal(expect_event(fixture).reason, REPORT_REASON_START);
    // A machine that is short of memory has more to tell.
    while (expect_event(fixture).reason != REPORT_REASON_HEARTBEAT) {
    }
    agent_wire_send(&fixture->wire, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1}}\n", -1);
    g_autoptr(json_t) message = NULL;
    do {
        json_decref(message);
        message = agent_wire_receive(&fixture->wire);
    } while (json_object_get(message, "event"));
    assert_int_equal(json_integer_value(json_object_get(message, "return")), 1);
    // For two heartbeats nothing comes but the answers to requests.
    int64_t deadline_us = deadline_after(250 * MS_US);
    while (deadline_left_us(deadline_us) > 0) {
        agent_wire_assert(&fixture->wire, PING, PONG);
    }
}

// --- hostile clients --------------------------------------------------------------------------

static void test_a_mebibyte_without_a_newline_costs_no_memory(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *text = g_strnfill(LARGE_BYTES, 'x');
    agent_wire_assert(&fixture->wire, PING, PONG);
    int64_t before_bytes = process_status_bytes(process_pid(fixture->agent), "VmRSS");
    for (int i = 0; i < 16; i++) {
        agent_wire_send(&fixture->wire, text, (gssize)LARGE_BYTES);
    }
    agent_wire_send(&fixture->wire, "\n", 1);
    g_autoptr(json_t) message = agent_wire_receive(&fixture->wire);
    assert_non_null(json_object_get(message, "error"));
    agent_wire_assert(&fixture->wire, PING, PONG);
    // Less than half of the 16 MiB sent, sanitizers' own bookkeeping, 3 MiB, included.
    assert_true(process_status_bytes(process_pid(fixture->agent), "VmRSS") - before_bytes <
                6 * (int64_t)LARGE_BYTES);
}

static void test_a_hundred_thousand_brackets_are_refused(void **state)
{
    Fixture *fixture = *state;
    static const gsize counts[] = {100000, 60000};
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autofree char *brackets = g_strnfill(counts[i], '[');
        g_autoptr(json_t) message = agent_wire_ask(&fixture->wire, brackets);
        const json_t *error = json_object_get(message, "error");
        assert_string_equal(json_string_value(json_object_get(error, "class")), "GenericError");
        agent_wire_assert(&fixture->wire, PING, PONG);
    }
}

static void test_half_a_message_then_a_new_client(void **state)
{
    Fixture *fixture = *state;
    agent_wire_send(&fixture->wire, "{\"execute\":\"guest-memory-subscr", -1);
    reconnect(fixture);
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_half_a_message_is_forgotten_at_the_sentinel(void **state)
{
    Fixture *fixture = *state;
    agent_wire_send(&fixture->wire, "{\"execute\":\"guest-pi", -1);
    agent_wire_send(&fixture->wire, "\xff", 1);
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_clients_come_and_go(void **state)
{
    Fixture *fixture = *state;
    for (int i = 0; i < 200; i++) {
        agent_wire_assert(&fixture->wire, PING, PONG);
        agent_wire_send(&fixture->wire, "{\"execute\":\"guest-memory-subscribe\"}\n", -1);
        reconnect(fixture);
    }
    assert_in_range(process_descriptors(process_pid(fixture->agent)), 4, 20);
}

static void test_a_second_client_is_served_when_the_first_has_gone(void **state)
{
    Fixture *fixture = *state;
    AgentWire second;
    connect_client(fixture, &second);
    agent_wire_send(&second, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":2}}\n", -1);
    agent_wire_assert(&fixture->wire, PING, PONG);
    agent_wire_clear(&fixture->wire);
    g_autoptr(json_t) message = agent_wire_receive(&second);
    assert_int_equal(json_integer_value(json_object_get(message, "return")), 2);
    agent_wire_clear(&second);
}

// --- the program ------------------------------------------------------------------------------

static void test_the_socket_is_the_user_s_alone_and_goes_with_the_agent(void **state)
{
    Fixture *fixture = *state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        g_autoptr(GError) error = NULL;
        struct stat status;
        assert_int_equal(stat(fixture->socket_path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        process_kill(fixture->agent, signals[i]);
        assert_int_equal(process_wait(fixture->agent, PATIENCE_US, &error), 0);
        assert_true(agent_wire_wait_closed(&fixture->wire));
        assert_int_equal(access(fixture->socket_path, F_OK), -1);
        process_free(fixture->agent);
        fixture->agent = start_agent(fixture, &error);
        assert_no_error(error);
        reconnect(fixture);
    }
}

static void test_a_second_agent_leaves_the_socket_of_the_first_alone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *errors = NULL;
    const char *const arguments[] = {fixture->program, "--socket", fixture->socket_path, NULL};
    assert_int_equal(process_run(arguments, PATIENCE_US, NULL, &errors, NULL), 1);
    assert_non_null(strstr(errors, fixture->socket_path));
    agent_wire_assert(&fixture->wire, PING, PONG);
}

static void test_report_prints_one_report(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    MemoryReport report;
    const char *const arguments[] = {fixture->program, "--report", NULL};
    assert_int_equal(process_run(arguments, PATIENCE_US, &output, NULL, &error), 0);
    g_autoptr(json_t) json = json_loads(output, 0, NULL);
    assert_non_null(json);
    memory_report_from_json(json, &report, &error);
    assert_no_error(error);
    assert_int_equal(report.reason, REPORT_REASON_REQUEST);
}

static void test_version_and_help_are_told_and_wrong_options_refused(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        const char *option;
        const char *option2;
        int status;
        const char *says;
    } calls[] = {
        {"--version", NULL, 0, "aerostat-agent " AEROSTAT_VERSION "\n"},
        {"--help", NULL, 0, "--socket"},
        {"--nonsense", NULL, 2, "--nonsense"},
        {"nonsense", NULL, 2, "options only"},
        {"--port=a", "--socket=b", 2, "exclude each other"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autofree char *output = NULL;
        g_autofree char *errors = NULL;
        const char *const arguments[] = {fixture->program, calls[i].option, calls[i].option2, NULL};
        assert_int_equal(process_run(arguments, PATIENCE_US, &output, &errors, NULL),
                         calls[i].status);
        assert_non_null(strstr(calls[i].status == 0 ? output : errors, calls[i].says));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void test_a_configuration_with_mistakes_is_told_and_nothing_started(void **state)
{
    const Fixture *fixture = *state;
    g_autofree char *right = scratch_write(&fixture->scratch, "right.conf", "[agent]\n", -1);
    g_autofree char *wrong =
        scratch_write(&fixture->scratch, "wrong.conf", "[agent]\ninterval=never\n", -1);
    g_autofree char *none = scratch_path(&fixture->scratch, "none.conf");
    const struct {
        const char *path;
        const char *action;
        int status;
        const char *says;
    } calls[] = {
        {right, "--check-config", EXIT_SUCCESS, "right.conf: correct"},
        {wrong, "--check-config", EX_CONFIG, "wrong.conf:2: [agent] interval: 'never' is not"},
        {wrong, "--port=none", EX_CONFIG, "wrong.conf:2: [agent] interval:"},
        {none, "--port=none", EX_CONFIG, "none.conf: cannot be read"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        const char *const arguments[] = {fixture->program, "--config", calls[i].path,
                                         calls[i].action, NULL};
        g_autofree char *output = NULL;
        g_autofree char *errors = NULL;
        assert_int_equal(process_run(arguments, PATIENCE_US, &output, &errors, NULL),
                         calls[i].status);
        assert_non_null(strstr(calls[i].status == EXIT_SUCCESS ? output : errors, calls[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stock_client_syncs_and_asks_who_is_there),
        TEST(test_errors_are_worded_as_those_of_qemu_s_agent),
        TEST(test_a_subscriber_gets_events_until_it_syncs_anew),
        TEST(test_a_mebibyte_without_a_newline_costs_no_memory),
        TEST(test_a_hundred_thousand_brackets_are_refused),
        TEST(test_half_a_message_then_a_new_client),
        TEST(test_half_a_message_is_forgotten_at_the_sentinel),
        TEST(test_clients_come_and_go),
        TEST(test_a_second_client_is_served_when_the_first_has_gone),
        TEST(test_the_socket_is_the_user_s_alone_and_goes_with_the_agent),
        TEST(test_a_second_agent_leaves_the_socket_of_the_first_alone),
        TEST(test_report_prints_one_report),
        TEST(test_a_configuration_with_mistakes_is_told_and_nothing_started),
        TEST(test_version_and_help_are_told_and_wrong_options_refused),
    };
    return run_test_table(tests);
}
