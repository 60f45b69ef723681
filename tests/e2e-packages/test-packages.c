// SPDX-License-Identifier: Apache-2.0
//
// The Debian packages in a real Debian guest: installed with apt, started by systemd and udev, and
// gone without a trace.
//
// The guest boots once; each test goes back to the moment at which it was ready.
#include "tests/e2e/lab.h"

#include "protocol/transport/unix-socket.h"
#include "tests/support/agent-wire.h"

#include <signal.h>

#define MEMORY_BYTES (1024 * MIB)
// Under emulation, on a busy machine.
#define PATIENCE_US (600 * SECOND_US)
#define READY "ready"
// Less than the guest's memory, so that its balloon is not empty.
#define BUDGET_BYTES (MEMORY_BYTES - 64 * MIB)
// A heartbeat is a second.
#define REPORT_GAP_US (2 * SECOND_US)

#define INSTALL "apt-get -qq install --allow-downgrades "
#define AGENT_DEB "/packages/deb/aerostat-agent_*.deb"
#define NEXT_AGENT_DEB "/packages/deb-next/aerostat-agent_*.deb"
#define CONTROLLER_DEB "/packages/deb/aerostat-controller_*.deb"
#define NEXT_CONTROLLER_DEB "/packages/deb-next/aerostat-controller_*.deb"
#define AGENT "aerostat-agent.service"

typedef struct Fixture {
    VmLab *lab;
    Vm *guest;
    Process *controller; // on the host; NULL: none runs
} Fixture;

// --- the guest --------------------------------------------------------------------------------

// Runs a command that must succeed. Returns what it printed.
static char *run(Vm *guest, const char *command)
{
    g_autoptr(GError) error = NULL;
    char *output = NULL;
    int status = vm_run(guest, command, PATIENCE_US, &output, &error);
    assert_no_error(error);
    if (status != 0) {
        fail_msg("'%s' ended with %d: %s", command, status, output);
    }
    return g_strchomp(output);
}

static void do_in_guest(Vm *guest, const char *command)
{
    g_free(run(guest, command));
}

static void assert_prints(Vm *guest, const char *command, const char *expected)
{
    g_autofree char *output = run(guest, command);
    assert_string_equal(output, expected);
}

// Repeats a command until it succeeds.
static void wait_for_command(Vm *guest, const char *command)
{
    g_autoptr(GError) error = NULL;
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (vm_run(guest, command, PATIENCE_US, NULL, &error) != 0) {
        assert_no_error(error);
        if (deadline_left_us(deadline_us) == 0) {
            g_autofree char *journal = run(guest, "journalctl -b --no-pager | tail -n 40");
            fail_msg("'%s' never succeeded\n%s", command, journal);
        }
    }
}

static void plug_port(Vm *guest)
{
    g_autoptr(GError) error = NULL;
    vm_plug_port(guest, &error);
    assert_no_error(error);
}

static void wait_agent_active(Vm *guest)
{
    wait_for_command(guest, "systemctl is-active " AGENT);
}

// Asks as a host does, and wants a report.
static void assert_reports(Vm *guest)
{
    g_autoptr(GError) error = NULL;
    AgentWire wire;
    int fd = unix_socket_connect(vm_agent_path(guest), &error);
    assert_no_error(error);
    agent_wire_init(&wire, fd, false);
    g_autoptr(json_t) answer = agent_wire_ask(&wire, "{'execute':'guest-memory-report'}");
    const json_t *memory = json_object_get(json_object_get(answer, "return"), "memory");
    assert_in_range(json_integer_value(json_object_get(memory, "total")), 1, MEMORY_BYTES);
    agent_wire_clear(&wire);
}

static int end(void **state)
{
    Fixture *fixture = *state;
    vm_lab_free(fixture->lab);
    g_free(fixture);
    return 0;
}

// The programs' folder, with aerostat-controller in it, has the Debian guest in it like the other
// test guest.
static VmLab *new_lab(GError **error)
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *folder = g_build_filename(build ? build : "build", "debian", NULL);
    g_setenv("AEROSTAT_BUILD", folder, TRUE);
    return vm_lab_new(error);
}

