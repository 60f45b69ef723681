// SPDX-License-Identifier: Apache-2.0
//
// A private folder with the guests and programs of one test in it. It owns them all, so that one
// vm_lab_free() in a test's teardown cleans up, wherever the test stopped.
//
// Environment:
//   AEROSTAT_BUILD  where the programs and the guest image (guest/) were built; default "build"
//   AEROSTAT_ACCEL  "kvm" or "tcg"; default: see tests/support/accelerator.h
//   AEROSTAT_KEEP   when set, the folder with all logs is left behind and its path printed
#pragma once

#include "tests/support/process.h"
#include "tests/support/vm.h"

typedef struct VmLab VmLab;

// Makes the folder, finds the guest image and chooses the accelerator. NULL with an error.
VmLab *vm_lab_new(GError **error);
// Ends every guest and program and removes the folder. NULL does nothing.
void vm_lab_free(VmLab *lab);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmLab, vm_lab_free)

const char *vm_lab_directory(const VmLab *lab);
const char *vm_lab_accelerator(const VmLab *lab);
// The path of `name` in the lab's folder.
char *vm_lab_path(const VmLab *lab, const char *name);

// Starts a guest and does not wait for it, so that several boot side by side. The lab owns it.
Vm *vm_lab_add(VmLab *lab, const VmOptions *options, GError **error);
// Waits until all guests run commands.
bool vm_lab_wait_ready(VmLab *lab, GError **error);
// Ends one guest and forgets it; its name may be used again.
void vm_lab_remove(VmLab *lab, Vm *vm);

// Starts one of our programs (such as "aerostat-controller") from the build folder with
// `arguments`, NULL-terminated, without the program's own name. Stdout and stderr go to
// PROGRAM.log in the lab's folder. The lab owns it.
Process *vm_lab_start_program(VmLab *lab, const char *program, const char *const *arguments,
                              GError **error);
// The path of one of our programs.
char *vm_lab_program_path(const VmLab *lab, const char *program);

// Starts aerostat-controller with the configuration at `config_path`, as written by
// vm_lab_write_configuration(), and waits until its control socket answers. `*session` (may be
// NULL) is a connection to it, the caller's. The lab owns the process.
Process *vm_lab_start_controller(VmLab *lab, const char *config_path, QmpSession **session,
                                 GError **error);

// Puts the guest where the controller finds it by itself, instead of into the configuration: links
// to its monitor and, with `agent`, to its agent's port. False with a G_FILE_ERROR.
bool vm_lab_publish(VmLab *lab, const Vm *vm, bool agent, GError **error);
// Takes those links away again.
void vm_lab_withdraw(VmLab *lab, const Vm *vm);

// Writes controller.conf: mode "balance", its socket controller.sock in the lab's folder, the
// directory that guests are published in, the budget, and every other guest of the lab with
// [defaults] of the controller; `more` (may be NULL) is added at the end. Returns the file's path,
// or NULL with a G_FILE_ERROR.
char *vm_lab_write_configuration(VmLab *lab, int64_t budget_bytes, const char *more,
                                 GError **error);
