// SPDX-License-Identifier: Apache-2.0
//
// A real guest under a bench's hands: its agent's reports as they arrive, and its memory squeezed
// and released. What goes wrong ends the bench.
#pragma once

#include "protocol/report.h"
#include "tests/support/deadline.h"
#include "tests/support/vm-lab.h"

#define AGENT_GUEST_BYTES (512 * MIB)

typedef struct AgentGuest {
    VmLab *lab;
    Vm *vm;
    int fd; // of the agent's socket
    GString *input;
    int64_t clock_offset_us; // host's monotonic clock less the guest's
} AgentGuest;

// Boots a guest of AGENT_GUEST_BYTES with as much zram swap as said, subscribes to its agent's
// reports and aligns the clocks.
void agent_guest_boot(AgentGuest *guest, VmLab *lab, int64_t zram_bytes);
void agent_guest_clear(AgentGuest *guest);

// Receives the next report pushed; returns the host's clock at its arrival.
int64_t agent_guest_receive(AgentGuest *guest, MemoryReport *report, int64_t deadline_us);
// Asks for a report; those pushed meanwhile are dropped.
MemoryReport agent_guest_ask(AgentGuest *guest);
// Receives reports for this long; returns how many.
int64_t agent_guest_listen(AgentGuest *guest, int64_t duration_us);

// Takes memory until about so much is available, the page cache being dropped first, and lets the
// guest come to rest.
void agent_guest_squeeze(AgentGuest *guest, int64_t available_bytes);
// Gives all of it back, and waits for nothing.
void agent_guest_release(AgentGuest *guest);

// Starts a command in the guest's background; returns its pid. The pid's agent_guest_output() is
// the first number it has printed, waited for.
int64_t agent_guest_start(AgentGuest *guest, const char *command);
int64_t agent_guest_output(AgentGuest *guest, int64_t pid);
void agent_guest_end(AgentGuest *guest, int64_t pid);

// Whether the guest has such a program.
bool agent_guest_has(AgentGuest *guest, const char *path);

// What a program has cost since its start, and holds now.
typedef struct AgentCost {
    int64_t guest_us; // the guest's clock
    int64_t run_ns;
    // How often it slept. More often than it is woken: a report taken by the host ends the wait for
    // the next one for a moment, within the kernel.
    int64_t switches;
    int64_t reads; // system calls of read() and its kin
    int64_t writes;
    int64_t resident_kib;
    int64_t anonymous_kib;
    int64_t locked_kib;
} AgentCost;

AgentCost agent_guest_cost(AgentGuest *guest, const char *program);
