// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/json.h"
#include "tests/support/ctl-fixture.h"
#include "tests/support/deadline.h"

#include <string.h>

static json_t *parse_out(const CtlFixture *fixture)
{
    json_t *value = json_loads(fixture->out, 0, NULL);
    assert_non_null(value);
    return value;
}

// --- looking ----------------------------------------------------------------------------------

static void test_list_shows_a_table(void **state)
{
    ctl_fixture_assert_runs(
        *state, ctl_list, NULL, NULL, CTL_EXIT_OK,
        "NAME      STATE        SIZE    ACTUAL    TARGET  USED  DEMAND  AGENT  PRESSURE\n"
        "web1      settled  1024 MiB  1024 MiB  1024 MiB     -       -  -             -\n"
        "database  -               -         -         -     -       -  -             -\n",
        "");
}

static void test_json_is_one_document_as_the_controller_said_it(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.json = true;
    ctl_fixture_assert_runs(fixture, ctl_list, NULL, NULL, CTL_EXIT_OK, NULL, "");
    g_autoptr(json_t) list = parse_out(fixture);
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "size")),
                     1024 * MIB);
}

static void test_show_suggests_names_near_to_an_unknown_one(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_show, "wbe1", NULL, CTL_EXIT_ERROR, "",
                            "aerostatctl: there is no guest 'wbe1'; did you mean 'web1'?\n");
}

static void test_show_says_where_to_look_when_no_name_is_near(void **state)
{
    ctl_fixture_assert_runs(
        *state, ctl_show, "mailserver", NULL, CTL_EXIT_ERROR, "",
        "aerostatctl: there is no guest 'mailserver'; aerostatctl list shows all\n");
}

static void test_show_shows_a_guest(void **state)
{
    CtlFixture *fixture = *state;
    ctl_fixture_assert_runs(fixture, ctl_show, "web1", NULL, CTL_EXIT_OK, NULL, "");
    assert_true(g_str_has_prefix(fixture->out, "web1\n  state "));
}

static void test_status_in_json_has_controller_and_host(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.json = true;
    ctl_fixture_assert_runs(fixture, ctl_status, NULL, NULL, CTL_EXIT_OK, NULL, "");
    g_autoptr(json_t) value = parse_out(fixture);
    assert_non_null(json_object_get(value, "host"));
    assert_non_null(json_object_get(json_object_get(value, "status"), "mode"));
}

static void test_mode_shows_what_holds_after_it_was_set(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_mode, "reclaim", NULL, CTL_EXIT_OK, "observe\n", "");
}

// --- watching ---------------------------------------------------------------------------------

static void send_two_events(int fd, void *context)
{
    (void)context;
    socket_thread_send(fd, CTL_GREETING);
    g_free(socket_thread_receive_line(fd));
    socket_thread_send(fd, "{\"return\": {}, \"id\": 1}\n"
                           "{\"event\": \"GUEST_ADDED\", \"data\": {\"name\": \"web1\"}}\n"
                           "{\"event\": \"GUEST_REMOVED\", \"data\": {\"name\": \"\\u009b\"}}\n");
}

static void test_watch_shows_events_until_the_controller_goes(void **state)
{
    ctl_fixture_serve(*state, send_two_events);
    ctl_fixture_assert_runs(*state, ctl_watch, NULL, NULL, CTL_EXIT_LOST,
                            "              web1  added\n                 removed\n",
                            "aerostatctl: the controller has gone away\n");
}

static void test_watch_in_json_is_one_escaped_event_a_line(void **state)
{
    CtlFixture *fixture = *state;
    ctl_fixture_serve(fixture, send_two_events);
    fixture->context.json = true;
    ctl_fixture_assert_runs(fixture, ctl_watch, NULL, NULL, CTL_EXIT_LOST,
                            "{\"event\":\"GUEST_ADDED\",\"data\":{\"name\":\"web1\"}}\n"
                            "{\"event\":\"GUEST_REMOVED\",\"data\":{\"name\":\"\\u009B\"}}\n",
                            NULL);
}

// --- what can go wrong ------------------------------------------------------------------------

static void test_a_missing_socket_is_said_with_its_path(void **state)
{
    CtlFixture *fixture = *state;
    socket_thread_stop(g_steal_pointer(&fixture->server));
    g_autofree char *message = g_strdup_printf(
        "aerostatctl: there is no socket %s: is aerostat-controller running?\n", fixture->path);
    ctl_fixture_assert_runs(fixture, ctl_list, NULL, NULL, CTL_EXIT_CONNECT, "", message);
}

static void speak_http(int fd, void *context)
{
    (void)context;
    socket_thread_send(fd, "HTTP/1.1 400 Bad Request\r\n");
    g_free(socket_thread_receive_line(fd));
}

static void test_another_kind_of_server_is_no_controller(void **state)
{
    CtlFixture *fixture = *state;
    ctl_fixture_serve(fixture, speak_http);
    ctl_fixture_assert_runs(fixture, ctl_list, NULL, NULL, CTL_EXIT_CONNECT, "", NULL);
    assert_non_null(strstr(fixture->err, "no controller"));
}

static void test_output_that_cannot_be_written_is_an_error(void **state)
{
    CtlFixture *fixture = *state;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    FILE *out = fixture->context.out;
    fixture->context.out = full;
    ctl_fixture_assert_runs(fixture, ctl_list, NULL, NULL, CTL_EXIT_ERROR, NULL,
                            "aerostatctl: cannot write: No space left on device\n");
    fixture->context.out = out;
    fclose(full);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ctl_fixture_set_up, ctl_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_list_shows_a_table),
        TEST(test_json_is_one_document_as_the_controller_said_it),
        TEST(test_show_suggests_names_near_to_an_unknown_one),
        TEST(test_show_says_where_to_look_when_no_name_is_near),
        TEST(test_show_shows_a_guest),
        TEST(test_status_in_json_has_controller_and_host),
        TEST(test_mode_shows_what_holds_after_it_was_set),
        TEST(test_watch_shows_events_until_the_controller_goes),
        TEST(test_watch_in_json_is_one_escaped_event_a_line),
        TEST(test_a_missing_socket_is_said_with_its_path),
        TEST(test_another_kind_of_server_is_no_controller),
        TEST(test_output_that_cannot_be_written_is_an_error),
    };
    return run_test_table(tests);
}