static int boot(void **state)
{
    g_autoptr(GError) error = NULL;
    const VmOptions options = {
        .name = "debian", .memory_bytes = MEMORY_BYTES, .without_port = true, .snapshots = true};
    Fixture *fixture = g_new0(Fixture, 1);
    *state = fixture;
    fixture->lab = new_lab(&error);
    fixture->guest = fixture->lab ? vm_lab_add(fixture->lab, &options, &error) : NULL;
    if (fixture->guest && vm_wait_ready(fixture->guest, PATIENCE_US, &error)) {
        do_in_guest(fixture->guest, "systemctl is-system-running --wait");
        vm_save(fixture->guest, READY, &error);
    }
    if (error) {
        print_error("%s\n", error->message);
    }
    return error ? -1 : 0;
}

static int go_back(void **state)
{
    Fixture *fixture = *state;
    Vm *guest = fixture->guest;
    g_autoptr(GError) error = NULL;
    if (fixture->controller) {
        process_kill(fixture->controller, SIGKILL);
        process_wait(fixture->controller, PATIENCE_US, NULL);
        fixture->controller = NULL;
    }
    // A machine's devices must be those of its saved state; without the port this fails, rightly.
    vm_unplug_port(guest, NULL);
    vm_load(guest, READY, &error);
    assert_no_error(error);
    return 0;
}

// --- the agent --------------------------------------------------------------------------------

static void test_a_port_that_appears_starts_the_agent_in_its_sandbox(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    // Debian's kernel by default asks for more than CAP_PERFMON.
    do_in_guest(guest, "echo 2 >/proc/sys/kernel/perf_event_paranoid");
    do_in_guest(guest, INSTALL AGENT_DEB);
    assert_prints(guest, "systemctl is-active " AGENT " || true", "inactive");
    plug_port(guest);
    wait_agent_active(guest);
    assert_reports(guest);
    assert_prints(guest, "stat -c %U /proc/$(pidof aerostat-agent)", "aerostat-agent");
    // It says what it is not permitted: to lock memory, to watch stalls and page faults.
    assert_prints(
        guest, "journalctl -b --no-pager -o cat _COMM=aerostat-agent | grep -v ': port ' || true",
        "");
}

static void test_a_port_that_was_there_before_starts_the_agent(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    plug_port(guest);
    do_in_guest(guest, INSTALL AGENT_DEB);
    wait_agent_active(guest);
    assert_reports(guest);
}

static void test_the_agent_ends_with_its_port_and_comes_back_with_it(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    g_autoptr(GError) error = NULL;
    do_in_guest(guest, INSTALL AGENT_DEB);
    plug_port(guest);
    wait_agent_active(guest);
    vm_unplug_port(guest, &error);
    assert_no_error(error);
    wait_for_command(guest, "systemctl show -P ActiveState " AGENT " | grep -qx inactive");
    plug_port(guest);
    wait_agent_active(guest);
    assert_reports(guest);
}

static void test_an_agent_that_is_killed_is_started_again(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    do_in_guest(guest, INSTALL AGENT_DEB);
    plug_port(guest);
    wait_agent_active(guest);
    do_in_guest(guest, "systemctl kill --signal=KILL " AGENT);
    wait_for_command(guest, "systemctl show -P NRestarts " AGENT " | grep -qx 1");
    wait_agent_active(guest);
    assert_reports(guest);
}

static void test_upgrade_and_downgrade_keep_the_configuration_and_the_service(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    do_in_guest(guest, INSTALL AGENT_DEB);
    plug_port(guest);
    wait_agent_active(guest);
    g_autofree char *version = run(guest, "aerostat-agent --version");
    g_autofree char *later = g_strconcat(version, "+next", NULL);
    do_in_guest(guest, "echo '# mine' >>/etc/aerostat/agent.conf");
    do_in_guest(guest, INSTALL NEXT_AGENT_DEB);
    assert_prints(guest, "$(readlink /proc/$(pidof aerostat-agent)/exe) --version", later);
    assert_reports(guest);
    do_in_guest(guest, INSTALL AGENT_DEB);
    assert_prints(guest, "$(readlink /proc/$(pidof aerostat-agent)/exe) --version", version);
    assert_reports(guest);
    assert_prints(guest, "tail -n 1 /etc/aerostat/agent.conf", "# mine");
}

