// SPDX-License-Identifier: Apache-2.0
//
// A plain client of a fake or of a server in the same main loop: says lines, hears messages. What
// does not come in time fails the test.
#pragma once

#include "protocol/transport/line-channel.h"

#include <jansson.h>

// All zero is a closed client. Must not move while it is open.
typedef struct LineClient {
    LineChannel *channel;
    GQueue lines;        // char *, not heard yet
    bool after_sentinel; // the last line had a sentinel before it
    bool ended;          // by the other side
} LineClient;

// Connects to the socket at `path`, once closed if need be.
void line_client_open(LineClient *client, const char *path);
void line_client_close(LineClient *client);

// Says a line; the newline is added.
void line_client_say(LineClient *client, const char *text);
// The next message. New reference.
json_t *line_client_hear(LineClient *client);
// The data of the next event called `name`; other messages before it are dropped. New reference.
json_t *line_client_hear_event(LineClient *client, const char *name);
// The next message that is no event; events before it, which may come at any time, are dropped. New
// reference.
json_t *line_client_hear_answer(LineClient *client);
// Says a line and fails the test unless the next message that is no event is `expected` to the
// letter.
void line_client_ask(LineClient *client, const char *request, const char *expected);
// Connects, takes the greeting and negotiates.
void line_client_open_qmp(LineClient *client, const char *path);
