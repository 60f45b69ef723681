// SPDX-License-Identifier: Apache-2.0
//
// The subcommands of aerostat-sim, behind one interface.
#pragma once

typedef enum SimExit {
    SIM_EXIT_OK = 0,
    SIM_EXIT_FAILED = 1, // a law was broken, or the work could not be done
    SIM_EXIT_USAGE = 2,  // the command line makes no sense
} SimExit;

// Reads its own options; argv[0] is the subcommand's name.
typedef SimExit SimCommand(int argc, char **argv);

SimCommand sim_replay;
SimCommand sim_run;
SimCommand sim_step;
