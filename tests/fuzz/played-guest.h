// SPDX-License-Identifier: Apache-2.0
//
// A guest and its QEMU as a fuzzer plays them to the controller: what is true of its memory, and
// how either side behaves towards whoever asks.
//
// What QEMU is told it carries out at once; the guest moves towards its target at its rate, and no
// further unless it is made to. So what it may hold at most is known at every moment
// (played_guest_may_hold()), which is what the controller's own account is held against.
#pragma once

#include "protocol/report.h"
#include "protocol/transport/fd-watch.h"
#include "protocol/transport/timer.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PLAYED_MIB (INT64_C(1) << 20)
// No process of this machine has such an id.
#define PLAYED_PID_BASE 8000000

// How a side treats what it is asked.
typedef enum PlayedManner {
    PLAYED_HONEST,
    PLAYED_LATE,       // does it, and says so when it is honest again, in order
    PLAYED_DEAF,       // takes nothing in until it is honest again
    PLAYED_SILENT,     // does it and does not say so
    PLAYED_REFUSING,   // says that it cannot
    PLAYED_STRANGE_ID, // answers what nobody asked
    PLAYED_MANNER_COUNT
} PlayedManner;

typedef struct PlayedGuest PlayedGuest;

// The other end of a connection that the controller made.
typedef struct PlayedPeer {
    PlayedGuest *guest;
    void (*answer)(PlayedGuest *guest, const char *line); // what it does with one
    bool listens;                                         // somebody does
    int fd;                                               // -1: no connection
    FdWatch *watch;                                       // of that
    PlayedManner manner;
    GString *input;      // not yet a whole line
    GString *late;       // what is said later
    unsigned unanswered; // of what has come, while answers are late
    bool clean;          // on this connection nothing but whole messages was sent, and each answer
    int64_t said_us;     // when it spoke last
    int64_t heard_us;    // what was said has had its turn by then, however much it was
} PlayedPeer;

struct PlayedGuest {
    unsigned index;
    char name[4]; // "g0"
    // The truth.
    pid_t pid;
    int64_t size_bytes; // with an empty balloon
    int64_t plugged_bytes;
    int64_t held_bytes;   // what it has, as of moved_us
    int64_t target_bytes; // what QEMU has in force
    bool commanded;       // by the controller; of another's target that cannot know
    int64_t rate_bytes_per_s;
    int64_t moved_us;
    bool running;
    bool has_device;
    bool frees_nothing; // its process keeps what the balloon has
    const char *migration;
    // What QEMU says of it.
    int64_t told_bytes;    // of the balloon: since a reset the former driver's last word
    const char *lies;      // the number told in place of that; NULL: the truth
    const char *lies_size; // likewise of its memory's size
    bool truthful;         // QEMU and guest told nothing false of the balloon until now
    bool ahead;            // it took what nobody told of yet
    unsigned told;         // how often QEMU told what it has since, on this connection
    int64_t stats_interval_s;
    PlayedPeer monitor;
    // What its agent says.
    PlayedPeer port;
    bool subscribed;
    bool beats; // it reports once a second
    Timer *heartbeat;
    int64_t used_bytes;
    int64_t stall_us;
    int64_t refault_bytes;
    int64_t sequence;
    unsigned boot_id;
};

// A running guest that has `held_bytes`, as it was told, with all sides honest.
void played_guest_init(PlayedGuest *guest, unsigned index, int64_t size_bytes, int64_t held_bytes);
void played_guest_clear(PlayedGuest *guest);

// What VirtualWorld.connected is to return, or -1: `path` is not this guest's.
int played_guest_connected(PlayedGuest *guest, const char *path, int fd, pid_t *pid);
// What /proc/PID/status says of its QEMU, whose process this is; new string, NULL: it is not.
char *played_guest_process(PlayedGuest *guest, int pid);

// All of its memory, plugged or not; what it has now; the most that it may come to have.
int64_t played_guest_size(const PlayedGuest *guest);
int64_t played_guest_held(PlayedGuest *guest);
int64_t played_guest_may_hold(PlayedGuest *guest);

// --- its QEMU ---------------------------------------------------------------------------------

// QEMU ends; another one starts at the same place, its guest's balloon empty.
void played_qemu_end(PlayedGuest *guest);
void played_qemu_start(PlayedGuest *guest);
// Says something unasked; `data` is JSON, NULL: none.
void played_qemu_emit(PlayedGuest *guest, const char *event, const char *data);
// The guest has `bytes` from now on, whatever it was told.
void played_qemu_move(PlayedGuest *guest, int64_t bytes);
// The guest starts anew, its balloon empty; QEMU says what it said until the driver moves again.
void played_qemu_reset(PlayedGuest *guest);
// The balloon's device goes or comes.
void played_qemu_set_device(PlayedGuest *guest, bool present);
// That much memory is plugged in.
void played_qemu_plug(PlayedGuest *guest, int64_t bytes);
// Does what a monitor does with a line.
void played_qemu_answer(PlayedGuest *guest, const char *line);

// --- its agent --------------------------------------------------------------------------------

// The numbers a report can have wrong.
typedef enum PlayedField {
    PLAYED_SEQUENCE,
    PLAYED_MONOTONIC,
    PLAYED_TOTAL,
    PLAYED_FREE,
    PLAYED_AVAILABLE,
    PLAYED_REFAULT,
    PLAYED_STALL,
    PLAYED_BALLOON,
    PLAYED_FIELD_COUNT
} PlayedField;

// Reports, if somebody subscribed, with `lie` in the place of `field` (NULL: nothing but the
// truth).
void played_agent_report(PlayedGuest *guest, MemoryReportReason reason, PlayedField field,
                         const char *lie);
void played_agent_answer(PlayedGuest *guest, const char *line);
void played_agent_begin(PlayedGuest *guest);

// --- either side ------------------------------------------------------------------------------

void played_peer_send(PlayedPeer *peer, const char *bytes, size_t length);
// Sends what is no message.
void played_peer_send_raw(PlayedPeer *peer, const char *bytes, size_t length);
void played_peer_printf(PlayedPeer *peer, const char *format, ...) G_GNUC_PRINTF(2, 3);
// Ends the connection; unless it goes on listening, nobody will make another.
void played_peer_drop(PlayedPeer *peer);
void played_peer_set_manner(PlayedPeer *peer, PlayedManner manner);
