// SPDX-License-Identifier: Apache-2.0
//
// The real controller's guests at run time: added, removed, left alone and taken up again, over the
// control socket and with aerostatctl.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)

// --- helpers ----------------------------------------------------------------------------------

// Runs aerostatctl with up to six words; its exit status. `output` may be NULL.
static int run_ctl(const Rig *rig, char **output, char **errors, const char *const words[6])
{
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *program = g_build_filename(build ? build : "build", "aerostatctl", NULL);
    const char *const arguments[] = {program,  "--socket", rig->socket_path, words[0], words[1],
                                     words[2], words[3],   words[4],         words[5], NULL};
    g_autoptr(GError) error = NULL;
    int status = process_run(arguments, PATIENCE_US, output, errors, &error);
    assert_no_error(error);
    return status;
}

static json_t *naming(const RigGuest *guest)
{
    return json_pack("{s:s, s:s}", "name", guest->name, "qmp", guest->qmp_path);
}

static int64_t number_of(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    return json_integer_value(json_object_get(view, name));
}

// A guest that nobody has told the controller of.
static RigGuest *add_unknown(Rig *rig, const char *name, int64_t actual_bytes)
{
    RigGuest *guest = rig_add(rig, name, actual_bytes, NULL);
    g_clear_pointer(&guest->keys, g_free);
    return guest;
}

static void start(Rig *rig, int64_t budget_bytes, const char *more)
{
    rig_configure(rig, budget_bytes, more);
    rig_start(rig);
}

static void set_manage(Rig *rig, const RigGuest *guest, json_t *manage)
{
    json_decref(
        rig_ask(rig, "set-manage", json_pack("{s:s, s:o}", "name", guest->name, "manage", manage)));
}

// --- adding and removing ----------------------------------------------------------------------

static void test_an_added_guest_is_looked_after_until_it_is_removed(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_unknown(rig, "web", GIB);
    start(rig, 700 * MIB, NULL);
    json_decref(rig_ask(rig, "add-guest",
                        json_pack("{s:s, s:s, s:s}", "name", "web", "qmp", guest->qmp_path, "agent",
                                  guest->agent_path)));
    assert_true(rig_had_event(rig, "GUEST_ADDED", guest));
    wait_for(fake_qemu_actual_bytes(guest->qemu) <= 700 * MIB, PATIENCE_US);
    assert_string_equal(rig_guest_text(rig, guest, "origin"), "added");
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(fake_qemu_connections(guest->qemu), 1);
    json_decref(rig_ask(rig, "remove-guest", json_pack("{s:s}", "name", "web")));
    assert_true(rig_had_event(rig, "GUEST_REMOVED", guest));
    wait_for(!fake_qemu_is_connected(guest->qemu), PATIENCE_US);
    g_autofree char *desc = rig_ask_in_vain(rig, "remove-guest", json_pack("{s:s}", "name", "web"));
    assert_string_equal(desc, "Guest 'web' is not known");
}

static void test_settings_not_given_are_those_of_the_configuration(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_unknown(rig, "web1", GIB);
    start(rig, 4 * GIB, "[guest web*]\nweight=7\nmin=512M\nmax=90%\n");
    json_t *arguments = naming(guest);
    json_object_set_new(arguments, "min", json_integer(300 * MIB));
    json_object_set_new(arguments, "manage", json_false());
    json_decref(rig_ask(rig, "add-guest", arguments));
    wait_for(number_of(rig, guest, "min") == 300 * MIB, PATIENCE_US);
    assert_int_equal(number_of(rig, guest, "weight"), 7);
    assert_int_equal(number_of(rig, guest, "max"), 9 * GIB / 10);
    assert_string_equal(rig_guest_text(rig, guest, "state"), "unmanaged");
}

