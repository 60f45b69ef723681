// SPDX-License-Identifier: Apache-2.0
//
// aerostat-libvirt over libvirt's own test driver, which runs domains within the process: what a
// controller finds in the folder and hears on the sockets there.
#include "tests/test.h"

#include "protocol/json.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/line-client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE_US (20 * SECOND_US)
// In which nothing is to happen.
#define CALM_US (300 * MS_US)

static const char node_xml[] =
    "<node>"
    "<domain type='test'><name>web</name><uuid>11111111-2222-3333-4444-555555555555</uuid>"
    "<memory unit='MiB'>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
    "<devices><channel type='unix'><source mode='bind' path='/run/web.sock'/>"
    "<target type='virtio' name='org.aerostat.memory.0'/></channel>"
    "<memballoon model='virtio'><stats period='7'/></memballoon></devices></domain>"
    "<domain type='test'><name>my db</name><uuid>aaaaaaaa-2222-3333-4444-555555555555</uuid>"
    "<memory unit='MiB'>512</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
    "<devices><memballoon model='virtio'/></devices></domain>"
    "</node>";

typedef struct Fixture {
    Scratch scratch;
    char *program;
    char *log_path;
    char *uri;
    char *folder;
    char *web_path;
    Process *bridge;
    LineClient client;
    LineClient second;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    const char *build = g_getenv("AEROSTAT_BUILD");
    scratch_init(&fixture->scratch);
    g_autofree char *xml = scratch_write(&fixture->scratch, "node.xml", node_xml, -1);
    fixture->program = g_build_filename(build ? build : "build", "aerostat-libvirt", NULL);
    fixture->log_path = scratch_path(&fixture->scratch, "log");
    fixture->uri = g_strconcat("test://", xml, NULL);
    fixture->folder = scratch_path(&fixture->scratch, "guests");
    fixture->web_path = scratch_path(&fixture->scratch, "guests/web.qmp");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    line_client_close(&fixture->client);
    line_client_close(&fixture->second);
    process_free(fixture->bridge);
    scratch_clear(&fixture->scratch);
    g_free(fixture->program);
    g_free(fixture->log_path);
    g_free(fixture->uri);
    g_free(fixture->folder);
    g_free(fixture->web_path);
    g_free(fixture);
    return 0;
}

static void start(Fixture *fixture, const char *uri)
{
    const char *const arguments[] = {fixture->program, "--uri",         uri,
                                     "--directory",    fixture->folder, NULL};
    g_autoptr(GError) error = NULL;
    unlink(fixture->log_path);
    fixture->bridge = process_start(
        &(ProcessOptions){.arguments = arguments, .log_path = fixture->log_path}, &error);
    assert_no_error(error);
}

static void wait_for_log(Fixture *fixture, const char *text)
{
    g_autoptr(GError) error = NULL;
    process_wait_for_log(fixture->bridge, text, PATIENCE_US, &error);
    assert_no_error(error);
}

static void stop(Fixture *fixture, int signal_number, int expected)
{
    g_autoptr(GError) error = NULL;
    process_kill(fixture->bridge, signal_number);
    assert_int_equal(process_wait(fixture->bridge, PATIENCE_US, &error), expected);
    g_clear_pointer(&fixture->bridge, process_free);
}

static void start_and_connect(Fixture *fixture)
{
    start(fixture, fixture->uri);
    wait_for_log(fixture, "web: domain 11111111");
    line_client_open_qmp(&fixture->client, fixture->web_path);
}

static bool is_there(const Fixture *fixture, const char *file)
{
    g_autofree char *path = g_build_filename(fixture->folder, file, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS) || g_file_test(path, G_FILE_TEST_IS_SYMLINK);
}

// The agent's socket may come a moment after the monitor, when libvirt could not be asked at once.
static void wait_for_web(Fixture *fixture)
{
    wait_for_log(fixture, "web: domain 11111111");
    wait_for(is_there(fixture, "web.agent"), PATIENCE_US);
}

// --- what is found ----------------------------------------------------------------------------