static void test_what_was_removed_and_installed_again_runs(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    plug_port(guest);
    do_in_guest(guest, INSTALL AGENT_DEB);
    wait_agent_active(guest);
    do_in_guest(guest, "apt-get -qq remove aerostat-agent");
    assert_prints(guest, "pidof aerostat-agent || true", "");
    do_in_guest(guest, "test -e /etc/aerostat/agent.conf");
    do_in_guest(guest, INSTALL AGENT_DEB);
    wait_agent_active(guest);
    assert_reports(guest);
}

// The longest time without a report while the guest runs `command`. It is never shrunk, grown or
// sent anything meanwhile.
static int64_t longest_gap_us(Fixture *fixture, QmpSession *control, const char *command)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    int64_t gap_us = 0;
    int status = -1;
    int64_t actual_bytes = lab_actual(fixture->guest);
    vm_begin(fixture->guest, command, &error);
    assert_no_error(error);
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (vm_poll(fixture->guest, &status, &output, &error) == GUEST_SHELL_RUNNING) {
        g_autoptr(json_t) guests = lab_query(control, "query-guests");
        const json_t *guest = lab_find_guest(guests, "debian");
        gap_us = MAX(gap_us, json_integer_value(json_object_get(guest, "report-age-us")));
        assert_string_equal(json_word(guest, "agent"), "connected");
        assert_int_equal(json_integer_value(json_object_get(guest, "actual")), actual_bytes);
        assert_true(deadline_left_us(deadline_us) > 0);
        g_usleep(20 * MS_US);
    }
    assert_no_error(error);
    assert_int_equal(status, 0);
    return gap_us;
}

static void test_an_upgrade_moves_no_balloon_and_no_report_is_late(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    QmpSession *control;
    do_in_guest(fixture->guest, INSTALL AGENT_DEB);
    plug_port(fixture->guest);
    wait_agent_active(fixture->guest);
    fixture->controller = lab_control(fixture->lab, BUDGET_BYTES, &control);
    lab_wait_settled(control);
    vm_trace_targets(fixture->guest, &error);
    assert_no_error(error);

    g_autofree char *pid = run(fixture->guest, "pidof aerostat-agent");
    int64_t gap_us = longest_gap_us(fixture, control, INSTALL NEXT_AGENT_DEB);
    g_autofree char *next_pid = run(fixture->guest, "pidof aerostat-agent");
    assert_string_not_equal(pid, next_pid);
    print_message("longest time without a report: %" G_GINT64_FORMAT " ms\n", gap_us / MS_US);
    assert_in_range(gap_us, 1, REPORT_GAP_US);
    assert_int_equal(vm_targets_traced(fixture->guest), 0);

    qmp_session_close(control);
}

// --- the controller ---------------------------------------------------------------------------

static void test_the_controller_serves_its_group(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    do_in_guest(guest, INSTALL CONTROLLER_DEB);
    assert_prints(guest, "systemctl is-active aerostat-controller", "active");
    do_in_guest(guest, "useradd -G aerostat tester");
    do_in_guest(guest, "setpriv --reuid tester --regid tester --init-groups aerostatctl status");
    assert_prints(guest,
                  "setpriv --reuid nobody --regid nogroup --clear-groups aerostatctl status "
                  ">/dev/null 2>&1 || echo no",
                  "no");
}

// Perl is what Debian's smallest system has to listen with.
#define LISTENER                                                                                   \
    "perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Local => \"/run/vm/a.qmp\", Listen "   \
    "=> 1)"                                                                                        \
    " or die; open(F, \">/run/vm/ready\"); $c = $s->accept; open(F, \">/run/vm/met\"); sleep 600'"

static void test_the_controller_reaches_monitors_that_belong_to_others(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    g_autoptr(GError) error = NULL;
    do_in_guest(guest, INSTALL CONTROLLER_DEB);
    do_in_guest(guest, "mkdir -m 700 /run/vm && chown games /run/vm");
    vm_run_in_background(guest, "umask 77; " LISTENER, &error);
    assert_no_error(error);
    wait_for_command(guest, "test -e /run/vm/ready");
    do_in_guest(guest, "printf '[guest a]\\nqmp=/run/vm/a.qmp\\n' >>/etc/aerostat/controller.conf");
    do_in_guest(guest, "systemctl reload aerostat-controller");
    wait_for_command(guest, "test -e /run/vm/met");
}

