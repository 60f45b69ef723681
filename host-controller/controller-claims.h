// SPDX-License-Identifier: Apache-2.0
//
// Reservations and preparations in the controller's plans (docs/host.md).
//
// A reservation is a smaller budget, as far as guests can do without what it takes; it is granted
// when what guests hold or were promised leaves that much of the budget, which is when the memory
// has come back. A preparation pins its guest at what it needs, and is granted when it is there.
#pragma once

#include "host-controller/controller-state.h"

// What granted reservations take off the budget comes off `host`, and what others wait for as far
// as guests can do without it; guests that are prepared are pinned. `guests` stand beside
// controller->observed.
void controller_claims_apply(Controller *controller, PolicyHost *host, PolicyGuest *guests,
                             size_t count);
// After a plan was carried out: grants what is there, and ends what is over. `budget_bytes` is what
// guests and reservations may have together.
void controller_claims_settle(Controller *controller, int64_t budget_bytes,
                              const PolicyGuest *guests, size_t count, int64_t now_us);
// A guest has become known: it takes the place of the reservation that was made for it.
void controller_claims_meet(Controller *controller, const Guest *guest);
