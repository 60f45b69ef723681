// SPDX-License-Identifier: Apache-2.0
//
// The last plan as JSON, with everything that decided it: the structs PlanInfo and PlannedGuest of
// protocol/controller.json.
#pragma once

#include "host-controller/controller.h"

// PlanInfo, of the guest `only` alone unless that is NULL. New reference.
json_t *view_plan(const Controller *controller, const Guest *only, int64_t now_us);

// What the plan decided of one guest, as far as the policy itself can tell; `reported`: its demand
// means something. New reference.
json_t *view_planned(const PolicyGuest *guest, bool reported);
