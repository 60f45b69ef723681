// SPDX-License-Identifier: Apache-2.0
//
// The real controller as seen by its operator: configuration, signals, and the control socket with
// good and bad clients.
#include "tests/test.h"

#include "protocol/limits.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
// The controller may grow this much while it is sent many times as much.
#define GROWTH_BYTES (8 * MIB)

// --- the command line -------------------------------------------------------------------------

// Runs the controller to its end; its exit status, and what it wrote.
static int run_to_end(const Rig *rig, const char *option, char **output, char **errors)
{
    const char *const arguments[] = {rig->program, "--config", rig->config_path, option, NULL};
    g_autoptr(GError) error = NULL;
    int status = process_run(arguments, PATIENCE_US, output, errors, &error);
    assert_no_error(error);
    return status;
}

static void test_a_correct_configuration_is_said_to_be_so(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "a", GIB, NULL);
    rig_add(rig, "b", GIB, NULL);
    rig_configure(rig, GIB, NULL);
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    assert_int_equal(run_to_end(rig, "--check-config", &output, &errors), 0);
    g_autofree char *expected = g_strdup_printf("%s: correct, 2 guests\n", rig->config_path);
    assert_string_equal(output, expected);
    assert_string_equal(errors, "");
}

static void assert_refuses_configuration(const Rig *rig, const char *option)
{
    g_autofree char *errors = NULL;
    assert_int_equal(run_to_end(rig, option, NULL, &errors), EX_CONFIG);
    g_autofree char *expected =
        g_strdup_printf("%s:2: [host] budgte: unknown key, did you mean 'budget'?\n"
                        "%s:4: [guest a] min: '1Q' is not a size such as 512M or 4G\n",
                        rig->config_path, rig->config_path);
    assert_string_equal(errors, expected);
}

static void test_every_mistake_in_a_configuration_is_said_at_once(void **state)
{
    Rig *rig = *state;
    g_free(scratch_write(&rig->scratch, "controller.conf", "[host]\nbudgte=1G\n[guest a]\nmin=1Q\n",
                         -1));
    assert_refuses_configuration(rig, "--check-config");
    assert_refuses_configuration(rig, NULL);
}

static void test_a_configuration_that_is_not_there_is_a_mistake(void **state)
{
    Rig *rig = *state;
    g_autofree char *errors = NULL;
    assert_int_equal(run_to_end(rig, "--check-config", NULL, &errors), EX_CONFIG);
    assert_non_null(strstr(errors, "controller.conf: cannot be read: No such file or directory"));
}

static void test_a_second_controller_leaves_the_first_alone(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    g_autofree char *errors = NULL;
    assert_int_equal(run_to_end(rig, NULL, NULL, &errors), EX_CANTCREAT);
    assert_non_null(strstr(errors, "Address already in use"));
    json_decref(rig_ask(rig, "query-status", NULL));
}

static void test_a_socket_left_by_a_killed_controller_is_replaced(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    rig_kill(rig);
    assert_true(g_file_test(rig->socket_path, G_FILE_TEST_EXISTS));
    rig_start(rig);
    json_decref(rig_ask(rig, "query-status", NULL));
}

