// SPDX-License-Identifier: Apache-2.0
//
// A fake QEMU for tests: a QMP monitor with a guest's balloon behind it, in the thread-default main
// context of the test itself. Hundreds of them are no burden.
//
// It answers what the controller asks of a real one, moves its balloon with time as it is told to,
// writes down every command, and can misbehave in all the ways a QEMU can. Or it follows a script
// to the letter: this command, that reply, anything else is a failure.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FakeQemu FakeQemu;

// Serves a guest of `size_bytes`, running, with an empty balloon that moves at 1 GiB/s, at `path`.
FakeQemu *fake_qemu_new(const char *path, int64_t size_bytes);
// NULL does nothing.
void fake_qemu_free(FakeQemu *qemu);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeQemu, fake_qemu_free)

// --- the balloon ------------------------------------------------------------------------------

int64_t fake_qemu_size_bytes(const FakeQemu *qemu);
// What the guest has now, and what it was last told to have.
int64_t fake_qemu_actual_bytes(FakeQemu *qemu);
int64_t fake_qemu_target_bytes(const FakeQemu *qemu);

// Has `asked` called each time before QEMU says what the guest has, for the rest of the world to be
// as it says then.
void fake_qemu_on_asked(FakeQemu *qemu, void (*asked)(void *context), void *context);
// Puts the balloon where the guest has `bytes`, at once and as if it had been told to.
void fake_qemu_set_actual(FakeQemu *qemu, int64_t bytes);
// How fast the balloon moves; 0: it is stuck.
void fake_qemu_set_rate(FakeQemu *qemu, int64_t bytes_per_s);
// The guest gives back nothing below `bytes`, whatever it is told.
void fake_qemu_set_floor(FakeQemu *qemu, int64_t bytes);
// The guest's kernel takes memory out of its balloon by itself and has `bytes` now, until it is
// told a target again (deflate-on-oom).
void fake_qemu_take_back(FakeQemu *qemu, int64_t bytes);
// Without a driver in the guest the balloon does not move.
void fake_qemu_set_driver(FakeQemu *qemu, bool present);
// Without a device the balloon's commands fail as QEMU's do.
void fake_qemu_set_device(FakeQemu *qemu, bool present);

// A paused guest's balloon does not move. Emits STOP or RESUME.
void fake_qemu_set_running(FakeQemu *qemu, bool running);
// What query-migrate says, a literal: "active", "completed", ... Emits MIGRATION if a client wanted
// that.
void fake_qemu_set_migration(FakeQemu *qemu, const char *status);
// The guest starts anew: it has all its memory, and its balloon sets out for the target again.
// Until it has moved, QEMU says what it said before, as a real one does. Emits RESET.
void fake_qemu_reset_guest(FakeQemu *qemu);
// Memory is plugged in, and is the guest's at once.
void fake_qemu_plug(FakeQemu *qemu, int64_t bytes);
// Emits any event; takes over `data` (may be NULL).
void fake_qemu_emit(FakeQemu *qemu, const char *event, json_t *data);

// --- its balloon's statistics ------------------------------------------------------------------

// The guest's driver, when asked, tells statistics from now on: of what the guest has, `used_bytes`
// are in use and `cache_bytes` hold cache. Without this it never tells any.
void fake_qemu_set_stats(FakeQemu *qemu, int64_t used_bytes, int64_t cache_bytes);
// It tells one last time and no more; QEMU keeps that.
void fake_qemu_stop_stats(FakeQemu *qemu);
// Instead of what is true the guest tells this member of "stats", a number in JSON, too.
void fake_qemu_lie_in_stats(FakeQemu *qemu, const char *member, const char *number);
// How often QEMU asks the driver, in seconds; 0: not at all.
int64_t fake_qemu_stats_interval_s(const FakeQemu *qemu);
void fake_qemu_set_stats_interval(FakeQemu *qemu, int64_t interval_s);
// The device has no id.
void fake_qemu_set_anonymous(FakeQemu *qemu);

// Calls `function` after every command that was carried out and every step of the balloon.
void fake_qemu_watch(FakeQemu *qemu, void function(void *context), void *context);

// --- what it was told -------------------------------------------------------------------------

typedef struct FakeQemuCommand {
    char *name;
    json_t *arguments; // NULL: none
    int64_t at_us;     // monotonic
} FakeQemuCommand;

// Everything received after capabilities negotiation, oldest first; still owned by `qemu`.
const GPtrArray *fake_qemu_commands(const FakeQemu *qemu);
// How many of them are called `name`.
unsigned fake_qemu_count(const FakeQemu *qemu, const char *name);

// Whether a client has negotiated.
bool fake_qemu_is_connected(const FakeQemu *qemu);
// How many clients there have been.
unsigned fake_qemu_connections(const FakeQemu *qemu);

// --- misbehaving ------------------------------------------------------------------------------

// While it hangs, commands are taken in but neither carried out nor answered; they are afterwards.
void fake_qemu_set_hanging(FakeQemu *qemu, bool hanging);
// Answers the next command with these bytes instead of carrying it out.
void fake_qemu_answer_next_with(FakeQemu *qemu, const char *bytes, size_t length);
// Sends bytes unasked.
void fake_qemu_send(FakeQemu *qemu, const char *bytes, size_t length);
// Ends the connection; another may be made.
void fake_qemu_drop_client(FakeQemu *qemu);
// QEMU ends: nobody listens any more. Another one starts at the same path, with an empty balloon.
void fake_qemu_quit(FakeQemu *qemu);
void fake_qemu_start(FakeQemu *qemu);

// --- script -----------------------------------------------------------------------------------

// From the first call on the next command must be `command` (a whole request as JSON without its
// id) and is answered with `reply` (a whole reply without id).
void fake_qemu_expect(FakeQemu *qemu, const char *command, const char *reply);
// Fails the test unless every expected command came, in order, and nothing else.
void fake_qemu_assert_script_done(const FakeQemu *qemu);
// Whether that would pass; a script that went wrong never will.
bool fake_qemu_script_is_done(const FakeQemu *qemu);
