// SPDX-License-Identifier: Apache-2.0
//
// What one sample of the agent's takes: the kernel's files read, and the report written as JSON. On
// this machine itself and back to back, so without emulation and without the wake-up before it;
// bench-agent has both.
#include "agent/sampler.h"
#include "tests/bench/measure.h"

#include <time.h>

#define SAMPLES 2001

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Sampler) sampler = sampler_new("", &error);
    bench_must(sampler != NULL, &error);
    g_autoptr(GString) text = g_string_new(NULL);
    BenchFigures *figures = bench_figures_new();
    for (int i = 0; i < SAMPLES; i++) {
        MemoryReport report = {0};
        double began_us = now_us();
        bench_must(sampler_read(sampler, &report, &error), &error);
        double read_us = now_us();
        g_string_truncate(text, 0);
        memory_report_append_json(&report, text);
        double written_us = now_us();
        bench_note(figures, read_us - began_us, "read-us");
        bench_note(figures, written_us - read_us, "write-us");
        bench_note(figures, written_us - began_us, "sample-us");
    }
    bench_print(figures, "sample");
    return EXIT_SUCCESS;
}
