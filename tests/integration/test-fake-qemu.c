// SPDX-License-Identifier: Apache-2.0
//
// The fakes themselves: what they answer is what other tests stand on.
#include "tests/test.h"

#include "protocol/json.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/fake-qemu.h"
#include "tests/support/line-client.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#define PATIENCE_US (60 * SECOND_US)
#define SIZE (1024 * MIB)

// --- fixture ----------------------------------------------------------------------------------

typedef struct Fixture {
    Scratch scratch;
    char *qmp_path;
    FakeQemu *qemu;
    LineClient client;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    fixture->qmp_path = scratch_path(&fixture->scratch, "qmp");
    fixture->qemu = fake_qemu_new(fixture->qmp_path, SIZE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    line_client_close(&fixture->client);
    fake_qemu_free(fixture->qemu);
    g_free(fixture->qmp_path);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

// --- the fake QEMU ----------------------------------------------------------------------------

static void test_qemu_greets_and_wants_to_negotiate_first(void **state)
{
    Fixture *fixture = *state;
    LineClient *client = &fixture->client;
    line_client_open(client, fixture->qmp_path);
    g_autoptr(json_t) greeting = line_client_hear(client);
    assert_non_null(json_object_get(json_object_get(greeting, "QMP"), "version"));
    line_client_ask(client, "{\"execute\":\"query-status\"}",
                    "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities "
                    "negotiation with 'qmp_capabilities'\"}}");
    assert_false(fake_qemu_is_connected(fixture->qemu));
    line_client_ask(client, "{\"execute\":\"qmp_capabilities\",\"id\":1}",
                    "{\"return\":{},\"id\":1}");
    assert_true(fake_qemu_is_connected(fixture->qemu));
}

static void test_qemu_tells_of_its_guest(void **state)
{
    Fixture *fixture = *state;
    LineClient *client = &fixture->client;
    line_client_open_qmp(client, fixture->qmp_path);
    line_client_ask(client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":1073741824}}");
    line_client_ask(client, "{\"execute\":\"query-memory-size-summary\"}",
                    "{\"return\":{\"base-memory\":1073741824,\"plugged-memory\":0}}");
    line_client_ask(client, "{\"execute\":\"query-status\",\"id\":\"x\"}",
                    "{\"return\":{\"status\":\"running\",\"singlestep\":false,\"running\":true},"
                    "\"id\":\"x\"}");
}

static void test_qemu_moves_its_balloon_with_time(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_set_rate(fixture->qemu, 100 * MIB);
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    int64_t start_us = g_get_monotonic_time();
    line_client_ask(&fixture->client,
                    "{\"execute\":\"balloon\",\"arguments\":{\"value\":1052770305}}",
                    "{\"return\":{}}");
    assert_int_equal(fake_qemu_target_bytes(fixture->qemu), SIZE - 20 * MIB);
    int64_t before = SIZE;
    while (before > SIZE - 20 * MIB) {
        wait_for(fake_qemu_actual_bytes(fixture->qemu) < before, PATIENCE_US);
        before = fake_qemu_actual_bytes(fixture->qemu);
        int64_t most = 100 * (g_get_monotonic_time() - start_us) * MIB / 1000000;
        assert_true(before >= SIZE - most);
        assert_int_equal(before % 4096, 0);
    }
    assert_int_equal(before, SIZE - 20 * MIB);
}

static void test_a_stuck_balloon_stays_and_a_floor_holds_it(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_set_rate(fixture->qemu, 0);
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    line_client_ask(&fixture->client,
                    "{\"execute\":\"balloon\",\"arguments\":{\"value\":104857600}}",
                    "{\"return\":{}}");
    wait_while(50 * MS_US);
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE);
    fake_qemu_set_floor(fixture->qemu, 600 * MIB);
    fake_qemu_set_rate(fixture->qemu, 100 * SIZE);
    wait_for(fake_qemu_actual_bytes(fixture->qemu) == 600 * MIB, PATIENCE_US);
}

static void test_a_paused_guests_balloon_waits(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_set_running(fixture->qemu, false);
    json_decref(line_client_hear_event(&fixture->client, "STOP"));
    line_client_ask(&fixture->client,
                    "{\"execute\":\"balloon\",\"arguments\":{\"value\":1069547520}}",
                    "{\"return\":{}}");
    wait_while(50 * MS_US);
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE);
    fake_qemu_set_running(fixture->qemu, true);
    json_decref(line_client_hear_event(&fixture->client, "RESUME"));
    wait_for(fake_qemu_actual_bytes(fixture->qemu) == SIZE - 4 * MIB, PATIENCE_US);
}

