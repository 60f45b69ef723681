// SPDX-License-Identifier: Apache-2.0
//
// Domains of a real libvirt, handled like any other guest: through aerostat-libvirt, while virsh
// goes on working, and while libvirtd hangs, dies and comes back.
#include "tests/e2e/lab.h"
#include "tests/support/private-libvirt.h"

#include <signal.h>
#include <unistd.h>

#define BUDGET_BYTES (2048 * MIB)
#define SIZE_BYTES (512 * MIB)
// What the controller may take to find out that libvirt is away, and that it is back.
#define AWAY_TIMEOUT_US SETTLE_TIMEOUT_US

typedef struct Fixture {
    VmLab *lab;
    PrivateLibvirt *libvirt;
    Process *bridge;
    QmpSession *control;
} Fixture;

// --- fixture ----------------------------------------------------------------------------------

static char *path_of(const Fixture *fixture, const char *name, const char *suffix)
{
    g_autofree char *inside = g_strconcat("guests/", name, suffix, NULL);
    return vm_lab_path(fixture->lab, inside);
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    qmp_session_close(fixture->control);
    private_libvirt_free(fixture->libvirt);
    vm_lab_free(fixture->lab);
    g_free(fixture);
    return 0;
}

static int set_up(void **state)
{
    g_autoptr(GError) error = NULL;
    Fixture *fixture = g_new0(Fixture, 1);
    *state = fixture;
    fixture->lab = vm_lab_new(&error);
    fixture->libvirt = fixture->lab ? private_libvirt_new(fixture->lab, &error) : NULL;
    if (error) {
        print_error("%s\n", error->message);
        tear_down(state);
        return -1;
    }
    return 0;
}

static void start_bridge(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = vm_lab_path(fixture->lab, "guests");
    const char *const arguments[] = {"--uri", private_libvirt_uri(fixture->libvirt), "--directory",
                                     folder, NULL};
    fixture->bridge = vm_lab_start_program(fixture->lab, "aerostat-libvirt", arguments, &error);
    assert_no_error(error);
}

// Starts the controller over the lab's plain guests and the domains named.
static void control(Fixture *fixture, const char *const *names)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) more = g_string_new(NULL);
    for (size_t i = 0; names[i]; i++) {
        g_autofree char *qmp = path_of(fixture, names[i], ".qmp");
        g_autofree char *agent = path_of(fixture, names[i], ".agent");
        g_string_append_printf(more, "[guest %s]\nqmp=%s\nagent=%s\n", names[i], qmp, agent);
    }
    g_autofree char *config =
        vm_lab_write_configuration(fixture->lab, BUDGET_BYTES, more->str, &error);
    assert_no_error(error);
    vm_lab_start_controller(fixture->lab, config, &fixture->control, &error);
    assert_no_error(error);
}

static char *virsh(Fixture *fixture, const char *commands)
{
    g_autoptr(GError) error = NULL;
    char *output = private_libvirt_virsh(fixture->libvirt, commands, &error);
    assert_no_error(error);
    return output;
}

static void do_virsh(Fixture *fixture, const char *commands)
{
    g_free(virsh(fixture, commands));
}

static GuestShell *start_domain(Fixture *fixture, const char *name)
{
    g_autoptr(GError) error = NULL;
    assert_true(private_libvirt_define(fixture->libvirt, name, SIZE_BYTES, &error));
    g_autofree char *command = g_strconcat("start ", name, NULL);
    do_virsh(fixture, command);
    GuestShell *shell = private_libvirt_shell(fixture->libvirt, name, &error);
    assert_no_error(error);
    return shell;
}

// --- waiting ----------------------------------------------------------------------------------

typedef struct Wanted {
    const char *name;
    const char *member;
    const char *word;
    bool otherwise; // any other word
} Wanted;

static bool has_word(const json_t *guests, void *context)
{
    const Wanted *wanted = context;
    const char *word = json_word(lab_find_guest(guests, wanted->name), wanted->member);
    return (strcmp(word, wanted->word) == 0) != wanted->otherwise;
}

static void wait_for_word(Fixture *fixture, const char *name, const char *member, const char *word)
{
    Wanted wanted = {.name = name, .member = member, .word = word};
    lab_wait_guests(fixture->control, has_word, &wanted);
}

// Its QEMU is not heard of, which is not to say that it has no balloon.
static void wait_until_silent(Fixture *fixture, const char *name)
{
    wait_for_word(fixture, name, "state", "connecting");
}

