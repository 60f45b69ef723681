// SPDX-License-Identifier: Apache-2.0
//
// A libvirtd of the test's own, with real domains under it: a session daemon whose folders all lie
// in the lab's, so that no test touches what libvirt has on this machine.
//
// libvirt's QEMU driver wants a user of its own when it is root, who need not exist: then the
// daemon is run as nobody. Its domains run as the same user.
#pragma once

#include "tests/support/guest-shell.h"
#include "tests/support/vm-lab.h"

// Boot, and whatever virsh does under emulation.
#define VIRSH_TIMEOUT_US (INT64_C(240) * 1000000)

typedef struct PrivateLibvirt PrivateLibvirt;

// The qemu.conf of one that needs no security driver, no log daemon and no cgroup.
extern const char private_libvirt_qemu_conf[];

// Starts the daemon and waits until it answers. Sets variables of the environment that virsh and
// aerostat-libvirt go by. NULL with an error.
PrivateLibvirt *private_libvirt_new(VmLab *lab, GError **error);
// Kills the domains and the daemon. NULL does nothing.
void private_libvirt_free(PrivateLibvirt *libvirt);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PrivateLibvirt, private_libvirt_free)

const char *private_libvirt_uri(const PrivateLibvirt *libvirt);
// The daemon; private_libvirt_start() starts another one after it has ended.
Process *private_libvirt_daemon(PrivateLibvirt *libvirt);
bool private_libvirt_start(PrivateLibvirt *libvirt, GError **error);

// Runs virsh with `commands`, separated by ";". What it printed, or NULL with PROTOCOL_ERROR_REMOTE
// when it failed.
char *private_libvirt_virsh(PrivateLibvirt *libvirt, const char *commands, GError **error);

// Defines a domain of `bytes` (whole MiB), with balloon, agent and a shell, which is not started.
bool private_libvirt_define(PrivateLibvirt *libvirt, const char *name, int64_t bytes,
                            GError **error);
// Waits until the running domain `name` takes commands, and returns its shell, the caller's.
GuestShell *private_libvirt_shell(PrivateLibvirt *libvirt, const char *name, GError **error);
// The pid of the domain's QEMU as libvirt knows it; 0 when it does not run.
pid_t private_libvirt_pid(PrivateLibvirt *libvirt, const char *name);
