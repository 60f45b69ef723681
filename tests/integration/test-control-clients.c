// SPDX-License-Identifier: Apache-2.0
//
// Clients of the control socket that do not read what they are told: what that costs them, and that
// it costs nobody else anything.
#include "tests/test.h"

#include "protocol/transport/unix-socket.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
// Clients that read, and as many that do not.
#define CLIENTS 25
// Guests that nobody answers for, to come and go with each configuration.
#define CROWD 200
// As often: many times as many events as a socket's buffer and a client's queue hold together.
#define ROUNDS 20
// It grows by 2 MiB, and would by 16 with all that nobody reads. Under the address sanitizer, which
// adds to each piece, that is 12 and 37.
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_BYTES (24 * MIB)
#else
#define GROWTH_BYTES (8 * MIB)
#endif

static void write_crowd(Rig *rig, bool present)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; present && i < CROWD; i++) {
        g_string_append_printf(text, "[guest x%d]\nqmp=/nowhere/x%d.qmp\n", i, i);
    }
    rig_configure(rig, GIB, text->str);
}

static void configure_crowd(Rig *rig, bool present)
{
    write_crowd(rig, present);
    json_decref(rig_ask(rig, "reload", NULL));
}

// --- a client that reads only when it is made to ----------------------------------------------

typedef struct Sleeper {
    int fd;
    GString *unread; // what was received of the next lines
} Sleeper;

// Its next line. New reference.
static json_t *read_line(const Sleeper *sleeper)
{
    GString *unread = sleeper->unread;
    char *end;
    while (!(end = strchr(unread->str, '\n'))) {
        char chunk[4096];
        ssize_t count = 0;
        wait_for((count = recv(sleeper->fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0, PATIENCE_US);
        g_string_append_len(unread, chunk, count);
    }
    json_t *message = json_loadb(unread->str, (size_t)(end - unread->str), 0, NULL);
    g_string_erase(unread, 0, end + 1 - unread->str);
    assert_non_null(message);
    return message;
}

static void send_text(const Sleeper *sleeper, const char *text)
{
    assert_int_equal(send(sleeper->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#define ONLY_CROWD                                                                                 \
    "{\"execute\":\"set-events\",\"arguments\":{\"enable\":[\"GUEST_ADDED\",\"GUEST_REMOVED\"]}}"

// Connects, and wants to be told of who comes and goes.
static void open_sleeper(Sleeper *sleeper, const Rig *rig)
{
    sleeper->unread = g_string_new(NULL);
    sleeper->fd = unix_socket_connect(rig->socket_path, NULL);
    assert_true(sleeper->fd >= 0);
    send_text(sleeper, "{\"execute\":\"qmp_capabilities\"}\n" ONLY_CROWD "\n");
    for (int answers = 0; answers < 2;) {
        g_autoptr(json_t) message = read_line(sleeper);
        answers += json_object_get(message, "return") != NULL;
    }
}

static void close_sleeper(const Sleeper *sleeper)
{
    close(sleeper->fd);
    g_string_free(sleeper->unread, TRUE);
}

// Reads what is left of `told` events; asserts that it is told how many are not, and returns that.
static int64_t count_lost(const Sleeper *sleeper, int64_t told)
{
    // The answer stands behind the events.
    send_text(sleeper, "{\"execute\":\"query-status\"}\n");
    int64_t heard = 0;
    json_t *message;
    while (json_object_get(message = read_line(sleeper), "event")) {
        json_decref(message);
        heard++;
    }
    const json_t *status = json_object_get(message, "return");
    int64_t lost = json_integer_value(json_object_get(status, "events-lost"));
    json_decref(message);
    assert_int_equal(heard + lost, told);
    return lost;
}

// --- tests ------------------------------------------------------------------------------------

static void test_an_answer_follows_the_events_that_came_before_it(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    Sleeper sleeper;
    open_sleeper(&sleeper, rig);
    write_crowd(rig, true);
    send_text(&sleeper, "{\"execute\":\"reload\"}\n");
    for (int i = 0; i < CROWD; i++) {
        g_autoptr(json_t) event = read_line(&sleeper);
        assert_non_null(json_object_get(event, "event"));
    }
    g_autoptr(json_t) answer = read_line(&sleeper);
    assert_non_null(json_object_get(answer, "return"));
    close_sleeper(&sleeper);
}

static void test_a_client_too_slow_for_its_events_is_told_how_many_it_lost(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    json_decref(rig_ask(rig, "set-events", json_pack("{s:[]}", "enable")));
    Sleeper sleeper;
    open_sleeper(&sleeper, rig);
    for (int i = 0; i < ROUNDS; i++) {
        configure_crowd(rig, i % 2 == 0);
    }
    int64_t lost = count_lost(&sleeper, ROUNDS * CROWD);
    assert_true(lost > 0);
    // Before anything else it hears that it has lost some.
    configure_crowd(rig, true);
    g_autoptr(json_t) event = read_line(&sleeper);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "EVENTS_LOST");
    const json_t *data = json_object_get(event, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "count")), lost);
    g_autoptr(json_t) next = read_line(&sleeper);
    assert_string_equal(json_string_value(json_object_get(next, "event")), "GUEST_ADDED");
    close_sleeper(&sleeper);
}

// Connects one that reads, and wants to be told of the same.
static void open_reader(LineClient *reader, const Rig *rig)
{
    line_client_open_qmp(reader, rig->socket_path);
    line_client_say(reader, ONLY_CROWD);
    bool answered = false;
    while (!answered) {
        g_autoptr(json_t) message = line_client_hear(reader);
        answered = json_object_get(message, "return") != NULL;
    }
}

static bool all_heard(const LineClient *clients, guint count)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].lines.length < count) {
            return false;
        }
    }
    return true;
}

static void test_many_clients_that_do_not_read_cost_nobody_else_anything(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "a", 300 * MIB, NULL);
    rig_run(rig, GIB);
    json_decref(rig_ask(rig, "set-events", json_pack("{s:[]}", "enable")));
    // What a crowd itself takes is no matter here.
    configure_crowd(rig, true);
    configure_crowd(rig, false);
    int64_t before_bytes = rig_peak_bytes(rig);
    LineClient readers[CLIENTS] = {0};
    Sleeper sleepers[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        open_reader(&readers[i], rig);
        open_sleeper(&sleepers[i], rig);
    }
    for (guint told = CROWD; told <= ROUNDS * CROWD; told += CROWD) {
        configure_crowd(rig, told / CROWD % 2 == 1);
        wait_for(all_heard(readers, told), PATIENCE_US);
    }
    fake_agent_grow(guest->agent, 600 * MIB, GIB);
    wait_for(fake_qemu_actual_bytes(guest->qemu) >= 600 * MIB, PATIENCE_US);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(readers[i].lines.length, ROUNDS * CROWD);
        assert_true(count_lost(&sleepers[i], ROUNDS * CROWD) > 0);
        line_client_close(&readers[i]);
        close_sleeper(&sleepers[i]);
    }
    assert_true(rig_peak_bytes(rig) < before_bytes + GROWTH_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_follows_the_events_that_came_before_it),
        TEST(test_a_client_too_slow_for_its_events_is_told_how_many_it_lost),
        TEST(test_many_clients_that_do_not_read_cost_nobody_else_anything),
    };
    return run_test_table(tests);
}