static int64_t guest_number(Fixture *fixture, const char *name, const char *member)
{
    g_autoptr(json_t) guests = lab_query(fixture->control, "query-guests");
    return json_integer_value(json_object_get(lab_find_guest(guests, name), member));
}

static void wait_until_actual(Fixture *fixture, const char *name, int64_t bytes)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    while (guest_number(fixture, name, "actual") != bytes) {
        assert_true(deadline_left_us(deadline_us) > 0);
        lab_await_event(fixture->control);
    }
}

static bool is_there(const Fixture *fixture, const char *name, const char *suffix)
{
    g_autofree char *path = path_of(fixture, name, suffix);
    return access(path, F_OK) == 0;
}

static void wait_until(const Fixture *fixture, const char *name, const char *suffix, bool there)
{
    int64_t deadline_us = deadline_after(AWAY_TIMEOUT_US);
    while (is_there(fixture, name, suffix) != there) {
        assert_true(deadline_left_us(deadline_us) > 0);
        g_usleep(10 * MS_US);
    }
}

static void wait_until_there(const Fixture *fixture, const char *name, bool there)
{
    wait_until(fixture, name, ".qmp", there);
}

static void pin(Fixture *fixture, const char *name, int64_t bytes)
{
    lab_set_target(fixture->control, name, bytes);
}

// What virsh says that the domain has, in bytes.
static int64_t dommemstat(Fixture *fixture, const char *name)
{
    g_autofree char *command = g_strconcat("dommemstat ", name, NULL);
    g_autofree char *output = virsh(fixture, command);
    const char *actual = strstr(output, "actual ");
    assert_non_null(actual);
    return g_ascii_strtoll(actual + strlen("actual "), NULL, 10) * 1024;
}

// --- a domain's life --------------------------------------------------------------------------

static void test_a_domain_is_ballooned_while_virsh_goes_on_working(void **state)
{
    Fixture *fixture = *state;
    start_bridge(fixture);
    guest_shell_free(start_domain(fixture, "alpha"));
    control(fixture, (const char *const[]){"alpha", NULL});
    lab_wait_settled(fixture->control);
    assert_int_equal(guest_number(fixture, "alpha", "size"), SIZE_BYTES);
    assert_true(is_there(fixture, "alpha", ".pid"));

    pin(fixture, "alpha", 300 * MIB);
    wait_until_actual(fixture, "alpha", 300 * MIB);
    assert_int_equal(dommemstat(fixture, "alpha"), 300 * MIB);
    pin(fixture, "alpha", SIZE_BYTES);
    wait_until_actual(fixture, "alpha", SIZE_BYTES);
    assert_int_equal(dommemstat(fixture, "alpha"), SIZE_BYTES);

    // libvirt knows that nobody went behind its back.
    g_autofree char *log_path = vm_lab_path(fixture->lab, "libvirt/qemu/log/alpha.log");
    g_autofree char *log = NULL;
    assert_true(g_file_get_contents(log_path, &log, NULL, NULL));
    assert_null(strstr(log, "tainted: custom-monitor"));
}

static void test_an_operators_setmem_is_seen_and_taken_into_account(void **state)
{
    Fixture *fixture = *state;
    start_bridge(fixture);
    guest_shell_free(start_domain(fixture, "alpha"));
    control(fixture, (const char *const[]){"alpha", NULL});
    lab_wait_settled(fixture->control);
    pin(fixture, "alpha", 300 * MIB);
    wait_until_actual(fixture, "alpha", 300 * MIB);

    // More than its target: as if its own kernel had taken it.
    do_virsh(fixture, "setmem alpha 400M --live");
    wait_for_word(fixture, "alpha", "state", "auto-deflated");
    wait_until_actual(fixture, "alpha", 400 * MIB);
    // Pinned, it is told its target again after 10 s.
    wait_until_actual(fixture, "alpha", 300 * MIB);
    assert_int_equal(dommemstat(fixture, "alpha"), 300 * MIB);

    // Less: as if it did not take what it is given. That too ends after a while.
    do_virsh(fixture, "setmem alpha 250M --live");
    wait_until_actual(fixture, "alpha", 250 * MIB);
    wait_for_word(fixture, "alpha", "state", "stalled");
    wait_until_actual(fixture, "alpha", 300 * MIB);
}

