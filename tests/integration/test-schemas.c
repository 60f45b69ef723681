// SPDX-License-Identifier: Apache-2.0
//
// Holds both schemas against what the programs really answer, and the programs against the schemas.
#include "tests/test.h"

#include "protocol/transport/unix-socket.h"
#include "tests/support/fake-agent.h"
#include "tests/support/fake-host.h"
#include "tests/support/fake-qemu.h"
#include "tests/support/line-client.h"
#include "tests/support/process.h"
#include "tests/support/qapi-schema.h"
#include "tests/support/resident-show.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#include <string.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
#define GUEST_BYTES (1024 * MIB)

typedef struct Fixture {
    Scratch scratch;
    char *socket_path; // of the program under test
    char *log_path;
    char *config_path;
    Process *program;
    QapiSchema *schema;
    LineClient client;
    GHashTable *asked;  // names of commands, owned
    GHashTable *events; // names of events that came, owned
    FakeQemu *qemu;
    FakeAgent *agent;
    FakeHost host;
} Fixture;

// --- a program and its schema -----------------------------------------------------------------

static Fixture *fixture_new(const char *schema_path)
{
    Fixture *fixture = g_new0(Fixture, 1);
    g_autoptr(GError) error = NULL;
    scratch_init(&fixture->scratch);
    fixture->socket_path = scratch_path(&fixture->scratch, "program.sock");
    fixture->log_path = scratch_path(&fixture->scratch, "log");
    fixture->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    fixture->events = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    fixture->schema = qapi_schema_load(schema_path, &error);
    assert_no_error(error);
    return fixture;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    line_client_close(&fixture->client);
    process_free(fixture->program);
    fake_agent_free(fixture->agent);
    fake_qemu_free(fixture->qemu);
    qapi_schema_free(fixture->schema);
    g_hash_table_unref(fixture->asked);
    g_hash_table_unref(fixture->events);
    g_free(fixture->socket_path);
    g_free(fixture->log_path);
    g_free(fixture->config_path);
    fake_host_clear(&fixture->host);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

static bool is_listening(const char *path)
{
    int fd = unix_socket_connect(path, NULL);
    return fd >= 0 && close(fd) == 0;
}

// Starts the program and waits until it listens.
static void start_program(Fixture *fixture, const char *name, const char *option, const char *value)
{
    const char *host_option = fixture->host.root ? "--host-root" : NULL;
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *path = g_build_filename(build ? build : "build", name, NULL);
    const char *const arguments[] = {path, option, value, host_option, fixture->host.root, NULL};
    const ProcessOptions options = {.arguments = arguments, .log_path = fixture->log_path};
    g_autoptr(GError) error = NULL;
    fixture->program = process_start(&options, &error);
    assert_no_error(error);
    wait_for(is_listening(fixture->socket_path), PATIENCE_US);
}

// The next message that is no event; events before it must fit the schema.
static json_t *hear_reply(Fixture *fixture)
{
    for (;;) {
        g_autoptr(json_t) message = line_client_hear(&fixture->client);
        const char *event = json_string_value(json_object_get(message, "event"));
        if (!event) {
            return g_steal_pointer(&message);
        }
        g_autoptr(GError) error = NULL;
        qapi_schema_check_event(fixture->schema, message, &error);
        assert_no_error(error);
        g_hash_table_add(fixture->events, g_strdup(event));
    }
}

// Executes a command (' standing for " in its arguments) and checks what it returns, which is a new
// reference.
static json_t *ask(Fixture *fixture, const char *command, const char *arguments)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(arguments), "'", '"');
    g_autofree char *request =
        g_strdup_printf("{\"execute\": \"%s\", \"arguments\": %s}", command, quoted);
    line_client_say(&fixture->client, request);
    g_hash_table_add(fixture->asked, g_strdup(command));
    g_autoptr(json_t) reply = hear_reply(fixture);
    json_t *value = json_object_get(reply, "return");
    if (!value) {
        g_autofree char *text = json_message_format(reply);
        fail_msg("%s was answered %s", request, text);
    }
    g_autoptr(GError) error = NULL;
    qapi_schema_check_return(fixture->schema, command, value, &error);
    assert_no_error(error);
    return json_incref(value);
}

