// SPDX-License-Identifier: Apache-2.0
//
// All that can become of the agent's port while the agent runs, on real guests: whatever happened
// before, a new client finds a clean stream, and the agent never needs a restart.
#include "tests/e2e/lab.h"

#include "protocol/framing.h"
#include "protocol/qmp.h"
#include "protocol/report.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/agent-wire.h"

#include <poll.h>

#define PING "{'execute':'guest-ping'}"
#define PONG "{'return':{}}"
// Ten reports a second, even from a guest at rest.
#define INTERVAL_MS 100
#define SUBSCRIBE                                                                                  \
    "{'execute':'guest-memory-subscribe','arguments':{'interval-ms':100,'heartbeat-ms':100}}"
// Long enough for five reports nobody asked for.
#define SILENCE_US (SECOND_US / 2)
// Above what an earlier client may have left on the way to the next one.
#define MAX_STALE_LINES 1000

// --- a client ---------------------------------------------------------------------------------

static void connect_client(AgentWire *wire, const Vm *vm)
{
    g_autoptr(GError) error = NULL;
    int fd = unix_socket_connect(vm_agent_path(vm), &error);
    assert_no_error(error);
    agent_wire_init(wire, fd, false);
}

// Asks for a fresh start as every client of the guest-agent protocol does, and asserts that the
// sentinel and the answer with our number come, whatever is left of an earlier conversation.
static void synchronise(AgentWire *wire)
{
    int id = g_random_int_range(1, G_MAXINT);
    g_autofree char *request =
        g_strdup_printf("%c{\"execute\":\"" QGA_SYNC_DELIMITED "\",\"arguments\":{\"id\":%d}}\n",
                        LINE_SENTINEL, id);
    agent_wire_send(wire, request, -1);
    for (int lines = 0; lines < MAX_STALE_LINES; lines++) {
        g_autofree char *line = agent_wire_receive_line(wire);
        const char *sentinel = strrchr(line, (guchar)LINE_SENTINEL);
        if (sentinel) {
            g_autoptr(json_t) answer = json_loads(sentinel + 1, 0, NULL);
            assert_int_equal(json_integer_value(json_object_get(answer, "return")), id);
            return;
        }
    }
    fail_msg("no sentinel came");
}

static void open_client(AgentWire *wire, const Vm *vm)
{
    connect_client(wire, vm);
    synchronise(wire);
}

// Nothing comes that was not asked for, for a while.
static void assert_silent(const AgentWire *wire, int64_t duration_us)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = POLLIN};
    assert_int_equal(wire->input->len, 0);
    assert_int_equal(poll(&poll_fd, 1, (int)(duration_us / MS_US)), 0);
}

// A stream just synchronised is clean: no event, and the answers are those to its own questions.
static void assert_clean(AgentWire *wire)
{
    assert_silent(wire, SILENCE_US);
    agent_wire_assert(wire, PING, PONG);
}

static void subscribe(AgentWire *wire)
{
    g_autoptr(json_t) answer = agent_wire_ask(wire, SUBSCRIBE);
    assert_non_null(json_object_get(answer, "return"));
}

static void next_report(AgentWire *wire, MemoryReport *report)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) event = agent_wire_receive(wire);
    assert_string_equal(json_word(event, "event"), QGA_MEMORY_REPORT_EVENT);
    memory_report_from_json(json_object_get(event, "data"), report, &error);
    assert_no_error(error);
}

// The second of two reports that come one after the other.
static void take_reports(AgentWire *wire, MemoryReport *report)
{
    MemoryReport first;
    next_report(wire, &first);
    next_report(wire, report);
    assert_int_equal(report->sequence, first.sequence + 1);
    assert_true(report->monotonic_us > first.monotonic_us);
    assert_string_equal(report->boot_id, first.boot_id);
}

// A client on a port that should be in order: it synchronises, is left alone, subscribes and gets
// reports.
static void assert_served(const Vm *vm, MemoryReport *report)
{
    AgentWire wire;
    open_client(&wire, vm);
    assert_clean(&wire);
    subscribe(&wire);
    take_reports(&wire, report);
    agent_wire_clear(&wire);
}

// --- a guest ----------------------------------------------------------------------------------

