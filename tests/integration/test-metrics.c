// SPDX-License-Identifier: Apache-2.0
//
// The real controller's metrics endpoint: what a scraper and a browser get, what those get who ask
// wrongly, slowly or too often, and that guests and the control socket are served meanwhile.
#include "host-controller/metrics-server.h"
#include "tests/support/http-client.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>
#include <sys/socket.h>

#define PATIENCE_US (60 * SECOND_US)
#define BUDGET (1300 * MIB)
#define ALL ((size_t)64 * 1024)
#define MANY 100
#define ABSENT 3000
// Well before a connection would be ended in any case.
#define QUICK_US (METRICS_DEADLINE_US - 2 * SECOND_US)

// Starts the controller with its metrics on a free port, which it returns.
static uint16_t run_with_metrics(Rig *rig)
{
    uint16_t port = http_free_port();
    g_autofree char *text = g_strdup_printf("[controller]\nmetrics=127.0.0.1:%u\n", port);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/metrics.conf", text, -1));
    rig_run(rig, BUDGET);
    return port;
}

// The value of the line that begins with `series`, or -1.
static double sample(const char *page, const char *series)
{
    g_autofree char *begin = g_strdup_printf("\n%s ", series);
    const char *found = strstr(page, begin);
    return found ? g_ascii_strtod(found + strlen(begin), NULL) : -1;
}

static double scraped(uint16_t port, const char *series)
{
    g_autofree char *page = http_get(port, "/metrics", "");
    return sample(page, series);
}

static void assert_status(const char *answer, const char *status)
{
    if (!g_str_has_prefix(answer, "HTTP/1.") || !g_str_has_prefix(answer + 9, status)) {
        fail_msg("wanted %s, got: %.200s", status, answer);
    }
}

// --- what there is ----------------------------------------------------------------------------

static void test_a_scrape_tells_what_the_fakes_have(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "web", 500 * MIB, "min=10%");
    uint16_t port = run_with_metrics(rig);
    wait_for(scraped(port, "aerostat_guest_reports_total{guest=\"web\"}") >= 1, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    g_autofree char *page = http_get(port, "/metrics", "");
    assert_status(page, "200");
    assert_non_null(strstr(page, "\r\nContent-Type: text/plain; version=0.0.4"));
    assert_true(sample(page, "aerostat_host_budget_bytes") == (double)BUDGET);
    assert_true(sample(page, "aerostat_guest_size_bytes{guest=\"web\"}") == (double)GIB);
    assert_true(sample(page, "aerostat_guest_actual_bytes{guest=\"web\"}") ==
                (double)fake_qemu_actual_bytes(guest->qemu));
    assert_true(sample(page, "aerostat_guest_balloon_commands_total{guest=\"web\"}") ==
                (double)fake_qemu_count(guest->qemu, "balloon"));
    assert_true(sample(page, "aerostat_guest_state{guest=\"web\",state=\"settled\"}") == 1);
    assert_true(sample(page, "aerostat_guest_source{guest=\"web\",source=\"agent\"}") == 1);
    assert_true(sample(page, "aerostat_guest_agent_connected{guest=\"web\"}") == 1);
}

static void test_a_shortage_is_counted_as_a_reaction_and_a_hand_over(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "giver", 900 * MIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    wait_for(scraped(port, "aerostat_guest_reports_total{guest=\"taker\"}") >= 1, PATIENCE_US);
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    wait_for(scraped(port, "aerostat_reaction_seconds_count") >= 1, PATIENCE_US);
    wait_for(scraped(port, "aerostat_handover_seconds_count") >= 1, PATIENCE_US);
    assert_true(scraped(port, "aerostat_reaction_seconds_sum") > 0);
}

static void test_openmetrics_is_given_to_who_asks_for_it(void **state)
{
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    g_autofree char *page =
        http_get(port, "/metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*\r\n");
    assert_non_null(strstr(page, "\r\nContent-Type: application/openmetrics-text; version=1.0.0"));
    assert_true(g_str_has_suffix(page, "\n# EOF\n"));
}

