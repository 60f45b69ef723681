// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "agent/config.h"
#include "agent/port.h"
#include "tests/support/scratch.h"

#include <string.h>

static AgentConfig *load(const Scratch *scratch, const char *text, GError **error)
{
    g_autofree char *path = scratch_write(scratch, "agent.conf", text, -1);
    return agent_config_load(path, false, error);
}

static void test_without_a_file_everything_has_its_default(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = scratch_path(*state, "none.conf");
    g_autoptr(AgentConfig) config = agent_config_load(path, true, &error);
    assert_no_error(error);
    assert_string_equal(config->port, PORT_DEFAULT_NAME);
    assert_int_equal(config->interval_ms, 10);
    assert_int_equal(config->heartbeat_ms, 100);
}

static void test_a_file_asked_for_must_be_there(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = scratch_path(*state, "none.conf");
    assert_null(agent_config_load(path, false, &error));
    g_autofree char *expected =
        g_strdup_printf("%s: cannot be read: No such file or directory", path);
    assert_string_equal(error->message, expected);
}

static void test_every_key_is_understood(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AgentConfig) config =
        load(*state,
             "# all of them\n[agent]\nport=org.qemu.guest_agent.0\ninterval=20ms\n"
             "heartbeat = 1min\n",
             &error);
    assert_no_error(error);
    assert_string_equal(config->port, "org.qemu.guest_agent.0");
    assert_int_equal(config->interval_ms, 20);
    assert_int_equal(config->heartbeat_ms, 60000);
}

static void test_limits_themselves_are_allowed(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AgentConfig) least =
        load(*state, "[agent]\ninterval=10ms\nheartbeat=100ms\nport=/dev/vport0p1\n", &error);
    assert_no_error(error);
    g_autoptr(AgentConfig) most = load(*state, "[agent]\ninterval=10s\nheartbeat=60min\n", &error);
    assert_no_error(error);
    assert_string_equal(least->port, "/dev/vport0p1");
    assert_int_equal(most->heartbeat_ms, 3600000);
}

static void test_a_mistake_names_its_file_line_and_key(void **state)
{
    static const struct {
        const char *text;
        const char *mistake; // without the file
    } wrong[] = {
        {"[agent]\nport=\n", ":2: [agent] port: is empty"},
        {"[agent]\nport=dev/vport0p1\n",
         ":2: [agent] port: is neither a port's name nor an absolute path"},
        {"\n[agent]\ninterval=9ms\n", ":3: [agent] interval: '9ms' is not from 10ms to 10s"},
        {"[agent]\ninterval=11s\n", ":2: [agent] interval: '11s' is not from 10ms to 10s"},
        {"[agent]\nheartbeat=99ms\n", ":2: [agent] heartbeat: '99ms' is not from 100ms to 3600s"},
        {"[agent]\nheartbeat=soon\n",
         ":2: [agent] heartbeat: 'soon' is not a time such as 500ms, 5s or 2min"},
        {"[agent]\nports=x\n",
         ":2: [agent] ports: unknown key, there are port, interval and heartbeat"},
        {"[agents]\nport=x\n", ":1: [agents]: unknown group, there is [agent] only"},
        {"port=x\n", ":1: port: stands before any [group]"},
        {"[agent]\nport=x\nport=y\n", ":3: [agent] port: is already in line 2"},
        {"[agent]\nport\n", ":2: is neither [group] nor key=value nor # comment"},
    };
    const Scratch *scratch = *state;
    g_autofree char *path = scratch_path(scratch, "agent.conf");
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(load(scratch, wrong[i].text, &error));
        g_autofree char *expected = g_strconcat(path, wrong[i].mistake, NULL);
        assert_string_equal(error->message, expected);
    }
}

static void test_all_mistakes_are_told_at_once(void **state)
{
    g_autoptr(GError) error = NULL;
    assert_null(load(*state, "[agent]\nport=\ninterval=x\n[host]\n", &error));
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    assert_int_equal(g_strv_length(lines), 3);
}

static void test_a_name_longer_than_any_port_s_is_a_mistake(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strnfill(100000, 'x');
    g_autofree char *text = g_strconcat("[agent]\nport=", name, "\n", NULL);
    assert_null(load(*state, text, &error));
    assert_non_null(strstr(error->message, "is longer than any port's name"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_file_everything_has_its_default),
        TEST(test_a_file_asked_for_must_be_there),
        TEST(test_every_key_is_understood),
        TEST(test_limits_themselves_are_allowed),
        TEST(test_a_mistake_names_its_file_line_and_key),
        TEST(test_all_mistakes_are_told_at_once),
        TEST(test_a_name_longer_than_any_port_s_is_a_mistake),
    };
    return run_test_table(tests);
}