static void test_a_reset_guest_has_all_its_memory_and_returns_to_its_target(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_set_actual(fixture->qemu, SIZE / 2);
    fake_qemu_set_rate(fixture->qemu, 0);
    fake_qemu_reset_guest(fixture->qemu);
    json_decref(line_client_hear_event(&fixture->client, "RESET"));
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE);
    fake_qemu_set_rate(fixture->qemu, SIZE);
    wait_for(fake_qemu_actual_bytes(fixture->qemu) == SIZE / 2, PATIENCE_US);
}

static void test_after_a_reset_qemu_says_what_it_said_until_a_driver_moves(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_set_actual(fixture->qemu, SIZE / 2);
    fake_qemu_set_driver(fixture->qemu, false);
    fake_qemu_reset_guest(fixture->qemu);
    json_decref(line_client_hear_event(&fixture->client, "RESET"));
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":536870912}}");
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE);
}

static void test_memory_taken_back_is_kept_until_the_next_command(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_set_actual(fixture->qemu, SIZE / 2);
    fake_qemu_take_back(fixture->qemu, SIZE - MIB);
    json_decref(line_client_hear_event(&fixture->client, "BALLOON_CHANGE"));
    wait_while(50 * MS_US);
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE - MIB);
    line_client_ask(&fixture->client,
                    "{\"execute\":\"balloon\",\"arguments\":{\"value\":536870912}}",
                    "{\"return\":{}}");
    wait_for(fake_qemu_actual_bytes(fixture->qemu) == SIZE / 2, PATIENCE_US);
}

static void test_without_a_device_the_balloon_is_refused_as_by_qemu(void **state)
{
    Fixture *fixture = *state;
    static const char refusal[] = "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"No balloon "
                                  "device has been activated\"}}";
    fake_qemu_set_device(fixture->qemu, false);
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}", refusal);
    line_client_ask(&fixture->client, "{\"execute\":\"balloon\",\"arguments\":{\"value\":1}}",
                    refusal);
}

static void test_balloon_changes_are_told_at_most_once_a_second(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    int64_t start_us = g_get_monotonic_time();
    for (int i = 1; i <= 2; i++) {
        fake_qemu_set_actual(fixture->qemu, SIZE - i * MIB);
        g_autoptr(json_t) data = line_client_hear_event(&fixture->client, "BALLOON_CHANGE");
        assert_int_equal(json_integer_value(json_object_get(data, "actual")), SIZE - i * MIB);
    }
    assert_true(g_get_monotonic_time() - start_us >= SECOND_US);
}

static void test_qemu_remembers_what_it_was_told(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    line_client_ask(&fixture->client, "{\"execute\":\"query-status\"}",
                    "{\"return\":{\"status\":\"running\",\"singlestep\":false,\"running\":true}}");
    line_client_ask(&fixture->client, "{\"execute\":\"balloon\",\"arguments\":{\"value\":1048576}}",
                    "{\"return\":{}}");
    const GPtrArray *commands = fake_qemu_commands(fixture->qemu);
    assert_int_equal(commands->len, 2);
    const FakeQemuCommand *command = g_ptr_array_index(commands, 1);
    assert_string_equal(command->name, "balloon");
    assert_int_equal(json_integer_value(json_object_get(command->arguments, "value")), MIB);
    assert_int_equal(fake_qemu_count(fixture->qemu, "balloon"), 1);
    assert_int_equal(fake_qemu_count(fixture->qemu, "cont"), 0);
}

static void test_a_second_client_is_not_heard_until_the_first_is_gone(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    LineClient second = {0};
    line_client_open(&second, fixture->qmp_path);
    wait_while(30 * MS_US);
    assert_int_equal(second.lines.length, 0);
    line_client_close(&fixture->client);
    json_decref(line_client_hear(&second));
    line_client_close(&second);
}

static void test_a_hanging_qemu_answers_afterwards(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_set_hanging(fixture->qemu, true);
    line_client_open(&fixture->client, fixture->qmp_path);
    line_client_say(&fixture->client, "{\"execute\":\"qmp_capabilities\",\"id\":5}");
    wait_while(30 * MS_US);
    assert_int_equal(fixture->client.lines.length, 0);
    fake_qemu_set_hanging(fixture->qemu, false);
    json_decref(line_client_hear(&fixture->client));
    g_autoptr(json_t) reply = line_client_hear(&fixture->client);
    assert_int_equal(json_integer_value(json_object_get(reply, "id")), 5);
}

static void test_qemu_says_whatever_it_is_told_to(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_answer_next_with(fixture->qemu, "{\"moon\":1}\n", 11);
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}", "{\"moon\":1}");
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":1073741824}}");
    fake_qemu_send(fixture->qemu, "{\"sun\":2}\n", 10);
    json_decref(line_client_hear(&fixture->client));
}

