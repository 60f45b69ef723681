// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/ctl/qmp-session.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"
#include "tests/support/socket-thread.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define PATIENCE_US (60 * SECOND_US)
#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "              \
    "\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"

// --- a clock in GLib's place --------------------------------------------------------------------

// What a look at it takes; otherwise it is the machine's.
static int64_t look_takes_us;

gint64 g_get_monotonic_time(void)
{
    static int64_t looks_us;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    looks_us += look_takes_us;
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000 + looks_us;
}

// --- a server that follows a script -------------------------------------------------------------

// For each request in turn what is sent once it has come, "ID" standing for its id; NULL ends.
typedef struct Script {
    const char *greeting;
    char **answers; // owned: the server may outlast the test's own
    bool stay;      // after the last answer wait for the client to go
} Script;

static void follow_script(int fd, void *context)
{
    const Script *script = context;
    socket_thread_send(fd, script->greeting);
    for (char **answer = script->answers; answer && *answer; answer++) {
        g_autofree char *request = socket_thread_receive_line(fd);
        if (!request) {
            return;
        }
        g_autoptr(json_t) parsed = json_loads(request, 0, NULL);
        g_autofree char *id = g_strdup_printf("%" JSON_INTEGER_FORMAT,
                                              json_integer_value(json_object_get(parsed, "id")));
        g_auto(GStrv) pieces = g_strsplit(*answer, "ID", -1);
        g_autofree char *text = g_strjoinv(id, pieces);
        socket_thread_send(fd, text);
    }
    if (script->stay) {
        g_free(socket_thread_receive_line(fd));
    }
}

#define NEGOTIATED "{\"return\": {}, \"id\": ID}\r\n"

typedef struct Fixture {
    Scratch scratch;
    char *path;
    Script script;
    bool server_leaves; // after its last answer
    SocketThread *server;
    QmpSession *session;
} Fixture;

static void serve(Fixture *fixture, const char *greeting, const char *const *answers)
{
    fixture->script = (Script){
        .greeting = greeting,
        .answers = g_strdupv((char **)answers),
        .stay = !fixture->server_leaves,
    };
    fixture->server = socket_thread_start(fixture->path, follow_script, &fixture->script);
}

static void open_session(Fixture *fixture, const char *const *answers)
{
    g_autoptr(GError) error = NULL;
    serve(fixture, GREETING, answers);
    fixture->session = qmp_session_open(fixture->path, PATIENCE_US, &error);
    assert_no_error(error);
    assert_non_null(fixture->session);
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    fixture->path = scratch_path(&fixture->scratch, "qmp");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    qmp_session_close(fixture->session);
    socket_thread_stop(fixture->server);
    g_strfreev(fixture->script.answers);
    g_free(fixture->path);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

static void assert_event(QmpSession *session, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) event = qmp_session_next_event(session, PATIENCE_US, &error);
    assert_no_error(error);
    assert_string_equal(json_string_value(json_object_get(event, "event")), name);
}

static void assert_execute_fails(Fixture *fixture, int64_t timeout_us, ProtocolError code,
                                 const char *text)
{
    g_autoptr(GError) error = NULL;
    assert_null(qmp_session_execute(fixture->session, "query", NULL, timeout_us, &error));
    assert_error_contains(error, PROTOCOL_ERROR, (int)code, text);
}

// --- opening ----------------------------------------------------------------------------------

static void test_opening_a_path_without_socket_says_so(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    assert_null(qmp_session_open(fixture->path, PATIENCE_US, &error));
    assert_error_contains(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, fixture->path);
}

static void test_a_server_that_does_not_greet_times_out(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NULL};
    g_autoptr(GError) error = NULL;
    serve(fixture, "{\"QMP\":", answers);
    assert_null(qmp_session_open(fixture->path, 20 * MS_US, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT, "greeting");
}

static void test_another_first_message_is_no_greeting(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NULL};
    g_autoptr(GError) error = NULL;
    serve(fixture, "{\"return\": {}}\n", answers);
    assert_null(qmp_session_open(fixture->path, PATIENCE_US, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "greeting");
}

static void test_refused_negotiation_fails_the_opening(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"busy\"}, \"id\": ID}\n", NULL};
    g_autoptr(GError) error = NULL;
    serve(fixture, GREETING, answers);
    assert_null(qmp_session_open(fixture->path, PATIENCE_US, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, "busy");
}

