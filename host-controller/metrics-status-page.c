// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-status-page.h"

#include "protocol/units.h"

// Guests a step goes through.
#define GUESTS_A_STEP 32

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<meta http-equiv=\"refresh\" content=\"2\">\n<title>aerostat</title>\n<style>\n"
    ":root{--back:#fff;--fore:#1c2126;--dim:#5c6670;--line:#d5dade;--card:#f6f8f9;--used:#2f6db3;"
    "--free:#a9cbee;--held:#8d9aa6;--mark:#c2410c;--warn:#b42318}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#14181c;--fore:#e6eaed;--dim:#98a3ad;"
    "--line:#333b43;--card:#1c2227;--used:#5b9be0;--free:#2c4f76;--held:#66727d;--mark:#fb923c;"
    "--warn:#f97066}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;padding:1rem;background:var(--back);color:var(--fore);"
    "font:14px/1.4 system-ui,sans-serif;font-variant-numeric:tabular-nums}\n"
    "h1{font-size:1.15rem;margin:0}\n"
    "p{margin:.2rem 0}.dim{color:var(--dim)}.warn{color:var(--warn);font-weight:600}\n"
    "ul{list-style:none;margin:.8rem 0 0;padding:0;display:grid;gap:.4rem;"
    "grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr))}\n"
    "li{background:var(--card);border:1px solid var(--line);border-radius:4px;"
    "padding:.3rem .5rem .45rem}\n"
    "li.look{border-left:4px solid var(--warn)}\n"
    ".row{display:flex;flex-wrap:wrap;gap:0 "
    ".6rem;justify-content:space-between;white-space:nowrap}\n"
    ".row b{overflow:hidden;text-overflow:ellipsis}\n"
    ".bar{position:relative;height:.7rem;margin-top:.3rem;display:flex;"
    "border:1px solid var(--line);background:var(--back)}\n"
    ".host{height:1.1rem;margin:.5rem 0}\n"
    ".used{background:var(--used)}.free{background:var(--free)}.held{background:var(--held)}\n"
    ".target{position:absolute;top:-3px;bottom:-3px;width:2px;margin-left:-1px;"
    "background:var(--mark)}\n"
    ".key span{margin-right:.8rem;white-space:nowrap}\n"
    ".key i{display:inline-block;width:.8rem;height:.8rem;margin-right:.25rem;"
    "border:1px solid var(--line);vertical-align:-.1rem}\n"
    ".key i.line{width:2px;border:0;background:var(--mark)}\n"
    "</style></head><body>\n";

// --- parts ------------------------------------------------------------------------------------

// `part` of `whole` as a percentage from 0 to 100 with one decimal.
static void append_percent(GString *text, int64_t part, int64_t whole)
{
    int permille = whole > 0 ? (int)(1000.0 * (double)part / (double)whole) : 0;
    permille = CLAMP(permille, 0, 1000);
    g_string_append_printf(text, "%d.%d%%", permille / 10, permille % 10);
}

static void append_segment(GString *text, const char *class, int64_t part, int64_t whole)
{
    g_string_append_printf(text, "<i class=\"%s\" style=\"width:", class);
    append_percent(text, part, whole);
    g_string_append(text, "\"></i>");
}

static void append_mark(GString *text, int64_t place, int64_t whole)
{
    g_string_append(text, "<i class=\"target\" style=\"left:");
    append_percent(text, place, whole);
    g_string_append(text, "\"></i>");
}

// --- the host ---------------------------------------------------------------------------------

static const char *mode_name(const MetricsSnapshot *snapshot)
{
    ControllerMode mode = 0;
    while (mode + 1 < CONTROLLER_MODE_COUNT && !snapshot->host[HOST_VALUE_MODE + mode]) {
        mode++;
    }
    return controller_mode_name(mode);
}

// What of the guest's memory is in use and cannot be had back; none when it does not say.
static int64_t used_bytes(const GuestSample *guest)
{
    return MIN(guest->value[GUEST_VALUE_DEMAND], guest->value[GUEST_VALUE_ACTUAL]);
}

