// SPDX-License-Identifier: Apache-2.0
//
// The control sockets of the real controller: who is told what, who may do what, and what can be
// changed while it runs.
#include "tests/test.h"

#include "protocol/limits.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)

// --- asking -----------------------------------------------------------------------------------

// Says a request, ' standing for ", and returns the next message that is no event (new reference).
static json_t *converse(LineClient *client, const char *request)
{
    g_autofree char *text = g_strdelimit(g_strdup(request), "'", '"');
    line_client_say(client, text);
    return line_client_hear_answer(client);
}

static void assert_done(LineClient *client, const char *request)
{
    g_autoptr(json_t) answer = converse(client, request);
    if (!json_object_get(answer, "return")) {
        g_autofree char *text = json_message_format(answer);
        fail_msg("%s: %s", request, text);
    }
}

static void assert_refused(LineClient *client, const char *request, const char *class,
                           const char *desc)
{
    g_autoptr(json_t) answer = converse(client, request);
    const json_t *error = json_object_get(answer, "error");
    assert_string_equal(json_string_value(json_object_get(error, "class")), class);
    assert_string_equal(json_string_value(json_object_get(error, "desc")), desc);
}

static int64_t guest_number(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) info = rig_query_guest(rig, guest);
    return json_integer_value(json_object_get(info, name));
}

static bool guest_is_true(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) info = rig_query_guest(rig, guest);
    return json_is_true(json_object_get(info, name));
}

static json_t *policy_arguments(const RigGuest *guest, const char *name, json_t *value)
{
    return json_pack("{s:s, s:o}", "name", guest->name, name, value);
}

// --- QEMU's own clients -----------------------------------------------------------------------

// What QEMU's Python library and its qmp-shell say, to the byte, and what they have to hear: the
// library numbers its requests, the shell asks for all commands to complete their names and sends
// what was typed without a number.
static void test_qemus_library_and_shell_are_served_unchanged(void **state)
{
    static const struct {
        const char *request;
        const char *answer;
    } talk[] = {
        {"{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}"},
        {"{\"execute\":\"query-guests\",\"id\":\"__qmp#00001\"}",
         "{\"return\":[],\"id\":\"__qmp#00001\"}"},
        {"{\"execute\": \"set-mode\", \"arguments\": {\"mode\": \"reclaim\"}}", "{\"return\":{}}"},
        // Every kind of bad request is answered, and the connection goes on.
        {"{\"execute\": \"fly\"}", "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The "
                                   "command fly has not been found\"}}"},
        {"{\"execute\": \"set-mode\"}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'mode' is missing\"}}"},
        {"{\"execute\": \"set-mode\", \"arguments\": {\"mode\": \"sleep\"}}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'mode' does not accept value "
         "'sleep'\"}}"},
        {"{\"execute\": \"set-mode\", \"arguments\": {\"mode\": 7}}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Invalid parameter type for 'mode', "
         "expected: "
         "string\"}}"},
        {"{\"execute\": \"query-host\", \"arguments\": {\"all\": true}}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Parameter 'all' is unexpected\"}}"},
        {"{\"execute\": \"query-guest\", \"arguments\": {\"name\": \"web1\"}, \"id\": 3}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Guest 'web1' is not "
         "known\"},\"id\":3}"},
        {"{\"arguments\": {}}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input lacks member "
         "'execute'\"}}"},
        {"{\"execute\": \"query-host\", \"priority\": 1}",
         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"QMP input member 'priority' is "
         "unexpected\"}}"},
        {"{\"execute\": \"qmp_capabilities\"}",
         "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Capabilities negotiation is already "
         "complete, command ignored\"}}"},
    };
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    LineClient client = {0};
    line_client_open(&client, rig->socket_path);
    // The library wants both of a greeting, and takes the server for what it says.
    g_autoptr(json_t) greeting = line_client_hear(&client);
    const json_t *qmp = json_object_get(greeting, "QMP");
    assert_true(json_is_array(json_object_get(qmp, "capabilities")));
    assert_true(json_is_integer(
        json_object_get(json_object_get(json_object_get(qmp, "version"), "qemu"), "major")));
    for (size_t i = 0; i < G_N_ELEMENTS(talk); i++) {
        line_client_ask(&client, talk[i].request, talk[i].answer);
    }
    g_autoptr(json_t) commands = converse(&client, "{'execute': 'query-commands'}");
    json_t *first = json_array_get(json_object_get(commands, "return"), 0);
    assert_true(json_is_string(json_object_get(first, "name")));
    line_client_close(&client);
}

