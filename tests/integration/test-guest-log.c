// SPDX-License-Identifier: Apache-2.0
//
// What the log says of a guest, with the fields the journal gets: one guest of the controller's in
// the test's own process, with a fake QEMU and a fake agent.
#include "tests/test.h"

#include "host-controller/guest.h"
#include "tests/support/fake-agent.h"
#include "tests/support/fake-qemu.h"
#include "tests/support/scratch.h"
#include "tests/support/wait.h"

#include <string.h>

#define GIB (INT64_C(1) << 30)
#define PATIENCE_US (60 * SECOND_US)

typedef struct Fixture {
    Scratch scratch;
    FakeQemu *qemu;
    FakeAgent *agent;
    Guest *guest;
} Fixture;

// A line as the journal would get it: "LEVEL KEY=VALUE KEY=VALUE ...".
static GPtrArray *lines;

static GLogWriterOutput keep_line(GLogLevelFlags level, const GLogField *fields, gsize count,
                                  void *context)
{
    (void)context;
    GString *line = g_string_new(level == G_LOG_LEVEL_DEBUG ? "debug" : "state");
    for (gsize i = 0; i < count; i++) {
        g_string_append_printf(line, " %s=%s", fields[i].key, (const char *)fields[i].value);
    }
    g_ptr_array_add(lines, g_string_free(line, FALSE));
    return G_LOG_WRITER_HANDLED;
}

static bool has_said(const char *part)
{
    for (guint i = 0; i < lines->len; i++) {
        if (strstr(g_ptr_array_index(lines, i), part)) {
            return true;
        }
    }
    return false;
}

static void on_changed(Guest *guest, GuestUrgency urgency, void *context)
{
    (void)guest;
    (void)urgency;
    (void)context;
}

static void on_event(const char *name, json_t *data, void *context)
{
    (void)name;
    (void)context;
    json_decref(data);
}

static void on_reached(int64_t elapsed_us, void *context)
{
    (void)elapsed_us;
    (void)context;
}

static void on_reported(const Guest *guest, const PolicySample *sample, void *context)
{
    (void)guest;
    (void)sample;
    (void)context;
}

static const GuestHandlers handlers = {
    .changed = on_changed, .event = on_event, .reached = on_reached, .reported = on_reported};

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    scratch_init(&fixture->scratch);
    g_autofree char *qmp_path = scratch_path(&fixture->scratch, "qmp");
    g_autofree char *agent_path = scratch_path(&fixture->scratch, "agent");
    fixture->qemu = fake_qemu_new(qmp_path, GIB);
    fixture->agent = fake_agent_new(agent_path, fixture->qemu);
    lines = g_ptr_array_new_with_free_func(g_free);
    GuestConfig config = {
        .name = (char *)"web1",
        .qmp_path = qmp_path,
        .agent_path = agent_path,
        .min = {.bytes = 256 * MIB},
        .max = {.bytes = GIB},
        .weight = 100,
        .managed = true,
    };
    fixture->guest = guest_new(&config, &handlers, NULL);
    wait_for(guest_is_movable(fixture->guest) && fixture->guest->has_report, PATIENCE_US);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    guest_free(fixture->guest);
    fake_agent_free(fixture->agent);
    fake_qemu_free(fixture->qemu);
    scratch_clear(&fixture->scratch);
    g_ptr_array_unref(lines);
    g_free(fixture);
    return 0;
}

static void test_a_decision_is_one_line_at_debug_with_its_reason(void **state)
{
    Fixture *fixture = *state;
    int64_t now_us = g_get_monotonic_time();
    PolicyGuest plan;
    guest_observe(fixture->guest, &plan, now_us);
    PolicyHost host = {.budget_bytes = 4 * GIB, .reclaim = true};
    policy_plan(&host, &plan, 1);
    plan.plan_bytes = 512 * MIB;
    plan.bound = POLICY_BOUND_DEMAND;
    assert_true(guest_follow(fixture->guest, &plan, true, now_us));
    assert_true(has_said("debug MESSAGE=web1: target 512 MiB, was 1024 MiB: demand PRIORITY=7 "
                         "GUEST=web1 ACTUAL=1073741824 TARGET=536870912 FROM=1073741824 "
                         "BOUND_BY=demand"));
    // The same again is no decision.
    guint said = lines->len;
    assert_false(guest_follow(fixture->guest, &plan, true, now_us));
    assert_int_equal(lines->len, said);
}

static void test_a_change_of_state_is_one_line_with_the_guest_in_a_field(void **state)
{
    Fixture *fixture = *state;
    fake_qemu_set_running(fixture->qemu, false);
    wait_for(has_said("state MESSAGE=web1: does not run PRIORITY=5 GUEST=web1 ACTUAL=1073741824 "
                      "TARGET=1073741824"),
             PATIENCE_US);
    fake_qemu_set_running(fixture->qemu, true);
    wait_for(has_said("state MESSAGE=web1: its QEMU runs it "), PATIENCE_US);
    fake_agent_close(fixture->agent);
    wait_for(has_said("state MESSAGE=web1: agent lost: "), PATIENCE_US);
    fake_qemu_quit(fixture->qemu);
    wait_for(has_said("state MESSAGE=web1: QEMU lost: "), PATIENCE_US);
}

static void test_nothing_is_said_while_nothing_happens(void **state)
{
    Fixture *fixture = *state;
    guint said = lines->len;
    unsigned reports = fake_agent_reports(fixture->agent);
    wait_for(fake_agent_reports(fixture->agent) >= reports + 2, PATIENCE_US);
    assert_int_equal(lines->len, said);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_decision_is_one_line_at_debug_with_its_reason),
        TEST(test_a_change_of_state_is_one_line_with_the_guest_in_a_field),
        TEST(test_nothing_is_said_while_nothing_happens),
    };
    g_log_set_writer_func(keep_line, NULL, NULL);
    return run_test_table(tests);
}
