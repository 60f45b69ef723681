// SPDX-License-Identifier: Apache-2.0
//
// The agent as a citizen of a libvirt domain: on the port libvirt calls the guest agent's,
// libvirt's own client drives it.
//
// virsh runs libvirt's QEMU driver within itself (qemu:///embed), in the lab's folder: no daemon,
// no state of the system's. The driver wants a user of its own when it is root, who need not exist;
// so it is run as nobody then.
#include "tests/e2e/lab.h"
#include "tests/support/private-libvirt.h"

#include <signal.h>
#include <unistd.h>

// Boot, three questions and the end of the domain.
#define COMMANDS_TIMEOUT_US (VM_BOOT_TIMEOUT_US + 120 * SECOND_US)
#define NOBODY "65534"

// The shell's port is there because the guest waits for it; nobody is connected.
static const char domain_xml[] =
    "<domain type='qemu'>"
    "<name>alpha</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>"
    "<os><type arch='x86_64' machine='q35'>hvm</type>"
    "<kernel>%s/vmlinuz</kernel><initrd>%s/initrd.gz</initrd>"
    "<cmdline>console=ttyS0 quiet psi=1 panic=-1 no_timer_check "
    "aerostat.port=org.qemu.guest_agent.0</cmdline></os>"
    "<cpu mode='maximum'/>"
    "<devices>"
    "<emulator>%s</emulator>"
    "<controller type='usb' model='none'/>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='%s/usr.squashfs'/><target dev='vda' bus='virtio'/><readonly/></disk>"
    "<serial type='file'><source path='%s/console'/></serial>"
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    "<channel type='unix'><target type='virtio' name='" GUEST_SHELL_PORT "'/></channel>"
    "<memballoon model='virtio'/>"
    "</devices></domain>";

// What virsh does, one command after the other; the first waits for the agent.
static const char commands[] =
    "event --domain alpha --event agent-lifecycle --timeout 240;"
    "qemu-agent-command alpha '{\"execute\":\"guest-ping\"}';"
    "qemu-agent-command alpha '{\"execute\":\"guest-sync\",\"arguments\":{\"id\":4711}}';"
    "qemu-agent-command alpha '{\"execute\":\"guest-info\"}';"
    "qemu-agent-command alpha '{\"execute\":\"guest-no-such-thing\"}';"
    "destroy alpha";

static void write_file(const VmLab *lab, const char *name, const char *text, gssize length)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = vm_lab_path(lab, name);
    g_file_set_contents(path, text, length, &error);
    assert_no_error(error);
}

// Copies a part of the guest's image to where whoever runs QEMU can read it.
static void copy_image(const VmLab *lab, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *inside = g_build_filename("guest", name, NULL);
    g_autofree char *path = vm_lab_program_path(lab, inside);
    g_autofree char *bytes = NULL;
    gsize length;
    g_file_get_contents(path, &bytes, &length, &error);
    assert_no_error(error);
    write_file(lab, name, bytes, (gssize)length);
}

// Fills the lab's folder with all that virsh needs.
static void prepare(const VmLab *lab)
{
    const char *folder = vm_lab_directory(lab);
    g_autofree char *etc = vm_lab_path(lab, "root/etc");
    g_autofree char *emulator = g_find_program_in_path("qemu-system-x86_64");
    g_autofree char *xml = g_strdup_printf(domain_xml, folder, folder, emulator, folder, folder);
    assert_int_equal(g_mkdir_with_parents(etc, 0700), 0);
    write_file(lab, "root/etc/qemu.conf", private_libvirt_qemu_conf, -1);
    write_file(lab, "domain.xml", xml, -1);
    copy_image(lab, "vmlinuz");
    copy_image(lab, "initrd.gz");
    copy_image(lab, "usr.squashfs");
    if (geteuid() == 0) {
        const char *const arguments[] = {"chown", "-R", NOBODY ":" NOBODY, folder, NULL};
        assert_int_equal(process_run(arguments, CONTROL_TIMEOUT_US, NULL, NULL, NULL), 0);
    }
}

static void run_virsh(const VmLab *lab, char **output, char **errors)
{
    g_autoptr(GError) error = NULL;
    const char *folder = vm_lab_directory(lab);
    g_autofree char *uri = g_strdup_printf("qemu:///embed?root=%s/root", folder);
    g_autofree char *home = g_strdup_printf("HOME=%s", folder);
    g_autofree char *runtime = g_strdup_printf("XDG_RUNTIME_DIR=%s", folder);
    g_autofree char *script = g_strdup_printf("create %s/domain.xml; %s", folder, commands);
    const char *const arguments[] = {"setpriv",
                                     "--reuid=" NOBODY,
                                     "--regid=" NOBODY,
                                     "--clear-groups",
                                     "env",
                                     home,
                                     runtime,
                                     "virsh",
                                     "-c",
                                     uri,
                                     script,
                                     NULL};
    // Whoever is not root stays who they are.
    process_run(arguments + (geteuid() == 0 ? 0 : 4), COMMANDS_TIMEOUT_US, output, errors, &error);
    assert_no_error(error);
}

// virsh leaves a domain behind if it was given up on.
static int tear_down(void **state)
{
    g_autofree char *path = vm_lab_path(*state, "root/run/qemu/alpha.pid");
    g_autofree char *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL)) {
        gint64 pid = g_ascii_strtoll(text, NULL, 10);
        if (pid > 1) {
            kill((pid_t)pid, SIGKILL);
        }
    }
    return lab_tear_down(state);
}

static void assert_said(const char *said, const char *part)
{
    if (!strstr(said, part)) {
        fail_msg("'%s' is not part of: %s", part, said);
    }
}

static void test_libvirts_agent_commands_are_answered(void **state)
{
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    prepare(*state);
    run_virsh(*state, &output, &errors);
    g_autofree char *said = g_strconcat(output, errors, NULL);
    assert_said(said, "{\"return\":{}}");
    assert_said(said, "{\"return\":4711}");
    assert_said(said, "\"name\":\"guest-sync-delimited\"");
    assert_said(said, "The command guest-no-such-thing has not been found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_libvirts_agent_commands_are_answered, lab_set_up,
                                        tear_down),
    };
    return run_test_table(tests);
}
