// SPDX-License-Identifier: Apache-2.0
//
// Runs inside a test guest that plays a host: a process which the controller there takes for a
// QEMU. Its monitor and its guest's agent are the fakes of the integration tests. What its balloon
// leaves the guest is real: memory of this process, all of it in use.
//
// usage: qemu-stand-in NAME SIZE [stuck]
//
// Serves NAME.qmp and NAME.agent in the current folder until it is killed. The balloon of one that
// is stuck does not move.
#include "protocol/units.h"
#include "tests/support/fake-agent.h"
#include "tests/support/fake-qemu.h"

#include <fcntl.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#define PAGE_BYTES 4096
// What a real guest's balloon gives in a second under emulation.
#define RATE_BYTES_PER_S (INT64_C(512) << 20)

typedef struct Machine {
    FakeQemu *qemu;
    char *memory;       // of the guest
    int64_t held_bytes; // of it, from its beginning
} Machine;

static void hold(Machine *machine, int64_t bytes)
{
    if (bytes < machine->held_bytes) {
        madvise(machine->memory + bytes, (size_t)(machine->held_bytes - bytes), MADV_DONTNEED);
    }
    for (int64_t offset = machine->held_bytes; offset < bytes; offset += PAGE_BYTES) {
        machine->memory[offset] = 1;
    }
    machine->held_bytes = bytes;
}

// Brings the guest's memory to where its balloon is.
static void follow_balloon(void *context)
{
    Machine *machine = context;
    hold(machine, fake_qemu_actual_bytes(machine->qemu));
}

// As a QEMU with vhost=on has it: the kernel works for it in a thread of its own, which older
// kernels list in QEMU's control group beside it.
static bool have_kernel_thread(void)
{
    int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, VHOST_SET_OWNER) != 0) {
        perror("qemu-stand-in: /dev/vhost-net");
        return false;
    }
    return true; // which keeps it
}

int main(int argc, char **argv)
{
    int64_t size_bytes;
    g_autoptr(GError) error = NULL;
    if (argc < 3 || argc > 4 || !size_parse(argv[2], &size_bytes, &error) ||
        (argc == 4 && strcmp(argv[3], "stuck") != 0)) {
        fprintf(stderr, "usage: qemu-stand-in NAME SIZE [stuck]\n");
        return EX_USAGE;
    }
    g_autofree char *qmp_path = g_strconcat(argv[1], ".qmp", NULL);
    g_autofree char *agent_path = g_strconcat(argv[1], ".agent", NULL);
    Machine machine = {
        .memory = mmap(NULL, (size_t)size_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    };
    if (machine.memory == MAP_FAILED || !have_kernel_thread()) {
        return EX_OSERR;
    }
    hold(&machine, size_bytes);
    machine.qemu = fake_qemu_new(qmp_path, size_bytes);
    fake_qemu_set_rate(machine.qemu, argc == 4 ? 0 : RATE_BYTES_PER_S);
    fake_qemu_watch(machine.qemu, follow_balloon, &machine);
    fake_agent_new(agent_path, machine.qemu); // lives as long as this process
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_main_loop_run(loop);
    return EX_OK;
}
