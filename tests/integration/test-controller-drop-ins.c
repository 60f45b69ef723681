// SPDX-License-Identifier: Apache-2.0
//
// The real controller and controller.conf.d: files are added, corrected and taken away while it
// runs.
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)

static void drop_in(const Rig *rig, const char *name, const char *text)
{
    g_autofree char *path = g_strconcat("controller.conf.d/", name, NULL);
    g_free(scratch_write(&rig->scratch, path, text, -1));
}

static int64_t guest_number(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    return json_integer_value(json_object_get(view, name));
}

static void test_the_last_file_in_the_order_of_their_names_has_the_last_word(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, "min=100M\nweight=7");
    drop_in(rig, "90-site.conf", "[guest a]\nmin=300M\n");
    drop_in(rig, "10-fleet.conf", "[guest a]\nmin=200M\nmax=900M\n");
    drop_in(rig, "95-note.txt", "[guest a]\nmin=400M\n");
    rig_run(rig, 2 * GIB);
    assert_int_equal(guest_number(rig, a, "min"), 300 * MIB);
    assert_int_equal(guest_number(rig, a, "max"), 900 * MIB);
    assert_int_equal(guest_number(rig, a, "weight"), 7);
}

static void test_a_file_comes_and_goes_with_a_reload(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, "min=100M");
    rig_run(rig, 2 * GIB);
    g_autofree char *text = g_strdup_printf("[guest b]\nqmp=%s/b.qmp\n", rig->scratch.folder);
    drop_in(rig, "b.conf", text);
    drop_in(rig, "min.conf", "[guest a]\nmin=200M\n");
    rig_signal(rig, SIGHUP);
    wait_for(rig_had_event(rig, "GUEST_ADDED", NULL), PATIENCE_US);
    assert_int_equal(guest_number(rig, a, "min"), 200 * MIB);
    g_autofree char *added = scratch_path(&rig->scratch, "controller.conf.d/b.conf");
    g_autofree char *min = scratch_path(&rig->scratch, "controller.conf.d/min.conf");
    assert_int_equal(unlink(added), 0);
    assert_int_equal(unlink(min), 0);
    rig_signal(rig, SIGHUP);
    wait_for(rig_had_event(rig, "GUEST_REMOVED", NULL), PATIENCE_US);
    assert_int_equal(guest_number(rig, a, "min"), 100 * MIB);
    assert_int_equal(fake_qemu_connections(a->qemu), 1);
}

static void test_a_file_with_a_mistake_is_named_and_nothing_changes(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, "min=100M");
    rig_run(rig, 2 * GIB);
    drop_in(rig, "10-good.conf", "[guest a]\nmin=200M\n");
    drop_in(rig, "20-bad.conf", "[guest a]\nwieght=5\n");
    g_autofree char *message =
        g_strdup_printf("%s.d/20-bad.conf:2: [guest a] wieght: unknown key, did you mean 'weight'?",
                        rig->config_path);
    const char *const check[] = {rig->program, "--config", rig->config_path, "--check-config",
                                 NULL};
    g_autoptr(GError) error = NULL;
    g_autofree char *errors = NULL;
    assert_int_equal(process_run(check, PATIENCE_US, NULL, &errors, &error), EX_CONFIG);
    assert_non_null(strstr(errors, message));
    rig_signal(rig, SIGHUP);
    wait_for(rig_has_said(rig, message), PATIENCE_US);
    assert_int_equal(guest_number(rig, a, "min"), 100 * MIB);
    drop_in(rig, "20-bad.conf", "[guest a]\nweight=5\n");
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(guest_number(rig, a, "min"), 200 * MIB);
    assert_int_equal(guest_number(rig, a, "weight"), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_last_file_in_the_order_of_their_names_has_the_last_word),
        TEST(test_a_file_comes_and_goes_with_a_reload),
        TEST(test_a_file_with_a_mistake_is_named_and_nothing_changes),
    };
    return run_test_table(tests);
}
