// SPDX-License-Identifier: Apache-2.0
//
// The commands of the control socket that decide which guests there are, and which are touched. In
// the table of control-commands.c.
#pragma once

#include "protocol/qmp.h"

extern const QmpArgument control_add_guest_arguments[];
QmpHandler control_add_guest;
extern const QmpArgument control_remove_guest_arguments[];
QmpHandler control_remove_guest;
extern const QmpArgument control_set_manage_arguments[];
QmpHandler control_set_manage;
