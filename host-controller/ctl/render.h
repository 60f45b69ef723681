// SPDX-License-Identifier: Apache-2.0
//
// What the controller answers (protocol/controller.json) as text for a person.
//
// Pure: JSON and a style in, text out. The JSON may come from a newer controller or carry what a
// guest made up: an unknown word is shown as it is, made harmless; what is missing is shown as "-".
#pragma once

#include "host-controller/ctl/text.h"
#include "protocol/json.h"

// A table of all guests; `guests` is the value of query-guests.
void render_guests(const json_t *guests, const TextStyle *style, GString *out);

// The names of all guests, one a line, for programs that complete them.
void render_names(const json_t *guests, GString *out);

// Everything about one guest; `guest` is the value of query-guest.
void render_guest(const json_t *guest, const TextStyle *style, GString *out);

// The controller and its host; `status` and `host` are the values of query-status and query-host.
void render_status(const json_t *status, const json_t *host, const TextStyle *style, GString *out);

// One line for an event message, with its time in the local time zone.
void render_event(const json_t *event, const TextStyle *style, GString *out);

// --- what the renderers share -----------------------------------------------------------------

// Member `name` of `object` as harmless text, or "-". New string.
char *render_word(const json_t *object, const char *name);
// Member `name` of `object` as a size, or "-". New string.
char *render_size(const json_t *object, const char *name);
// A time, to the precision a person can use. New string.
char *render_duration(int64_t duration_us);
// What the guest's processes and kernel hold, or -1 when nobody knows.
int64_t render_used_bytes(const json_t *guest);
// In words, which rule decided a target; `reason` is a guest's. New string.
char *render_bound(const json_t *reason);
// A line "  label   text", the text wrapped at the style's width.
void render_row(const TextStyle *style, const char *label, const char *text, GString *out);
// The colour that shows a guest's state.
TextColour render_state_colour(const char *state);
