// SPDX-License-Identifier: Apache-2.0
//
// Runs benches one after another into one JSON file, and shows what is in such files.
//
//   run-benches FILE BENCH...            runs; prints the table, progress on stderr
//   run-benches --table FILE             prints the table again
//   run-benches --compare FILE FILE      prints how far two runs differ
//
// A bench that fails is told of in the file, in the table and by the exit status; what it has
// printed until then is kept, and the others go on.
#include "protocol/json.h"
#include "tests/bench/measure.h"
#include "tests/bench/table.h"
#include "tests/support/deadline.h"
#include "tests/support/vm-lab.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BENCH_TIMEOUT_US (4 * 3600 * SECOND_US)
#define DIGITS 9

// A member of `document` that is an object; made when it is missing.
static json_t *section(json_t *document, const char *name)
{
    if (!json_object_get(document, name)) {
        json_object_set_new(document, name, json_object());
    }
    return json_object_get(document, name);
}

static void note_load(json_t *document, const char *name)
{
    double minute = 0;
    getloadavg(&minute, 1);
    json_object_set_new(section(document, "machine"), name, json_real(minute));
}

static void note_machine(json_t *document)
{
    json_t *machine = section(document, "machine");
    struct utsname system;
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *began = g_date_time_format_iso8601(now);
    json_object_set_new(machine, "began", json_string(began));
    json_object_set_new(machine, "kernel", json_string(uname(&system) == 0 ? system.release : ""));
    json_object_set_new(machine, "processors", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    g_autoptr(VmLab) lab = vm_lab_new(NULL);
    json_object_set_new(machine, "accelerator", json_string(lab ? vm_lab_accelerator(lab) : ""));
    note_load(document, "load-before");
}

// What a bench that failed said last, or else how it ended.
static char *reason(int status, char *errors, const GError *error)
{
    if (error) {
        return g_strdup(error->message);
    }
    const char *last = errors ? strrchr(g_strchomp(errors), '\n') : NULL;
    const char *said = last ? last + 1 : errors;
    return said && *said ? g_strdup(said) : g_strdup_printf("exit status %d", status);
}

// Adds the figures of each line that a bench has printed. False when one is not what it should be.
static bool add_figures(json_t *document, const char *output)
{
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    bool good = true;
    for (char **line = lines; *line; line++) {
        g_autoptr(json_t) part = **line ? json_loads(*line, 0, NULL) : json_object();
        const char *bench;
        json_t *figures;
        json_object_foreach (part, bench, figures) {
            json_object_update(section(document, bench), figures);
        }
        good &= part != NULL;
    }
    return good;
}

// Runs one bench and adds its figures, and why some may be missing, to `document`.
static void run(const char *program, json_t *document)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autofree char *name = g_path_get_basename(program);
    const char *const arguments[] = {program, NULL};
    int64_t began_us = g_get_monotonic_time();
    int status = process_run(arguments, BENCH_TIMEOUT_US, &output, &errors, &error);
    double took_s = (double)(g_get_monotonic_time() - began_us) / SECOND_US;
    json_object_set_new(section(document, "took-s"), name, json_real(took_s));
    bool good = output && add_figures(document, output);
    if (status != 0 || !good) {
        g_autofree char *why = reason(status, errors, error);
        json_object_set_new(section(document, "failed"), name, json_string(why));
        fprintf(stderr, "  failed: %s\n", why);
    }
}

static int run_all(const char *path, char **programs, int count)
{
    g_autoptr(json_t) document = json_object();
    int64_t began_us = g_get_monotonic_time();
    note_machine(document);
    for (int i = 0; i < count; i++) {
        int64_t passed_s = (g_get_monotonic_time() - began_us) / SECOND_US;
        g_autofree char *name = g_path_get_basename(programs[i]);
        fprintf(stderr, "[%d of %d] %s, after %d:%02d min\n", i + 1, count, name,
                (int)(passed_s / 60), (int)(passed_s % 60));
        run(programs[i], document);
        // Again and again, so that there is something when it is ended early.
        if (json_dump_file(document, path, JSON_INDENT(1) | JSON_REAL_PRECISION(DIGITS)) != 0) {
            fprintf(stderr, "run-benches: %s cannot be written\n", path);
            return EXIT_FAILURE;
        }
    }
    note_load(document, "load-after");
    json_dump_file(document, path, JSON_INDENT(1) | JSON_REAL_PRECISION(DIGITS));
    table_print(document);
    return json_object_get(document, "failed") ? EXIT_FAILURE : EXIT_SUCCESS;
}

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    if (!document) {
        fprintf(stderr, "run-benches: %s:%d: %s\n", path, error.line, error.text);
        exit(EXIT_FAILURE);
    }
    return document;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--table") == 0) {
        g_autoptr(json_t) document = load(argv[2]);
        table_print(document);
        return EXIT_SUCCESS;
    }
    if (argc == 4 && strcmp(argv[1], "--compare") == 0) {
        g_autoptr(json_t) first = load(argv[2]);
        g_autoptr(json_t) second = load(argv[3]);
        table_print_difference(first, second);
        return EXIT_SUCCESS;
    }
    if (argc < 3 || argv[1][0] == '-') {
        fprintf(stderr, "usage: run-benches FILE BENCH...\n"
                        "       run-benches --table FILE\n"
                        "       run-benches --compare FILE FILE\n");
        return EXIT_FAILURE;
    }
    return run_all(argv[1], argv + 2, argc - 2);
}