static void test_the_control_socket_is_closed_to_others(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    struct stat status;
    assert_int_equal(stat(rig->socket_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
}

// --- reloading --------------------------------------------------------------------------------

static int64_t budget_of(Rig *rig)
{
    g_autoptr(json_t) host = rig_ask(rig, "query-host", NULL);
    return json_integer_value(json_object_get(host, "budget"));
}

static void test_a_new_configuration_is_taken_over_at_a_signal(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "a", 500 * MIB, NULL);
    rig_run(rig, GIB);
    unsigned connections =
        fake_qemu_connections(((RigGuest *)g_ptr_array_index(rig->guests, 0))->qemu);
    RigGuest *b = rig_add(rig, "b", 200 * MIB, NULL);
    rig_configure(rig, 2 * GIB, NULL);
    rig_signal(rig, SIGHUP);
    wait_for(rig_had_event(rig, "GUEST_ADDED", b), PATIENCE_US);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    assert_int_equal(budget_of(rig), 2 * GIB);
    // The one that was there before keeps its connection.
    assert_int_equal(fake_qemu_connections(((RigGuest *)g_ptr_array_index(rig->guests, 0))->qemu),
                     connections);
}

static void test_a_guest_taken_out_of_the_configuration_is_left_where_it_is(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 700 * MIB);
    wait_for(fake_qemu_actual_bytes(a->qemu) <= 700 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    unsigned commands = rig_balloon_commands(rig);
    g_autofree char *text = g_strdup_printf("[controller]\nsocket=%s\n", rig->socket_path);
    g_free(scratch_write(&rig->scratch, "controller.conf", text, -1));
    json_decref(rig_ask(rig, "reload", NULL));
    wait_for(rig_had_event(rig, "GUEST_REMOVED", a), PATIENCE_US);
    wait_for(!fake_qemu_is_connected(a->qemu), PATIENCE_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
}

static void test_a_configuration_with_a_mistake_leaves_the_old_one_in_force(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 500 * MIB, NULL);
    rig_run(rig, GIB);
    g_free(scratch_write(&rig->scratch, "controller.conf", "[host]\nbudget=x\n", -1));
    rig_signal(rig, SIGHUP);
    g_autofree char *message = g_strdup_printf(
        "%s:2: [host] budget: 'x' is not a size such as 512M or 4G, nor auto or cgroup:/PATH",
        rig->config_path);
    wait_for(rig_has_said(rig, message), PATIENCE_US);
    assert_int_equal(budget_of(rig), GIB);
    assert_true(fake_qemu_is_connected(a->qemu));
    g_autofree char *desc = rig_ask_in_vain(rig, "reload", NULL);
    assert_string_equal(desc, message);
}

static void test_a_mode_of_the_configuration_is_in_force_from_the_start(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    g_autofree char *text =
        g_strdup_printf("[controller]\nmode=observe\nsocket=%s\n[host]\nreserve=0\nbudget=512M\n"
                        "[guest a]\nqmp=%s\nagent=%s\n",
                        rig->socket_path, a->qmp_path, a->agent_path);
    g_free(scratch_write(&rig->scratch, "controller.conf", text, -1));
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_while(500 * MS_US);
    assert_int_equal(rig_balloon_commands(rig), 0);
    g_autoptr(json_t) host = rig_ask(rig, "query-host", NULL);
    assert_string_equal(json_string_value(json_object_get(host, "mode")), "observe");
}

// --- the control socket -----------------------------------------------------------------------

static void test_the_control_socket_speaks_qmp(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    LineClient client = {0};
    line_client_open(&client, rig->socket_path);
    g_autoptr(json_t) greeting = line_client_hear(&client);
    assert_non_null(json_object_get(json_object_get(greeting, "QMP"), "version"));
    line_client_say(&client, "{\"execute\":\"query-status\",\"id\":1}");
    g_autoptr(json_t) refusal = line_client_hear(&client);
    const char *class =
        json_string_value(json_object_get(json_object_get(refusal, "error"), "class"));
    assert_string_equal(class, "CommandNotFound");
    line_client_ask(&client, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
    line_client_ask(&client, "{\"execute\":\"query-guests\",\"id\":\"x\"}",
                    "{\"return\":[],\"id\":\"x\"}");
    line_client_ask(&client, "{\"execute\":\"query-guest\"}",
                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'name' is "
                    "missing\"}}");
    line_client_close(&client);
}

static void test_a_client_may_ask_the_controller_to_end(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    json_decref(rig_ask(rig, "quit", NULL));
    wait_for(!process_is_running(rig->controller), PATIENCE_US);
    assert_int_equal(rig_stop(rig), 0);
}

static void test_rubbish_on_the_control_socket_is_answered_and_forgotten(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    LineClient client = {0};
    line_client_open_qmp(&client, rig->socket_path);
    int64_t before = rig_peak_bytes(rig);
    g_autofree char *brackets = g_strnfill(50000, '[');
    g_autofree char *too_many_brackets = g_strnfill(100000, '[');
    g_autofree char *endless = g_strnfill((gsize)MIB, 'x');
    const char *const rubbish[] = {"rubbish", "[]", "\x01", brackets, too_many_brackets, endless};
    for (size_t i = 0; i < 8 * G_N_ELEMENTS(rubbish); i++) {
        line_client_say(&client, rubbish[i % G_N_ELEMENTS(rubbish)]);
        g_autoptr(json_t) reply = line_client_hear(&client);
        assert_non_null(json_object_get(reply, "error"));
    }
    line_client_ask(&client, "{\"execute\":\"query-guests\"}", "{\"return\":[]}");
    assert_true(rig_peak_bytes(rig) < before + GROWTH_BYTES);
    line_client_close(&client);
}

static void test_half_a_request_holds_up_nobody(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    LineClient half = {0};
    line_client_open_qmp(&half, rig->socket_path);
    static const char request[] = "{\"execute\":\"query-gu";
    line_channel_send_reply(half.channel, request, strlen(request));
    json_decref(rig_ask(rig, "query-status", NULL));
    line_client_ask(&half, "ests\"}", "{\"return\":[]}");
    line_client_close(&half);
}

// Sends bytes until none has been taken for a while or all have; how many were.
static size_t send_until_stuck(int fd, const char *bytes, size_t length)
{
    size_t sent = 0;
    int64_t deadline_us = deadline_after(500 * MS_US);
    while (sent < length && deadline_left_us(deadline_us) > 0) {
        ssize_t count = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            sent += (size_t)count;
            deadline_us = deadline_after(500 * MS_US);
        }
        wait_while(MS_US);
    }
    return sent;
}

static void test_a_client_that_does_not_read_costs_nobody_anything(void **state)
{
    Rig *rig = *state;
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("g%d", i);
        rig_add(rig, name, 200 * MIB, NULL);
    }
    rig_run(rig, 20 * 300 * MIB);
    rig_wait_until_calm(rig, 500 * MS_US);
    int64_t before = rig_peak_bytes(rig);
    int fd = unix_socket_connect(rig->socket_path, NULL);
    assert_true(fd >= 0);
    g_autoptr(GString) requests = g_string_new("{\"execute\":\"qmp_capabilities\"}\n");
    while (requests->len < 4 * MIB) {
        g_string_append(requests, "{\"execute\":\"query-guests\"}\n");
    }
    // Its own requests wait for it, and the answers are not piled up.
    assert_true(send_until_stuck(fd, requests->str, requests->len) < requests->len);
    assert_true(rig_peak_bytes(rig) < before + GROWTH_BYTES);
    json_decref(rig_ask(rig, "query-status", NULL));
    close(fd);
    json_decref(rig_ask(rig, "query-status", NULL));
}