static void test_every_running_domain_is_found(void **state)
{
    Fixture *fixture = *state;
    start(fixture, fixture->uri);
    wait_for_log(fixture, "my_db-aaaaaaaa: domain aaaaaaaa");
    wait_for_web(fixture);
    g_autofree char *link = g_build_filename(fixture->folder, "web.agent", NULL);
    g_autofree char *target = g_file_read_link(link, NULL);
    assert_string_equal(target, "/run/web.sock");
    assert_true(is_there(fixture, "my_db-aaaaaaaa.qmp"));
    assert_false(is_there(fixture, "my_db-aaaaaaaa.agent"));
}

static void test_its_end_takes_no_guest_away(void **state)
{
    Fixture *fixture = *state;
    start(fixture, fixture->uri);
    wait_for_web(fixture);
    stop(fixture, SIGTERM, 0);
    assert_true(is_there(fixture, "web.qmp"));
    assert_true(is_there(fixture, "web.agent"));
    // And the next one serves it.
    start_and_connect(fixture);
}

static void test_what_a_dead_bridge_left_of_an_ended_domain_is_removed(void **state)
{
    Fixture *fixture = *state;
    start(fixture, fixture->uri);
    wait_for_log(fixture, "my_db-aaaaaaaa: domain");
    wait_for_web(fixture);
    stop(fixture, SIGKILL, 128 + SIGKILL);
    // Another node, on which neither runs but one of its own.
    start(fixture, "test:///default");
    wait_for_log(fixture, "test: domain");
    wait_for(!is_there(fixture, "web.qmp"), PATIENCE_US);
    wait_for(!is_there(fixture, "web.agent"), PATIENCE_US);
    wait_for(!is_there(fixture, "my_db-aaaaaaaa.qmp"), PATIENCE_US);
    assert_true(is_there(fixture, "test.qmp"));
}

static void test_a_name_that_is_somebody_elses_is_left_alone(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(g_mkdir_with_parents(fixture->folder, 0700), 0);
    int fd = unix_socket_listen(fixture->web_path, 0600, NULL);
    assert_true(fd >= 0);
    start(fixture, fixture->uri);
    wait_for_log(fixture, "warning: web: ");
    wait_for_log(fixture, "my_db-aaaaaaaa: domain");
    int other = unix_socket_connect(fixture->web_path, NULL);
    assert_true(other >= 0);
    close(other);
    close(fd);
}

// --- what is said -----------------------------------------------------------------------------

static void test_a_domain_answers_as_its_qemu_would(void **state)
{
    Fixture *fixture = *state;
    LineClient *client = &fixture->client;
    start_and_connect(fixture);
    line_client_ask(client, "{\"execute\":\"query-status\",\"id\":\"x\"}",
                    "{\"return\":{\"status\":\"running\",\"running\":true},\"id\":\"x\"}");
    line_client_ask(client, "{\"execute\":\"query-memory-size-summary\"}",
                    "{\"return\":{\"base-memory\":1073741824,\"plugged-memory\":0}}");
    line_client_ask(client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":1073741824}}");
    line_client_ask(client, "{\"execute\":\"balloon\",\"arguments\":{\"value\":536870912}}",
                    "{\"return\":{}}");
    line_client_ask(client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":536870912}}");
}

static void test_the_drivers_statistics_are_found_where_qemu_has_them(void **state)
{
    Fixture *fixture = *state;
    LineClient *client = &fixture->client;
    start_and_connect(fixture);
    line_client_ask(
        client, "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/peripheral\"}}",
        "{\"return\":[{\"name\":\"balloon0\",\"type\":\"child<virtio-balloon-pci>\"}]}");
    line_client_ask(
        client, "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/peripheral-anon\"}}",
        "{\"return\":[]}");
    line_client_ask(client,
                    "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine/peripheral/"
                    "balloon0\",\"property\":\"guest-stats-polling-interval\"}}",
                    "{\"return\":7}");
    line_client_say(client,
                    "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine/peripheral/"
                    "balloon0\",\"property\":\"guest-stats\"}}");
    g_autoptr(json_t) reply = line_client_hear(client);
    json_t *stats = json_object_get(json_object_get(reply, "return"), "stats");
    json_int_t total_bytes = json_integer_value(json_object_get(stats, "stat-total-memory"));
    json_int_t free_bytes = json_integer_value(json_object_get(stats, "stat-free-memory"));
    assert_true(free_bytes > 0 && free_bytes < total_bytes && total_bytes <= 1024 * MIB);
}

