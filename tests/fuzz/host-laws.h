// SPDX-License-Identifier: Apache-2.0
//
// The laws (docs/policy.md) held against a controller while it runs, step by step: what it believes
// before a step, what it commands in it.
#pragma once

#include "host-controller/controller.h"

#define HOST_LAWS_MOST_GUESTS 8

// What the controller took for true of one guest.
typedef struct HostLawsGuest {
    const Guest *guest;
    int64_t actual_bytes;
    int64_t target_bytes;
    int64_t ceiling_bytes;
    int64_t size_bytes;
    uint64_t commands;
    bool movable;
    bool restarted; // since a reset nobody has told what it holds
} HostLawsGuest;

typedef struct HostLaws {
    const Controller *controller;
    HostLawsGuest guests[HOST_LAWS_MOST_GUESTS];
    guint count;
    int64_t reserved_bytes;
    uint64_t plans; // made so far
} HostLaws;

// Takes note of how things stand: before the first step, and when somebody else has acted on the
// controller.
void host_laws_note(HostLaws *laws, const Controller *controller);

// What was noted of the guest, or NULL. Holds until the next note.
const HostLawsGuest *host_laws_find(const HostLaws *laws, const char *name);

// After a step: what was commanded in it is lawful, or the program ends. Takes note again.
//
// L1: no target above max but where a guest that must not be moved is already; and none is left
// there that may. L10: none below min, unless it raises. L3: no guest without fresh news is shrunk.
// L2: what all may hold, with what is reserved, is within the budget, or no more than it was.
void host_laws_check(HostLaws *laws);
