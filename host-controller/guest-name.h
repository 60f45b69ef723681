// SPDX-License-Identifier: Apache-2.0
//
// What a guest may be called, wherever it is told of: by the configuration, in a directory, or over
// the control socket.
#pragma once

#include <stdbool.h>

// What is wrong with `name`, as a sentence's end such as "a guest's name has ...", or NULL. `name`
// may be any bytes.
const char *guest_name_fault(const char *name);

// Whether the name of a group stands for many guests: * for any characters, ? for one.
bool guest_name_is_pattern(const char *name);

// Whether `text`, which must be UTF-8, has only printable characters.
bool text_is_printable(const char *text);
