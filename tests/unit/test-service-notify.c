// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "protocol/transport/service-notify.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Listens as a service manager would at `path`; a leading @ stands for the abstract namespace.
static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    return fd;
}

static void assert_is_told(const char *path, const char *state_text)
{
    char text[64] = "";
    int fd = listen_at(path);
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    service_notify(state_text);
    assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), strlen(state_text));
    assert_string_equal(text, state_text);
    close(fd);
}

static void test_the_manager_is_told_at_its_socket(void **state)
{
    g_autofree char *path = scratch_path(*state, "notify");
    assert_is_told(path, "READY=1");
}

static void test_the_manager_is_told_in_the_abstract_namespace(void **state)
{
    (void)state;
    g_autofree char *name = g_strdup_printf("@aerostat-test-%d", (int)getpid());
    assert_is_told(name, "STATUS=host side open");
}

static void test_no_manager_and_a_bad_address_are_no_harm(void **state)
{
    g_autofree char *nobody = scratch_path(*state, "nobody");
    g_autofree char *too_long = g_strnfill(200, '/');
    const char *const addresses[] = {nobody, too_long, "", "vsock:2:1", "relative"};
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_setenv("NOTIFY_SOCKET", addresses[i], TRUE);
        service_notify("READY=1");
    }
    g_unsetenv("NOTIFY_SOCKET");
    service_notify("READY=1");
}

static void test_a_manager_that_does_not_read_is_not_waited_for(void **state)
{
    g_autofree char *path = scratch_path(*state, "notify");
    int fd = listen_at(path);
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    for (int i = 0; i < 10000; i++) {
        service_notify("WATCHDOG=1");
    }
    close(fd);
}

static void test_the_watchdog_is_fed_twice_as_often_as_it_bites(void **state)
{
    (void)state;
    g_autofree char *own_pid = g_strdup_printf("%d", (int)getpid());
    const struct {
        const char *timeout;
        const char *pid;
        int64_t interval_us;
    } cases[] = {
        {NULL, NULL, 0},
        {"30000000", NULL, 15000000},
        {"30000000", own_pid, 15000000},
        {"30000000", "1", 0},
        {"", NULL, 0},
        {"soon", NULL, 0},
        {"0", NULL, 0},
        {"-5", NULL, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_unsetenv("WATCHDOG_USEC");
        g_unsetenv("WATCHDOG_PID");
        if (cases[i].timeout) {
            g_setenv("WATCHDOG_USEC", cases[i].timeout, TRUE);
        }
        if (cases[i].pid) {
            g_setenv("WATCHDOG_PID", cases[i].pid, TRUE);
        }
        assert_int_equal(service_watchdog_interval_us(), cases[i].interval_us);
    }
}

// Waits for the next message at `fd` while the main loop turns.
static void assert_next_is(int fd, const char *expected)
{
    char text[64] = "";
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    while (recv(fd, text, sizeof(text) - 1, 0) < 0) {
        assert_true(deadline_left_us(deadline_us) > 0);
        g_main_context_iteration(NULL, FALSE);
    }
    assert_string_equal(text, expected);
}

static void test_who_is_ready_is_alive_again_and_again(void **state)
{
    g_autofree char *path = scratch_path(*state, "notify");
    int fd = listen_at(path);
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    g_setenv("WATCHDOG_USEC", "20000", TRUE);
    g_unsetenv("WATCHDOG_PID");
    service_notify_ready();
    assert_next_is(fd, "READY=1");
    assert_next_is(fd, "WATCHDOG=1");
    assert_next_is(fd, "WATCHDOG=1");
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_manager_is_told_at_its_socket),
        TEST(test_the_manager_is_told_in_the_abstract_namespace),
        TEST(test_no_manager_and_a_bad_address_are_no_harm),
        TEST(test_a_manager_that_does_not_read_is_not_waited_for),
        TEST(test_the_watchdog_is_fed_twice_as_often_as_it_bites),
        TEST(test_who_is_ready_is_alive_again_and_again),
    };
    return run_test_table(tests);
}