static void test_the_agent_may_go_and_come_back(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    start_bridge(fixture);
    g_autoptr(GuestShell) shell = start_domain(fixture, "alpha");
    control(fixture, (const char *const[]){"alpha", NULL});
    lab_wait_settled(fixture->control);
    guest_shell_run(shell, "stop-agent", VM_COMMAND_TIMEOUT_US, NULL, &error);
    assert_no_error(error);
    Wanted lost = {.name = "alpha", .member = "agent", .word = "connected", .otherwise = true};
    lab_wait_guests(fixture->control, has_word, &lost);
    guest_shell_run(shell, "start-agent", VM_COMMAND_TIMEOUT_US, NULL, &error);
    assert_no_error(error);
    lab_wait_settled(fixture->control);

    // The channel is unplugged and plugged in again: the link goes with it.
    g_autofree char *xml_path = vm_lab_path(fixture->lab, "channel.xml");
    assert_true(g_file_set_contents(
        xml_path, "<channel type='unix'><target type='virtio' name='" VM_AGENT_PORT "'/></channel>",
        -1, NULL));
    g_autofree char *attach = g_strdup_printf("attach-device alpha %s --live", xml_path);
    do_virsh(fixture, "detach-device-alias alpha channel0 --live");
    wait_until(fixture, "alpha", ".agent", false);
    lab_wait_guests(fixture->control, has_word, &lost);
    do_virsh(fixture, attach);
    lab_wait_settled(fixture->control);
}

static void test_a_domain_may_be_paused_saved_restored_and_destroyed(void **state)
{
    Fixture *fixture = *state;
    start_bridge(fixture);
    guest_shell_free(start_domain(fixture, "alpha"));
    control(fixture, (const char *const[]){"alpha", NULL});
    lab_wait_settled(fixture->control);
    do_virsh(fixture, "suspend alpha");
    wait_for_word(fixture, "alpha", "state", "paused");
    do_virsh(fixture, "resume alpha");
    lab_wait_settled(fixture->control);

    pin(fixture, "alpha", 300 * MIB);
    wait_until_actual(fixture, "alpha", 300 * MIB);
    g_autofree char *file = vm_lab_path(fixture->lab, "saved");
    g_autofree char *save = g_strdup_printf("save alpha %s", file);
    g_autofree char *restore = g_strdup_printf("restore %s", file);
    do_virsh(fixture, save);
    wait_until_there(fixture, "alpha", false);
    wait_until(fixture, "alpha", ".agent", false);
    wait_until(fixture, "alpha", ".pid", false);
    do_virsh(fixture, restore);
    wait_until_there(fixture, "alpha", true);
    wait_for_word(fixture, "alpha", "agent", "connected");
    lab_wait_settled(fixture->control);

    do_virsh(fixture, "destroy alpha");
    wait_until_there(fixture, "alpha", false);
    wait_for_word(fixture, "alpha", "state", "connecting");
    do_virsh(fixture, "start alpha");
    lab_wait_settled(fixture->control);
}

// --- libvirtd's life --------------------------------------------------------------------------

