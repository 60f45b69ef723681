// SPDX-License-Identifier: Apache-2.0
//
// What the files of the fake QEMU share.
#pragma once

#include "tests/support/fake-qemu.h"
#include "tests/support/fake-server.h"
#include "tests/support/qmp-script.h"

#include "protocol/qmp.h"

struct FakeQemu {
    FakeServer *server;
    bool greeted;
    bool negotiated;

    int64_t size_bytes; // all of it
    int64_t plugged_bytes;
    int64_t target_bytes;
    int64_t floor_bytes;
    int64_t rate_bytes_per_s;
    void (*asked)(void *context); // before `query-balloon` is answered; NULL: nobody
    void *asked_context;
    bool has_device;
    bool has_driver; // the guest's kernel drives the device
    bool running;
    const char *migration; // query-migrate's status; NULL: there was none
    bool tells_migration;
    bool keeps;    // the guest took memory back and waits for the next command
    bool has_left; // since a reset no driver has said anything: QEMU still says left_bytes
    int64_t left_bytes;
    // The balloon was here then, and has been on its way to its goal since.
    int64_t from_bytes;
    int64_t from_us;
    GSource *step;      // while it moves, or an event is due
    int64_t seen_bytes; // at the last step
    int64_t told_bytes; // with the last event
    int64_t told_us;
    void (*watch)(void *context);
    void *watch_context;

    bool tells_stats;
    bool anonymous;
    int64_t used_bytes;
    int64_t cache_bytes;
    int64_t interval_s;
    int64_t stats_at_us; // when the driver told last, monotonic; 0: never
    int64_t stats_held_bytes;
    char *lie_member;
    char *lie_number;

    GPtrArray *commands; // FakeQemuCommand*
    bool hanging;
    GQueue held; // lines that came meanwhile, GBytes*
    GBytes *next_answer;

    bool scripted;
    QmpScript script;
};

// What a QEMU's monitor can do.
extern const QmpCommand fake_qemu_commands_table[];
// QOM, as far as the balloon's statistics go.
QmpHandler fake_qemu_qom_list;
QmpHandler fake_qemu_qom_get;
QmpHandler fake_qemu_qom_set;
// Stands in an answer for the statistics, which have numbers that jansson cannot write.
#define FAKE_QEMU_STATS "guest-stats"
char *fake_qemu_format_stats(const FakeQemu *qemu);
// Whether a command may be executed now; context is the FakeQemu.
bool fake_qemu_gate(void *context, const QmpCommand *command, const char *name, GError **error);

// The balloon starts from `actual_bytes` under whatever holds from now on.
void fake_qemu_depart(FakeQemu *qemu, int64_t actual_bytes);
// What QEMU knows of the guest's memory, which after a reset is not what is true.
int64_t fake_qemu_told_bytes(FakeQemu *qemu);