// --- events -----------------------------------------------------------------------------------

static void test_a_client_is_told_of_the_events_it_chose_and_no_others(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    LineClient client = {0};
    line_client_open_qmp(&client, rig->socket_path);
    assert_done(&client, "{'execute':'set-events', 'arguments':{'enable':['GUEST_STALLED']}}");
    assert_refused(&client, "{'execute':'set-events', 'arguments':{'enable':['GUEST_LEFT']}}",
                   "GenericError", "There is no event 'GUEST_LEFT'; query-events lists all");
    assert_refused(&client, "{'execute':'set-events', 'arguments':{'enable':[7]}}", "GenericError",
                   "There is no event ''; query-events lists all");
    json_decref(rig_ask(rig, "set-target",
                        json_pack("{s:s, s:I}", "name", "a", "bytes", (json_int_t)(600 * MIB))));
    wait_for(rig_had_event(rig, "GUEST_TARGET_REACHED", a), PATIENCE_US);
    fake_qemu_set_rate(a->qemu, 0);
    json_decref(rig_ask(rig, "set-target",
                        json_pack("{s:s, s:I}", "name", "a", "bytes", (json_int_t)(900 * MIB))));
    // That takes five seconds, and more where the machine is busy.
    wait_for(client.lines.length > 0, PATIENCE_US);
    g_autoptr(json_t) first = line_client_hear(&client);
    assert_string_equal(json_string_value(json_object_get(first, "event")), "GUEST_STALLED");
    line_client_close(&client);
}

static void test_pressure_is_told_of_when_it_begins_and_when_it_is_over(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 300 * MIB, "max=300M");
    rig_run(rig, GIB);
    fake_agent_grow(a->agent, GIB, GIB);
    g_autoptr(json_t) begun = line_client_hear_event(&rig->control, "GUEST_PRESSURE");
    assert_true(json_is_true(json_object_get(begun, "under-pressure")));
    fake_agent_grow(a->agent, 50 * MIB, GIB);
    fake_agent_guest(a->agent)->used_bytes = 50 * MIB;
    g_autoptr(json_t) over = line_client_hear_event(&rig->control, "GUEST_PRESSURE");
    assert_true(json_is_false(json_object_get(over, "under-pressure")));
}

// --- the read-only socket ---------------------------------------------------------------------

static char *readonly_path(const Rig *rig)
{
    return g_strconcat(rig->socket_path, "-ro", NULL);
}

static void test_the_read_only_socket_tells_everything_and_changes_nothing(void **state)
{
    static const char *const refused[] = {"set-target", "set-policy", "set-mode", "reload", "quit"};
    Rig *rig = *state;
    rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    g_autofree char *path = readonly_path(rig);
    LineClient client = {0};
    line_client_open_qmp(&client, path);
    g_autoptr(json_t) offered = converse(&client, "{'execute':'query-commands'}");
    size_t index;
    json_t *command;
    json_array_foreach (json_object_get(offered, "return"), index, command) {
        const char *name = json_string_value(json_object_get(command, "name"));
        assert_true(g_str_has_prefix(name, "query-") || strcmp(name, "qmp_capabilities") == 0 ||
                    strcmp(name, "set-events") == 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *request = g_strdup_printf("{'execute':'%s'}", refused[i]);
        g_autofree char *desc = g_strdup_printf(
            "The command %s is not allowed on this socket, which is read-only", refused[i]);
        assert_refused(&client, request, "CommandNotFound", desc);
    }
    g_autoptr(json_t) guests = converse(&client, "{'execute':'query-guests'}");
    assert_int_equal(json_array_size(json_object_get(guests, "return")), 1);
    // Its own events are its own business.
    assert_done(&client, "{'execute':'set-events', 'arguments':{'enable':[]}}");
    g_autoptr(json_t) status = converse(&client, "{'execute':'query-status'}");
    assert_true(json_is_true(json_object_get(json_object_get(status, "return"), "read-only")));
    assert_true(process_is_running(rig->controller));
    line_client_close(&client);
}

static void test_without_a_path_there_is_no_read_only_socket(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/ro.conf",
                         "[controller]\nreadonly-socket=\n", -1));
    rig_start(rig);
    g_autofree char *path = readonly_path(rig);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_onlookers_cannot_lock_the_operator_out(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    g_autofree char *path = readonly_path(rig);
    LineClient onlookers[LIMIT_CONTROL_CLIENTS] = {0};
    for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++) {
        line_client_open_qmp(&onlookers[i], path);
    }
    LineClient client = {0};
    line_client_open(&client, path);
    g_autoptr(json_t) refusal = line_client_hear(&client);
    assert_non_null(json_object_get(refusal, "error"));
    line_client_open_qmp(&client, rig->socket_path);
    line_client_close(&client);
    for (int i = 0; i < LIMIT_CONTROL_CLIENTS; i++) {
        line_client_close(&onlookers[i]);
    }
}