// --- commands ---------------------------------------------------------------------------------

static void test_a_command_returns_its_value(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, "{\"return\": [1, 2], \"id\": ID}\n", NULL};
    g_autoptr(GError) error = NULL;
    open_session(fixture, answers);
    g_autoptr(json_t) value =
        qmp_session_execute(fixture->session, "query", json_pack("{}"), PATIENCE_US, &error);
    assert_no_error(error);
    assert_int_equal(json_array_size(value), 2);
}

static void test_an_error_is_remote_and_says_what_the_peer_said(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {
        NEGOTIATED,
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}, \"id\": ID}\n", NULL};
    open_session(fixture, answers);
    assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_REMOTE, "not now");
}

static void test_an_error_without_id_answers_the_command_too(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {
        NEGOTIATED, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"unreadable\"}}\n", NULL};
    open_session(fixture, answers);
    assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_REMOTE, "unreadable");
}

static void test_silence_is_a_timeout_and_not_before_its_time(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, "{\"return\": {}, ", NULL};
    open_session(fixture, answers);
    int64_t start_us = g_get_monotonic_time();
    assert_execute_fails(fixture, 50 * MS_US, PROTOCOL_ERROR_TIMEOUT, "query");
    assert_true(g_get_monotonic_time() - start_us >= 50 * MS_US);
}

static void test_an_answer_that_comes_too_late_is_not_taken_for_the_next(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {
        NEGOTIATED, "", "{\"return\": \"late\", \"id\": 2}\n{\"return\": \"right\", \"id\": ID}\n",
        NULL};
    g_autoptr(GError) error = NULL;
    open_session(fixture, answers);
    assert_execute_fails(fixture, 10 * MS_US, PROTOCOL_ERROR_TIMEOUT, "query");
    g_autoptr(json_t) value =
        qmp_session_execute(fixture->session, "query", NULL, PATIENCE_US, &error);
    assert_no_error(error);
    assert_string_equal(json_string_value(value), "right");
}

static void test_garbage_is_a_syntax_error(void **state)
{
    static const char *const garbage[] = {"nonsense\n", "[]\n", "{\"other\": 1}\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(garbage); i++) {
        const char *const answers[] = {NEGOTIATED, garbage[i], NULL};
        Fixture *fixture;
        set_up((void **)&fixture);
        open_session(fixture, answers);
        assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_SYNTAX, "");
        tear_down((void **)&fixture);
    }
    (void)state;
}

// --- the end of a connection --------------------------------------------------------------------

static void test_a_server_that_goes_is_closed(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, "{\"return\":", NULL};
    fixture->server_leaves = true;
    open_session(fixture, answers);
    assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_CLOSED, "closed");
    // Once more, now that writing fails: no signal may end the test.
    assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_CLOSED, "closed");
    g_autoptr(GError) error = NULL;
    assert_null(qmp_session_next_event(fixture->session, -1, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "closed");
}

static void test_a_line_above_the_limit_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *huge = g_strnfill(LIMIT_CONTROLLER_LINE_BYTES + 1, 'x');
    const char *const answers[] = {NEGOTIATED, huge, NULL};
    open_session(fixture, answers);
    assert_execute_fails(fixture, PATIENCE_US, PROTOCOL_ERROR_SYNTAX, "longer");
}

// --- events -----------------------------------------------------------------------------------

static void test_events_during_a_command_are_kept_in_order(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {
        NEGOTIATED,
        "{\"event\": \"ONE\"}\n{\"event\": \"TWO\"}\n{\"return\": {}, \"id\": ID}\n"
        "{\"event\": \"THREE\"}\n",
        NULL};
    open_session(fixture, answers);
    g_autoptr(json_t) value =
        qmp_session_execute(fixture->session, "query", NULL, PATIENCE_US, NULL);
    assert_non_null(value);
    assert_event(fixture->session, "ONE");
    assert_event(fixture->session, "TWO");
    assert_event(fixture->session, "THREE");
}

