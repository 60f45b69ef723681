// SPDX-License-Identifier: Apache-2.0
//
// What the moves of a game have in common, and those of the operator (host-orders.c).
#pragma once

#include "tests/fuzz/host-game.h"

typedef void HostMove(HostGame *game, PlayedGuest *guest, const HostGameMove *move);

// How the move is meant, beside which guest it is about.
static inline unsigned host_move_variant(const HostGameMove *move)
{
    return move->who >> 2;
}

// From nothing to a little more than all.
static inline int64_t host_move_size(const PlayedGuest *guest, const HostGameMove *move)
{
    return played_guest_size(guest) / 240 * move->a;
}

// Both bytes as one number.
static inline int64_t host_move_number(const HostGameMove *move)
{
    return move->a << 8 | move->b;
}

// What an operator may ask for.
HostMove host_order_set_target;
HostMove host_order_set_policy;
HostMove host_order_set_manage;
HostMove host_order_set_mode;
HostMove host_order_reserve;
HostMove host_order_prepare;
HostMove host_order_release;
HostMove host_order_add_or_remove;
HostMove host_order_reload;
HostMove host_order_look;