// --- permissions ------------------------------------------------------------------------------

// A group that this process may give a file to, another than its own if it is root.
static const struct group *some_group(void)
{
    const struct group *daemon = geteuid() == 0 ? getgrnam("daemon") : NULL;
    return daemon ? daemon : getgrgid(getgid());
}

static void test_the_sockets_are_given_to_the_groups_that_are_configured(void **state)
{
    Rig *rig = *state;
    const struct group *group = some_group();
    gid_t wanted = group->gr_gid;
    g_autofree char *text = g_strdup_printf("[controller]\nsocket-group=%s\n", group->gr_name);
    rig_configure(rig, GIB, NULL);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/group.conf", text, -1));
    rig_start(rig);
    // The read-only socket follows the other one unless it is told otherwise.
    g_autofree char *readonly = readonly_path(rig);
    const char *const paths[] = {rig->socket_path, readonly};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        struct stat status;
        wait_for(stat(paths[i], &status) == 0 && status.st_gid == wanted, PATIENCE_US);
        assert_int_equal(status.st_mode & 0777, 0660);
    }
}

// --- policy -----------------------------------------------------------------------------------

static void test_a_policy_holds_until_the_configuration_is_read_again(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", 300 * MIB, "min=20%\nmax=90%");
    RigGuest *b = rig_add(rig, "b", 300 * MIB, NULL);
    rig_run(rig, 1100 * MIB);
    assert_false(guest_is_true(rig, a, "policy-changed"));
    json_decref(
        rig_ask(rig, "set-policy",
                json_pack("{s:s, s:I, s:I, s:I}", "name", "a", "min", (json_int_t)(700 * MIB),
                          "max", (json_int_t)(800 * MIB), "weight", (json_int_t)300)));
    wait_for(fake_qemu_actual_bytes(a->qemu) >= 700 * MIB, PATIENCE_US);
    assert_int_equal(guest_number(rig, a, "min"), 700 * MIB);
    assert_int_equal(guest_number(rig, a, "max"), 800 * MIB);
    assert_int_equal(guest_number(rig, a, "weight"), 300);
    assert_true(guest_is_true(rig, a, "policy-changed"));
    assert_false(guest_is_true(rig, b, "policy-changed"));
    // One value goes back, the others stay.
    json_decref(rig_ask(rig, "set-policy", policy_arguments(a, "min", json_null())));
    assert_int_equal(guest_number(rig, a, "min"), GIB / 5);
    assert_int_equal(guest_number(rig, a, "max"), 800 * MIB);
    json_decref(rig_ask(rig, "reload", NULL));
    assert_int_equal(guest_number(rig, a, "max"), GIB * 9 / 10);
    assert_int_equal(guest_number(rig, a, "weight"), 100);
    assert_false(guest_is_true(rig, a, "policy-changed"));
}