static void test_no_event_in_time_is_no_error(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, NULL};
    static const int64_t timeouts_us[] = {0, 5 * MS_US};
    open_session(fixture, answers);
    for (size_t i = 0; i < G_N_ELEMENTS(timeouts_us); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(qmp_session_next_event(fixture->session, timeouts_us[i], &error));
        assert_no_error(error);
    }
}

static void test_of_too_many_events_the_newest_are_kept(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GString) flood = g_string_new(NULL);
    for (int i = 0; i < LIMIT_PENDING_EVENTS + 10; i++) {
        g_string_append_printf(flood, "{\"event\": \"E%d\"}\n", i);
    }
    g_string_append(flood, "{\"return\": {}, \"id\": ID}\n");
    const char *const answers[] = {NEGOTIATED, flood->str, NULL};
    open_session(fixture, answers);
    g_autoptr(json_t) value =
        qmp_session_execute(fixture->session, "query", NULL, PATIENCE_US, NULL);
    assert_non_null(value);
    assert_event(fixture->session, "E10");
}

static void flood_events(int fd, void *context)
{
    follow_script(fd, context);
    while (socket_thread_send(fd, "{\"event\": \"AGAIN\"}\n")) {
    }
}

static void test_a_flood_of_events_does_not_outlast_the_deadline(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, NULL};
    fixture->script = (Script){.greeting = GREETING, .answers = g_strdupv((char **)answers)};
    fixture->server = socket_thread_start(fixture->path, flood_events, &fixture->script);
    fixture->session = qmp_session_open(fixture->path, PATIENCE_US, NULL);
    assert_non_null(fixture->session);
    int64_t start_us = g_get_monotonic_time();
    assert_execute_fails(fixture, 50 * MS_US, PROTOCOL_ERROR_TIMEOUT, "query");
    assert_true(g_get_monotonic_time() - start_us < PATIENCE_US);
}

// --- signals ----------------------------------------------------------------------------------

static volatile sig_atomic_t alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void test_signals_neither_end_nor_lengthen_a_wait(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, "", NULL};
    open_session(fixture, answers);
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval often = {.it_interval.tv_usec = 2000, .it_value.tv_usec = 2000};
    struct itimerval never = {0};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    int64_t start_us = g_get_monotonic_time();
    assert_execute_fails(fixture, 50 * MS_US, PROTOCOL_ERROR_TIMEOUT, "query");
    int64_t elapsed_us = g_get_monotonic_time() - start_us;
    setitimer(ITIMER_REAL, &never, NULL);
    assert_true(alarms > 0);
    assert_true(elapsed_us >= 50 * MS_US && elapsed_us < PATIENCE_US);
}

static void test_a_clock_that_goes_on_between_two_looks_does_not_wait_for_ever(void **state)
{
    Fixture *fixture = *state;
    static const char *const answers[] = {NEGOTIATED, NULL};
    g_autoptr(GError) error = NULL;
    open_session(fixture, answers);
    // Time is left at the first look after the beginning, and none at the next.
    look_takes_us = 5 * MS_US;
    assert_null(qmp_session_next_event(fixture->session, 7 * MS_US, &error));
    look_takes_us = 0;
    assert_no_error(error);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_opening_a_path_without_socket_says_so),
        TEST(test_a_server_that_does_not_greet_times_out),
        TEST(test_another_first_message_is_no_greeting),
        TEST(test_refused_negotiation_fails_the_opening),
        TEST(test_a_command_returns_its_value),
        TEST(test_an_error_is_remote_and_says_what_the_peer_said),
        TEST(test_an_error_without_id_answers_the_command_too),
        TEST(test_silence_is_a_timeout_and_not_before_its_time),
        TEST(test_an_answer_that_comes_too_late_is_not_taken_for_the_next),
        cmocka_unit_test(test_garbage_is_a_syntax_error),
        TEST(test_a_server_that_goes_is_closed),
        TEST(test_a_line_above_the_limit_is_refused),
        TEST(test_events_during_a_command_are_kept_in_order),
        TEST(test_no_event_in_time_is_no_error),
        TEST(test_of_too_many_events_the_newest_are_kept),
        TEST(test_a_flood_of_events_does_not_outlast_the_deadline),
        TEST(test_signals_neither_end_nor_lengthen_a_wait),
        TEST(test_a_clock_that_goes_on_between_two_looks_does_not_wait_for_ever),
    };
    return run_test_table(tests);
}