static Vm *boot(VmLab *lab, const VmOptions *options)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = vm_lab_add(lab, options, &error);
    assert_no_error(error);
    vm_wait_ready(vm, VM_BOOT_TIMEOUT_US, &error);
    assert_no_error(error);
    return vm;
}

// What the agent has said so far is forgotten.
static void clear_agent_log(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    assert_int_equal(vm_run(vm, ": >/tmp/agent.log", VM_COMMAND_TIMEOUT_US, NULL, &error), 0);
}

// Waits until the agent has said `text`.
static void wait_agent_said(Vm *vm, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command =
        g_strdup_printf("until grep -q '%s' /tmp/agent.log; do usleep 10000; done", text);
    assert_int_equal(vm_run(vm, command, VM_COMMAND_TIMEOUT_US, NULL, &error), 0);
}

static void plug(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    vm_plug_port(vm, &error);
    assert_no_error(error);
}

static char *agent_pid(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    char *pid = NULL;
    assert_int_equal(vm_run(vm, "pidof aerostat-agent", VM_COMMAND_TIMEOUT_US, &pid, &error), 0);
    return pid;
}

// --- plugging ---------------------------------------------------------------------------------

static void test_a_port_that_is_not_there_yet_is_served_once_it_is(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha", .without_port = true});
    wait_agent_said(vm, "waiting for it to appear");
    plug(vm);
    MemoryReport report;
    assert_served(vm, &report);
}

static void test_a_port_that_was_unplugged_is_served_again_once_it_is_back(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    AgentWire wire;
    MemoryReport report;
    open_client(&wire, vm);
    subscribe(&wire);
    take_reports(&wire, &report);

    // While the guest booted the agent may have waited for its port already.
    clear_agent_log(vm);
    vm_unplug_port(vm, &error);
    assert_no_error(error);
    wait_agent_said(vm, "waiting for it to appear");
    plug(vm);
    // The socket outlived the port, and so does the client. Its subscription does not.
    synchronise(&wire);
    assert_clean(&wire);
    agent_wire_clear(&wire);
    assert_served(vm, &report);
}

// --- clients ----------------------------------------------------------------------------------

// Begins a request and leaves, with a subscription and with answers that it did not wait for.
static void leave_untidily(AgentWire *wire)
{
    static const char request[] = "{\"execute\":\"guest-info\"}\n";
    subscribe(wire);
    for (int i = 0; i < 100; i++) {
        agent_wire_send(wire, request, -1);
    }
    agent_wire_send(wire, request, sizeof(request) / 2);
    agent_wire_clear(wire);
}

static void test_a_host_side_closed_and_opened_again_starts_anew_without_a_sync(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    AgentWire wire;
    open_client(&wire, vm);
    leave_untidily(&wire);
    wait_agent_said(vm, "host side closed");

    connect_client(&wire, vm);
    assert_clean(&wire);
    agent_wire_clear(&wire);
}

// The next client waits in line while the first one is still connected, so that the guest may see
// one end and the other begin at the same time.
static void test_a_client_that_follows_on_the_heels_of_another_finds_a_clean_stream(void **state)
{
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    for (int round = 0; round < 4; round++) {
        AgentWire former;
        AgentWire next;
        open_client(&former, vm);
        connect_client(&next, vm);
        leave_untidily(&former);
        synchronise(&next);
        assert_clean(&next);
        agent_wire_clear(&next);
    }
}

// --- the machine stops ------------------------------------------------------------------------

static void test_a_machine_stopped_and_continued_reports_on_without_catching_up(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    AgentWire wire;
    MemoryReport report;
    open_client(&wire, vm);
    subscribe(&wire);
    take_reports(&wire, &report);

    assert_true(vm_stop(vm, &error));
    // What was on its way when the machine stopped lies in the socket by now.
    struct pollfd poll_fd = {.fd = wire.fd, .events = POLLIN};
    while (wire.input->len > 0 || poll(&poll_fd, 1, 100) > 0) {
        next_report(&wire, &report);
    }
    assert_silent(&wire, 2 * SILENCE_US);
    assert_true(vm_continue(vm, &error));

    // As many as the guest's time since allows, however long the machine stood still: what would
    // make up for that comes all at once.
    const int count = 10;
    int64_t sequence = report.sequence;
    MemoryReport first;
    next_report(&wire, &first);
    for (int i = 1; i < count; i++) {
        next_report(&wire, &report);
    }
    assert_int_equal(report.sequence, sequence + count);
    int64_t span_us = report.monotonic_us - first.monotonic_us;
    assert_true(span_us >= (count - 1) * INTERVAL_MS * MS_US / 2);
    synchronise(&wire);
    assert_clean(&wire);
    agent_wire_clear(&wire);
}

