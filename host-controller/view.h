// SPDX-License-Identifier: Apache-2.0
//
// What clients of the control socket see of the controller, as JSON: the structs of
// protocol/controller.json.
#pragma once

#include "host-controller/controller.h"

// GuestInfo. New reference.
json_t *view_guest(const Guest *guest, int64_t now_us);
// A list of GuestInfo, in the order of the configuration. New reference.
json_t *view_guests(const Controller *controller, int64_t now_us);
// HostInfo. New reference.
json_t *view_host(const Controller *controller, int64_t now_us);
// ControllerStatus. New reference.
json_t *view_status(const Controller *controller, int64_t now_us);
// VersionInfo. New reference.
json_t *view_version(void);
