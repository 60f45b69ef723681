// SPDX-License-Identifier: Apache-2.0
#include "protocol/proc-text.h"

#include "protocol/limits.h"

#include <glib.h>
#include <string.h>

// What is left to read of a text or a line.
typedef struct Span {
    const char *at;
    const char *end;
} Span;

// Takes the next line that has its newline: one cut off may have lost digits.
static bool take_line(Span *text, Span *line)
{
    const char *newline =
        text->at < text->end ? memchr(text->at, '\n', (size_t)(text->end - text->at)) : NULL;
    if (!newline) {
        return false;
    }
    *line = (Span){text->at, newline};
    text->at = newline + 1;
    return true;
}

static bool take_word(Span *line, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(line->end - line->at) < length || memcmp(line->at, word, length) != 0) {
        return false;
    }
    line->at += length;
    return true;
}

static bool take_number(Span *line, int64_t *number)
{
    const char *start = line->at;
    int64_t value = 0;
    while (line->at < line->end && g_ascii_isdigit(*line->at)) {
        int digit = *line->at++ - '0';
        if (value > (LIMIT_REPORT_VALUE - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return line->at > start;
}

// --- /proc/vmstat -----------------------------------------------------------------------------

typedef struct VmstatName {
    const char *prefix; // the name and the space after it
    ProcVmstatCounter counter;
} VmstatName;

static const VmstatName vmstat_names[] = {
    {"nr_anon_pages ", PROC_VMSTAT_ANON_PAGES},
    {"nr_dirty ", PROC_VMSTAT_DIRTY_PAGES},
    {"nr_balloon_pages ", PROC_VMSTAT_BALLOON_PAGES},
    {"workingset_refault ", PROC_VMSTAT_REFAULT_FILE},
    {"workingset_refault_anon ", PROC_VMSTAT_REFAULT_ANON},
    {"workingset_refault_file ", PROC_VMSTAT_REFAULT_FILE},
    {"pswpin ", PROC_VMSTAT_SWAP_IN},
    {"pswpout ", PROC_VMSTAT_SWAP_OUT},
    {"pgmajfault ", PROC_VMSTAT_MAJOR_FAULTS},
    {"oom_kill ", PROC_VMSTAT_OOM_KILLS},
    {"balloon_inflate ", PROC_VMSTAT_BALLOON_INFLATE},
    {"balloon_deflate ", PROC_VMSTAT_BALLOON_DEFLATE},
};

static void parse_vmstat_line(Span line, ProcVmstat *vmstat)
{
    for (size_t i = 0; i < G_N_ELEMENTS(vmstat_names); i++) {
        Span rest = line;
        int64_t value;
        if (take_word(&rest, vmstat_names[i].prefix)) {
            if (take_number(&rest, &value) && rest.at == rest.end) {
                vmstat->value[vmstat_names[i].counter] = value;
                vmstat->present |= UINT64_C(1) << vmstat_names[i].counter;
            }
            return;
        }
    }
}

void proc_vmstat_parse(const char *text, size_t length, ProcVmstat *vmstat)
{
    *vmstat = (ProcVmstat){0};
    Span rest = {text, text + length};
    Span line;
    while (take_line(&rest, &line)) {
        parse_vmstat_line(line, vmstat);
    }
}

bool proc_vmstat_balloon_pages(const ProcVmstat *vmstat, int64_t *pages)
{
    if (proc_vmstat_has(vmstat, PROC_VMSTAT_BALLOON_INFLATE) &&
        proc_vmstat_has(vmstat, PROC_VMSTAT_BALLOON_DEFLATE)) {
        int64_t inflated = vmstat->value[PROC_VMSTAT_BALLOON_INFLATE];
        int64_t deflated = vmstat->value[PROC_VMSTAT_BALLOON_DEFLATE];
        // A counter of a 32-bit kernel may have wrapped.
        if (inflated >= deflated) {
            *pages = inflated - deflated;
            return true;
        }
    }
    *pages = vmstat->value[PROC_VMSTAT_BALLOON_PAGES];
    return proc_vmstat_has(vmstat, PROC_VMSTAT_BALLOON_PAGES);
}

// --- /proc/meminfo ----------------------------------------------------------------------------

bool proc_meminfo_available(const char *text, size_t length, int64_t *available_bytes)
{
    Span rest = {text, text + length};
    Span line;
    while (take_line(&rest, &line)) {
        int64_t kib;
        if (take_word(&line, "MemAvailable:")) {
            while (take_word(&line, " ")) {
            }
            if (take_number(&line, &kib) && take_word(&line, " kB") && line.at == line.end &&
                kib <= LIMIT_REPORT_VALUE / 1024) {
                *available_bytes = kib * 1024;
                return true;
            }
        }
    }
    return false;
}

// --- /proc/pressure/memory --------------------------------------------------------------------

// A percentage with two decimals.
static bool take_average(Span *line, const char *name, int64_t *permyriad)
{
    int64_t percent;
    if (!take_word(line, name) || !take_number(line, &percent) || percent > 100 ||
        !take_word(line, ".") || line->end - line->at < 2 || !g_ascii_isdigit(line->at[0]) ||
        !g_ascii_isdigit(line->at[1])) {
        return false;
    }
    *permyriad = percent * 100 + (line->at[0] - '0') * 10 + (line->at[1] - '0');
    line->at += 2;
    return true;
}

static void parse_pressure_line(Span line, ProcPressureLine *result)
{
    ProcPressureLine parsed = {.present = true};
    if (take_average(&line, " avg10=", &parsed.avg10_permyriad) &&
        take_average(&line, " avg60=", &parsed.avg60_permyriad) &&
        take_average(&line, " avg300=", &parsed.avg300_permyriad) && take_word(&line, " total=") &&
        take_number(&line, &parsed.total_us) && line.at == line.end) {
        *result = parsed;
    }
}

void proc_pressure_parse(const char *text, size_t length, ProcPressure *pressure)
{
    *pressure = (ProcPressure){0};
    Span rest = {text, text + length};
    Span line;
    while (take_line(&rest, &line)) {
        if (take_word(&line, "some")) {
            parse_pressure_line(line, &pressure->some);
        } else if (take_word(&line, "full")) {
            parse_pressure_line(line, &pressure->full);
        }
    }
}
