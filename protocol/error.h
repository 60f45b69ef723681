// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong on a wire, and who has to act on it.
#pragma once

#include <glib.h>

// Error domain of protocol/. The message is one sentence without a trailing full stop, fit to be
// sent to the peer as "desc" of a QMP error or shown to a person.
#define PROTOCOL_ERROR (protocol_error_quark())
GQuark protocol_error_quark(void);

typedef enum ProtocolError {
    // The peer sent something that is not the protocol: its connection is best dropped.
    PROTOCOL_ERROR_SYNTAX,
    // A well-formed message with a member missing, of the wrong type or out of range: the sender
    // is told.
    PROTOCOL_ERROR_INVALID,
    // A command nobody has: the sender is told, with class CommandNotFound.
    PROTOCOL_ERROR_COMMAND_NOT_FOUND,
    // A command that is not allowed or makes no sense in the present state: the sender is told.
    PROTOCOL_ERROR_REFUSED,
    // The peer answered our command with an error: who asked decides.
    PROTOCOL_ERROR_REMOTE,
    // The peer did not answer in time: who asked decides.
    PROTOCOL_ERROR_TIMEOUT,
    // The connection ended before the answer came: who asked decides.
    PROTOCOL_ERROR_CLOSED,
} ProtocolError;
