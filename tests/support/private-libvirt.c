// SPDX-License-Identifier: Apache-2.0
#include "tests/support/private-libvirt.h"

#include "protocol/error.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/deadline.h"

#include <signal.h>
#include <unistd.h>

#define NOBODY "65534"
#define START_TIMEOUT_US (120 * SECOND_US)
#define MAX_PREFIX 8

struct PrivateLibvirt {
    VmLab *lab;
    char *uri;
    char *socket_path;
    Process *daemon;
    GPtrArray *names; // of the domains defined
};

const char private_libvirt_qemu_conf[] = "security_driver = \"none\"\n"
                                         "stdio_handler = \"file\"\n"
                                         "cgroup_controllers = []\n"
                                         "namespaces = []\n";

static const char domain_xml[] =
    "<domain type='qemu'>"
    "<name>%s</name><memory unit='MiB'>%d</memory><vcpu>1</vcpu>"
    "<os><type arch='x86_64' machine='q35'>hvm</type>"
    "<kernel>%s/vmlinuz</kernel><initrd>%s/initrd.gz</initrd>"
    "<cmdline>console=ttyS0 quiet psi=1 panic=-1 no_timer_check</cmdline></os>"
    "<cpu mode='maximum'/>"
    "<devices>"
    "<emulator>%s</emulator>"
    "<controller type='usb' model='none'/>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='%s/usr.squashfs'/><target dev='vda' bus='virtio'/><readonly/></disk>"
    "<serial type='file'><source path='%s/%s.console'/></serial>"
    "<channel type='unix'><target type='virtio' name='" VM_AGENT_PORT "'/></channel>"
    "<channel type='unix'><source mode='bind' path='%s/%s.shell'/>"
    "<target type='virtio' name='" GUEST_SHELL_PORT "'/></channel>"
    "<memballoon model='virtio' autodeflate='on'/>"
    "</devices></domain>";

// --- the folder -------------------------------------------------------------------------------

// Copies a part of the guest's image to where whoever runs QEMU can read it.
static bool copy_image(const VmLab *lab, const char *name, GError **error)
{
    g_autofree char *inside = g_build_filename("guest", name, NULL);
    g_autofree char *from = vm_lab_program_path(lab, inside);
    g_autofree char *to = vm_lab_path(lab, name);
    g_autofree char *bytes = NULL;
    gsize length;
    return g_file_get_contents(from, &bytes, &length, error) &&
           g_file_set_contents(to, bytes, (gssize)length, error);
}

static bool prepare_folder(const VmLab *lab, GError **error)
{
    static const char *const images[] = {"vmlinuz", "initrd.gz", "usr.squashfs"};
    g_autofree char *config = vm_lab_path(lab, "libvirt");
    g_autofree char *conf_path = vm_lab_path(lab, "libvirt/qemu.conf");
    g_mkdir_with_parents(config, 0700);
    for (size_t i = 0; i < G_N_ELEMENTS(images); i++) {
        if (!copy_image(lab, images[i], error)) {
            return false;
        }
    }
    if (!g_file_set_contents(conf_path, private_libvirt_qemu_conf, -1, error)) {
        return false;
    }
    const char *const arguments[] = {"chown", "-R", NOBODY ":" NOBODY, vm_lab_directory(lab), NULL};
    return geteuid() != 0 || process_run(arguments, START_TIMEOUT_US, NULL, NULL, error) == 0;
}

// --- the daemon -------------------------------------------------------------------------------

bool private_libvirt_start(PrivateLibvirt *libvirt, GError **error)
{
    // Whoever is not root stays who they are.
    const char *const arguments[] = {"setpriv",
                                     "--reuid=" NOBODY,
                                     "--regid=" NOBODY,
                                     "--clear-groups",
                                     "--pdeathsig=KILL",
                                     "libvirtd",
                                     NULL};
    g_autofree char *log_path = vm_lab_path(libvirt->lab, "libvirtd.log");
    ProcessOptions options = {.arguments = arguments + (geteuid() == 0 ? 0 : 5),
                              .log_path = log_path};
    g_clear_pointer(&libvirt->daemon, process_free);
    libvirt->daemon = process_start(&options, error);
    int64_t deadline_us = deadline_after(START_TIMEOUT_US);
    while (libvirt->daemon) {
        g_autofree char *answer = private_libvirt_virsh(libvirt, "version", NULL);
        if (answer) {
            return true;
        }
        if (!process_is_running(libvirt->daemon) || deadline_left_us(deadline_us) == 0) {
            g_autofree char *log = process_log(libvirt->daemon);
            g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED,
                        "libvirtd does not answer; its log:\n%s", log);
            return false;
        }
        g_usleep(50 * MS_US);
    }
    return false;
}

