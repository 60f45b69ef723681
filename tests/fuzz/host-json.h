// SPDX-License-Identifier: Apache-2.0
//
// Memory of jansson's, whose messages are dozens of small pieces each, from a pool instead of the
// sanitizer's allocator, which would take a quarter of a game.
//
// As much is found: a piece has poisoned bytes around it, is poisoned when it is freed, and is not
// used again before many others were; freeing twice ends the program, and at the end of a game none
// may be left (host_json_pieces()).
#pragma once

#include <stddef.h>

// Pieces that are not freed.
size_t host_json_pieces(void);
