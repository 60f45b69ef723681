// SPDX-License-Identifier: Apache-2.0
//
// What happens to real guests in their lives: reset, paused, migrated, without a driver, short of
// memory on their own, and with memory that ballooning cannot free.
#include "tests/e2e/lab.h"

#include <signal.h>

#define GUEST_BYTES (512 * MIB)
#define SMALL_BYTES (200 * MIB)
// Plenty, so that a guest moves only when it is told to.
#define BUDGET_BYTES (4 * GUEST_BYTES)
// Long enough for a command that is not to come to have come.
#define WATCH_US (2 * SECOND_US)

typedef struct Scene {
    Vm *vm;
    Process *controller;
    QmpSession *control;
} Scene;

// One guest, settled, under a controller.
static void set_scene(Scene *scene, VmLab *lab, const VmOptions *options)
{
    g_autoptr(GError) error = NULL;
    scene->vm = vm_lab_add(lab, options, &error);
    assert_no_error(error);
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
    scene->controller = lab_control(lab, BUDGET_BYTES, &scene->control);
    lab_wait_settled(scene->control);
}

static const VmOptions ordinary = {.name = "alpha", .memory_bytes = GUEST_BYTES};

static void set_target(const Scene *scene, int64_t bytes)
{
    lab_set_target(scene->control, "alpha", bytes);
}

static int64_t shown_bytes(const Scene *scene, const char *name)
{
    g_autoptr(json_t) guests = lab_query(scene->control, "query-guests");
    return json_integer_value(json_object_get(lab_find_guest(guests, "alpha"), name));
}

static bool has_state(const json_t *guests, void *context)
{
    return strcmp(json_word(lab_find_guest(guests, "alpha"), "state"), context) == 0;
}

static void wait_state(const Scene *scene, const char *state)
{
    g_autofree char *word = g_strdup(state);
    lab_wait_guests(scene->control, has_state, word);
}

static void wait_event(const Scene *scene, const char *name)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) event =
            qmp_session_next_event(scene->control, deadline_left_us(deadline_us), &error);
        assert_no_error(error);
        assert_non_null(event);
        if (strcmp(json_word(event, "event"), name) == 0) {
            return;
        }
    }
}

static void wait_actual(const Scene *scene, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    vm_wait_actual(scene->vm, bytes, bytes, SETTLE_TIMEOUT_US, &error);
    assert_no_error(error);
}

// Tells QEMU something through the test's own monitor; takes over `arguments`.
static void tell_qemu(const Scene *scene, const char *command, json_t *arguments)
{
    g_autoptr(GError) error = NULL;
    json_decref(qmp_session_execute(vm_observer(scene->vm), command, arguments, CONTROL_TIMEOUT_US,
                                    &error));
    assert_no_error(error);
}

// The guest, which could, does not move.
static void assert_does_not_move(const Scene *scene)
{
    int64_t before_bytes = lab_actual(scene->vm);
    int64_t deadline_us = deadline_after(WATCH_US);
    while (deadline_left_us(deadline_us) > 0) {
        assert_int_equal(lab_actual(scene->vm), before_bytes);
        g_usleep(20 * MS_US);
    }
}

// --- reset, pause, migration ------------------------------------------------------------------

typedef struct Size {
    const char *name;
    int64_t bytes;
} Size;

static bool has_size(const json_t *guests, void *context)
{
    const Size *size = context;
    const json_t *guest = lab_find_guest(guests, "alpha");
    return json_integer_value(json_object_get(guest, size->name)) == size->bytes;
}

static void wait_shown(const Scene *scene, const char *name, int64_t bytes)
{
    lab_wait_guests(scene->control, has_size, &(Size){name, bytes});
}

