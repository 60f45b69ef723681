// SPDX-License-Identifier: Apache-2.0
//
// The pid of a domain's QEMU, which libvirt tells through no call, but writes to a file.
//
// Source: libvirt, src/qemu/qemu_conf.c (stateDir) and qemu_process.c (virPidFileBuildPath).
#pragma once

#include <sys/types.h>

// The folder of libvirt's pid files for connections to `uri`: the system's, or the user's own for a
// session. New string.
char *qemu_pid_folder(const char *uri);

// What `folder`/NAME.pid says, if that process exists; 0 when it cannot be told.
pid_t qemu_pid_read(const char *folder, const char *domain_name);
