// SPDX-License-Identifier: Apache-2.0
//
// While a bench runs, a figure is an array of numbers, or of true and false.
#include "tests/bench/measure.h"

// With fewer values the 99th percentile is the largest.
#define P99_FROM 100
// More digits than were measured are of no use.
#define DIGITS 9

bool bench_is_full(void)
{
    return g_getenv("AEROSTAT_BENCH_FULL") != NULL;
}

int bench_setting(const char *name, int usual, int full, int max)
{
    const char *text = g_getenv(name);
    return text ? CLAMP(atoi(text), 1, max) : bench_is_full() ? full : usual;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

double bench_percentile(double *values, int count, int percent)
{
    if (count == 0) {
        return 0;
    }
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[MIN(count * percent / 100, count - 1)];
}

BenchFigures *bench_figures_new(void)
{
    return json_object();
}

static void G_GNUC_PRINTF(3, 0)
    add(BenchFigures *figures, json_t *value, const char *format, va_list words)
{
    g_autofree char *name = g_strdup_vprintf(format, words);
    json_t *values = json_object_get(figures, name);
    if (!values) {
        values = json_array();
        json_object_set_new(figures, name, values);
    }
    json_array_append_new(values, value);
}

void bench_note(BenchFigures *figures, double value, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    add(figures, json_real(value), format, words);
    va_end(words);
}

void bench_count(BenchFigures *figures, bool happened, const char *format, ...)
{
    va_list words;
    va_start(words, format);
    add(figures, json_boolean(happened), format, words);
    va_end(words);
}

static json_t *summed_up(const json_t *measured)
{
    int count = (int)json_array_size(measured);
    g_autofree double *values = g_new(double, (gsize)count);
    int happened = 0;
    for (int i = 0; i < count; i++) {
        const json_t *value = json_array_get(measured, (size_t)i);
        values[i] = json_number_value(value);
        happened += json_is_true(value);
    }
    if (json_is_boolean(json_array_get(measured, 0))) {
        return json_pack("{s:i, s:i}", "count", happened, "of", count);
    }
    json_t *sum = json_pack("{s:f}", "median", bench_percentile(values, count, 50));
    if (count >= P99_FROM) {
        json_object_set_new(sum, "p99", json_real(bench_percentile(values, count, 99)));
    }
    json_object_set_new(sum, "min", json_real(values[0]));
    json_object_set_new(sum, "max", json_real(values[count - 1]));
    json_object_set_new(sum, "n", json_integer(count));
    return sum;
}

void bench_print(BenchFigures *figures, const char *bench)
{
    const char *name;
    json_t *value;
    json_object_foreach (figures, name, value) {
        json_object_set_new(figures, name, summed_up(value));
    }
    json_t *document = json_pack("{s:o}", bench, figures);
    json_dumpf(document, stdout, JSON_REAL_PRECISION(DIGITS));
    putchar('\n');
    fflush(stdout);
    json_decref(document);
}