static bool wants_look(const GuestSample *guest)
{
    return !guest->fresh || guest->value[GUEST_VALUE_UNDER_PRESSURE] ||
           guest->state == GUEST_STATE_CONNECTING || guest->state == GUEST_STATE_UNMANAGEABLE ||
           guest->state == GUEST_STATE_STALLED || guest->state == GUEST_STATE_INEFFECTIVE;
}

// How many guests are in each state that any is in.
static void append_states(const MetricsSnapshot *snapshot, GString *text)
{
    size_t count[GUEST_STATE_COUNT] = {0};
    size_t looks = 0;
    for (size_t i = 0; i < snapshot->guest_count; i++) {
        count[snapshot->guests[i].state]++;
        looks += wants_look(&snapshot->guests[i]);
    }
    g_string_append_printf(text, "<p>%zu guest%s", snapshot->guest_count,
                           snapshot->guest_count == 1 ? "" : "s");
    for (GuestState state = 0; state < GUEST_STATE_COUNT; state++) {
        if (count[state] > 0) {
            g_string_append_printf(text, " · %zu&nbsp;%s", count[state], guest_state_name(state));
        }
    }
    if (looks > 0) {
        g_string_append_printf(text, " · <span class=\"warn\">%zu to look at</span>", looks);
    }
    g_string_append(text, "</p>\n");
}

// What all guests hold: in use, available, or unknown.
static void append_host_bar(const MetricsSnapshot *snapshot, GString *text)
{
    const int64_t *host = snapshot->host;
    int64_t whole_bytes = MAX(host[HOST_VALUE_BUDGET], host[HOST_VALUE_HELD]);
    int64_t sum_used_bytes = 0;
    int64_t sum_known_bytes = 0;
    for (size_t i = 0; i < snapshot->guest_count; i++) {
        const GuestSample *guest = &snapshot->guests[i];
        bool known = guest->present[GUEST_VALUE_DEMAND] && guest->present[GUEST_VALUE_ACTUAL];
        sum_used_bytes += known ? used_bytes(guest) : 0;
        sum_known_bytes += known ? guest->value[GUEST_VALUE_ACTUAL] : 0;
    }
    char held[SIZE_TEXT_SIZE];
    char budget[SIZE_TEXT_SIZE];
    char used[SIZE_TEXT_SIZE];
    g_string_append_printf(text, "<p>guests hold %s of a budget of %s and use %s of it</p>\n",
                           size_format(host[HOST_VALUE_HELD], held),
                           size_format(host[HOST_VALUE_BUDGET], budget),
                           size_format(sum_used_bytes, used));
    g_string_append(text, "<div class=\"bar host\">");
    append_segment(text, "used", sum_used_bytes, whole_bytes);
    append_segment(text, "free", sum_known_bytes - sum_used_bytes, whole_bytes);
    append_segment(text, "held", host[HOST_VALUE_HELD] - sum_known_bytes, whole_bytes);
    append_mark(text, host[HOST_VALUE_TARGET], whole_bytes);
    g_string_append(text, "</div>\n");
}

static void append_head(const MetricsSnapshot *snapshot, GString *text)
{
    const int64_t *host = snapshot->host;
    char total[SIZE_TEXT_SIZE];
    char available[SIZE_TEXT_SIZE];
    g_string_append(text, head);
    g_string_append_printf(text,
                           "<h1>aerostat " AEROSTAT_VERSION "</h1>\n<p class=\"dim\">mode %s · "
                           "%s of the host's %s available</p>\n",
                           mode_name(snapshot), size_format(host[HOST_VALUE_AVAILABLE], available),
                           size_format(host[HOST_VALUE_MEMORY], total));
    if (host[HOST_VALUE_OVERCOMMITTED]) {
        g_string_append(text, "<p class=\"warn\">The least that the guests can be brought to is "
                              "above the budget.</p>\n");
    }
    append_host_bar(snapshot, text);
    append_states(snapshot, text);
    g_string_append(text, "<p class=\"key dim\"><span><i class=\"used\"></i>used</span> "
                          "<span><i class=\"free\"></i>available</span> "
                          "<span><i class=\"held\"></i>held, use unknown</span> "
                          "<span><i></i>balloon</span> "
                          "<span><i class=\"line\"></i>target</span></p>\n<ul>\n");
}