PrivateLibvirt *private_libvirt_new(VmLab *lab, GError **error)
{
    if (!prepare_folder(lab, error)) {
        return NULL;
    }
    PrivateLibvirt *libvirt = g_new0(PrivateLibvirt, 1);
    libvirt->lab = lab;
    libvirt->socket_path = vm_lab_path(lab, "libvirt/libvirt-sock");
    libvirt->uri = g_strdup_printf("qemu+unix:///session?socket=%s", libvirt->socket_path);
    libvirt->names = g_ptr_array_new_with_free_func(g_free);
    const char *folder = vm_lab_directory(lab);
    g_setenv("HOME", folder, TRUE);
    g_setenv("XDG_RUNTIME_DIR", folder, TRUE);
    g_setenv("XDG_CONFIG_HOME", folder, TRUE);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
    g_setenv("LIBVIRT_AUTOSTART", "0", TRUE);
    if (!private_libvirt_start(libvirt, error)) {
        g_clear_pointer(&libvirt, private_libvirt_free);
    }
    return libvirt;
}

void private_libvirt_free(PrivateLibvirt *libvirt)
{
    if (!libvirt) {
        return;
    }
    for (guint i = 0; i < libvirt->names->len; i++) {
        pid_t pid = private_libvirt_pid(libvirt, g_ptr_array_index(libvirt->names, i));
        if (pid > 1) {
            kill(pid, SIGKILL);
        }
    }
    process_free(libvirt->daemon);
    g_ptr_array_unref(libvirt->names);
    g_free(libvirt->socket_path);
    g_free(libvirt->uri);
    g_free(libvirt);
}

const char *private_libvirt_uri(const PrivateLibvirt *libvirt)
{
    return libvirt->uri;
}

Process *private_libvirt_daemon(PrivateLibvirt *libvirt)
{
    return libvirt->daemon;
}

// --- domains ----------------------------------------------------------------------------------

char *private_libvirt_virsh(PrivateLibvirt *libvirt, const char *commands, GError **error)
{
    const char *const arguments[] = {"virsh", "-c", libvirt->uri, commands, NULL};
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    int status = process_run(arguments, VIRSH_TIMEOUT_US, &output, &errors, error);
    if (status > 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REMOTE, "virsh %s: %s", commands, errors);
    }
    return status == 0 ? g_steal_pointer(&output) : NULL;
}

bool private_libvirt_define(PrivateLibvirt *libvirt, const char *name, int64_t bytes,
                            GError **error)
{
    const char *folder = vm_lab_directory(libvirt->lab);
    g_autofree char *emulator = g_find_program_in_path("qemu-system-x86_64");
    g_autofree char *file = g_strconcat(name, ".xml", NULL);
    g_autofree char *path = vm_lab_path(libvirt->lab, file);
    g_autofree char *xml = g_strdup_printf(domain_xml, name, (int)(bytes / MIB), folder, folder,
                                           emulator, folder, folder, name, folder, name);
    g_autofree char *command = g_strconcat("define ", path, NULL);
    if (!g_file_set_contents(path, xml, -1, error)) {
        return false;
    }
    g_autofree char *output = private_libvirt_virsh(libvirt, command, error);
    if (output) {
        g_ptr_array_add(libvirt->names, g_strdup(name));
    }
    return output != NULL;
}

GuestShell *private_libvirt_shell(PrivateLibvirt *libvirt, const char *name, GError **error)
{
    g_autofree char *file = g_strconcat(name, ".shell", NULL);
    g_autofree char *path = vm_lab_path(libvirt->lab, file);
    int fd = unix_socket_connect(path, error);
    if (fd < 0) {
        return NULL;
    }
    g_autoptr(GuestShell) shell = guest_shell_new(fd);
    return guest_shell_run(shell, "true", VM_BOOT_TIMEOUT_US, NULL, error) == 0
               ? g_steal_pointer(&shell)
               : NULL;
}

pid_t private_libvirt_pid(PrivateLibvirt *libvirt, const char *name)
{
    g_autofree char *file = g_strdup_printf("libvirt/qemu/run/%s.pid", name);
    g_autofree char *path = vm_lab_path(libvirt->lab, file);
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? (pid_t)g_ascii_strtoll(text, NULL, 10)
                                                        : 0;
}
