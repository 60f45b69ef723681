// SPDX-License-Identifier: Apache-2.0
//
// The kernel's pressure trigger is played by a fifo, which tells what is written to it, and by a
// TCP connection, whose urgent data is what else poll() calls POLLPRI.
#include "tests/test.h"

#include "protocol/transport/pressure-watch.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// --- the trigger ------------------------------------------------------------------------------

static void test_ten_milliseconds_in_half_a_second_are_asked_for(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *path = scratch_path(scratch, "memory");
    assert_int_equal(mkfifo(path, 0600), 0);
    int64_t window_us = 0;
    const char *why = NULL;
    int fd = pressure_trigger_open(path, &window_us, &why);
    assert_true(fd >= 0);
    assert_int_equal(window_us, 500000);
    char text[64];
    static const char expected[] = "some 10000 500000";
    assert_int_equal(read(fd, text, sizeof(text)), sizeof(expected));
    assert_string_equal(text, expected);
    close(fd);
}

static void test_a_kernel_without_pressure_has_no_trigger_and_says_why(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *path = scratch_path(scratch, "memory");
    int64_t window_us;
    const char *why = NULL;
    assert_int_equal(pressure_trigger_open(path, &window_us, &why), -1);
    assert_string_equal(why, g_strerror(ENOENT));
}

static void test_a_kernel_that_refuses_every_window_has_no_trigger_and_says_why(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *path = scratch_path(scratch, "memory");
    // Opens for writing, takes nothing.
    assert_int_equal(symlink("/dev/full", path), 0);
    int64_t window_us;
    const char *why = NULL;
    assert_int_equal(pressure_trigger_open(path, &window_us, &why), -1);
    assert_string_equal(why, g_strerror(ENOSPC));
}

// --- the watch --------------------------------------------------------------------------------

typedef struct Stage {
    int far_fd; // the kernel's end
    PressureWatch *watch;
    unsigned fired;
} Stage;

static void on_fired(void *context)
{
    Stage *stage = context;
    stage->fired++;
}

static void connect_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, length), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fds[1] >= 0);
    close(listener);
}

static void set_up_watch(Stage *stage)
{
    int fds[2];
    connect_pair(fds);
    *stage = (Stage){.far_fd = fds[0]};
    stage->watch = pressure_watch_new(fds[1], on_fired, stage);
}

static void tear_down_watch(Stage *stage)
{
    pressure_watch_free(stage->watch);
    close(stage->far_fd);
}

static void run_until_fired(Stage *stage)
{
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    while (stage->fired == 0 && deadline_left_us(deadline_us) > 0) {
        g_main_context_iteration(NULL, FALSE);
    }
}

static void test_a_trigger_that_fires_is_told(void **state)
{
    (void)state;
    Stage stage;
    set_up_watch(&stage);
    assert_false(g_main_context_iteration(NULL, FALSE));
    assert_int_equal(stage.fired, 0);
    assert_int_equal(send(stage.far_fd, "!", 1, MSG_OOB), 1);
    run_until_fired(&stage);
    assert_int_not_equal(stage.fired, 0);
    tear_down_watch(&stage);
}

static void test_a_trigger_that_ends_is_left_alone(void **state)
{
    (void)state;
    Stage stage;
    set_up_watch(&stage);
    // A reset is POLLERR and POLLHUP at once.
    struct linger at_once = {.l_onoff = 1};
    setsockopt(stage.far_fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(stage.far_fd);
    stage.far_fd = -1;
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    while (!g_main_context_iteration(NULL, FALSE) && deadline_left_us(deadline_us) > 0) {
    }
    // An end that went on being told would keep the loop busy for ever.
    assert_false(g_main_context_iteration(NULL, FALSE));
    assert_int_equal(stage.fired, 0);
    tear_down_watch(&stage);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ten_milliseconds_in_half_a_second_are_asked_for),
        TEST(test_a_kernel_without_pressure_has_no_trigger_and_says_why),
        TEST(test_a_kernel_that_refuses_every_window_has_no_trigger_and_says_why),
        cmocka_unit_test(test_a_trigger_that_fires_is_told),
        cmocka_unit_test(test_a_trigger_that_ends_is_left_alone),
    };
    return run_test_table(tests);
}
