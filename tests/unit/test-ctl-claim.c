// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl reserve, prepare, release and claims against a fake controller.
#include "tests/test.h"

#include "protocol/json.h"
#include "tests/support/ctl-fixture.h"
#include "tests/support/deadline.h"

#include <string.h>

static int64_t asked(const CtlFixture *fixture, const char *name)
{
    const json_t *member = json_object_get(fixture->fake.last_claim, name);
    return json_is_integer(member) ? json_integer_value(member) : -1;
}

static void test_without_waiting_only_what_is_free_is_reserved(void **state)
{
    CtlFixture *fixture = *state;
    ctl_fixture_assert_runs(
        fixture, ctl_reserve, "512M", NULL, CTL_EXIT_OK,
        "512 MiB reserved after 1.50 s; release it with: aerostatctl release 7\n", "");
    assert_int_equal(asked(fixture, "bytes"), 512 * MIB);
    assert_int_equal(asked(fixture, "timeout-ms"), 0);
    assert_int_equal(asked(fixture, "hold-ms"), -1);
    assert_null(json_object_get(fixture->fake.last_claim, "name"));
}

static void test_what_is_said_on_the_command_line_is_asked_for(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->context.name = "web2";
    fixture->context.hold_us = 45 * SECOND_US;
    ctl_fixture_assert_runs(fixture, ctl_reserve, "512M", NULL, CTL_EXIT_OK, NULL, "");
    assert_int_equal(asked(fixture, "timeout-ms"), 20000);
    assert_int_equal(asked(fixture, "hold-ms"), 45000);
    const char *name = json_string_value(json_object_get(fixture->fake.last_claim, "name"));
    assert_string_equal(name, "web2");
}

static void test_what_cannot_be_had_is_told_with_what_could(void **state)
{
    CtlFixture *fixture = *state;
    fixture->fake.denies = true;
    ctl_fixture_assert_runs(fixture, ctl_reserve, "512M", NULL, CTL_EXIT_TIMEOUT, "",
                            "aerostatctl: only 100 MiB of 512 MiB can be had\n");
}

static void test_json_is_the_controllers_answer(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.json = true;
    ctl_fixture_assert_runs(fixture, ctl_reserve, "512M", NULL, CTL_EXIT_OK, NULL, "");
    g_autoptr(json_t) result = json_loads(fixture->out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(result, "id")), 7);
}

static void test_a_size_that_is_none_is_a_usage_error(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_reserve, "some", NULL, CTL_EXIT_USAGE, "", NULL);
}

static void test_a_guest_is_prepared(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    ctl_fixture_assert_runs(fixture, ctl_prepare, "web1", NULL, CTL_EXIT_OK,
                            "web1 has 512 MiB and is held there after 1.50 s; release it with: "
                            "aerostatctl release 7\n",
                            "");
}

static void test_a_guest_that_does_not_get_there_is_told_of(void **state)
{
    CtlFixture *fixture = *state;
    fixture->context.wait = true;
    fixture->fake.denies = true;
    ctl_fixture_assert_runs(fixture, ctl_prepare, "web1", NULL, CTL_EXIT_TIMEOUT, "",
                            "aerostatctl: web1 is not there in time: it has 100 MiB\n");
}

static void test_a_claim_is_released_by_its_id_or_its_guest(void **state)
{
    CtlFixture *fixture = *state;
    ctl_fixture_assert_runs(fixture, ctl_release, "7", NULL, CTL_EXIT_OK, "", "");
    assert_int_equal(asked(fixture, "id"), 7);
    ctl_fixture_assert_runs(fixture, ctl_release, "web2", NULL, CTL_EXIT_OK, "", "");
    assert_int_equal(asked(fixture, "id"), 7);
    ctl_fixture_assert_runs(fixture, ctl_release, "8", NULL, CTL_EXIT_ERROR, "",
                            "aerostatctl: nothing is reserved or prepared as '8'\n");
}

static void test_claims_are_listed(void **state)
{
    ctl_fixture_assert_runs(*state, ctl_claims, NULL, NULL, CTL_EXIT_OK,
                            "ID  KIND         GUEST     SIZE  GRANTED        LEFT\n"
                            " 7  reservation  web2   512 MiB  yes      1 min 30 s\n",
                            "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ctl_fixture_set_up, ctl_fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_without_waiting_only_what_is_free_is_reserved),
        TEST(test_what_is_said_on_the_command_line_is_asked_for),
        TEST(test_what_cannot_be_had_is_told_with_what_could),
        TEST(test_json_is_the_controllers_answer),
        TEST(test_a_size_that_is_none_is_a_usage_error),
        TEST(test_a_guest_is_prepared),
        TEST(test_a_guest_that_does_not_get_there_is_told_of),
        TEST(test_a_claim_is_released_by_its_id_or_its_guest),
        TEST(test_claims_are_listed),
    };
    return run_test_table(tests);
}