static void test_a_guest_suspended_and_woken_is_served_without_a_new_agent(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    g_autofree char *pid = agent_pid(vm);
    AgentWire wire;
    MemoryReport before;
    MemoryReport after;
    open_client(&wire, vm);
    subscribe(&wire);
    take_reports(&wire, &before);

    vm_suspend(vm, &error);
    assert_no_error(error);
    vm_wake(vm, &error);
    assert_no_error(error);
    // The client stayed connected while the guest was away.
    synchronise(&wire);
    assert_clean(&wire);
    agent_wire_clear(&wire);
    assert_served(vm, &after);
    assert_true(after.sequence > before.sequence);
    assert_string_equal(after.boot_id, before.boot_id);
    g_autofree char *pid_after = agent_pid(vm);
    assert_string_equal(pid_after, pid);
}

static void test_a_client_that_came_while_the_guest_slept_finds_a_clean_stream(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha"});
    AgentWire wire;
    open_client(&wire, vm);
    subscribe(&wire);
    vm_suspend(vm, &error);
    assert_no_error(error);
    agent_wire_clear(&wire);
    connect_client(&wire, vm);
    vm_wake(vm, &error);
    assert_no_error(error);
    synchronise(&wire);
    assert_clean(&wire);
    agent_wire_clear(&wire);
}

// --- snapshots --------------------------------------------------------------------------------

static void test_after_a_snapshot_is_loaded_the_agent_reports_from_there(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha", .snapshots = true});
    AgentWire wire;
    MemoryReport saved;
    open_client(&wire, vm);
    subscribe(&wire);
    take_reports(&wire, &saved);
    vm_save(vm, "one", &error);
    assert_no_error(error);
    // Far more reports than come between the machine's save and its load.
    synchronise(&wire);
    int64_t sequence = 0;
    for (int i = 0; i < 200; i++) {
        g_autoptr(json_t) answer = agent_wire_ask(&wire, "{'execute':'guest-memory-report'}");
        const json_t *value = json_object_get(json_object_get(answer, "return"), "sequence");
        sequence = json_integer_value(value);
    }
    vm_load(vm, "one", &error);
    assert_no_error(error);

    // The guest's clock and the agent's count go back with all the rest.
    synchronise(&wire);
    assert_clean(&wire);
    subscribe(&wire);
    MemoryReport loaded;
    take_reports(&wire, &loaded);
    assert_true(loaded.monotonic_us > saved.monotonic_us);
    assert_true(loaded.sequence > saved.sequence);
    assert_true(loaded.sequence < sequence);
    assert_string_equal(loaded.boot_id, saved.boot_id);
    agent_wire_clear(&wire);
}