static void tell(Fixture *fixture, const char *command, const char *arguments)
{
    json_decref(ask(fixture, command, arguments));
}

// Whether `list` has an object with this "name".
static bool lists_name(const json_t *list, const char *name)
{
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry) {
        if (g_strcmp0(json_string_value(json_object_get(entry, "name")), name) == 0) {
            return true;
        }
    }
    return false;
}

// That the program lists the schema's commands, all of them and no others.
static void assert_lists_commands(const Fixture *fixture, const json_t *list)
{
    g_autoptr(GPtrArray) commands = qapi_schema_commands(fixture->schema);
    for (guint i = 0; i < commands->len; i++) {
        const char *name = g_ptr_array_index(commands, i);
        if (!lists_name(list, name)) {
            fail_msg("the program lacks %s", name);
        }
    }
    assert_int_equal(json_array_size(list), commands->len);
}

typedef struct Request {
    const char *command;
    const char *arguments;
} Request;

// Executes requests; together with those before them they leave no command of the schema out.
static void ask_everything(Fixture *fixture, const Request *requests, size_t count)
{
    g_autoptr(GPtrArray) commands = qapi_schema_commands(fixture->schema);
    for (size_t i = 0; i < count; i++) {
        tell(fixture, requests[i].command, requests[i].arguments);
    }
    for (guint i = 0; i < commands->len; i++) {
        const char *name = g_ptr_array_index(commands, i);
        if (!g_hash_table_contains(fixture->asked, name)) {
            fail_msg("nothing asks %s", name);
        }
    }
}

// --- the schemas themselves -------------------------------------------------------------------

static void test_everything_in_both_schemas_is_documented(void **state)
{
    static const char *const paths[] = {"protocol/agent.json", "protocol/controller.json"};
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(QapiSchema) schema = qapi_schema_load(paths[i], &error);
        assert_no_error(error);
        qapi_schema_check_documented(schema, &error);
        assert_no_error(error);
    }
}

// --- the agent --------------------------------------------------------------------------------

static int set_up_agent(void **state)
{
    Fixture *fixture = fixture_new("protocol/agent.json");
    *state = fixture;
    start_program(fixture, "aerostat-agent", "--socket", fixture->socket_path);
    line_client_open(&fixture->client, fixture->socket_path);
    return 0;
}

static void test_the_agent_has_the_commands_of_its_schema(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) info = ask(fixture, "guest-info", "{}");
    assert_lists_commands(fixture, json_object_get(info, "supported_commands"));
}

static void test_the_agent_answers_as_its_schema_says(void **state)
{
    static const Request requests[] = {
        {"guest-sync", "{'id': 7}"},
        {"guest-sync-delimited", "{'id': 8}"},
        {"guest-ping", "{}"},
        {"guest-info", "{}"},
        {"guest-memory-report", "{}"},
        {"guest-memory-subscribe", "{}"},
        {"guest-memory-subscribe", "{'interval-ms': 20, 'heartbeat-ms': 100, "
                                   "'change-bytes': 1048576}"},
        {"guest-memory-unsubscribe", "{}"},
    };
    ask_everything(*state, requests, G_N_ELEMENTS(requests));
}

static void test_the_agent_pushes_what_its_schema_says(void **state)
{
    Fixture *fixture = *state;
    tell(fixture, "guest-memory-subscribe", "{}");
    g_autoptr(json_t) event = line_client_hear(&fixture->client);
    g_autoptr(GError) error = NULL;
    qapi_schema_check_event(fixture->schema, event, &error);
    assert_no_error(error);
}

// --- the controller ---------------------------------------------------------------------------