static void test_what_cannot_be_added_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *arguments;
        const char *desc;
    } mistakes[] = {
        {"{'name': 'web', 'qmp': '/x'}", "Guest 'web' is known already"},
        {"{'name': '', 'qmp': '/x'}", "Parameter 'name': a guest's name is not empty"},
        {"{'name': 'web*', 'qmp': '/x'}", "Parameter 'name': a guest's name has none of * ? [ ]"},
        {"{'name': 'a\\u001b', 'qmp': '/x'}",
         "Parameter 'name': a guest's name has only printable characters"},
        {"{'name': 'a', 'qmp': 'x'}", "Parameter 'qmp': 'x' is not an absolute path"},
        {"{'name': 'a', 'qmp': ''}", "Parameter 'qmp': has no value"},
        {"{'name': 'a', 'qmp': '/\\u001b'}",
         "Parameter 'qmp': has a value with unprintable characters"},
        {"{'name': 'a', 'qmp': '/x', 'agent': 'y'}",
         "Parameter 'agent': 'y' is not an absolute path"},
        {"{'name': 'a', 'qmp': '/x', 'weight': 0}",
         "Parameter 'weight' expects a value from 1 to 10000"},
        {"{'name': 'a', 'qmp': '/x', 'min': -1}",
         "Parameter 'min' expects a value from 0 to 281474976710656"},
        {"{'name': 'a', 'qmp': '/x', 'min': 2, 'max': 1}", "Parameter 'min': is above max"},
        {"{'name': 'a'}", "Parameter 'qmp' is missing"},
    };
    Rig *rig = *state;
    RigGuest *web = rig_add(rig, "web", GIB, NULL);
    start(rig, 4 * GIB, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(mistakes[i].arguments), "'", '"');
        g_autofree char *desc = rig_ask_in_vain(rig, "add-guest", json_loads(text, 0, NULL));
        assert_string_equal(desc, mistakes[i].desc);
    }
    g_autofree char *desc = rig_ask_in_vain(
        rig, "add-guest", json_pack("{s:s, s:s}", "name", "other", "qmp", web->qmp_path));
    assert_string_equal(desc, "Guest 'web' has this monitor already");
}

static void test_only_what_was_added_can_be_removed(void **state)
{
    Rig *rig = *state;
    rig_add(rig, "configured", GIB, NULL);
    RigGuest *found = rig_add_found(rig, "found", GIB);
    start(rig, 4 * GIB, NULL);
    wait_for(fake_qemu_is_connected(found->qemu), PATIENCE_US);
    g_autofree char *first =
        rig_ask_in_vain(rig, "remove-guest", json_pack("{s:s}", "name", "configured"));
    assert_string_equal(first, "Guest 'configured' is configured; it goes when its group does");
    g_autofree char *second =
        rig_ask_in_vain(rig, "remove-guest", json_pack("{s:s}", "name", "found"));
    assert_string_equal(second,
                        "Guest 'found' is found in a directory; it goes when its socket does");
}

static void test_the_configuration_takes_over_what_was_added(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_unknown(rig, "web", GIB);
    start(rig, 4 * GIB, NULL);
    json_decref(rig_ask(rig, "add-guest", naming(guest)));
    wait_for(fake_qemu_is_connected(guest->qemu), PATIENCE_US);
    guest->keys = g_strdup("weight=9\n");
    rig_configure(rig, 4 * GIB, NULL);
    json_decref(rig_ask(rig, "reload", NULL));
    assert_string_equal(rig_guest_text(rig, guest, "origin"), "configured");
    assert_int_equal(number_of(rig, guest, "weight"), 9);
    assert_int_equal(fake_qemu_connections(guest->qemu), 1);
}

// --- left alone -------------------------------------------------------------------------------

static void test_a_guest_left_alone_gets_no_command_and_counts_with_its_size(void **state)
{
    Rig *rig = *state;
    RigPair pair = rig_start_pair(rig, 1400 * MIB);
    set_manage(rig, pair.giver, json_false());
    wait_for(strcmp(rig_guest_text(rig, pair.giver, "state"), "unmanaged") == 0, PATIENCE_US);
    unsigned commands = fake_qemu_count(pair.giver->qemu, "balloon");
    fake_agent_grow(pair.taker->agent, 600 * MIB, GIB);
    // The taker gets what is left beside the giver's whole size, and no more.
    wait_for(fake_qemu_target_bytes(pair.taker->qemu) >= 1399 * MIB - GIB, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_true(fake_qemu_target_bytes(pair.taker->qemu) <= 1400 * MIB - GIB);
    assert_int_equal(fake_qemu_count(pair.giver->qemu, "balloon"), commands);
    json_decref(rig_ask(rig, "reload", NULL));
    assert_string_equal(rig_guest_text(rig, pair.giver, "state"), "unmanaged");
}

static void set_target(Rig *rig, const RigGuest *guest, json_t *bytes)
{
    json_decref(
        rig_ask(rig, "set-target", json_pack("{s:s, s:o}", "name", guest->name, "bytes", bytes)));
}

static void test_a_guest_taken_up_again_is_taken_as_it_is_found(void **state)
{
    Rig *rig = *state;
    RigPair pair = rig_start_pair(rig, 2 * GIB);
    set_target(rig, pair.giver, json_integer(900 * MIB));
    wait_for(fake_qemu_actual_bytes(pair.giver->qemu) == 900 * MIB, PATIENCE_US);
    // Nothing is to move while what the controller believes is looked at.
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "observe")));
    set_target(rig, pair.giver, json_null());
    set_manage(rig, pair.giver, json_false());
    // Somebody else moves it meanwhile.
    fake_qemu_set_actual(pair.giver->qemu, 800 * MIB);
    wait_for(number_of(rig, pair.giver, "actual") == 800 * MIB, PATIENCE_US);
    set_manage(rig, pair.giver, json_null());
    assert_int_equal(number_of(rig, pair.giver, "target"), 800 * MIB);
}

