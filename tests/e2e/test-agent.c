// SPDX-License-Identifier: Apache-2.0
//
// The agent in a real guest that is in need: what the guest's own kernel wakes it for, how it
// stays alive, and what it does without privileges.
#include "tests/e2e/lab.h"

#include "protocol/report.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/agent-wire.h"

#define PATIENCE_US SETTLE_TIMEOUT_US
// No sample is due for 10 s, no heartbeat for an hour.
#define SUBSCRIBE_TO_ALARMS                                                                        \
    "{'execute':'guest-memory-subscribe','arguments':"                                             \
    "{'interval-ms':10000,'heartbeat-ms':3600000,'change-bytes':1099511627776}}"
#define SUBSCRIBE "{'execute':'guest-memory-subscribe'}"
#define SMALL_BYTES (256 * MIB)
// How long tasks have waited for memory since the guest booted, in microseconds.
#define STALLED_US "$(sed -n 's/^some.*total=//p' /proc/pressure/memory)"

static Vm *boot(void **state)
{
    g_autoptr(GError) error = NULL;
    VmOptions options = {.name = "alpha", .memory_bytes = SMALL_BYTES};
    Vm *vm = vm_lab_add(*state, &options, &error);
    assert_no_error(error);
    vm_lab_wait_ready(*state, &error);
    assert_no_error(error);
    return vm;
}

static void run(Vm *vm, const char *command, char **output)
{
    g_autoptr(GError) error = NULL;
    int status = vm_run(vm, command, VM_COMMAND_TIMEOUT_US, output, &error);
    assert_no_error(error);
    assert_int_equal(status, 0);
}

static int64_t start(Vm *vm, const char *command)
{
    g_autoptr(GError) error = NULL;
    int64_t pid = vm_run_in_background(vm, command, &error);
    assert_no_error(error);
    return pid;
}

static void subscribe(Vm *vm, AgentWire *wire, const char *request)
{
    g_autoptr(GError) error = NULL;
    int fd = unix_socket_connect(vm_agent_path(vm), &error);
    assert_no_error(error);
    agent_wire_init(wire, fd, false);
    g_autoptr(json_t) answer = agent_wire_ask(wire, request);
    assert_non_null(json_object_get(answer, "return"));
}

static MemoryReport receive_report(AgentWire *wire)
{
    MemoryReport report;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) event = agent_wire_receive(wire);
    memory_report_from_json(json_object_get(event, "data"), &report, &error);
    assert_no_error(error);
    return report;
}

// --- what wakes it ----------------------------------------------------------------------------

static void test_a_stall_is_told_when_no_sample_is_due(void **state)
{
    Vm *vm = boot(state);
    AgentWire wire;
    // Its tasks stall before anybody listens: however long that takes, it is not within the 10 s.
    run(vm,
        "mkdir /tmp/groups && mount -t cgroup2 none /tmp/groups && cd /tmp/groups && "
        "echo +memory >cgroup.subtree_control && mkdir stalled && echo 4M >stalled/memory.high && "
        "echo 0 >stalled/memory.swap.max",
        NULL);
    start(vm, "echo $$ >/tmp/groups/stalled/cgroup.procs; exec load touch 64M");
    run(vm,
        "from=" STALLED_US "; until [ " STALLED_US " -gt $((from + 100000)) ]; do "
        "usleep 10000; done",
        NULL);
    subscribe(vm, &wire, SUBSCRIBE_TO_ALARMS);
    MemoryReport first = receive_report(&wire);
    assert_int_equal(first.reason, REPORT_REASON_START);
    MemoryReport report;
    int64_t deadline_us = deadline_after(PATIENCE_US);
    do {
        assert_true(deadline_left_us(deadline_us) > 0);
        report = receive_report(&wire);
    } while (report.reason != REPORT_REASON_PRESSURE);
    assert_true(report.monotonic_us - first.monotonic_us < 10 * SECOND_US);
    agent_wire_clear(&wire);
}

static void test_a_process_killed_for_want_of_memory_is_told_as_pressure(void **state)
{
    Vm *vm = boot(state);
    AgentWire wire;
    subscribe(vm, &wire, SUBSCRIBE);
    MemoryReport first = receive_report(&wire);
    start(vm, "load touch 1G");
    MemoryReport report;
    int64_t deadline_us = deadline_after(PATIENCE_US);
    do {
        assert_true(deadline_left_us(deadline_us) > 0);
        report = receive_report(&wire);
    } while (memory_report_get(&report, REPORT_PAGING_OOM_KILLS) ==
             memory_report_get(&first, REPORT_PAGING_OOM_KILLS));
    assert_int_equal(report.reason, REPORT_REASON_PRESSURE);
    agent_wire_clear(&wire);
}

// --- how it lives -----------------------------------------------------------------------------

static void test_its_memory_is_locked_and_the_oom_killer_spares_it(void **state)
{
    Vm *vm = boot(state);
    AgentWire wire;
    run(vm, "stop-agent; aerostat-agent </dev/null >/tmp/agent.log 2>&1 &", NULL);
    subscribe(vm, &wire, SUBSCRIBE);
    g_autofree char *output = NULL;
    run(vm,
        "p=$(pidof aerostat-agent); cat /proc/$p/oom_score_adj; grep VmLck /proc/$p/status; "
        "cat /tmp/agent.log",
        &output);
    assert_true(g_str_has_prefix(output, "-1000\n"));
    const char *locked = strstr(output, "VmLck:");
    assert_non_null(locked);
#ifndef __SANITIZE_ADDRESS__ // which makes mlockall() do nothing
    assert_true(g_ascii_strtoll(locked + strlen("VmLck:"), NULL, 10) > 0);
#endif
    // It has all it wants, and complains of nothing.
    assert_non_null(strstr(output, "host side open"));
    assert_null(strstr(output, "memory is not locked"));
    assert_null(strstr(output, "stalls are seen"));
    assert_null(strstr(output, "page faults are not watched"));
    agent_wire_clear(&wire);
}

static void test_without_privileges_it_serves_and_says_what_it_lacks(void **state)
{
    Vm *vm = boot(state);
    AgentWire wire;
    run(vm,
        "stop-agent; chmod 666 /dev/vport*; mkdir -p /etc; "
        "echo nobody:x:65534:65534::/:/bin/sh >/etc/passwd; start-stop-daemon -S -c nobody "
        "-x /usr/sbin/aerostat-agent </dev/null >/tmp/agent.log 2>&1 &",
        NULL);
    subscribe(vm, &wire, SUBSCRIBE);
    assert_int_equal(receive_report(&wire).reason, REPORT_REASON_START);
    g_autofree char *output = NULL;
    run(vm, "cat /tmp/agent.log", &output);
    assert_non_null(strstr(output, "the OOM killer may end this process"));
    // By sampling or, where the kernel allows slower triggers to all, within 200 ms.
    assert_non_null(strstr(output, "stalls are seen"));
    assert_non_null(strstr(output, "page faults are not watched"));
    agent_wire_clear(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_stall_is_told_when_no_sample_is_due),
        LAB_TEST(test_a_process_killed_for_want_of_memory_is_told_as_pressure),
        LAB_TEST(test_its_memory_is_locked_and_the_oom_killer_spares_it),
        LAB_TEST(test_without_privileges_it_serves_and_says_what_it_lacks),
    };
    return run_test_table(tests);
}