static void test_the_controller_is_upgraded_while_it_runs(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    do_in_guest(guest, INSTALL CONTROLLER_DEB);
    // A guest's socket in the controller's folder is not swept away with it.
    do_in_guest(guest, "touch /run/aerostat/guests/a.qmp");
    do_in_guest(guest, INSTALL NEXT_CONTROLLER_DEB);
    do_in_guest(guest, "aerostatctl status");
    do_in_guest(guest, "test -e /run/aerostat/guests/a.qmp");
}

// --- both -------------------------------------------------------------------------------------

// The agent wakes by stalls and finds its port, the controller meets a monitor and is told to read
// its configuration anew: all that a profile could forbid.
static void test_the_daemons_run_under_their_profiles_and_nothing_is_denied(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    do_in_guest(guest, "aa-enabled");
    do_in_guest(guest, INSTALL AGENT_DEB " " CONTROLLER_DEB);
    plug_port(guest);
    wait_agent_active(guest);
    assert_prints(guest, "cat /proc/$(pidof aerostat-agent)/attr/current",
                  "aerostat-agent (enforce)");
    assert_prints(guest, "cat /proc/$(pidof aerostat-controller)/attr/current",
                  "aerostat-controller (enforce)");
    assert_reports(guest);
    do_in_guest(guest, "printf '[controller]\\nmetrics=127.0.0.1:9786\\n'"
                       " >>/etc/aerostat/controller.conf");
    do_in_guest(guest, "systemctl reload aerostat-controller");
    do_in_guest(guest, "systemctl restart aerostat-controller && aerostatctl status");
    do_in_guest(guest, "systemctl restart " AGENT);
    assert_reports(guest);
    assert_prints(guest, "journalctl -b --no-pager -o cat | grep DENIED || true", "");
}

// Everything but what the package manager and the journal write about themselves, and caches.
#define TAKE_STOCK                                                                                 \
    "(find / -xdev -path /var/lib/dpkg -prune -o -path /var/log -prune -o -path /var/cache "       \
    "-prune -o -path /var/lib/apt -prune"                                                          \
    " -o -path /var/lib/systemd/deb-systemd-helper-enabled -prune -o -path /tmp -prune -o -path"   \
    " /packages -prune -o -printf '%p %M %u %g\\n'; find /run -xdev -name '*aerostat*';"           \
    " cat /etc/passwd /etc/group) | sort >"

static void test_nothing_is_left_after_purge(void **state)
{
    Vm *guest = ((Fixture *)*state)->guest;
    plug_port(guest);
    do_in_guest(guest, TAKE_STOCK "/tmp/before");
    do_in_guest(guest, INSTALL AGENT_DEB " " CONTROLLER_DEB);
    wait_agent_active(guest);
    do_in_guest(guest, "apt-get -qq purge aerostat-agent aerostat-controller");
    do_in_guest(guest, TAKE_STOCK "/tmp/after");
    assert_prints(guest, "diff /tmp/before /tmp/after || true", "");
    assert_prints(guest, "dpkg -l | grep aerostat || true", "");
    assert_prints(guest, "stat -L -c '%U %G' /dev/virtio-ports/org.aerostat.memory.0", "root root");
}

#define TEST(name) cmocka_unit_test_setup(name, go_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_port_that_appears_starts_the_agent_in_its_sandbox),
        TEST(test_a_port_that_was_there_before_starts_the_agent),
        TEST(test_the_agent_ends_with_its_port_and_comes_back_with_it),
        TEST(test_an_agent_that_is_killed_is_started_again),
        TEST(test_an_upgrade_moves_no_balloon_and_no_report_is_late),
        TEST(test_upgrade_and_downgrade_keep_the_configuration_and_the_service),
        TEST(test_what_was_removed_and_installed_again_runs),
        TEST(test_the_controller_serves_its_group),
        TEST(test_the_controller_reaches_monitors_that_belong_to_others),
        TEST(test_the_controller_is_upgraded_while_it_runs),
        TEST(test_the_daemons_run_under_their_profiles_and_nothing_is_denied),
        TEST(test_nothing_is_left_after_purge),
    };
    return cmocka_run_group_tests(tests, boot, end);
}
