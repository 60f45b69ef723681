// SPDX-License-Identifier: Apache-2.0
#include "tests/support/vm-lab.h"

#include "tests/support/accelerator.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define CONTROLLER_START_US (60 * SECOND_US)

struct VmLab {
    char *build_dir;
    char *image_dir;
    Scratch scratch;
    const char *accelerator;
    char *published;      // the directory in which the controller finds guests
    GPtrArray *vms;       // Vm*
    GPtrArray *processes; // Process*
};

static bool find_image(const VmLab *lab, GError **error)
{
    g_autofree char *kernel = g_build_filename(lab->image_dir, "vmlinuz", NULL);
    g_autofree char *initrd = g_build_filename(lab->image_dir, "initrd.gz", NULL);
    if (access(kernel, R_OK) < 0 || access(initrd, R_OK) < 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                    "no guest image in %s: run tests/guest/build-image.sh", lab->image_dir);
        return false;
    }
    return true;
}

VmLab *vm_lab_new(GError **error)
{
    const char *build_dir = g_getenv("AEROSTAT_BUILD");
    g_autoptr(VmLab) lab = g_new0(VmLab, 1);
    lab->build_dir = g_canonicalize_filename(build_dir ? build_dir : "build", NULL);
    lab->image_dir = g_build_filename(lab->build_dir, "guest", NULL);
    lab->vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_free);
    lab->processes = g_ptr_array_new_with_free_func((GDestroyNotify)process_free);
    if (!find_image(lab, error)) {
        return NULL;
    }
    scratch_init(&lab->scratch);
    lab->accelerator = accelerator_choose(lab->scratch.folder, lab->image_dir);
    lab->published = scratch_path(&lab->scratch, "guests");
    g_mkdir(lab->published, 0755);
    return g_steal_pointer(&lab);
}

void vm_lab_free(VmLab *lab)
{
    if (!lab) {
        return;
    }
    g_ptr_array_unref(lab->processes);
    g_ptr_array_unref(lab->vms);
    if (lab->scratch.folder && g_getenv("AEROSTAT_KEEP")) {
        g_printerr("kept: %s\n", lab->scratch.folder);
        g_free(lab->scratch.folder);
    } else {
        scratch_clear(&lab->scratch);
    }
    g_free(lab->published);
    g_free(lab->image_dir);
    g_free(lab->build_dir);
    g_free(lab);
}

const char *vm_lab_directory(const VmLab *lab)
{
    return lab->scratch.folder;
}

const char *vm_lab_accelerator(const VmLab *lab)
{
    return lab->accelerator;
}

char *vm_lab_path(const VmLab *lab, const char *name)
{
    return scratch_path(&lab->scratch, name);
}

Vm *vm_lab_add(VmLab *lab, const VmOptions *options, GError **error)
{
    VmPlace place = {.directory = lab->scratch.folder,
                     .image_dir = lab->image_dir,
                     .accelerator = lab->accelerator};
    Vm *vm = vm_new(&place, options, error);
    if (vm) {
        g_ptr_array_add(lab->vms, vm);
    }
    return vm;
}

bool vm_lab_wait_ready(VmLab *lab, GError **error)
{
    for (guint i = 0; i < lab->vms->len; i++) {
        if (!vm_wait_ready(lab->vms->pdata[i], VM_BOOT_TIMEOUT_US, error)) {
            return false;
        }
    }
    return true;
}

void vm_lab_remove(VmLab *lab, Vm *vm)
{
    g_ptr_array_remove(lab->vms, vm);
}

char *vm_lab_program_path(const VmLab *lab, const char *program)
{
    return g_build_filename(lab->build_dir, program, NULL);
}