static void test_a_client_negotiates_first_and_once(void **state)
{
    Fixture *fixture = *state;
    LineClient *client = &fixture->client;
    start(fixture, fixture->uri);
    wait_for_log(fixture, "web: domain");
    line_client_open(client, fixture->web_path);
    g_autoptr(json_t) greeting = line_client_hear(client);
    assert_non_null(json_object_get(json_object_get(greeting, "QMP"), "version"));
    line_client_ask(client, "{\"execute\":\"query-status\"}",
                    "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities "
                    "negotiation with 'qmp_capabilities'\"}}");
    line_client_ask(client, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
    line_client_ask(client, "{\"execute\":\"qmp_capabilities\"}",
                    "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Capabilities negotiation "
                    "is already complete, command ignored\"}}");
}

static void test_what_is_not_the_controllers_business_is_refused(void **state)
{
    static const struct {
        const char *request;
        const char *refusal;
    } cases[] = {
        {"{\"execute\":\"quit\"}", "The command quit has not been found"},
        {"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info\"}}",
         "The command human-monitor-command has not been found"},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{"
         "\"capability\":\"xbzrle\",\"state\":true}]}}",
         "migrations are libvirt's to set up"},
        {"{\"execute\":\"balloon\",\"arguments\":{\"value\":0}}", "Parameter 'value'"},
        {"{\"execute\":\"balloon\",\"arguments\":{\"value\":-1}}", "Parameter 'value'"},
        {"{\"execute\":\"balloon\",\"arguments\":{\"value\":9223372036854775807}}", "'value'"},
        {"{\"execute\":\"balloon\",\"arguments\":{\"value\":2147483648}}", "memory"},
        {"{\"execute\":\"balloon\"}", "'value' is missing"},
        {"{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/\"}}", "Device '/' not found"},
        {"{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/balloon0\","
         "\"property\":\"realized\",\"value\":0}}",
         "Property 'realized' not found"},
        {"{\"execute\":1}", "must be a string"},
        {"no json", "JSON"},
    };
    Fixture *fixture = *state;
    start_and_connect(fixture);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        line_client_say(&fixture->client, cases[i].request);
        g_autoptr(json_t) reply = line_client_hear(&fixture->client);
        const char *desc =
            json_string_value(json_object_get(json_object_get(reply, "error"), "desc"));
        if (!desc || !strstr(desc, cases[i].refusal)) {
            fail_msg("%s: %s", cases[i].request, desc ? desc : "no error");
        }
    }
    line_client_ask(&fixture->client,
                    "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{"
                    "\"capability\":\"events\",\"state\":true}]}}",
                    "{\"return\":{}}");
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":1073741824}}");
}

