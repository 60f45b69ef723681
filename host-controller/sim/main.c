// SPDX-License-Identifier: Apache-2.0
//
// aerostat-sim: the policy in virtual time. This file reads the subcommand.
#include "host-controller/sim/command.h"

#include <glib.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *summary;
    SimCommand *run;
} subcommands[] = {
    {"run", "Simulate hosts with guests and print what came of it", sim_run},
    {"replay", "Plan anew what a controller's journal recorded, or with other settings",
     sim_replay},
    {"step", "Read observations, one JSON object a line, and write a plan for each", sim_step},
};

static void print_help(FILE *out)
{
    fprintf(out, "Usage: aerostat-sim COMMAND [OPTION...]\n\n"
                 "Try the memory policy out in virtual time.\n\nCommands:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++) {
        fprintf(out, "  %-8s%s\n", subcommands[i].name, subcommands[i].summary);
    }
    fprintf(out, "\n'aerostat-sim COMMAND --help' tells more about a command.\n");
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    // Numbers are written with a point, whatever the language: they are read by programs too.
    setlocale(LC_NUMERIC, "C");
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++) {
        if (strcmp(name, subcommands[i].name) == 0) {
            g_autofree char *program = g_strdup_printf("aerostat-sim %s", name);
            g_set_prgname(program);
            return (int)subcommands[i].run(argc - 1, argv + 1);
        }
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("aerostat-sim %s\n", AEROSTAT_VERSION);
        return SIM_EXIT_OK;
    }
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    print_help(asked ? stdout : stderr);
    return asked ? SIM_EXIT_OK : SIM_EXIT_USAGE;
}
