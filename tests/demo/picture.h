// SPDX-License-Identifier: Apache-2.0
//
// Shows the scene: on a terminal as a picture that is drawn over itself, elsewhere as plain lines.
//
// Colours follow NO_COLOR, shapes the locale (blocks in UTF-8, letters otherwise), the width the
// terminal, at every frame anew. Only the alive picture hides the cursor, and picture_close() gives
// it back; so does a signal that ends the program, by picture_restore_terminal().
#pragma once

#include "tests/demo/scene.h"

typedef struct Picture Picture;

// Begins to draw on stdout.
Picture *picture_open(void);
// Leaves the last frame where it is and gives the terminal back. NULL does nothing.
void picture_close(Picture *picture);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Picture, picture_close)

// Shows the scene as it is now. On a terminal it is drawn at most ten times a second; elsewhere new
// lines of the feed are printed, and the guests' sizes once a second.
void picture_show(Picture *picture, const Scene *scene);

// Shows the cursor again; may be called from a signal handler.
void picture_restore_terminal(void);