static void test_the_status_page_shows_every_guest(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "a<b", 500 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    g_autofree char *page = http_get(port, "/", "");
    assert_status(page, "200");
    assert_non_null(strstr(page, "<b title=\"a&lt;b\">a&lt;b</b>"));
    assert_non_null(strstr(page, "Content-Security-Policy: default-src 'none'"));
}

static void test_a_guest_that_goes_is_no_longer_told_of(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web", 500 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    assert_true(scraped(port, "aerostat_guests") == 1);
    g_free(scratch_write(&rig->scratch, "controller.conf", "", 0));
    json_decref(rig_ask(rig, "reload", NULL));
    g_autofree char *page = http_get(port, "/metrics", "");
    assert_true(sample(page, "aerostat_guests") == 0);
    assert_null(strstr(page, "guest=\"web\""));
}

// --- bad requests -----------------------------------------------------------------------------

static void test_a_wrong_request_gets_an_error_and_an_end(void **state)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
        {"GET /metrics/../etc HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
        {"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "405"},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "400"},
    };
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(HttpClient) client = http_client_new(port, cases[i].request);
        wait_for(http_client_read(client, ALL), PATIENCE_US);
        assert_status(client->answer->str, cases[i].status);
    }
}

static void test_head_has_no_body(void **state)
{
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    g_autoptr(HttpClient) client =
        http_client_new(port, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(http_client_read(client, ALL), PATIENCE_US);
    assert_status(client->answer->str, "200");
    assert_true(g_str_has_suffix(client->answer->str, "\r\n\r\n"));
}

static void test_endless_headers_and_rubbish_are_cut_short(void **state)
{
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    g_autofree char *filler = g_strnfill(256 * 1024L, 'x');
    g_autofree char *endless = g_strconcat("GET / HTTP/1.1\r\nHost: a\r\nX: ", filler, NULL);
    g_autoptr(HttpClient) one = http_client_new(port, endless);
    g_autoptr(HttpClient) two = http_client_new(port, "\x16\x03\x01\x02\n\n\n\xff rubbish\r\n\r\n");
    // At once, long before the deadline would end it.
    wait_for(http_client_read(one, ALL) && http_client_read(two, ALL), QUICK_US);
    g_autofree char *page = http_get(port, "/", "");
    assert_status(page, "200");
}

// --- slow and many ----------------------------------------------------------------------------

// So many guests, whose QEMUs are not even there, that their page fits into no socket's buffer.
static void add_absent_guests(Rig *rig)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < ABSENT; i++) {
        g_string_append_printf(text, "[guest %0120d]\nqmp=/nowhere/%d.qmp\n", i, i);
    }
    g_free(scratch_write(&rig->scratch, "controller.conf.d/absent.conf", text->str, -1));
}

// Whether there is an answer. A controller that has not got to run for seconds takes whoever waited
// for one that says nothing: who was let go without any asks again.
static bool is_answered(HttpClient **client, uint16_t port)
{
    bool ended = http_client_read(*client, ALL);
    if (ended && (*client)->answer->len == 0) {
        http_client_free(*client);
        *client = http_client_new(port, "GET /nothing HTTP/1.0\r\n\r\n");
        return false;
    }
    return ended;
}

static void test_who_reads_nothing_is_let_go_and_the_next_is_served(void **state)
{
    Rig *rig = *state;
    add_absent_guests(rig);
    uint16_t port = run_with_metrics(rig);
    HttpClient *deaf[METRICS_MAX_CONNECTIONS];
    for (int i = 0; i < METRICS_MAX_CONNECTIONS; i++) {
        deaf[i] = http_client_new(port, "GET /metrics HTTP/1.0\r\n\r\n");
    }
    HttpClient *next = http_client_new(port, "GET /nothing HTTP/1.0\r\n\r\n");
    json_decref(rig_ask(rig, "query-host", NULL));
    wait_for(is_answered(&next, port), PATIENCE_US);
    assert_status(next->answer->str, "404");
    http_client_free(next);
    for (int i = 0; i < METRICS_MAX_CONNECTIONS; i++) {
        http_client_free(deaf[i]);
    }
}