static void test_a_reset_guest_counts_in_full_though_qemu_says_otherwise(void **state)
{
    Scene scene;
    g_autoptr(GError) error = NULL;
    set_scene(&scene, *state, &ordinary);
    set_target(&scene, SMALL_BYTES);
    wait_shown(&scene, "actual", SMALL_BYTES);

    tell_qemu(&scene, "set-action", json_pack("{s:s}", "reboot", "reset"));
    tell_qemu(&scene, "system_reset", NULL);
    wait_shown(&scene, "actual", GUEST_BYTES);
    assert_int_equal(lab_actual(scene.vm), SMALL_BYTES); // what the former kernel had
    wait_shown(&scene, "target", GUEST_BYTES);

    // It boots with all its memory, and is sent to its target when its agent has reported.
    vm_wait_ready(scene.vm, VM_BOOT_TIMEOUT_US, &error);
    assert_no_error(error);
    wait_shown(&scene, "actual", SMALL_BYTES);
    wait_state(&scene, "settled");
    assert_int_equal(lab_actual(scene.vm), SMALL_BYTES);
    qmp_session_close(scene.control);
}

// Once paused it reports no more, and is given a target only as long as its last report counts.
static void set_target_of_paused(const Scene *scene, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    do {
        assert_true(deadline_left_us(deadline_us) > 0);
        assert_true(vm_continue(scene->vm, &error));
        lab_wait_settled(scene->control);
        assert_true(vm_stop(scene->vm, &error));
        wait_state(scene, "paused");
    } while (!lab_try_target(scene->control, "alpha", bytes));
}

static void test_a_paused_guest_is_sent_its_target_when_it_runs_again(void **state)
{
    Scene scene;
    g_autoptr(GError) error = NULL;
    set_scene(&scene, *state, &ordinary);
    set_target_of_paused(&scene, SMALL_BYTES);
    assert_does_not_move(&scene);
    assert_int_equal(shown_bytes(&scene, "target"), GUEST_BYTES);
    assert_true(vm_continue(scene.vm, &error));
    wait_actual(&scene, SMALL_BYTES);
    wait_state(&scene, "settled");
    qmp_session_close(scene.control);
}

static void test_a_guest_that_is_sent_away_is_left_alone(void **state)
{
    Scene scene;
    set_scene(&scene, *state, &ordinary);
    // So slow that it takes as long as the test likes.
    tell_qemu(&scene, "migrate-set-parameters", json_pack("{s:i}", "max-bandwidth", 1 << 20));
    tell_qemu(&scene, "migrate", json_pack("{s:s}", "uri", "exec:cat >/dev/null"));
    wait_state(&scene, "migrating");
    set_target(&scene, SMALL_BYTES);
    assert_does_not_move(&scene);
    assert_int_equal(shown_bytes(&scene, "target"), GUEST_BYTES);
    tell_qemu(&scene, "migrate_cancel", NULL);
    wait_actual(&scene, SMALL_BYTES);
    wait_state(&scene, "settled");

    // And once it is gone.
    tell_qemu(&scene, "migrate-set-parameters",
              json_pack("{s:I}", "max-bandwidth", INT64_C(1) << 34));
    tell_qemu(&scene, "migrate", json_pack("{s:s}", "uri", "exec:cat >/dev/null"));
    wait_state(&scene, "paused");
    qmp_session_close(scene.control);
}

// --- balloons that do not do what they are told ----------------------------------------------

static void test_a_guest_without_the_driver_is_found_out_and_keeps_counting(void **state)
{
    Scene scene;
    set_scene(&scene, *state,
              &(VmOptions){
                  .name = "alpha", .memory_bytes = GUEST_BYTES, .balloon = VM_BALLOON_NO_DRIVER});
    set_target(&scene, SMALL_BYTES);
    wait_event(&scene, "GUEST_STALLED");
    wait_state(&scene, "stalled");
    assert_int_equal(shown_bytes(&scene, "actual"), GUEST_BYTES);
    assert_int_equal(shown_bytes(&scene, "target"), GUEST_BYTES);
    assert_int_equal(lab_host_number(scene.control, "sum-actual"), GUEST_BYTES);
    qmp_session_close(scene.control);
}