static void
test_the_controller_brings_a_guest_back_to_its_target_after_a_snapshot_is_loaded(void **state)
{
    g_autoptr(GError) error = NULL;
    const int64_t budget_bytes = 400 * MIB;
    Vm *vm = boot(*state, &(VmOptions){.name = "alpha", .snapshots = true});
    vm_save(vm, "one", &error);
    assert_no_error(error);
    g_autoptr(QmpSession) control = NULL;
    Process *controller = lab_control(*state, budget_bytes, &control);
    lab_wait_settled(control);
    assert_true(lab_actual(vm) <= budget_bytes);

    vm_load(vm, "one", &error);
    assert_no_error(error);
    assert_int_equal(lab_actual(vm), vm_memory_bytes(vm));
    vm_wait_actual(vm, 0, budget_bytes, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    lab_wait_settled(control);
    assert_true(process_is_running(controller));
}

// --- migration --------------------------------------------------------------------------------

static Vm *migrate(VmLab *lab, Vm *from)
{
    g_autoptr(GError) error = NULL;
    Vm *to = vm_lab_add(lab, &(VmOptions){.name = "beta", .incoming = true}, &error);
    assert_no_error(error);
    vm_migrate(from, to, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    return to;
}

static void test_an_agent_migrated_to_another_qemu_is_served_there(void **state)
{
    Vm *from = boot(*state, &(VmOptions){.name = "alpha"});
    g_autofree char *pid = agent_pid(from);
    AgentWire wire;
    MemoryReport before;
    MemoryReport after;
    open_client(&wire, from);
    subscribe(&wire);
    take_reports(&wire, &before);
    agent_wire_send(&wire, "{\"execute\":\"guest-in", -1);

    Vm *to = migrate(*state, from);
    assert_served(to, &after);
    assert_true(after.sequence > before.sequence);
    assert_true(after.monotonic_us > before.monotonic_us);
    assert_string_equal(after.boot_id, before.boot_id);
    g_autofree char *pid_after = agent_pid(to);
    assert_string_equal(pid_after, pid);
    agent_wire_clear(&wire);
}

// A client that connected before the guest arrived, as the controller of the other host does.
static void test_a_client_waiting_at_the_destination_finds_a_clean_stream(void **state)
{
    g_autoptr(GError) error = NULL;
    Vm *from = boot(*state, &(VmOptions){.name = "alpha"});
    AgentWire former;
    AgentWire next;
    open_client(&former, from);
    subscribe(&former);
    Vm *to = vm_lab_add(*state, &(VmOptions){.name = "beta", .incoming = true}, &error);
    assert_no_error(error);
    assert_true(vm_wait_monitor(to, VM_BOOT_TIMEOUT_US, &error));
    connect_client(&next, to);
    vm_migrate(from, to, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    synchronise(&next);
    assert_clean(&next);
    agent_wire_clear(&next);
    agent_wire_clear(&former);
}

// A configuration of the destination alone, as on a host of its own.
static char *write_destination(VmLab *lab, const Vm *to, int64_t budget_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *socket_path = vm_lab_path(lab, "controller.sock");
    g_autofree char *text = g_strdup_printf(
        "[controller]\nsocket=%s\n[host]\nbudget=%" G_GINT64_FORMAT "\n[guest beta]\nqmp=%s\n"
        "agent=%s\n",
        socket_path, budget_bytes, vm_qmp_path(to), vm_agent_path(to));
    char *path = vm_lab_path(lab, "controller.conf");
    g_file_set_contents(path, text, -1, &error);
    assert_no_error(error);
    return path;
}

static void test_the_controller_at_the_destination_takes_the_guest_over(void **state)
{
    g_autoptr(GError) error = NULL;
    const int64_t budget_bytes = 400 * MIB;
    Vm *from = boot(*state, &(VmOptions){.name = "alpha"});
    Vm *to = vm_lab_add(*state, &(VmOptions){.name = "beta", .incoming = true}, &error);
    assert_no_error(error);
    assert_true(vm_wait_monitor(to, VM_BOOT_TIMEOUT_US, &error));
    g_autofree char *config = write_destination(*state, to, budget_bytes);
    g_autoptr(QmpSession) control = NULL;
    vm_lab_start_controller(*state, config, &control, &error);
    assert_no_error(error);

    vm_migrate(from, to, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    lab_wait_settled(control);
    vm_wait_actual(to, 0, budget_bytes, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_port_that_is_not_there_yet_is_served_once_it_is),
        LAB_TEST(test_a_port_that_was_unplugged_is_served_again_once_it_is_back),
        LAB_TEST(test_a_host_side_closed_and_opened_again_starts_anew_without_a_sync),
        LAB_TEST(test_a_client_that_follows_on_the_heels_of_another_finds_a_clean_stream),
        LAB_TEST(test_a_machine_stopped_and_continued_reports_on_without_catching_up),
        LAB_TEST(test_a_guest_suspended_and_woken_is_served_without_a_new_agent),
        LAB_TEST(test_a_client_that_came_while_the_guest_slept_finds_a_clean_stream),
        LAB_TEST(test_after_a_snapshot_is_loaded_the_agent_reports_from_there),
        LAB_TEST(test_the_controller_brings_a_guest_back_to_its_target_after_a_snapshot_is_loaded),
        LAB_TEST(test_an_agent_migrated_to_another_qemu_is_served_there),
        LAB_TEST(test_a_client_waiting_at_the_destination_finds_a_clean_stream),
        LAB_TEST(test_the_controller_at_the_destination_takes_the_guest_over),
    };
    return run_test_table(tests);
}
