// SPDX-License-Identifier: Apache-2.0
//
// What happens to the controller and around it: guests stay as they are, and it goes on.
#include "tests/e2e/fault-scene.h"

#include "protocol/transport/unix-socket.h"

#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 1000
// What malloc() may keep after them; the address sanitizer's keeps more.
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_BYTES (16 * MIB)
#else
#define GROWTH_BYTES (2 * MIB)
#endif

// Waits until the controller has let go of every connection but those it had before.
static void wait_descriptors(const FaultScene *scene, int count)
{
    int64_t deadline_us = deadline_after(CONTROL_TIMEOUT_US);
    while (process_descriptors(process_pid(scene->controller)) > count) {
        assert_true(deadline_left_us(deadline_us) > 0);
        g_usleep(10 * MS_US);
    }
}

static void assert_stay(const FaultScene *scene, const int64_t bytes[FAULT_GUESTS], int64_t time_us)
{
    int64_t deadline_us = deadline_after(time_us);
    while (deadline_left_us(deadline_us) > 0) {
        for (size_t i = 0; i < FAULT_GUESTS; i++) {
            assert_int_equal(lab_actual(scene->vms[i]), bytes[i]);
        }
        g_usleep(20 * MS_US);
    }
}

static void test_a_controller_that_is_stopped_leaves_all_as_it_is_and_goes_on(void **state)
{
    FaultScene *scene = *state;
    const int64_t before_bytes[] = {lab_actual(scene->vms[0]), lab_actual(scene->vms[1])};
    process_kill(scene->controller, SIGSTOP);
    assert_stay(scene, before_bytes, fault_pause_us());
    process_kill(scene->controller, SIGCONT);
    lab_wait_settled(scene->control);
}

static void test_sockets_that_are_moved_away_and_back_are_not_missed(void **state)
{
    FaultScene *scene = *state;
    g_autofree char *control = vm_lab_path(scene->lab, "controller.sock");
    const char *const paths[] = {vm_qmp_path(scene->vms[0]), vm_agent_path(scene->vms[0]), control};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *away = g_strconcat(paths[i], ".away", NULL);
        assert_int_equal(g_rename(paths[i], away), 0);
    }
    // What is connected stays so.
    for (size_t i = 0; i < FAULT_GUESTS; i++) {
        fault_run(scene->vms[i], "load touch 50M --hold 0");
    }
    lab_wait_settled(scene->control);
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *away = g_strconcat(paths[i], ".away", NULL);
        assert_int_equal(g_rename(away, paths[i]), 0);
    }
    // A new controller finds them where they were.
    fault_end_controller(scene, SIGTERM, 0);
    fault_start_controller(scene);
    lab_wait_settled(scene->control);
}

static void test_a_log_on_a_full_disk_costs_nothing_but_the_log(void **state)
{
    FaultScene *scene = *state;
    fault_end_controller(scene, SIGTERM, 0);
    g_autofree char *log = vm_lab_path(scene->lab, "aerostat-controller.log");
    assert_int_equal(g_unlink(log), 0);
    assert_int_equal(symlink("/dev/full", log), 0);
    fault_start_controller(scene);
    lab_wait_settled(scene->control);
    fault_end_controller(scene, SIGTERM, 0);
    assert_int_equal(g_unlink(log), 0);
}

static void test_without_descriptors_clients_wait_and_guests_do_not(void **state)
{
    FaultScene *scene = *state;
    g_autofree char *path = vm_lab_path(scene->lab, "controller.sock");
    int before = process_descriptors(process_pid(scene->controller));
    pid_t pid = process_pid(scene->controller);
    struct rlimit limit;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = (rlim_t)before + 1;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
    int fds[8];
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = unix_socket_connect(path, NULL);
        assert_true(fds[i] >= 0);
    }
    fault_run(scene->vms[0], "load touch 50M --hold 0");
    lab_wait_settled(scene->control);
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        close(fds[i]);
    }
    g_autoptr(GError) error = NULL;
    qmp_session_close(qmp_session_open(path, CONTROL_TIMEOUT_US, &error));
    assert_no_error(error);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

static void come_and_go(const char *path, bool with_words)
{
    static const char words[] = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-guests\"}";
    int fd = unix_socket_connect(path, NULL);
    // More wait to be accepted than the kernel keeps: those that come then are turned away.
    if (fd >= 0) {
        if (with_words) {
            (void)!send(fd, words, strlen(words), MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void test_a_thousand_clients_that_come_and_go_leave_nothing_behind(void **state)
{
    FaultScene *scene = *state;
    g_autofree char *path = vm_lab_path(scene->lab, "controller.sock");
    int before = process_descriptors(process_pid(scene->controller));
    for (int i = 0; i < CONNECTIONS / 10; i++) {
        come_and_go(path, true);
    }
    wait_descriptors(scene, before);
    int64_t before_bytes = process_status_bytes(process_pid(scene->controller), "VmRSS");
    for (int i = 0; i < CONNECTIONS; i++) {
        come_and_go(path, i % 2 == 0);
    }
    wait_descriptors(scene, before);
    lab_wait_settled(scene->control);
    assert_true(process_status_bytes(process_pid(scene->controller), "VmRSS") <=
                before_bytes + GROWTH_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_a_controller_that_is_stopped_leaves_all_as_it_is_and_goes_on),
        FAULT_TEST(test_sockets_that_are_moved_away_and_back_are_not_missed),
        FAULT_TEST(test_a_log_on_a_full_disk_costs_nothing_but_the_log),
        FAULT_TEST(test_without_descriptors_clients_wait_and_guests_do_not),
        FAULT_TEST(test_a_thousand_clients_that_come_and_go_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, fault_scene_begin, fault_scene_end);
}