static void test_one_client_is_served_at_a_time(void **state)
{
    Fixture *fixture = *state;
    start_and_connect(fixture);
    line_client_open(&fixture->second, fixture->web_path);
    wait_while(CALM_US);
    assert_int_equal(fixture->second.lines.length, 0);
    line_client_ask(&fixture->client, "{\"execute\":\"query-balloon\"}",
                    "{\"return\":{\"actual\":1073741824}}");
    line_client_close(&fixture->client);
    g_autoptr(json_t) greeting = line_client_hear(&fixture->second);
    assert_non_null(json_object_get(greeting, "QMP"));
    line_client_ask(&fixture->second, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
}

static void test_who_asks_without_end_is_not_served_on(void **state)
{
    Fixture *fixture = *state;
    start_and_connect(fixture);
    g_autoptr(GString) flood = g_string_new(NULL);
    for (unsigned i = 0; i < 20000; i++) {
        g_string_append(flood, "{\"execute\":\"query-memory-size-summary\"}");
    }
    line_client_say(&fixture->client, flood->str);
    wait_for(fixture->client.ended, PATIENCE_US);
    // The next one is.
    line_client_open_qmp(&fixture->client, fixture->web_path);
}

// --- without libvirt --------------------------------------------------------------------------

static void test_without_libvirt_it_waits(void **state)
{
    Fixture *fixture = *state;
    start(fixture, "qemu+unix:///system?socket=/nonexistent/libvirt-sock");
    wait_for_log(fixture, "warning: libvirt is away: ");
    wait_while(CALM_US);
    g_autofree char *log = process_log(fixture->bridge);
    // Told once, however often it is tried.
    assert_null(strstr(strstr(log, "libvirt is away") + 1, "libvirt is away"));
    stop(fixture, SIGTERM, 0);
}

static void test_a_libvirtd_that_hangs_from_the_start_does_not_keep_it_from_ending(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = scratch_path(&fixture->scratch, "libvirt-sock");
    g_autofree char *uri = g_strdup_printf("qemu+unix:///system?socket=%s", path);
    int fd = unix_socket_listen(path, 0600, NULL);
    assert_true(fd >= 0);
    start(fixture, uri);
    wait_for_log(fixture, "follows qemu+unix");
    wait_while(CALM_US);
    stop(fixture, SIGTERM, 0);
    close(fd);
}

// --- the command line -------------------------------------------------------------------------

static void assert_ends(Fixture *fixture, const char *const *arguments, int expected,
                        const char *said)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_strv_builder_add(builder, fixture->program);
    g_strv_builder_addv(builder, (const char **)arguments);
    g_auto(GStrv) command = g_strv_builder_end(builder);
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int status = process_run((const char *const *)command, PATIENCE_US, &output, &errors, &error);
    assert_no_error(error);
    g_autofree char *all = g_strconcat(output, errors, NULL);
    if (status != expected || !strstr(all, said)) {
        fail_msg("exit code %d: %s", status, all);
    }
}

static void test_mistakes_on_the_command_line_are_told(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *file = scratch_write(&fixture->scratch, "file", "", 0);
    g_autofree char *config =
        scratch_write(&fixture->scratch, "bad.conf", "[discovery libvirt]\nuri=nowhere\n", -1);
    assert_ends(fixture, (const char *const[]){"--version", NULL}, 0,
                "aerostat-libvirt " AEROSTAT_VERSION);
    assert_ends(fixture, (const char *const[]){"--help", NULL}, 0, "--directory=DIR");
    assert_ends(fixture, (const char *const[]){"x", NULL}, EX_USAGE, "unexpected argument 'x'");
    assert_ends(fixture, (const char *const[]){"--config", config, NULL}, EX_CONFIG,
                "bad.conf:2: [discovery libvirt] uri:");
    assert_ends(fixture,
                (const char *const[]){"--uri", "test:///default", "--directory", file, NULL},
                EX_CANTCREAT, file);
}

static void test_the_uri_is_the_configured_one(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *text = g_strdup_printf("[discovery libvirt]\nuri=%s\n", fixture->uri);
    g_autofree char *config = scratch_write(&fixture->scratch, "controller.conf", text, -1);
    const char *const arguments[] = {fixture->program, "--config",      config,
                                     "--directory",    fixture->folder, NULL};
    fixture->bridge = process_start(
        &(ProcessOptions){.arguments = arguments, .log_path = fixture->log_path}, NULL);
    wait_for_log(fixture, "web: domain");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_running_domain_is_found),
        TEST(test_its_end_takes_no_guest_away),
        TEST(test_what_a_dead_bridge_left_of_an_ended_domain_is_removed),
        TEST(test_a_name_that_is_somebody_elses_is_left_alone),
        TEST(test_a_domain_answers_as_its_qemu_would),
        TEST(test_the_drivers_statistics_are_found_where_qemu_has_them),
        TEST(test_a_client_negotiates_first_and_once),
        TEST(test_what_is_not_the_controllers_business_is_refused),
        TEST(test_one_client_is_served_at_a_time),
        TEST(test_who_asks_without_end_is_not_served_on),
        TEST(test_without_libvirt_it_waits),
        TEST(test_a_libvirtd_that_hangs_from_the_start_does_not_keep_it_from_ending),
        TEST(test_mistakes_on_the_command_line_are_told),
        TEST(test_the_uri_is_the_configured_one),
    };
    return run_test_table(tests);
}
