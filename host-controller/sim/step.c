// SPDX-License-Identifier: Apache-2.0
//
// `aerostat-sim step`: the policy as a filter.
#include "host-controller/sim/command.h"
#include "host-controller/sim/step-filter.h"

#include <stdio.h>

// A line that would not fit is thrown away up to its end.
static bool skip_line(FILE *in)
{
    int byte;
    while ((byte = getc(in)) != EOF && byte != '\n') {
    }
    return byte != EOF;
}

// Reads a line without its newline into `line`. False at the end of the input; `*too_long` when it
// did not fit.
static bool read_line(FILE *in, GString *line, bool *too_long)
{
    int byte;
    g_string_truncate(line, 0);
    *too_long = false;
    while ((byte = getc(in)) != EOF && byte != '\n') {
        if (line->len == STEP_LINE_BYTES) {
            *too_long = true;
            return skip_line(in) || line->len > 0;
        }
        g_string_append_c(line, (char)byte);
    }
    return byte != EOF || line->len > 0;
}

static bool filter(FILE *in, FILE *out)
{
    StepFilter *step = step_filter_new();
    g_autoptr(GString) line = g_string_new(NULL);
    bool too_long;
    bool written = true;
    while (written && read_line(in, line, &too_long)) {
        g_autofree char *answer = step_filter_answer(step, line->str, line->len, too_long);
        written = fputs(answer, out) >= 0 && fflush(out) == 0;
    }
    step_filter_free(step);
    return written && !ferror(in);
}

SimExit sim_step(int argc, char **argv)
{
    g_autoptr(GOptionContext) parser = g_option_context_new("");
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(
        parser, "Reads observations, one JSON object a line, and writes a plan for each.");
    if (!g_option_context_parse(parser, &argc, &argv, &error) || argc > 1) {
        fprintf(stderr, "aerostat-sim step: %s\n", error ? error->message : "takes no arguments");
        return SIM_EXIT_USAGE;
    }
    return filter(stdin, stdout) ? SIM_EXIT_OK : SIM_EXIT_FAILED;
}
