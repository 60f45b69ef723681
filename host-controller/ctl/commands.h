// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl's subcommands: each connects, asks, writes what it learned and returns the exit code.
#pragma once

#include "host-controller/ctl/text.h"

#include <stdint.h>
#include <stdio.h>

// Exit codes, documented in aerostatctl(1).
typedef enum CtlExit {
    CTL_EXIT_OK = 0,
    CTL_EXIT_ERROR = 1,   // the controller refused, or the answer could not be written
    CTL_EXIT_USAGE = 2,   // the command line makes no sense
    CTL_EXIT_CONNECT = 3, // the controller cannot be reached
    CTL_EXIT_TIMEOUT = 4, // it did not happen in time, or the guest is stalled
    CTL_EXIT_LOST = 5,    // the controller went away
    CTL_EXIT_FOUND = 6,   // doctor: something is wrong
} CtlExit;

// How a subcommand is to work. Nothing in it is owned.
typedef struct CtlContext {
    const char *socket_path;
    const char *fallback_path; // tried when permission is denied there; NULL: none
    FILE *out;                 // what was asked for
    FILE *err;                 // messages and progress
    TextStyle out_style;
    TextStyle err_style;
    bool json;          // write JSON instead of text
    bool show_progress; // `err` is a terminal
    const char *sort;   // top: by what; NULL: as it likes
    bool names_only;    // list: nothing but the names
    bool wait;          // target, reserve, prepare: until it is so
    int64_t timeout_us; // wait at most this long
    const char *name;   // reserve: of the guest to come; NULL: whichever
    int64_t hold_us;    // reserve, prepare: for so long once granted; 0: as usual
} CtlContext;

// A subcommand. `arguments` are its words, as many as it takes, ending with NULL; all are UTF-8.
typedef CtlExit CtlCommand(const CtlContext *context, char **arguments);

CtlCommand ctl_list;
CtlCommand ctl_show;    // GUEST
CtlCommand ctl_explain; // GUEST
CtlCommand ctl_target;  // GUEST SIZE|auto
CtlCommand ctl_policy;  // GUEST [KEY=VALUE]...
CtlCommand ctl_top;
CtlCommand ctl_add;    // GUEST QMP [KEY=VALUE]...
CtlCommand ctl_remove; // GUEST
CtlCommand ctl_manage; // GUEST yes|no|auto
CtlCommand ctl_watch;
CtlCommand ctl_status;
CtlCommand ctl_reload;
CtlCommand ctl_doctor;
CtlCommand ctl_mode;    // [MODE]
CtlCommand ctl_reserve; // SIZE
CtlCommand ctl_prepare; // GUEST
CtlCommand ctl_release; // ID|GUEST
CtlCommand ctl_claims;