static void test_who_says_nothing_is_let_go(void **state)
{
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    g_autoptr(HttpClient) client = http_client_new(port, "GET / HT");
    wait_for(http_client_read(client, ALL), QUICK_US);
}

// Says a little more of an endless request; true once the server has ended the connection.
static bool trickle(HttpClient *client)
{
    send(client->fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return http_client_read(client, ALL);
}

static void test_who_trickles_is_let_go_when_the_time_is_up(void **state)
{
    Rig *rig = *state;
    uint16_t port = run_with_metrics(rig);
    g_autoptr(HttpClient) client = http_client_new(port, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    wait_for(trickle(client), PATIENCE_US);
    assert_int_equal(client->answer->len, 0);
}

static void test_a_hundred_connections_at_once_keep_nobody_waiting(void **state)
{
    Rig *rig = *state;
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    rig_add(rig, "giver", 900 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    HttpClient *clients[MANY];
    for (int i = 0; i < MANY; i++) {
        // Half of them never end their request: they hold every connection there is.
        clients[i] =
            http_client_new(port, i % 2 == 0 ? "GET /metrics HT" : "GET /metrics HTTP/1.0\r\n\r\n");
    }
    json_decref(rig_ask(rig, "query-guests", NULL));
    unsigned commands = fake_qemu_count(taker->qemu, "balloon");
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    wait_for(fake_qemu_count(taker->qemu, "balloon") > commands, PATIENCE_US);
    json_decref(rig_ask(rig, "query-host", NULL));
    for (int i = 1; i < MANY; i += 2) {
        http_client_free(clients[i - 1]);
        clients[i - 1] = NULL;
    }
    for (int i = 1; i < MANY; i += 2) {
        wait_for(http_client_read(clients[i], ALL), PATIENCE_US);
        assert_status(clients[i]->answer->str, "200");
        http_client_free(clients[i]);
    }
}

static void test_a_page_on_its_way_survives_the_end_of_the_controller(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web", 500 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    g_autoptr(HttpClient) client = http_client_new(port, "GET /metrics HTTP/1.1\r\nHost: a\r\n");
    json_decref(rig_ask(rig, "query-host", NULL));
    assert_int_equal(rig_stop(rig), 0);
    wait_for(http_client_read(client, ALL), PATIENCE_US);
}

// --- the port ---------------------------------------------------------------------------------

static void test_a_port_that_is_taken_does_not_keep_the_controller_from_its_guests(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "web", 500 * MIB, NULL);
    uint16_t port = run_with_metrics(rig);
    Rig *second;
    void *second_state;
    rig_set_up(&second_state);
    second = second_state;
    g_autofree char *text = g_strdup_printf("[controller]\nmetrics=127.0.0.1:%u\n", port);
    g_free(scratch_write(&second->scratch, "controller.conf.d/metrics.conf", text, -1));
    rig_run(second, BUDGET);
    wait_for(rig_has_said(second, "no metrics: cannot listen at 127.0.0.1"), PATIENCE_US);
    json_decref(rig_ask(second, "query-host", NULL));
    rig_tear_down(&second_state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_scrape_tells_what_the_fakes_have),
        TEST(test_a_shortage_is_counted_as_a_reaction_and_a_hand_over),
        TEST(test_openmetrics_is_given_to_who_asks_for_it),
        TEST(test_the_status_page_shows_every_guest),
        TEST(test_a_guest_that_goes_is_no_longer_told_of),
        TEST(test_a_wrong_request_gets_an_error_and_an_end),
        TEST(test_head_has_no_body),
        TEST(test_endless_headers_and_rubbish_are_cut_short),
        TEST(test_who_reads_nothing_is_let_go_and_the_next_is_served),
        TEST(test_who_says_nothing_is_let_go),
        TEST(test_who_trickles_is_let_go_when_the_time_is_up),
        TEST(test_a_hundred_connections_at_once_keep_nobody_waiting),
        TEST(test_a_page_on_its_way_survives_the_end_of_the_controller),
        TEST(test_a_port_that_is_taken_does_not_keep_the_controller_from_its_guests),
    };
    return run_test_table(tests);
}
