// SPDX-License-Identifier: Apache-2.0
//
// A real controller with its metrics endpoint over fake guests whose need comes and goes, until it
// is killed: for a Prometheus to scrape and for the status page to be looked at.
//
// usage: fake-host GUESTS PORT
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>

#define TURN_US (300 * MS_US)
// What all guests share, as long as that leaves each no more than half its size.
#define HOST_BYTES (16 * GIB)

// A few guests come to want another part of what there is for each.
static void turn(Rig *rig, int64_t share_bytes)
{
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        if (g_random_int_range(0, (int)rig->guests->len) < 3) {
            int64_t percent = g_random_int_range(20, 150);
            fake_agent_grow(guest->agent, share_bytes * percent / 100, GIB);
        }
    }
    wait_while(TURN_US);
}

int main(int argc, char **argv)
{
    if (argc != 3 || atoi(argv[1]) < 3) {
        fprintf(stderr, "usage: fake-host GUESTS PORT, of guests at least 3\n");
        return EXIT_FAILURE;
    }
    Rig *rig;
    void *state;
    rig_set_up(&state);
    rig = state;
    int count = atoi(argv[1]);
    int64_t share_bytes = MIN(HOST_BYTES / count, 512 * MIB);
    for (int i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("guest-%03d", i);
        RigGuest *guest = rig_add(rig, name, share_bytes, "min=2%");
        fake_agent_guest(guest->agent)->kernel_bytes = share_bytes / 20;
        fake_agent_guest(guest->agent)->used_bytes = share_bytes / 4;
        fake_agent_guest(guest->agent)->goal_bytes = share_bytes / 4;
    }
    g_autofree char *metrics = g_strdup_printf("[controller]\nmetrics=127.0.0.1:%s\n", argv[2]);
    rig_configure(rig, count * share_bytes * 9 / 8, NULL);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/metrics.conf", metrics, -1));
    rig_start(rig);
    wait_for(rig_is_complete(rig), 60 * SECOND_US);
    // One stops reporting, one follows no command.
    RigGuest *silent = g_ptr_array_index(rig->guests, 0);
    RigGuest *stuck = g_ptr_array_index(rig->guests, 1);
    wait_while(SECOND_US);
    fake_agent_set_silent(silent->agent, true);
    fake_qemu_set_rate(stuck->qemu, 0);
    fake_agent_grow(stuck->agent, 2 * share_bytes, GIB);
    for (;;) {
        turn(rig, share_bytes);
    }
}
