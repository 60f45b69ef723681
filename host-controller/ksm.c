// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ksm.h"

#include "host-controller/host-files.h"
#include "protocol/transport/timer.h"

#include <string.h>
#include <unistd.h>

#define RUN HOST_FILES_KSM "/run"
#define PAGES HOST_FILES_KSM "/pages_to_scan"
#define LOOK_US INT64_C(1000000)
#define MIN_PAGES 16
#define FIRST_PAGES 256
#define MAX_PAGES 16384

struct Ksm {
    const char *root;
    Timer *timer;
    bool on;
    bool complained;
    int64_t limit_permyriad;
    int64_t former_pages; // as it was found
    int64_t pages;
    char *thread;       // /proc/PID/stat of ksmd; NULL: not found
    int64_t started_us; // what ksmd had spent when it was switched on
    int64_t spent_us;   // and when last looked at
    int64_t looked_us;
};

int64_t ksm_next_pages(int64_t pages, int64_t busy_us, int64_t elapsed_us, int64_t limit_permyriad)
{
    if (elapsed_us <= 0) {
        return pages;
    }
    int64_t allowed_us = elapsed_us / 1000 * limit_permyriad / 10;
    int64_t next = busy_us > allowed_us ? pages / 2 : busy_us < allowed_us / 2 ? pages * 2 : pages;
    return CLAMP(next, MIN_PAGES, MAX_PAGES);
}

// --- its thread -------------------------------------------------------------------------------

static bool is_ksmd(const char *root, const char *pid)
{
    g_autofree char *path = g_strconcat(root, "/proc/", pid, "/comm", NULL);
    g_autofree char *name = NULL;
    return g_file_get_contents(path, &name, NULL, NULL) && strcmp(name, "ksmd\n") == 0;
}

// Kernel threads have low numbers and come first.
static char *find_thread(const char *root)
{
    g_autofree char *folder = g_strconcat(root, "/proc", NULL);
    g_autoptr(GDir) processes = g_dir_open(folder, 0, NULL);
    const char *pid;
    while (processes && (pid = g_dir_read_name(processes))) {
        if (g_ascii_isdigit(pid[0]) && is_ksmd(root, pid)) {
            return g_strconcat(root, "/proc/", pid, "/stat", NULL);
        }
    }
    return NULL;
}

// What the thread has spent since it was made, from the fields utime and stime (proc(5)).
static int64_t thread_time_us(const char *path)
{
    g_autofree char *text = NULL;
    if (!path || !g_file_get_contents(path, &text, NULL, NULL)) {
        return 0;
    }
    const char *after_name = strrchr(text, ')');
    g_auto(GStrv) fields = g_strsplit(after_name ? after_name : "", " ", 15);
    if (g_strv_length(fields) < 15) {
        return 0;
    }
    int64_t ticks = g_ascii_strtoll(fields[12], NULL, 10) + g_ascii_strtoll(fields[13], NULL, 10);
    return ticks * (G_USEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

// --- switching --------------------------------------------------------------------------------

static void look(void *context)
{
    Ksm *ksm = context;
    int64_t now_us = g_get_monotonic_time();
    int64_t spent_us = thread_time_us(ksm->thread);
    int64_t pages = ksm_next_pages(ksm->pages, spent_us - ksm->spent_us, now_us - ksm->looked_us,
                                   ksm->limit_permyriad);
    if (pages != ksm->pages && host_files_write_number(ksm->root, PAGES, pages)) {
        ksm->pages = pages;
    }
    ksm->spent_us = spent_us;
    ksm->looked_us = now_us;
    timer_arm(ksm->timer, now_us + LOOK_US);
}

static void complain(Ksm *ksm, const char *why)
{
    if (!ksm->complained) {
        g_warning("KSM is left alone: %s", why);
    }
    ksm->complained = true;
}

static void switch_on(Ksm *ksm)
{
    int64_t run;
    if (!host_files_read_number(ksm->root, RUN, &run) ||
        !host_files_read_number(ksm->root, PAGES, &ksm->former_pages)) {
        complain(ksm, "this kernel has none");
        return;
    }
    if (run == 1) {
        complain(ksm, "somebody else has switched it on");
        return;
    }
    ksm->thread = find_thread(ksm->root);
    if (!ksm->thread) {
        complain(ksm, "its thread is not found, so that its time could not be limited");
        return;
    }
    if (!host_files_write_number(ksm->root, PAGES, FIRST_PAGES) ||
        !host_files_write_number(ksm->root, RUN, 1)) {
        complain(ksm, "its files cannot be written");
        g_clear_pointer(&ksm->thread, g_free);
        return;
    }
    ksm->on = true;
    ksm->complained = false;
    ksm->pages = FIRST_PAGES;
    ksm->started_us = ksm->spent_us = thread_time_us(ksm->thread);
    ksm->looked_us = g_get_monotonic_time();
    timer_arm(ksm->timer, ksm->looked_us + LOOK_US);
    g_message("KSM is switched on");
}

static void switch_off(Ksm *ksm)
{
    host_files_write_number(ksm->root, RUN, 0);
    host_files_write_number(ksm->root, PAGES, ksm->former_pages);
    timer_disarm(ksm->timer);
    ksm->on = false;
    ksm->spent_us = thread_time_us(ksm->thread);
    g_clear_pointer(&ksm->thread, g_free);
    g_message("KSM is switched off, it took %.1f s of processor time",
              (double)ksm_spent_us(ksm) / G_USEC_PER_SEC);
}

Ksm *ksm_new(const char *root)
{
    Ksm *ksm = g_new0(Ksm, 1);
    ksm->root = root;
    ksm->timer = timer_new(look, ksm);
    return ksm;
}

void ksm_free(Ksm *ksm)
{
    if (ksm) {
        ksm_want(ksm, false, 0);
        timer_free(ksm->timer);
        g_free(ksm);
    }
}

void ksm_want(Ksm *ksm, bool wanted, int64_t limit_permyriad)
{
    ksm->limit_permyriad = limit_permyriad;
    if (wanted && !ksm->on) {
        switch_on(ksm);
    } else if (!wanted && ksm->on) {
        switch_off(ksm);
    }
}

bool ksm_is_on(const Ksm *ksm)
{
    return ksm->on;
}

int64_t ksm_spent_us(const Ksm *ksm)
{
    return ksm->spent_us - ksm->started_us;
}
