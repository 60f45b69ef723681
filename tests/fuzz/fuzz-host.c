// SPDX-License-Identifier: Apache-2.0
//
// Whole guests, whole QEMUs and an operator, all of them hostile, against the whole controller in
// virtual time. After every step what the controller commands is lawful (L1, L2, L3, L10), its
// account of what guests hold is no less than the truth, and its memory is bounded; in the end
// nothing is left.
//
// Every four bytes of the input are a move (host-game.h). Libfuzzer's own mutations change them,
// and the one below moves them about as a whole.
#include "tests/fuzz/host-game.h"

#include <string.h>

// More is slow, and finds nothing that fewer do not.
#define MOST_MOVES ((size_t)48)
#define MOVE_BYTES sizeof(HostGameMove)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = MIN(size / MOVE_BYTES, MOST_MOVES);
    HostGameMove moves[MOST_MOVES] = {{0}};
    memcpy(moves, data, count * MOVE_BYTES);
    HostGame game;
    host_game_begin(&game, &moves[0]);
    for (size_t i = 1; i < count; i++) {
        host_game_move(&game, &moves[i]);
    }
    host_game_end(&game);
    return 0;
}

// --- mutation ---------------------------------------------------------------------------------

static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525U + 1013904223U;
    return (*state >> 8) % below;
}

// Puts moves of the same game, from anywhere in it, before the one at `at`; the number of moves.
static size_t insert_moves(HostGameMove *moves, size_t count, size_t at, size_t from, size_t length)
{
    HostGameMove copied[MOST_MOVES];
    memcpy(copied, &moves[from], length * MOVE_BYTES);
    memmove(&moves[at + length], &moves[at], (count - at) * MOVE_BYTES);
    memcpy(&moves[at], copied, length * MOVE_BYTES);
    return count + length;
}

static size_t erase_moves(HostGameMove *moves, size_t count, size_t at, size_t length)
{
    memmove(&moves[at], &moves[at + length], (count - at - length) * MOVE_BYTES);
    return count - length;
}

// Half of the time repeats, moves away or makes up whole moves. The opening stays first.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    unsigned state = seed;
    HostGameMove moves[2 * MOST_MOVES];
    size_t most = MIN(max_size / MOVE_BYTES, MOST_MOVES);
    size_t count = MIN(size / MOVE_BYTES, most);
    if (count < 2 || draw(&state, 2) == 0) {
        return LLVMFuzzerMutate(data, MIN(size, most * MOVE_BYTES), most * MOVE_BYTES);
    }
    memcpy(moves, data, count * MOVE_BYTES);
    size_t at = 1 + draw(&state, (unsigned)count - 1);
    size_t from = 1 + draw(&state, (unsigned)count - 1);
    size_t length = 1 + draw(&state, (unsigned)(count - from));
    switch (draw(&state, 3)) {
    case 0:
        count = insert_moves(moves, count, at, from, length);
        break;
    case 1:
        count = erase_moves(moves, count, from, length);
        break;
    default:
        count = insert_moves(moves, count, at, from, 1);
        moves[at] = (HostGameMove){(uint8_t)draw(&state, 256), (uint8_t)draw(&state, 256),
                                   (uint8_t)draw(&state, 256), (uint8_t)draw(&state, 256)};
        break;
    }
    count = MIN(count, most);
    memcpy(data, moves, count * MOVE_BYTES);
    return count * MOVE_BYTES;
}