Process *vm_lab_start_program(VmLab *lab, const char *program, const char *const *arguments,
                              GError **error)
{
    g_autofree char *path = vm_lab_program_path(lab, program);
    g_autofree char *log_name = g_strconcat(program, ".log", NULL);
    g_autofree char *log_path = vm_lab_path(lab, log_name);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_strv_builder_add(builder, path);
    g_strv_builder_addv(builder, (const char **)arguments);
    g_auto(GStrv) command = g_strv_builder_end(builder);
    Process *process = process_start(
        &(ProcessOptions){.arguments = (const char *const *)command, .log_path = log_path}, error);
    if (process) {
        g_ptr_array_add(lab->processes, process);
    }
    return process;
}

// The socket appears some time after the start.
static QmpSession *wait_for_controller(Process *controller, const char *socket_path, GError **error)
{
    int64_t deadline_us = deadline_after(CONTROLLER_START_US);
    for (;;) {
        g_autoptr(GError) cause = NULL;
        QmpSession *session = qmp_session_open(socket_path, deadline_left_us(deadline_us), &cause);
        if (session) {
            return session;
        }
        if (!process_is_running(controller) || deadline_left_us(deadline_us) == 0) {
            g_autofree char *log = process_log(controller);
            g_set_error(error, cause->domain, cause->code,
                        "aerostat-controller does not answer: %s; its log:\n%s", cause->message,
                        log);
            return NULL;
        }
        g_usleep(10 * MS_US);
    }
}

Process *vm_lab_start_controller(VmLab *lab, const char *config_path, QmpSession **session,
                                 GError **error)
{
    const char *const arguments[] = {"--config", config_path, NULL};
    Process *controller = vm_lab_start_program(lab, "aerostat-controller", arguments, error);
    if (!controller) {
        return NULL;
    }
    g_autofree char *socket_path = vm_lab_path(lab, "controller.sock");
    g_autoptr(QmpSession) connection = wait_for_controller(controller, socket_path, error);
    if (!connection) {
        return NULL;
    }
    if (session) {
        *session = g_steal_pointer(&connection);
    }
    return controller;
}

static char *published_path(const VmLab *lab, const Vm *vm, const char *suffix)
{
    return g_strdup_printf("%s/%s.%s", lab->published, vm_name(vm), suffix);
}

static bool publish(const char *to, const char *path, GError **error)
{
    if (symlink(to, path) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "%s: %s", path,
                    g_strerror(errno));
        return false;
    }
    return true;
}

bool vm_lab_publish(VmLab *lab, const Vm *vm, bool agent, GError **error)
{
    g_autofree char *qmp_path = published_path(lab, vm, "qmp");
    g_autofree char *agent_path = published_path(lab, vm, "agent");
    return (!agent || publish(vm_agent_path(vm), agent_path, error)) &&
           publish(vm_qmp_path(vm), qmp_path, error);
}

void vm_lab_withdraw(VmLab *lab, const Vm *vm)
{
    g_autofree char *qmp_path = published_path(lab, vm, "qmp");
    g_autofree char *agent_path = published_path(lab, vm, "agent");
    unlink(qmp_path);
    unlink(agent_path);
}

static bool is_published(const VmLab *lab, const Vm *vm)
{
    g_autofree char *path = published_path(lab, vm, "qmp");
    return g_file_test(path, G_FILE_TEST_IS_SYMLINK);
}

char *vm_lab_write_configuration(VmLab *lab, int64_t budget_bytes, const char *more, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text,
                           "[controller]\nmode=balance\nsocket=%s/controller.sock\n"
                           "[host]\nbudget=%" G_GINT64_FORMAT "\n"
                           "[discovery directory]\npath=%s\n",
                           lab->scratch.folder, budget_bytes, lab->published);
    for (guint i = 0; i < lab->vms->len; i++) {
        const Vm *vm = lab->vms->pdata[i];
        if (!is_published(lab, vm)) {
            g_string_append_printf(text, "[guest %s]\nqmp=%s\nagent=%s\n", vm_name(vm),
                                   vm_qmp_path(vm), vm_agent_path(vm));
        }
    }
    g_string_append(text, more ? more : "");
    g_autofree char *path = vm_lab_path(lab, "controller.conf");
    return g_file_set_contents(path, text->str, -1, error) ? g_steal_pointer(&path) : NULL;
}
