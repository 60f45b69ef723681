// SPDX-License-Identifier: Apache-2.0
//
// The fakes themselves: what they answer is what other tests stand on.
#include "tests/test.h"

#include "protocol/qmp.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/fake-agent.h"
#include "tests/support/line-client.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define PATIENCE_US (60 * SECOND_US)
#define SIZE (1024 * MIB)

// --- fixture ----------------------------------------------------------------------------------

typedef struct Fixture {
    Scratch scratch;
    char *qmp_path;
    char *agent_path;
    FakeQemu *qemu;
    FakeAgent *agent;
    LineClient client;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    fixture->qmp_path = scratch_path(&fixture->scratch, "qmp");
    fixture->agent_path = scratch_path(&fixture->scratch, "agent");
    fixture->qemu = fake_qemu_new(fixture->qmp_path, SIZE);
    fixture->agent = fake_agent_new(fixture->agent_path, fixture->qemu);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    line_client_close(&fixture->client);
    fake_agent_free(fixture->agent);
    fake_qemu_free(fixture->qemu);
    g_free(fixture->qmp_path);
    g_free(fixture->agent_path);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

// --- the agent --------------------------------------------------------------------------------

static void client_subscribe(Fixture *fixture, int heartbeat_ms)
{
    g_autofree char *request = g_strdup_printf("{\"execute\":\"guest-memory-subscribe\","
                                               "\"arguments\":{\"interval-ms\":10,"
                                               "\"heartbeat-ms\":%d}}",
                                               heartbeat_ms);
    line_client_open(&fixture->client, fixture->agent_path);
    line_client_say(&fixture->client, request);
    g_autoptr(json_t) reply = line_client_hear(&fixture->client);
    assert_non_null(json_object_get(reply, "return"));
}

static void hear_report(Fixture *fixture, MemoryReport *report)
{
    g_autoptr(json_t) data = line_client_hear_event(&fixture->client, QGA_MEMORY_REPORT_EVENT);
    g_autoptr(GError) error = NULL;
    memory_report_from_json(data, report, &error);
    assert_no_error(error);
}

static void test_the_agent_synchronises_behind_a_sentinel(void **state)
{
    Fixture *fixture = *state;
    line_client_open(&fixture->client, fixture->agent_path);
    line_channel_send_reply(fixture->client.channel, "{\"execu\xFF", 8);
    line_client_ask(&fixture->client,
                    "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":77}}",
                    "{\"return\":77}");
    assert_true(fixture->client.after_sentinel);
    line_client_ask(&fixture->client,
                    "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":8},\"id\":9}",
                    "{\"return\":8,\"id\":9}");
    assert_false(fixture->client.after_sentinel);
}

static void test_the_agent_reports_from_its_guest(void **state)
{
    Fixture *fixture = *state;
    FakeGuest *guest = fake_agent_guest(fixture->agent);
    fake_qemu_set_actual(fixture->qemu, 600 * MIB);
    guest->kernel_bytes = 50 * MIB;
    guest->used_bytes = guest->goal_bytes = 200 * MIB;
    guest->cache_bytes = 100 * MIB;
    client_subscribe(fixture, 1000);
    MemoryReport report;
    hear_report(fixture, &report);
    assert_int_equal(report.reason, REPORT_REASON_START);
    assert_int_equal(memory_report_get(&report, REPORT_MEMORY_TOTAL), 550 * MIB);
    assert_int_equal(memory_report_get(&report, REPORT_MEMORY_AVAILABLE), 350 * MIB);
    assert_int_equal(memory_report_get(&report, REPORT_MEMORY_FREE), 250 * MIB);
    assert_int_equal(memory_report_get(&report, REPORT_BALLOON), 424 * MIB);
}

static void test_the_agent_has_a_heartbeat(void **state)
{
    Fixture *fixture = *state;
    client_subscribe(fixture, 20);
    MemoryReport report;
    hear_report(fixture, &report);
    hear_report(fixture, &report);
    assert_int_equal(report.reason, REPORT_REASON_HEARTBEAT);
    assert_int_equal(report.sequence, 2);
}

static void test_the_agent_tells_of_growth_and_of_waiting(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_set_actual(fixture->qemu, 200 * MIB);
    client_subscribe(fixture, 60000);
    MemoryReport report;
    hear_report(fixture, &report);
    // So slowly that nobody waits yet when the first report is made.
    fake_agent_grow(fixture->agent, 500 * MIB, 10 * MIB);
    hear_report(fixture, &report);
    assert_int_equal(report.reason, REPORT_REASON_TREND);
    fake_agent_grow(fixture->agent, 500 * MIB, 1000 * MIB);
    do {
        hear_report(fixture, &report);
    } while (report.reason != REPORT_REASON_PRESSURE);
    assert_int_equal(memory_report_get(&report, REPORT_MEMORY_AVAILABLE), 0);
    assert_true(memory_report_get(&report, REPORT_PRESSURE_SOME_TOTAL) > 0);
    fake_qemu_set_actual(fixture->qemu, SIZE);
    wait_for(fake_agent_guest(fixture->agent)->used_bytes == 500 * MIB, PATIENCE_US);
    assert_int_equal(fake_agent_guest(fixture->agent)->shortage_bytes, 0);
}