static void write_config(Fixture *fixture, int budget_mib, const char *more)
{
    g_autofree char *text = g_strdup_printf("[controller]\nmode=balance\nsocket=%s\n"
                                            "[host]\nbudget=%dM\nlast-resort=memory.reclaim\n"
                                            "[discovery directory]\npath=\n"
                                            "[guest web]\nqmp=%s/web.qmp\nagent=%s/web.agent\n"
                                            "min=256M\n"
                                            "[guest absent]\nqmp=%s/absent.qmp\nagent=%s/no.agent\n"
                                            "%s",
                                            fixture->socket_path, budget_mib,
                                            fixture->scratch.folder, fixture->scratch.folder,
                                            fixture->scratch.folder, fixture->scratch.folder, more);
    g_free(fixture->config_path);
    fixture->config_path = scratch_write(&fixture->scratch, "controller.conf", text, -1);
}

static int set_up_controller(void **state)
{
    Fixture *fixture = fixture_new("protocol/controller.json");
    *state = fixture;
    g_autofree char *qmp_path = scratch_path(&fixture->scratch, "web.qmp");
    g_autofree char *agent_path = scratch_path(&fixture->scratch, "web.agent");
    fixture->qemu = fake_qemu_new(qmp_path, GUEST_BYTES);
    fixture->agent = fake_agent_new(agent_path, fixture->qemu);
    write_config(fixture, 2048, "");
    fake_host_init(&fixture->host, &fixture->scratch, 8 * 1024 * MIB);
    start_program(fixture, "aerostat-controller", "--config", fixture->config_path);
    line_client_open(&fixture->client, fixture->socket_path);
    g_autoptr(json_t) greeting = line_client_hear(&fixture->client);
    json_t *version = json_object_get(json_object_get(greeting, "QMP"), "version");
    g_autoptr(GError) error = NULL;
    qapi_schema_check_value(fixture->schema, "VersionInfo", version, &error);
    assert_no_error(error);
    tell(fixture, "qmp_capabilities", "{'enable': []}");
    return 0;
}

static bool guest_is(Fixture *fixture, const char *name, const char *member, const char *word)
{
    g_autofree char *arguments = g_strdup_printf("{'name': '%s'}", name);
    g_autoptr(json_t) guest = ask(fixture, "query-guest", arguments);
    return g_strcmp0(json_string_value(json_object_get(guest, member)), word) == 0;
}

static void wait_until_web_reports(Fixture *fixture)
{
    wait_for(guest_is(fixture, "web", "agent", "connected"), PATIENCE_US);
    // A guest that stalled is left alone for ten seconds.
    wait_for(guest_is(fixture, "web", "state", "settled"), PATIENCE_US);
}

static void test_the_controller_has_the_commands_of_its_schema(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) list = ask(fixture, "query-commands", "{}");
    assert_lists_commands(fixture, list);
}

static void test_the_controller_answers_as_its_schema_says(void **state)
{
    static const Request requests[] = {
        {"query-version", "{}"},
        {"query-commands", "{}"},
        {"query-events", "{}"},
        {"set-events", "{'enable': ['GUEST_STALLED']}"},
        {"query-status", "{}"},
        {"query-host", "{}"},
        {"query-guests", "{}"},
        {"query-guest", "{'name': 'absent'}"},
        {"query-guest", "{'name': 'web'}"},
        {"set-target", "{'name': 'web', 'bytes': 536870912}"},
        {"query-guest", "{'name': 'web'}"},
        {"query-plan", "{'name': 'web'}"},
        {"set-target", "{'name': 'web', 'bytes': null}"},
        {"query-plan", "{}"},
        {"set-policy", "{'name': 'web', 'min': 134217728, 'max': null, 'weight': 200}"},
        {"query-guest", "{'name': 'web'}"},
        {"add-guest", "{'name': 'more', 'qmp': '/nowhere/more.qmp'}"},
        {"set-manage", "{'name': 'more', 'manage': false}"},
        {"set-manage", "{'name': 'more', 'manage': null}"},
        {"query-guest", "{'name': 'more'}"},
        {"remove-guest", "{'name': 'more'}"},
        {"set-mode", "{'mode': 'reclaim'}"},
        {"reserve", "{'bytes': 1048576, 'name': 'new', 'timeout-ms': 5000, 'hold-ms': 60000}"},
        {"query-claims", "{}"},
        {"reserve", "{'bytes': 1099511627776}"},
        {"release", "{'id': 1}"},
        {"prepare", "{'name': 'web', 'timeout-ms': 10000, 'hold-ms': 60000}"},
        {"query-guest", "{'name': 'web'}"},
        {"query-claims", "{}"},
        {"reload", "{}"},
        {"quit", "{}"},
    };
    Fixture *fixture = *state;
    wait_until_web_reports(fixture);
    ask_everything(fixture, requests, G_N_ELEMENTS(requests));
}