static void test_a_guest_configured_to_be_left_alone_can_be_taken_up(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "web", GIB, "manage=no");
    rig_run(rig, 700 * MIB);
    set_manage(rig, guest, json_true());
    wait_for(fake_qemu_actual_bytes(guest->qemu) <= 700 * MIB, PATIENCE_US);
}

// --- aerostatctl ------------------------------------------------------------------------------

static void test_a_person_can_add_leave_alone_and_remove_a_guest(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_unknown(rig, "web", GIB);
    start(rig, 4 * GIB, NULL);
    g_autofree char *agent = g_strconcat("agent=", guest->agent_path, NULL);
    assert_int_equal(run_ctl(rig, NULL, NULL,
                             (const char *const[6]){"add", "web", guest->qmp_path, agent,
                                                    "min=256M", "weight=50"}),
                     0);
    wait_for(number_of(rig, guest, "min") == 256 * MIB, PATIENCE_US);
    assert_int_equal(number_of(rig, guest, "weight"), 50);
    wait_for(strcmp(rig_guest_text(rig, guest, "agent"), "connected") == 0, PATIENCE_US);
    g_autofree char *output = NULL;
    assert_int_equal(
        run_ctl(rig, &output, NULL, (const char *const[6]){"manage", "--json", "web", "no"}), 0);
    g_autoptr(json_t) shown = json_loads(output, 0, NULL);
    assert_true(json_is_false(json_object_get(shown, "managed")));
    assert_int_equal(run_ctl(rig, NULL, NULL, (const char *const[6]){"manage", "web", "auto"}), 0);
    wait_for(strcmp(rig_guest_text(rig, guest, "state"), "settled") == 0, PATIENCE_US);
    assert_int_equal(run_ctl(rig, NULL, NULL, (const char *const[6]){"remove", "web"}), 0);
    wait_for(!fake_qemu_is_connected(guest->qemu), PATIENCE_US);
}

static void test_a_persons_mistakes_are_told(void **state)
{
    static const struct {
        const char *words[6];
        int status;
        const char *errors;
    } mistakes[] = {
        {{"add", "web", "/x", "colour=red"},
         2,
         "aerostatctl: 'colour=red' is none of agent=, min=, max=, weight=, manage=\n"},
        {{"add", "web", "/x", "min=lots"},
         2,
         "aerostatctl: 'lots' is not a size such as 512M or 4G\n"},
        {{"add", "web", "/x", "manage=perhaps"}, 2, "aerostatctl: 'perhaps' is not yes or no\n"},
        {{"add", "web", "x"}, 1, "aerostatctl: Parameter 'qmp': 'x' is not an absolute path\n"},
        {{"manage", "web", "maybe"}, 2, "aerostatctl: 'maybe' is not yes, no or auto\n"},
        {{"remove", "web"},
         1,
         "aerostatctl: there is no guest 'web'; aerostatctl list shows all\n"},
    };
    Rig *rig = *state;
    start(rig, 4 * GIB, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autofree char *errors = NULL;
        assert_int_equal(run_ctl(rig, NULL, &errors, mistakes[i].words), mistakes[i].status);
        assert_string_equal(errors, mistakes[i].errors);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_added_guest_is_looked_after_until_it_is_removed),
        TEST(test_settings_not_given_are_those_of_the_configuration),
        TEST(test_what_cannot_be_added_is_refused_with_the_reason),
        TEST(test_only_what_was_added_can_be_removed),
        TEST(test_the_configuration_takes_over_what_was_added),
        TEST(test_a_guest_left_alone_gets_no_command_and_counts_with_its_size),
        TEST(test_a_guest_taken_up_again_is_taken_as_it_is_found),
        TEST(test_a_guest_configured_to_be_left_alone_can_be_taken_up),
        TEST(test_a_person_can_add_leave_alone_and_remove_a_guest),
        TEST(test_a_persons_mistakes_are_told),
    };
    return run_test_table(tests);
}