static void test_clients_beyond_the_limit_are_turned_away_until_one_leaves(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    LineClient clients[LIMIT_CONTROL_CLIENTS] = {0};
    // The rig's own connection is one of those that fit.
    for (int i = 0; i < LIMIT_CONTROL_CLIENTS - 1; i++) {
        line_client_open_qmp(&clients[i], rig->socket_path);
    }
    LineClient *last = &clients[LIMIT_CONTROL_CLIENTS - 1];
    line_client_open(last, rig->socket_path);
    g_autoptr(json_t) refusal = line_client_hear(last);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(refusal, "error"), "desc")),
        "This socket has 64 clients already, as many as there can be");
    wait_for(last->ended, PATIENCE_US);
    json_decref(rig_ask(rig, "query-status", NULL));
    line_client_close(&clients[0]);
    // The answer comes after the controller has seen the other one go.
    json_decref(rig_ask(rig, "query-status", NULL));
    line_client_open_qmp(last, rig->socket_path);
    for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++) {
        line_client_close(&clients[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_correct_configuration_is_said_to_be_so),
        TEST(test_every_mistake_in_a_configuration_is_said_at_once),
        TEST(test_a_configuration_that_is_not_there_is_a_mistake),
        TEST(test_a_second_controller_leaves_the_first_alone),
        TEST(test_a_socket_left_by_a_killed_controller_is_replaced),
        TEST(test_the_control_socket_is_closed_to_others),
        TEST(test_a_new_configuration_is_taken_over_at_a_signal),
        TEST(test_a_guest_taken_out_of_the_configuration_is_left_where_it_is),
        TEST(test_a_configuration_with_a_mistake_leaves_the_old_one_in_force),
        TEST(test_a_mode_of_the_configuration_is_in_force_from_the_start),
        TEST(test_the_control_socket_speaks_qmp),
        TEST(test_a_client_may_ask_the_controller_to_end),
        TEST(test_rubbish_on_the_control_socket_is_answered_and_forgotten),
        TEST(test_half_a_request_holds_up_nobody),
        TEST(test_a_client_that_does_not_read_costs_nobody_anything),
        TEST(test_clients_beyond_the_limit_are_turned_away_until_one_leaves),
    };
    return run_test_table(tests);
}