// Whether the guest has all that a guest can have, once its report has led to a target.
static bool web_is_complete(Fixture *fixture)
{
    static const char *const members[] = {"size", "actual",        "target", "min",
                                          "max",  "report-age-us", "report", "reason"};
    g_autoptr(json_t) guest = ask(fixture, "query-guest", "{'name': 'web'}");
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!json_object_get(guest, members[i])) {
            return false;
        }
    }
    return json_object_get(json_object_get(guest, "reason"), "demand") != NULL;
}

// Whether the plan's guest is complete, and the sums are those of the plan.
static bool plan_is_complete(Fixture *fixture)
{
    static const char *const members[] = {"demand", "tiers", "asked-from", "report-age-us"};
    g_autoptr(json_t) plan = ask(fixture, "query-plan", "{}");
    const json_t *guest = json_array_get(json_object_get(plan, "guests"), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!json_object_get(guest, members[i])) {
            return false;
        }
    }
    assert_true(json_equal(json_object_get(plan, "sum-target"), json_object_get(guest, "target")));
    return json_is_true(json_object_get(plan, "acts"));
}

static void test_a_plan_comes_to_have_every_member(void **state)
{
    Fixture *fixture = *state;
    // Ends the time in which guests are left as they were found, and nobody is asked for anything.
    tell(fixture, "set-mode", "{'mode': 'balance'}");
    wait_for(plan_is_complete(fixture), PATIENCE_US);
}

static void test_the_events_are_those_of_the_schema(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) list = ask(fixture, "query-events", "{}");
    g_autoptr(GPtrArray) events = qapi_schema_events(fixture->schema);
    for (guint i = 0; i < events->len; i++) {
        const char *name = g_ptr_array_index(events, i);
        if (!lists_name(list, name)) {
            fail_msg("the program lacks %s", name);
        }
    }
    assert_int_equal(json_array_size(list), events->len);
}

static void test_a_guest_that_reports_comes_to_have_every_member(void **state)
{
    Fixture *fixture = *state;
    wait_for(web_is_complete(fixture), PATIENCE_US);
}

static void test_an_absent_guest_is_listed_without_guesses(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(json_t) guest = ask(fixture, "query-guest", "{'name': 'absent'}");
    assert_string_equal(json_string_value(json_object_get(guest, "state")), "connecting");
    assert_string_equal(json_string_value(json_object_get(guest, "agent")), "connecting");
    assert_null(json_object_get(guest, "actual"));
    assert_null(json_object_get(guest, "report"));
}

static bool has_seen(Fixture *fixture, const char *event)
{
    // Asking is also how events get heard.
    tell(fixture, "query-status", "{}");
    return g_hash_table_contains(fixture->events, event);
}

#define wait_for_event(fixture, event) wait_for(has_seen(fixture, event), PATIENCE_US)

// A critical host, whose guest's QEMU has a control group to itself.
static void make_host_critical(Fixture *fixture)
{
    g_autofree char *cgroup = g_strdup_printf("/proc/%d/cgroup", (int)getpid());
    g_autofree char *processes = g_strdup_printf("%d\n", (int)getpid());
    fake_host_write_file(&fixture->host, cgroup, "0::/qemu\n");
    fake_host_write_file(&fixture->host, "/sys/fs/cgroup/qemu/cgroup.procs", processes);
    fake_host_write_file(&fixture->host, "/sys/fs/cgroup/qemu/memory.reclaim", "");
    fixture->host.available_bytes = MIB;
    fixture->host.qemu_pid = getpid();
    fixture->host.qemu_bytes = GUEST_BYTES;
    fake_host_write(&fixture->host);
}