// Moves a guest that is none of libvirt's, there and back.
static void assert_is_served(Fixture *fixture, Vm *vm)
{
    g_autoptr(GError) error = NULL;
    pin(fixture, vm_name(vm), 300 * MIB);
    vm_wait_actual(vm, 300 * MIB, 300 * MIB, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
    pin(fixture, vm_name(vm), SIZE_BYTES);
    vm_wait_actual(vm, SIZE_BYTES, SIZE_BYTES, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
}

static void test_a_libvirtd_that_hangs_or_dies_takes_no_guest_along(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    start_bridge(fixture);
    VmOptions options = {.name = "plain", .memory_bytes = SIZE_BYTES};
    Vm *plain = vm_lab_add(fixture->lab, &options, &error);
    assert_no_error(error);
    guest_shell_free(start_domain(fixture, "alpha"));
    vm_lab_wait_ready(fixture->lab, &error);
    assert_no_error(error);
    control(fixture, (const char *const[]){"alpha", NULL});
    lab_wait_settled(fixture->control);
    pid_t qemu = private_libvirt_pid(fixture->libvirt, "alpha");

    process_kill(private_libvirt_daemon(fixture->libvirt), SIGSTOP);
    wait_until_silent(fixture, "alpha");
    assert_is_served(fixture, plain);
    assert_int_equal(guest_number(fixture, "alpha", "actual"), SIZE_BYTES);
    process_kill(private_libvirt_daemon(fixture->libvirt), SIGCONT);
    lab_wait_settled(fixture->control);

    process_kill(private_libvirt_daemon(fixture->libvirt), SIGKILL);
    wait_until_silent(fixture, "alpha");
    assert_is_served(fixture, plain);
    assert_true(is_there(fixture, "alpha", ".qmp"));
    assert_true(private_libvirt_start(fixture->libvirt, &error));
    lab_wait_settled(fixture->control);
    assert_int_equal(private_libvirt_pid(fixture->libvirt, "alpha"), qemu);
    pin(fixture, "alpha", 300 * MIB);
    wait_until_actual(fixture, "alpha", 300 * MIB);
}

static void test_a_domain_whose_qemu_hangs_delays_no_other(void **state)
{
    Fixture *fixture = *state;
    start_bridge(fixture);
    guest_shell_free(start_domain(fixture, "alpha"));
    guest_shell_free(start_domain(fixture, "beta"));
    control(fixture, (const char *const[]){"alpha", "beta", NULL});
    lab_wait_settled(fixture->control);
    pid_t qemu = private_libvirt_pid(fixture->libvirt, "alpha");
    assert_int_equal(kill(qemu, SIGSTOP), 0);
    wait_until_silent(fixture, "alpha");
    pin(fixture, "beta", 300 * MIB);
    wait_until_actual(fixture, "beta", 300 * MIB);
    assert_int_equal(kill(qemu, SIGCONT), 0);
    wait_for_word(fixture, "alpha", "state", "settled");
}

// --- domains that were there before -----------------------------------------------------------

// Neither channel nor autodeflate, a name with a blank, and a password that is not to be lost.
static const char old_xml[] =
    "<domain type='qemu'><name>old one</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
    "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><emulator>%s</emulator>"
    "<controller type='virtio-serial'/><controller type='usb' model='none'/>"
    "<graphics type='vnc' passwd='secret'/></devices></domain>";

// Runs the script over all domains; `option` may be NULL. What it said; free with g_free().
static char *prepare_domains(Fixture *fixture, const char *option)
{
    const char *const arguments[] = {"contrib/libvirt/prepare-domains.sh",
                                     "--connect",
                                     private_libvirt_uri(fixture->libvirt),
                                     "--all",
                                     option,
                                     NULL};
    g_autofree char *errors = NULL;
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    int status = process_run(arguments, VIRSH_TIMEOUT_US, &output, &errors, &error);
    assert_no_error(error);
    if (status != 0) {
        fail_msg("exit code %d: %s", status, errors);
    }
    return g_steal_pointer(&output);
}

static void assert_xml(Fixture *fixture, const char *options, const char *part, bool there)
{
    g_autofree char *command = g_strdup_printf("dumpxml --domain 'old one' %s", options);
    g_autofree char *xml = virsh(fixture, command);
    if ((strstr(xml, part) != NULL) != there) {
        fail_msg("'%s' is %spart of: %s", part, there ? "not " : "", xml);
    }
}

static void test_existing_domains_get_what_they_lack(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *emulator = g_find_program_in_path("qemu-system-x86_64");
    g_autofree char *xml = g_strdup_printf(old_xml, emulator);
    g_autofree char *path = vm_lab_path(fixture->lab, "old.xml");
    g_autofree char *define = g_strconcat("define ", path, NULL);
    assert_true(g_file_set_contents(path, xml, -1, NULL));
    do_virsh(fixture, define);

    g_autofree char *dry = prepare_domains(fixture, "--dry-run");
    assert_non_null(strstr(dry, "old one: the channel is added"));
    assert_xml(fixture, "--inactive", VM_AGENT_PORT, false);

    // It runs, in a way: the channel is plugged in, the balloon has to wait.
    do_virsh(fixture, "start --domain 'old one' --paused");
    g_autofree char *done = prepare_domains(fixture, NULL);
    assert_non_null(strstr(done, "old one: the channel is plugged in"));
    assert_non_null(
        strstr(done, "old one: the balloon is set to autodeflate, from the next start"));
    assert_xml(fixture, "", VM_AGENT_PORT, true);
    assert_xml(fixture, "--inactive", VM_AGENT_PORT, true);
    assert_xml(fixture, "--inactive", "autodeflate='on'", true);
    assert_xml(fixture, "--inactive --security-info", "passwd='secret'", true);
    g_autofree char *again = prepare_domains(fixture, NULL);
    assert_string_equal(again, "old one: nothing to do\n");
    do_virsh(fixture, "destroy 'old one'");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_domain_is_ballooned_while_virsh_goes_on_working),
        TEST(test_an_operators_setmem_is_seen_and_taken_into_account),
        TEST(test_the_agent_may_go_and_come_back),
        TEST(test_a_domain_may_be_paused_saved_restored_and_destroyed),
        TEST(test_a_libvirtd_that_hangs_or_dies_takes_no_guest_along),
        TEST(test_a_domain_whose_qemu_hangs_delays_no_other),
        TEST(test_existing_domains_get_what_they_lack),
    };
    return run_test_table(tests);
}
