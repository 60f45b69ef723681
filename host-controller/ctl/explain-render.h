// SPDX-License-Identifier: Apache-2.0
//
// An explanation as text or JSON. Pure.
#pragma once

#include "host-controller/ctl/explain.h"
#include "host-controller/ctl/text.h"

// For a person to read.
void explanation_render(const Explanation *explanation, const TextStyle *style, GString *out);
// For a program; `guest` is what was explained. New reference.
json_t *explanation_to_json(const Explanation *explanation, const json_t *guest);
