// SPDX-License-Identifier: Apache-2.0
//
// A controller among hostile guests, misbehaving QEMUs and a busy operator, as fuzz-host plays it.
#pragma once

#include "host-controller/control-commands.h"
#include "tests/fuzz/host-laws.h"
#include "tests/fuzz/played-guest.h"

#define HOST_GAME_GUESTS 3
// So many moments at which something is due are played in a stretch of time, and in a game.
#define HOST_GAME_STRETCH_MOMENTS 16U
#define HOST_GAME_MOMENTS 80U

// One move: four bytes of the input. The first record is the opening (host_game_begin()).
typedef struct HostGameMove {
    uint8_t action; // below 64 time passes, otherwise which one of the table
    uint8_t who;    // the lower two bits: which guest; the others: how
    uint8_t a;
    uint8_t b;
} HostGameMove;

typedef struct HostGame {
    Controller *controller;
    ControlContext control;
    PlayedGuest guests[HOST_GAME_GUESTS];
    guint count;
    HostLaws laws;
    // The configuration, and the host.
    unsigned mode;
    unsigned min;
    bool releases;
    bool last_is_added; // the last guest is not configured
    unsigned agents;    // bits: which guests have an agent's port
    int64_t budget_mib; // 0: auto
    int64_t available_bytes;
    int64_t swapped_pages;
    unsigned stalled_percent;
    unsigned moments; // played so far
    bool ended;
    bool calmed;        // they were all honest for a while, which takes long
    size_t began_bytes; // allocated at the beginning
} HostGame;

// Starts a controller and its world, as `opening` says.
void host_game_begin(HostGame *game, const HostGameMove *opening);
// Makes the move, lets everything happen that follows at once, and checks what must hold.
void host_game_move(HostGame *game, const HostGameMove *move);
// Ends the controller in its proper way. All memory is returned.
void host_game_end(HostGame *game);

// --- between the files ------------------------------------------------------------------------

// Lets time pass.
void host_game_pass(HostGame *game, int64_t us);
// Carries out a move.
void host_game_act(HostGame *game, PlayedGuest *guest, const HostGameMove *move);
// What clients of the control socket may ask, in JSON.
void host_game_request(HostGame *game, const char *format, ...) G_GNUC_PRINTF(2, 3);
// Writes the configuration, for the next start or reload; its path.
const char *host_game_write_config(const HostGame *game);
// What the controller knows of the guest, or NULL.
const Guest *host_game_known(const HostGame *game, const PlayedGuest *guest);
