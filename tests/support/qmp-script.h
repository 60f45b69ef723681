// SPDX-License-Identifier: Apache-2.0
//
// A QMP conversation set down in advance: which command must come next, and what it is answered.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

// All zero is an empty script. Clear with qmp_script_clear().
typedef struct QmpScript {
    GQueue lines;  // expected commands with their replies
    char *failure; // what went wrong, once something has
} QmpScript;

void qmp_script_clear(QmpScript *script);

// The next command must be `command`, a whole request without its id, and is answered with `reply`,
// a whole reply without id; both are JSON.
void qmp_script_expect(QmpScript *script, const char *command, const char *reply);

// The reply to `request`, whose id it carries; a new reference. NULL when the script wants another
// command, and from then on.
json_t *qmp_script_answer(QmpScript *script, const json_t *request);

// What is wrong with the conversation so far, commands still to come included; free with g_free().
// NULL when it went to its end as it should.
char *qmp_script_fault(const QmpScript *script);