static void test_every_event_of_the_schema_comes_as_it_says(void **state)
{
    Fixture *fixture = *state;
    wait_until_web_reports(fixture);
    tell(fixture, "reserve", "{'bytes': 1048576, 'hold-ms': 100}");
    wait_for_event(fixture, "CLAIM_EXPIRED");
    make_host_critical(fixture);
    wait_for_event(fixture, "HOST_PRESSURE");
    tell(fixture, "set-target", "{'name': 'web', 'bytes': 536870912}");
    wait_for_event(fixture, "GUEST_TARGET_REACHED");
    fake_qemu_set_rate(fixture->qemu, 0);
    tell(fixture, "set-target", "{'name': 'web', 'bytes': 268435456}");
    wait_for_event(fixture, "GUEST_STALLED");
    wait_for_event(fixture, "GUEST_FORCED_RECLAIM");
    fake_qemu_set_rate(fixture->qemu, GUEST_BYTES);
    tell(fixture, "set-target", "{'name': 'web', 'bytes': 629145600}");
    wait_for(fake_qemu_actual_bytes(fixture->qemu) == 629145600, PATIENCE_US);
    wait_until_web_reports(fixture);
    fake_qemu_take_back(fixture->qemu, 700 * MIB);
    wait_for_event(fixture, "GUEST_AUTO_DEFLATED");
    ResidentShow *show = resident_show_new(GUEST_BYTES);
    // That takes its time, in which no agent reports.
    wait_for(guest_is(fixture, "web", "agent", "connected"), PATIENCE_US);
    tell(fixture, "set-target", "{'name': 'web', 'bytes': 268435456}");
    wait_for_event(fixture, "GUEST_RECLAIM_INEFFECTIVE");
    resident_show_free(show);
    fake_agent_grow(fixture->agent, 2 * GUEST_BYTES, 8 * GUEST_BYTES);
    wait_for_event(fixture, "GUEST_PRESSURE");
    fake_agent_close(fixture->agent);
    wait_for_event(fixture, "GUEST_AGENT_LOST");
    fake_agent_open(fixture->agent);
    wait_for_event(fixture, "GUEST_AGENT_CONNECTED");

    write_config(fixture, 128, "[guest new]\nqmp=/nowhere/new.qmp\n");
    tell(fixture, "reload", "{}");
    wait_for_event(fixture, "GUEST_ADDED");
    wait_for_event(fixture, "HOST_OVERCOMMITTED");
    write_config(fixture, 2048, "");
    tell(fixture, "reload", "{}");
    wait_for_event(fixture, "GUEST_REMOVED");

    g_autoptr(GPtrArray) events = qapi_schema_events(fixture->schema);
    for (guint i = 0; i < events->len; i++) {
        const char *name = g_ptr_array_index(events, i);
        // What a client too slow for its events is told is tested in test-controller-surface.
        if (strcmp(name, "EVENTS_LOST") != 0 && !g_hash_table_contains(fixture->events, name)) {
            fail_msg("%s never came", name);
        }
    }
}

int main(void)
{
#define AGENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_agent, tear_down)
#define CONTROLLER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_controller, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_in_both_schemas_is_documented),
        AGENT_TEST(test_the_agent_has_the_commands_of_its_schema),
        AGENT_TEST(test_the_agent_answers_as_its_schema_says),
        AGENT_TEST(test_the_agent_pushes_what_its_schema_says),
        CONTROLLER_TEST(test_the_controller_has_the_commands_of_its_schema),
        CONTROLLER_TEST(test_the_controller_answers_as_its_schema_says),
        CONTROLLER_TEST(test_the_events_are_those_of_the_schema),
        CONTROLLER_TEST(test_a_guest_that_reports_comes_to_have_every_member),
        CONTROLLER_TEST(test_a_plan_comes_to_have_every_member),
        CONTROLLER_TEST(test_an_absent_guest_is_listed_without_guesses),
        CONTROLLER_TEST(test_every_event_of_the_schema_comes_as_it_says),
    };
    return run_test_table(tests);
}