static void test_a_guest_that_deflates_by_itself_counts_with_what_it_took(void **state)
{
    Scene scene;
    g_autoptr(GError) error = NULL;
    set_scene(&scene, *state,
              &(VmOptions){.name = "alpha", .memory_bytes = GUEST_BYTES, .deflate_on_oom = true});
    set_target(&scene, SMALL_BYTES);
    wait_actual(&scene, SMALL_BYTES);
    // More than it has: its kernel helps itself, and nothing is killed.
    assert_true(vm_run_in_background(scene.vm, "load touch 200M", &error) > 0);
    wait_event(&scene, "GUEST_AUTO_DEFLATED");
    assert_true(shown_bytes(&scene, "actual") > SMALL_BYTES);
    assert_true(lab_host_number(scene.control, "sum-actual") > SMALL_BYTES);
    assert_int_equal(vm_oom_kills(scene.vm, &error), 0);
    qmp_session_close(scene.control);
}

static void test_memory_that_comes_back_is_seen_to(void **state)
{
    Scene scene;
    g_autoptr(GError) error = NULL;
    set_scene(&scene, *state, &ordinary);
    assert_int_equal(
        vm_run(scene.vm, "load touch 300M --hold 0", VM_COMMAND_TIMEOUT_US, NULL, &error), 0);
    set_target(&scene, 160 * MIB);
    wait_actual(&scene, 160 * MIB);
    wait_state(&scene, "settled");
    int64_t resident_bytes = shown_bytes(&scene, "resident");
    assert_true(resident_bytes > 0);
    print_message("160 MiB left to the guest, %.0f MiB resident\n",
                  (double)resident_bytes / (double)MIB);
    qmp_session_close(scene.control);
}

static void test_memory_that_does_not_come_back_is_found_out(void **state)
{
    Scene scene;
    set_scene(&scene, *state,
              &(VmOptions){.name = "alpha", .memory_bytes = GUEST_BYTES, .locked_memory = true});
    set_target(&scene, 160 * MIB);
    wait_event(&scene, "GUEST_RECLAIM_INEFFECTIVE");
    wait_state(&scene, "ineffective");
    wait_actual(&scene, GUEST_BYTES);
    qmp_session_close(scene.control);
}

// --- the end of the controller ----------------------------------------------------------------

static void test_a_controller_told_to_release_gives_everything_back(void **state)
{
    Scene scene;
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = vm_lab_path(*state, "controller.conf.d");
    g_autofree char *path = vm_lab_path(*state, "controller.conf.d/exit.conf");
    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    assert_true(g_file_set_contents(path, "[controller]\non-exit=release\n", -1, &error));
    set_scene(&scene, *state, &ordinary);
    set_target(&scene, SMALL_BYTES);
    wait_actual(&scene, SMALL_BYTES);
    qmp_session_close(scene.control);
    process_kill(scene.controller, SIGTERM);
    assert_int_equal(process_wait(scene.controller, SETTLE_TIMEOUT_US, &error), 0);
    // It waits 10 s at most; a slow guest goes on to where it was told to.
    wait_actual(&scene, GUEST_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_a_reset_guest_counts_in_full_though_qemu_says_otherwise),
        LAB_TEST(test_a_paused_guest_is_sent_its_target_when_it_runs_again),
        LAB_TEST(test_a_guest_that_is_sent_away_is_left_alone),
        LAB_TEST(test_a_guest_without_the_driver_is_found_out_and_keeps_counting),
        LAB_TEST(test_a_guest_that_deflates_by_itself_counts_with_what_it_took),
        LAB_TEST(test_memory_that_comes_back_is_seen_to),
        LAB_TEST(test_memory_that_does_not_come_back_is_found_out),
        LAB_TEST(test_a_controller_told_to_release_gives_everything_back),
    };
    return run_test_table(tests);
}