static void test_a_policy_that_makes_no_sense_changes_nothing(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, "min=512M");
    rig_add(rig, "mine", GIB, "manage=no");
    rig_run(rig, 4 * GIB);
    static const struct {
        const char *arguments;
        const char *desc;
    } wrong[] = {
        {"'name':'a','max':268435456,'weight':200",
         "The minimum of guest 'a', 512 MiB, would be above its maximum, 256 MiB"},
        {"'name':'a','min':-1", "Parameter 'min' expects a size from 0 byte to 256 TiB"},
        {"'name':'a','max':0", "Parameter 'max' expects a size from 1 byte to 256 TiB"},
        {"'name':'a','max':9223372036854775807",
         "Parameter 'max' expects a size from 1 byte to 256 TiB"},
        {"'name':'a','weight':0", "Parameter 'weight' expects a number from 1 to 10000"},
        {"'name':'a','weight':10001", "Parameter 'weight' expects a number from 1 to 10000"},
        {"'name':'a','min':'1G'", "Invalid parameter type for 'min', expected: integer"},
        {"'name':'nobody','weight':1", "Guest 'nobody' is not known"},
        {"'name':'mine','weight':1", "Guest 'mine' is not managed"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *request =
            g_strdup_printf("{'execute':'set-policy','arguments':{%s}}", wrong[i].arguments);
        assert_refused(&rig->control, request, "GenericError", wrong[i].desc);
    }
    assert_false(guest_is_true(rig, a, "policy-changed"));
    assert_int_equal(guest_number(rig, a, "weight"), 100);
}

// --- reasons ----------------------------------------------------------------------------------

static bool is_bound_by(Rig *rig, const RigGuest *guest, const char *word)
{
    g_autoptr(json_t) info = rig_query_guest(rig, guest);
    const json_t *reason = json_object_get(info, "reason");
    return g_strcmp0(json_string_value(json_object_get(reason, "bound-by")), word) == 0;
}

static void test_a_guest_that_took_memory_back_is_said_to_be_bound_by_that(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, GIB);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    wait_for(fake_qemu_actual_bytes(a->qemu) < 600 * MIB, PATIENCE_US);
    wait_for(strcmp(rig_guest_text(rig, a, "state"), "settled") == 0, PATIENCE_US);
    // The next command would have it give that again at once.
    rig_wait_until_calm(rig, 500 * MS_US);
    fake_qemu_take_back(a->qemu, 900 * MIB);
    wait_for(is_bound_by(rig, a, "auto-deflated"), PATIENCE_US);
}

// Whether the last plan, which is left in `*plan`, is one for so many guests.
static bool plans_for(Rig *rig, size_t count, json_t **plan)
{
    json_decref(*plan);
    *plan = rig_ask(rig, "query-plan", NULL);
    return json_array_size(json_object_get(*plan, "guests")) == count;
}

static void test_the_sums_of_a_plan_are_those_of_its_guests(void **state)
{
    static const char *const members[][2] = {
        {"sum-min", "min"},         {"sum-actual", "actual"},         {"sum-target", "target"},
        {"sum-ceiling", "ceiling"}, {"sum-fair-share", "fair-share"},
    };
    Rig *rig = *state;
    rig_add(rig, "a", 700 * MIB, NULL);
    rig_add(rig, "b", 300 * MIB, "weight=200");
    rig_run(rig, 1200 * MIB);
    g_autoptr(json_t) plan = NULL;
    wait_for(plans_for(rig, 2, &plan), PATIENCE_US);
    const json_t *guests = json_object_get(plan, "guests");
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        int64_t sum = 0;
        for (size_t j = 0; j < 2; j++) {
            sum += json_integer_value(json_object_get(json_array_get(guests, j), members[i][1]));
        }
        assert_int_equal(json_integer_value(json_object_get(plan, members[i][0])), sum);
    }
    g_autoptr(json_t) one = rig_ask(rig, "query-plan", json_pack("{s:s}", "name", "b"));
    guests = json_object_get(one, "guests");
    assert_int_equal(json_array_size(guests), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(guests, 0), "name")), "b");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_qemus_library_and_shell_are_served_unchanged),
        TEST(test_a_client_is_told_of_the_events_it_chose_and_no_others),
        TEST(test_pressure_is_told_of_when_it_begins_and_when_it_is_over),
        TEST(test_the_read_only_socket_tells_everything_and_changes_nothing),
        TEST(test_without_a_path_there_is_no_read_only_socket),
        TEST(test_onlookers_cannot_lock_the_operator_out),
        TEST(test_the_sockets_are_given_to_the_groups_that_are_configured),
        TEST(test_a_policy_holds_until_the_configuration_is_read_again),
        TEST(test_a_policy_that_makes_no_sense_changes_nothing),
        TEST(test_a_guest_that_took_memory_back_is_said_to_be_bound_by_that),
        TEST(test_the_sums_of_a_plan_are_those_of_its_guests),
    };
    return run_test_table(tests);
}