static void test_qemu_comes_back_at_the_same_path(void **state)
{
    Fixture *fixture = *state;
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    fake_qemu_set_actual(fixture->qemu, SIZE / 2);
    fake_qemu_quit(fixture->qemu);
    wait_for(fixture->client.ended, PATIENCE_US);
    assert_int_equal(unix_socket_connect(fixture->qmp_path, NULL), -1);
    fake_qemu_start(fixture->qemu);
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    assert_int_equal(fake_qemu_actual_bytes(fixture->qemu), SIZE);
    fake_qemu_drop_client(fixture->qemu);
    wait_for(fixture->client.ended, PATIENCE_US);
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    assert_int_equal(fake_qemu_connections(fixture->qemu), 3);
}

// --- the script -------------------------------------------------------------------------------

static void test_a_script_is_followed_to_its_end(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_expect(fixture->qemu, "{\"execute\":\"a\",\"arguments\":{\"x\":1}}",
                     "{\"return\":{\"y\":2}}");
    fake_qemu_expect(fixture->qemu, "{\"execute\":\"b\"}",
                     "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}");
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    line_client_ask(&fixture->client, "{\"execute\":\"a\",\"id\":7,\"arguments\":{\"x\":1}}",
                    "{\"return\":{\"y\":2},\"id\":7}");
    assert_false(fake_qemu_script_is_done(fixture->qemu));
    line_client_ask(&fixture->client, "{\"execute\":\"b\"}",
                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}");
    fake_qemu_assert_script_done(fixture->qemu);
}

static void test_a_script_fails_at_any_other_command(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_expect(fixture->qemu, "{\"execute\":\"a\"}", "{\"return\":{}}");
    line_client_open_qmp(&fixture->client, fixture->qmp_path);
    line_client_say(&fixture->client, "{\"execute\":\"b\"}");
    wait_for(fake_qemu_count(fixture->qemu, "b") == 1, PATIENCE_US);
    line_client_say(&fixture->client, "{\"execute\":\"a\"}");
    wait_for(fake_qemu_count(fixture->qemu, "a") == 1, PATIENCE_US);
    assert_false(fake_qemu_script_is_done(fixture->qemu));
    assert_int_equal(fixture->client.lines.length, 0);
}

// --- many -------------------------------------------------------------------------------------

#define MANY 150

static void test_many_fakes_live_side_by_side(void **state)
{
    Fixture *fixture = *state;
    FakeQemu *qemus[MANY];
    LineClient clients[MANY] = {0};
    for (int i = 0; i < MANY; i++) {
        g_autofree char *name = g_strdup_printf("%d", i);
        g_autofree char *path = scratch_path(&fixture->scratch, name);
        qemus[i] = fake_qemu_new(path, SIZE);
        line_client_open(&clients[i], path);
        line_client_say(&clients[i], "{\"execute\":\"qmp_capabilities\"}");
        line_client_say(&clients[i],
                        "{\"execute\":\"balloon\",\"arguments\":{\"value\":1073737728}}");
    }
    for (int i = 0; i < MANY; i++) {
        wait_for(fake_qemu_actual_bytes(qemus[i]) == SIZE - 4096, PATIENCE_US);
    }
    for (int i = 0; i < MANY; i++) {
        line_client_close(&clients[i]);
        fake_qemu_free(qemus[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_qemu_greets_and_wants_to_negotiate_first),
        TEST(test_qemu_tells_of_its_guest),
        TEST(test_qemu_moves_its_balloon_with_time),
        TEST(test_a_stuck_balloon_stays_and_a_floor_holds_it),
        TEST(test_a_paused_guests_balloon_waits),
        TEST(test_a_reset_guest_has_all_its_memory_and_returns_to_its_target),
        TEST(test_after_a_reset_qemu_says_what_it_said_until_a_driver_moves),
        TEST(test_memory_taken_back_is_kept_until_the_next_command),
        TEST(test_without_a_device_the_balloon_is_refused_as_by_qemu),
        TEST(test_balloon_changes_are_told_at_most_once_a_second),
        TEST(test_qemu_remembers_what_it_was_told),
        TEST(test_a_second_client_is_not_heard_until_the_first_is_gone),
        TEST(test_a_hanging_qemu_answers_afterwards),
        TEST(test_qemu_says_whatever_it_is_told_to),
        TEST(test_qemu_comes_back_at_the_same_path),
        TEST(test_a_script_is_followed_to_its_end),
        TEST(test_a_script_fails_at_any_other_command),
        TEST(test_many_fakes_live_side_by_side),
    };
    return run_test_table(tests);
}
