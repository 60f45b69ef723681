// SPDX-License-Identifier: Apache-2.0
//
// Answers that come later: those of a client's requests that wait for something to happen. Others
// are answered meanwhile; which answer belongs to which request its "id" tells.
#pragma once

#include "host-controller/controller.h"

// The requests of one client that wait.
typedef struct ControlLater ControlLater;

// `send` is called with a whole reply message, borrowed.
ControlLater *control_later_new(Controller *controller,
                                void send(const json_t *reply, void *context), void *context);
// Nobody waits any more: what was not granted is dropped. NULL does nothing.
void control_later_free(ControlLater *later);

// The request being served will be answered by control_later_answer() with the context returned.
void *control_later_begin(ControlLater *later);
// It will not: it was refused.
void control_later_cancel(ControlLater *later);
// Has the request that was served wait, if it does; `reply` is then a reply in which only the value
// is missing.
bool control_later_keep(ControlLater *later, json_t *reply);

ClaimAnswerFunc control_later_answer;
