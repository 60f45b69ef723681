// SPDX-License-Identifier: Apache-2.0
//
// Claims on the host's memory that somebody holds by an id: a reservation, which keeps room free
// for a guest about to start, and a preparation, which has a guest made small and held still.
//
// This is the list of them and its arithmetic; time is passed in. What a claim means for guests is
// controller-claims.h.
#pragma once

#include "protocol/json.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum ClaimKind { CLAIM_RESERVATION, CLAIM_PREPARATION, CLAIM_KIND_COUNT } ClaimKind;

// The word of ClaimKind in protocol/controller.json.
const char *claim_kind_name(ClaimKind kind);

// What a claim's owner is told, once: `value` is a ClaimResult of protocol/controller.json, or NULL
// and `error`. The reference to `value` is handed over.
typedef void ClaimAnswerFunc(json_t *value, const GError *error, void *context);

typedef struct Claim {
    int64_t id;
    ClaimKind kind;
    char *name;           // of the guest; NULL: a reservation for whichever comes
    int64_t bytes;        // to be kept free; of a preparation the target, 0 until it is chosen
    int64_t created_us;   // monotonic, like the others
    int64_t answer_by_us; // granted by then or not at all
    int64_t hold_us;      // once granted it lasts this long
    int64_t expires_us;   // once granted
    bool granted;
    ClaimAnswerFunc *answer; // NULL: nobody waits any more
    void *context;
} Claim;

// What is asked for; `name` is copied.
typedef struct ClaimRequest {
    ClaimKind kind;
    const char *name;
    int64_t bytes;
    int64_t timeout_us;
    int64_t hold_us;
    ClaimAnswerFunc *answer;
    void *context;
} ClaimRequest;

typedef struct Claims {
    GPtrArray *list; // Claim*, oldest first
    int64_t last_id;
} Claims;

void claims_init(Claims *claims);
// Nobody is answered any more.
void claims_clear(Claims *claims);

// Adds a claim, which waits to be granted; it belongs to `claims`. NULL with PROTOCOL_ERROR_REFUSED
// when there are LIMIT_CLAIMS already.
Claim *claims_add(Claims *claims, const ClaimRequest *request, int64_t now_us, GError **error);
// The claim, or NULL with PROTOCOL_ERROR_INVALID.
Claim *claims_find(const Claims *claims, int64_t id, GError **error);
// Takes the claim off the list and frees it.
void claims_remove(Claims *claims, Claim *claim);
// Whoever waits with this context no longer does: what was not granted to it is dropped.
void claims_abandon(Claims *claims, const void *context);

// Grants a claim: its owner is told `bytes`, and it lasts for its time from `now_us` on.
void claims_grant(Claim *claim, int64_t bytes, int64_t now_us);
// Tells the owner that it was not granted and that `bytes` is what could be had; drops it.
void claims_deny(Claims *claims, Claim *claim, int64_t bytes, int64_t now_us);
// Tells the owner what went wrong, if it still waits; drops it.
void claims_fail(Claims *claims, Claim *claim, const GError *error);

// What reservations keep free now, and what those that wait for memory to come back want.
int64_t claims_reserved_bytes(const Claims *claims);
int64_t claims_wanted_bytes(const Claims *claims);
// When the next of them is to be answered or expires; INT64_MAX: never.
int64_t claims_deadline_us(const Claims *claims);

// The reservation whose place a guest called `name` takes when it becomes known: the oldest one for
// that name, or else the oldest that was granted for whichever comes. NULL: none.
Claim *claims_find_for_guest(const Claims *claims, const char *name);

// ClaimInfo of protocol/controller.json. New reference.
json_t *claim_view(const Claim *claim, int64_t now_us);
