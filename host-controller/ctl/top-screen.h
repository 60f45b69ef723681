// SPDX-License-Identifier: Apache-2.0
//
// The terminal of aerostatctl top: the only place that knows ncurses, which is optional at build.
#pragma once

#include "host-controller/ctl/text.h"

// What a person pressed.
typedef enum TopKey {
    TOP_KEY_NONE, // nothing more for now
    TOP_KEY_LETTER,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_RESIZE,
} TopKey;

// Takes over the terminal at stdin and stdout. False when there is none that can be used, or no
// ncurses: `*why` then says so, a literal.
bool top_screen_open(const char **why);
// Gives the terminal back as it was.
void top_screen_close(void);

void top_screen_size(int *rows, int *columns);
// Draws an array of TopSpan (top-render.h) and nothing else, in colours if the terminal has them.
void top_screen_draw(const GArray *spans, bool colour);
// The next key, without waiting; `*letter` is what was pressed when it is a letter.
TopKey top_screen_key(char *letter);