// --- guests -----------------------------------------------------------------------------------

static void append_remark(const GuestSample *guest, GString *text)
{
    if (guest->value[GUEST_VALUE_UNDER_PRESSURE]) {
        g_string_append(text, ", <span class=\"warn\">under pressure</span>");
    }
    if (guest->fresh) {
        return;
    }
    if (guest->present[GUEST_VALUE_REPORT_AGE]) {
        g_string_append_printf(text,
                               ", <span class=\"warn\">silent for %" G_GINT64_FORMAT " s</span>",
                               guest->value[GUEST_VALUE_REPORT_AGE] / G_USEC_PER_SEC);
    } else {
        g_string_append(text, ", <span class=\"warn\">no report</span>");
    }
}

static void append_memory(const GuestSample *guest, GString *text)
{
    int64_t size_bytes = guest->value[GUEST_VALUE_SIZE];
    int64_t actual_bytes = guest->value[GUEST_VALUE_ACTUAL];
    int64_t target_bytes = guest->value[GUEST_VALUE_TARGET];
    bool reported = guest->present[GUEST_VALUE_DEMAND];
    char used[SIZE_TEXT_SIZE];
    char actual[SIZE_TEXT_SIZE];
    char size[SIZE_TEXT_SIZE];
    char target[SIZE_TEXT_SIZE];
    g_string_append_printf(text, "<div class=\"row dim\"><span>%s%s%s of %s</span>",
                           reported ? size_format(used_bytes(guest), used) : "",
                           reported ? " used, " : "", size_format(actual_bytes, actual),
                           size_format(size_bytes, size));
    if (target_bytes != actual_bytes) {
        g_string_append_printf(text, "<span>→ %s</span>", size_format(target_bytes, target));
    }
    g_string_append(text, "</div>\n<div class=\"bar\">");
    if (reported) {
        append_segment(text, "used", used_bytes(guest), size_bytes);
        append_segment(text, "free", actual_bytes - used_bytes(guest), size_bytes);
    } else {
        append_segment(text, "held", actual_bytes, size_bytes);
    }
    append_mark(text, target_bytes, size_bytes);
    g_string_append(text, "</div>");
}

static void append_guest(const GuestSample *guest, GString *text)
{
    g_autofree char *name = g_markup_escape_text(guest->name, -1);
    g_string_append_printf(text, "<li%s><div class=\"row\"><b title=\"%s\">%s</b><span>%s",
                           wants_look(guest) ? " class=\"look\"" : "", name, name,
                           guest_state_name(guest->state));
    append_remark(guest, text);
    g_string_append(text, "</span></div>\n");
    if (guest->present[GUEST_VALUE_SIZE]) {
        append_memory(guest, text);
    }
    g_string_append(text, "</li>\n");
}

// --- steps ------------------------------------------------------------------------------------

// The head, the guests that want looking at, the others, the end.
bool metrics_status_page_step(const MetricsSnapshot *snapshot, size_t step, GString *text)
{
    size_t steps_a_pass = (snapshot->guest_count + GUESTS_A_STEP - 1) / GUESTS_A_STEP;
    if (step == 0) {
        append_head(snapshot, text);
        return true;
    }
    if (step > 2 * steps_a_pass) {
        bool last = step == 2 * steps_a_pass + 1;
        g_string_append(text, last ? "</ul></body></html>\n" : "");
        return last;
    }
    bool looks = step <= steps_a_pass;
    size_t first = (step - 1) % steps_a_pass * GUESTS_A_STEP;
    for (size_t i = first; i < MIN(first + GUESTS_A_STEP, snapshot->guest_count); i++) {
        if (wants_look(&snapshot->guests[i]) == looks) {
            append_guest(&snapshot->guests[i], text);
        }
    }
    return true;
}
