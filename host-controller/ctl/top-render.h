// SPDX-License-Identifier: Apache-2.0
//
// A screen of aerostatctl top.
//
// Pure: a model and the size of a screen in, pieces of coloured text out.
#pragma once

#include "host-controller/ctl/text.h"
#include "host-controller/ctl/top-model.h"

// A piece of text; pieces of one row stand in their order, from its left edge on.
typedef struct TopSpan {
    int row;
    TextColour colour;
    char *text;
} TopSpan;

// Draws the model on `rows` rows of the style's width, which is above 0. A new array of TopSpan,
// which it frees; no row is wider than the screen.
GArray *top_render(const TopModel *model, const TextStyle *style, int rows);

// How many guests a screen of `rows` rows shows.
guint top_visible_guests(int rows);