static void test_taking_what_processes_use_counts_as_a_shortage(void **state)
{
    Fixture *fixture = *state;
    FakeGuest *guest = fake_agent_guest(fixture->agent);
    guest->kernel_bytes = 0;
    guest->used_bytes = 500 * MIB;
    fake_qemu_set_actual(fixture->qemu, 450 * MIB);
    fake_guest_advance(guest, g_get_monotonic_time());
    assert_int_equal(guest->shortage_bytes, 50 * MIB);
}

static void test_a_new_sync_ends_the_subscription(void **state)
{
    Fixture *fixture = *state;
    client_subscribe(fixture, 10);
    assert_true(fake_agent_is_subscribed(fixture->agent));
    line_client_say(&fixture->client, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1}}");
    wait_for(!fake_agent_is_subscribed(fixture->agent), PATIENCE_US);
    unsigned reports = fake_agent_reports(fixture->agent);
    wait_while(50 * MS_US);
    assert_int_equal(fake_agent_reports(fixture->agent), reports);
}

static void test_a_silent_agent_neither_hears_nor_speaks(void **state)
{
    Fixture *fixture = *state;
    client_subscribe(fixture, 10);
    MemoryReport report;
    fake_agent_set_silent(fixture->agent, true);
    do {
        hear_report(fixture, &report);
    } while (report.sequence < fake_agent_reports(fixture->agent));
    line_client_say(&fixture->client, "{\"execute\":\"guest-ping\"}");
    wait_while(50 * MS_US);
    assert_int_equal(fixture->client.lines.length, 0);
    assert_int_equal(fake_agent_count(fixture->agent, "guest-ping"), 0);
    fake_agent_set_silent(fixture->agent, false);
    hear_report(fixture, &report);
}

static void test_a_slow_agent_says_everything_later_in_order(void **state)
{
    Fixture *fixture = *state;
    fake_agent_set_delay(fixture->agent, 50 * MS_US);
    line_client_open(&fixture->client, fixture->agent_path);
    int64_t start_us = g_get_monotonic_time();
    line_client_say(&fixture->client, "{\"execute\":\"guest-ping\",\"id\":1}");
    line_client_ask(&fixture->client, "{\"execute\":\"guest-ping\",\"id\":2}",
                    "{\"return\":{},\"id\":1}");
    assert_true(g_get_monotonic_time() - start_us >= 50 * MS_US);
    g_autoptr(json_t) second = line_client_hear(&fixture->client);
    assert_int_equal(json_integer_value(json_object_get(second, "id")), 2);
}

static void test_a_liar_says_what_it_is_told_to(void **state)
{
    Fixture *fixture = *state;
    fake_agent_lie(fixture->agent, REPORT_MEMORY_AVAILABLE, -5);
    client_subscribe(fixture, 1000);
    g_autoptr(json_t) data = line_client_hear_event(&fixture->client, QGA_MEMORY_REPORT_EVENT);
    const json_t *memory = json_object_get(data, "memory");
    assert_int_equal(json_integer_value(json_object_get(memory, "available")), -5);
    fake_agent_stop_lying(fixture->agent);
    fake_agent_report(fixture->agent, REPORT_REASON_CHANGE);
    MemoryReport report;
    hear_report(fixture, &report);
}

static void test_a_flood_is_as_many_reports_as_were_asked_for(void **state)
{
    Fixture *fixture = *state;
    client_subscribe(fixture, 60000);
    fake_agent_flood(fixture->agent, 1000);
    MemoryReport report;
    do {
        hear_report(fixture, &report);
    } while (report.sequence < 1001);
}

static void test_a_stock_agent_does_not_list_ours(void **state)
{
    Fixture *fixture = *state;
    fake_agent_set_stock(fixture->agent, true);
    line_client_open(&fixture->client, fixture->agent_path);
    line_client_say(&fixture->client, "{\"execute\":\"guest-info\"}");
    g_autoptr(json_t) reply = line_client_hear(&fixture->client);
    const json_t *list = json_object_get(json_object_get(reply, "return"), "supported_commands");
    assert_int_equal(json_array_size(list), 4);
}

static void test_the_agent_closes_and_opens_its_port(void **state)
{
    Fixture *fixture = *state;
    client_subscribe(fixture, 10);
    fake_agent_close(fixture->agent);
    wait_for(fixture->client.ended, PATIENCE_US);
    assert_int_equal(unix_socket_connect(fixture->agent_path, NULL), -1);
    fake_agent_open(fixture->agent);
    client_subscribe(fixture, 10);
    fake_agent_drop_client(fixture->agent);
    wait_for(fixture->client.ended, PATIENCE_US);
    assert_int_equal(fake_agent_connections(fixture->agent), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_agent_synchronises_behind_a_sentinel),
        TEST(test_the_agent_reports_from_its_guest),
        TEST(test_the_agent_has_a_heartbeat),
        TEST(test_the_agent_tells_of_growth_and_of_waiting),
        TEST(test_taking_what_processes_use_counts_as_a_shortage),
        TEST(test_a_new_sync_ends_the_subscription),
        TEST(test_a_silent_agent_neither_hears_nor_speaks),
        TEST(test_a_slow_agent_says_everything_later_in_order),
        TEST(test_a_liar_says_what_it_is_told_to),
        TEST(test_a_flood_is_as_many_reports_as_were_asked_for),
        TEST(test_a_stock_agent_does_not_list_ours),
        TEST(test_the_agent_closes_and_opens_its_port),
    };
    return run_test_table(tests);
}
