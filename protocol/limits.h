// SPDX-License-Identifier: Apache-2.0
//
// Every limit on what a peer may send or make us keep, in one place.
//
// A guest is hostile by assumption and a QEMU only half trusted: each limit bounds memory or time
// for the one peer it applies to, so that no peer can slow or starve another.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Longest line accepted from a guest agent. A full report is under 1.5 KiB, guest-info under 4 KiB.
#define LIMIT_AGENT_LINE_BYTES ((size_t)64 * 1024)
// Longest line accepted from QEMU: the largest answers asked for are under 4 KiB, but events of any
// device arrive unasked.
#define LIMIT_QEMU_LINE_BYTES ((size_t)256 * 1024)
// Longest request accepted by the agent and by the control socket.
#define LIMIT_REQUEST_LINE_BYTES ((size_t)64 * 1024)
// Longest answer aerostatctl accepts from its controller: query-guests of 10,000 guests is 16 MiB.
#define LIMIT_CONTROLLER_LINE_BYTES ((size_t)64 * 1024 * 1024)

// Deepest nesting of arrays and objects in any message; QMP itself never needs more than 8.
#define LIMIT_JSON_DEPTH 32

// Answers waiting to be read by a peer. Above it no further request of that peer is read.
#define LIMIT_PENDING_REPLY_BYTES ((size_t)256 * 1024)
// Events waiting for one control client; the oldest is dropped first, and counted.
#define LIMIT_PENDING_EVENTS 256
// Commands sent to one QEMU and not yet answered.
#define LIMIT_PENDING_COMMANDS 16
// Bytes read from one peer before the others get their turn.
#define LIMIT_READ_BURST_BYTES ((size_t)64 * 1024)

// What a peer sends is paid for in its time: so much for each time it has to be read, for its bytes
// whatever they are, and for a line a microsecond a byte, but this much at least. It may be this
// far ahead of its time; then its input waits.
#define LIMIT_READ_COST_US INT64_C(200)
#define LIMIT_BYTES_PER_US 16
#define LIMIT_LINE_COST_US INT64_C(1000)
#define LIMIT_AHEAD_US INT64_C(20000)

// Clients connected to the control socket at one time.
#define LIMIT_CONTROL_CLIENTS 64
// Reservations and preparations that are asked for or held at one time.
#define LIMIT_CLAIMS 64
// Guests in one configuration.
#define LIMIT_GUESTS 10000
// Longest name of a guest, and longest text taken over from a peer for a person to read.
#define LIMIT_NAME_BYTES 128
#define LIMIT_TEXT_BYTES 256

// No number in a report may exceed this, just below 4 EiB: it leaves every sum of two within
// int64_t.
#define LIMIT_REPORT_VALUE ((INT64_C(1) << 62) - 1)
