// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-text.h"

#include "host-controller/metrics-families.h"

// Guests a step writes one family of.
#define GUESTS_A_STEP 32

// --- lines ------------------------------------------------------------------------------------

static const char *const unit_names[] = {
    [METRICS_UNIT_BYTES] = "bytes",
    [METRICS_UNIT_SECONDS] = "seconds",
};

// The formats differ in what a counter's family is called, and only OpenMetrics has units.
static void append_header(GString *text, const char *name, const char *type, MetricsUnit unit,
                          const char *help, bool openmetrics)
{
    const char *suffix = !openmetrics && g_str_equal(type, "counter") ? "_total" : "";
    g_string_append_printf(text, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name,
                           suffix, type);
    if (openmetrics && unit != METRICS_UNIT_NONE) {
        g_string_append_printf(text, "# UNIT %s %s\n", name, unit_names[unit]);
    }
}

static void append_label(GString *text, const char *name, const char *value)
{
    g_string_append_c(text, text->str[text->len - 1] == '"' ? ',' : '{');
    g_string_append(text, name);
    g_string_append(text, "=\"");
    for (const char *c = value; *c; c++) {
        if (*c == '\n') {
            g_string_append(text, "\\n");
            continue;
        }
        if (*c == '"' || *c == '\\') {
            g_string_append_c(text, '\\');
        }
        g_string_append_c(text, *c);
    }
    g_string_append_c(text, '"');
}

static void append_seconds(GString *text, int64_t us)
{
    char digits[32];
    int length = g_snprintf(digits, sizeof(digits), "%" G_GINT64_FORMAT ".%06d",
                            us / G_USEC_PER_SEC, (int)(us % G_USEC_PER_SEC));
    while (digits[length - 1] == '0' && digits[length - 2] != '.') {
        length--;
    }
    g_string_append_len(text, digits, length);
}

// Ends a line whose name and labels, if any, stand there.
static void append_value(GString *text, MetricsUnit unit, int64_t value)
{
    g_string_append(text, text->str[text->len - 1] == '"' ? "} " : " ");
    if (unit == METRICS_UNIT_SECONDS) {
        append_seconds(text, value);
    } else {
        char digits[24];
        g_snprintf(digits, sizeof(digits), "%" G_GINT64_FORMAT, value);
        g_string_append(text, digits);
    }
    g_string_append_c(text, '\n');
}

// --- families ---------------------------------------------------------------------------------

static void append_family_header(GString *text, const MetricsFamily *family, bool openmetrics)
{
    append_header(text, family->name, family->type == METRICS_TYPE_COUNTER ? "counter" : "gauge",
                  family->unit, family->help, openmetrics);
}

// The family's lines of one guest, or with NULL of the host.
static void append_family(GString *text, const MetricsFamily *family, const char *guest,
                          const int64_t *values, const bool *present)
{
    for (size_t i = 0; i < family->count; i++) {
        if (present && !present[family->first + i]) {
            continue;
        }
        g_string_append(text, family->name);
        if (family->type == METRICS_TYPE_COUNTER) {
            g_string_append(text, "_total");
        }
        if (guest) {
            append_label(text, "guest", guest);
        }
        if (family->label) {
            append_label(text, family->label, family->label_value(i));
        }
        append_value(text, family->unit, values[family->first + i]);
    }
}

static void append_histogram(GString *text, const char *name, const char *help,
                             const MetricsHistogram *histogram, bool openmetrics)
{
    append_header(text, name, "histogram", METRICS_UNIT_SECONDS, help, openmetrics);
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->bound_count; i++) {
        count += histogram->in_bucket[i];
        g_string_append_printf(text, "%s_bucket{le=\"", name);
        if (i < histogram->bound_count) {
            append_seconds(text, histogram->bounds_us[i]);
        } else {
            g_string_append(text, "+Inf");
        }
        g_string_append_c(text, '"');
        append_value(text, METRICS_UNIT_NONE, (int64_t)count);
    }
    g_string_append_printf(text, "%s_sum", name);
    append_value(text, METRICS_UNIT_SECONDS, histogram->sum_us);
    g_string_append_printf(text, "%s_count", name);
    append_value(text, METRICS_UNIT_NONE, (int64_t)count);
}

// --- steps ------------------------------------------------------------------------------------

static void append_host(const MetricsSnapshot *snapshot, bool openmetrics, GString *text)
{
    for (size_t i = 0; i < metrics_host_family_count; i++) {
        append_family_header(text, &metrics_host_families[i], openmetrics);
        append_family(text, &metrics_host_families[i], NULL, snapshot->host, NULL);
    }
    append_histogram(text, "aerostat_reaction_seconds",
                     "From reading a report of a shortage to having written the balloon commands "
                     "it led to.",
                     &snapshot->reaction, openmetrics);
    append_histogram(text, "aerostat_handover_seconds",
                     "From setting a guest's target until its balloon reached it.",
                     &snapshot->handover, openmetrics);
}

// Step 0 is the host; then come the families of guests, each in as many steps as it takes.
static bool append_step(const MetricsSnapshot *snapshot, size_t step, bool openmetrics,
                        GString *text)
{
    if (step == 0) {
        append_host(snapshot, openmetrics, text);
        return true;
    }
    size_t steps_a_family = (snapshot->guest_count + GUESTS_A_STEP - 1) / GUESTS_A_STEP;
    size_t guest_steps = steps_a_family * metrics_guest_family_count;
    if (step > guest_steps) {
        g_string_append(text, openmetrics && step == guest_steps + 1 ? "# EOF\n" : "");
        return openmetrics && step == guest_steps + 1;
    }
    const MetricsFamily *family = &metrics_guest_families[(step - 1) / steps_a_family];
    size_t first = (step - 1) % steps_a_family * GUESTS_A_STEP;
    if (first == 0) {
        append_family_header(text, family, openmetrics);
    }
    for (size_t i = first; i < MIN(first + GUESTS_A_STEP, snapshot->guest_count); i++) {
        const GuestSample *guest = &snapshot->guests[i];
        append_family(text, family, guest->name, guest->value, guest->present);
    }
    return true;
}

bool metrics_prometheus_step(const MetricsSnapshot *snapshot, size_t step, GString *text)
{
    return append_step(snapshot, step, false, text);
}

bool metrics_openmetrics_step(const MetricsSnapshot *snapshot, size_t step, GString *text)
{
    return append_step(snapshot, step, true, text);
}
