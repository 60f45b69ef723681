// SPDX-License-Identifier: Apache-2.0
//
// aerostat-demo: three real guests with more memory between them than they may use, one of which
// suddenly needs what the others hold. Shows live how the controller moves the memory, and ends
// with the figures. Exits with 1 when the story failed.
#include "tests/demo/story.h"

#include "tests/support/deadline.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define GUEST_BYTES (512 * MIB)
#define BUDGET_BYTES (900 * MIB)
#define NEED_BYTES (340 * MIB)
// The goal: the guests together never have more than this above the budget.
#define EXCESS_GOAL_BYTES (8 * MIB)

static const char *const guest_names[SCENE_GUESTS] = {"alpha", "beta", "gamma"};

static volatile sig_atomic_t ended_by_signal;

static void on_end_signal(int signal_number)
{
    ended_by_signal = signal_number;
}

static void on_crash(int signal_number)
{
    picture_restore_terminal();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void handle_signals(void)
{
    static const int end_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    for (size_t i = 0; i < G_N_ELEMENTS(end_signals); i++) {
        signal(end_signals[i], on_end_signal);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(crash_signals); i++) {
        signal(crash_signals[i], on_crash);
    }
    signal(SIGPIPE, SIG_IGN);
}

// --- set-up -----------------------------------------------------------------------------------

static bool boot_guests(VmLab *lab, Scene *scene, GError **error)
{
    scene->accelerator = vm_lab_accelerator(lab);
    printf("booting %d guests of %" G_GINT64_FORMAT " MiB (%s) ... ", SCENE_GUESTS,
           GUEST_BYTES / MIB, scene->accelerator);
    fflush(stdout);
    int64_t began_us = g_get_monotonic_time();
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        VmOptions options = {.name = guest_names[i], .memory_bytes = GUEST_BYTES};
        scene->guests[i] = (SceneGuest){.size_bytes = GUEST_BYTES};
        scene->guests[i].vm = vm_lab_add(lab, &options, error);
        if (!scene->guests[i].vm) {
            return false;
        }
    }
    if (!vm_lab_wait_ready(lab, error)) {
        return false;
    }
    printf("%.1f s\n", (double)(g_get_monotonic_time() - began_us) / 1e6);
    return true;
}

static bool start_controller(VmLab *lab, Scene *scene, GError **error)
{
    g_autofree char *config_path = vm_lab_write_configuration(lab, BUDGET_BYTES, NULL, error);
    return config_path && vm_lab_start_controller(lab, config_path, &scene->controller, error);
}

// --- the end ----------------------------------------------------------------------------------

static void print_sizes(const char *what, const int64_t sizes_bytes[SCENE_GUESTS])
{
    printf("  %-38s", what);
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        printf("%s%s %" G_GINT64_FORMAT, i > 0 ? ", " : "", guest_names[i], sizes_bytes[i] / MIB);
    }
    printf(" MiB\n");
}

static void print_summary(const Scene *scene, const StoryResult *result)
{
    printf("\n%s got %" G_GINT64_FORMAT " MiB", guest_names[STORY_TAKER],
           (result->during_bytes[STORY_TAKER] - result->before_bytes[STORY_TAKER]) / MIB);
    for (size_t i = 0; i < SCENE_GUESTS; i++) {
        if (i != STORY_TAKER) {
            printf(", %s gave %" G_GINT64_FORMAT, guest_names[i],
                   (result->before_bytes[i] - result->during_bytes[i]) / MIB);
        }
    }
    printf(" (budget %" G_GINT64_FORMAT " MiB, need %" G_GINT64_FORMAT " MiB, %s)\n",
           scene->budget_bytes / MIB, NEED_BYTES / MIB, scene->accelerator);
    print_sizes("before", result->before_bytes);
    print_sizes("at the height of the need", result->during_bytes);
    print_sizes("afterwards", result->after_bytes);
    printf("  %-38s%" G_GINT64_FORMAT " ms (+-%" G_GINT64_FORMAT ", looked at every 20 ms)\n",
           "first page touched to first growth", result->first_growth_us / MS_US,
           result->clock_error_us / MS_US + 1);
    printf("  %-38s%" G_GINT64_FORMAT " ms\n", "first page touched to the last",
           result->satisfied_us / MS_US);
    printf("  %-38s%" G_GINT64_FORMAT "\n", "OOM kills", result->oom_kills);
    printf("  %-38s%.1f MiB\n", "most above the budget",
           (double)result->most_above_budget_bytes / (double)MIB);
}

static bool run(GError **error)
{
    g_autoptr(VmLab) lab = vm_lab_new(error);
    g_auto(Scene) scene = {0};
    if (!lab || !boot_guests(lab, &scene, error) || !start_controller(lab, &scene, error)) {
        return false;
    }
    StoryResult result;
    scene.start_us = g_get_monotonic_time();
    g_autoptr(Picture) picture = picture_open();
    Story story = {
        .scene = &scene, .picture = picture, .need_bytes = NEED_BYTES, .ended = &ended_by_signal};
    bool told = story_run(&story, &result, error);
    g_clear_pointer(&picture, picture_close);
    if (!told) {
        return false;
    }
    print_summary(&scene, &result);
    if (result.oom_kills > 0 || result.most_above_budget_bytes > EXCESS_GOAL_BYTES) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    "the figures are not what they should be");
        return false;
    }
    return true;
}

int main(void)
{
    setlocale(LC_ALL, "");
    handle_signals();
    g_autoptr(GError) error = NULL;
    int64_t began_us = g_get_monotonic_time();
    if (!run(&error)) {
        fprintf(stderr, "\naerostat-demo: %s\n",
                ended_by_signal ? "ended by a signal" : error->message);
        return EXIT_FAILURE;
    }
    printf("  %-38s%.0f s\n", "all of it took", (double)(g_get_monotonic_time() - began_us) / 1e6);
    return EXIT_SUCCESS;
}
