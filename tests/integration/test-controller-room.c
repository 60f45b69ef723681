// SPDX-License-Identifier: Apache-2.0
//
// Room on request and quiet guests: reserve, prepare and release, with the real controller among
// fake guests.
#include "tests/test.h"

#include "protocol/limits.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static bool is_granted(const json_t *result)
{
    return json_is_true(json_object_get(result, "granted"));
}

static int64_t actual_bytes(const RigGuest *guest)
{
    return fake_qemu_actual_bytes(guest->qemu);
}

static int64_t held_bytes(const Rig *rig)
{
    int64_t sum = 0;
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        sum += MAX(actual_bytes(guest), fake_qemu_target_bytes(guest->qemu));
    }
    return sum;
}

static int64_t host_number(Rig *rig, const char *name)
{
    g_autoptr(json_t) host = rig_ask(rig, "query-host", NULL);
    return number(host, name);
}

// Two guests of 1 GiB that hold all of the budget and use a tenth of it.
#define FULL_BUDGET (2 * GIB)

static void start_full(Rig *rig)
{
    rig_add(rig, "a", GIB, NULL);
    rig_add(rig, "b", GIB, NULL);
    rig_run(rig, FULL_BUDGET);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_int_equal(held_bytes(rig), FULL_BUDGET);
}

// Asks for room and waits for what becomes of it.
static json_t *reserve(Rig *rig, int64_t bytes, int64_t timeout_ms, const char *name)
{
    return rig_ask(rig, "reserve",
                   json_pack("{s:I, s:I, s:s*}", "bytes", (json_int_t)bytes, "timeout-ms",
                             (json_int_t)timeout_ms, "name", name));
}

// --- reservations -----------------------------------------------------------------------------

static void test_room_is_granted_when_the_memory_has_come_back(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    g_autoptr(json_t) result = reserve(rig, GIB, 20000, NULL);
    assert_true(is_granted(result));
    assert_int_equal(number(result, "bytes"), GIB);
    assert_true(held_bytes(rig) + GIB <= FULL_BUDGET);
    assert_int_equal(host_number(rig, "reserved"), GIB);
    // It stays free, whatever others come to need.
    RigGuest *a = g_ptr_array_index(rig->guests, 0);
    fake_agent_grow(a->agent, 900 * MIB, GIB);
    wait_for(actual_bytes(a) > 600 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_true(held_bytes(rig) + GIB <= FULL_BUDGET);
}

static void test_two_starts_at_once_never_count_on_the_same_memory(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    LineClient other = {0};
    line_client_open_qmp(&other, rig->socket_path);
    line_client_say(&other, "{\"execute\":\"reserve\",\"arguments\":{\"bytes\":734003200}}");
    g_autoptr(json_t) first = reserve(rig, 700 * MIB, 20000, NULL);
    g_autoptr(json_t) reply = line_client_hear_answer(&other);
    const json_t *second = json_object_get(reply, "return");
    assert_true(is_granted(first));
    assert_true(is_granted(second));
    assert_int_not_equal(number(first, "id"), number(second, "id"));
    assert_true(held_bytes(rig) + 1400 * MIB <= FULL_BUDGET);
    // A third finds nothing left that it could have.
    g_autoptr(json_t) third = reserve(rig, 700 * MIB, 20000, NULL);
    assert_false(is_granted(third));
    line_client_close(&other);
}

static void test_what_cannot_be_had_is_said_at_once_with_what_could(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    g_autoptr(json_t) result = reserve(rig, 3 * GIB, 60000, NULL);
    assert_false(is_granted(result));
    // All but the two guests' minima.
    assert_int_equal(number(result, "bytes"), FULL_BUDGET - 2 * 256 * MIB);
    assert_null(json_object_get(result, "id"));
    assert_int_equal(host_number(rig, "reserved"), 0);
}

static void test_no_guest_is_pushed_below_what_it_uses(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    RigGuest *a = g_ptr_array_index(rig->guests, 0);
    const RigGuest *b = g_ptr_array_index(rig->guests, 1);
    // It gives what it can well before the time is up.
    fake_qemu_set_rate(b->qemu, 10 * GIB);
    fake_agent_grow(a->agent, 800 * MIB, 4 * GIB);
    wait_for(fake_agent_guest(a->agent)->used_bytes == 800 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, 500 * MS_US);
    g_autoptr(json_t) result = reserve(rig, 1200 * MIB, 3000, NULL);
    assert_false(is_granted(result));
    assert_int_equal(fake_agent_guest(a->agent)->shortage_bytes, 0);
    assert_true(number(result, "bytes") > 500 * MIB);
}

static void test_without_time_to_wait_nobody_is_moved(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    unsigned commands = rig_balloon_commands(rig);
    g_autoptr(json_t) result = reserve(rig, 100 * MIB, 0, NULL);
    assert_false(is_granted(result));
    assert_int_equal(number(result, "bytes"), 0);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_int_equal(rig_balloon_commands(rig), commands);
}

// From now on no balloon moves, whatever it is told.
static void stop_balloons(const Rig *rig)
{
    for (guint i = 0; i < rig->guests->len; i++) {
        fake_qemu_set_rate(((RigGuest *)g_ptr_array_index(rig->guests, i))->qemu, 0);
    }
}

static void test_others_are_answered_while_one_waits(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    stop_balloons(rig);
    LineClient client = {0};
    line_client_open_qmp(&client, rig->socket_path);
    // In one piece, so that the second is there long before the first's time is up.
    line_client_say(&client, "{\"execute\":\"reserve\",\"arguments\":{\"bytes\":536870912,"
                             "\"timeout-ms\":1000},\"id\":\"r\"}\n"
                             "{\"execute\":\"query-claims\",\"id\":\"q\"}");
    g_autoptr(json_t) first = line_client_hear_answer(&client);
    assert_string_equal(json_string_value(json_object_get(first, "id")), "q");
    assert_int_equal(json_array_size(json_object_get(first, "return")), 1);
    g_autoptr(json_t) second = line_client_hear_answer(&client);
    assert_string_equal(json_string_value(json_object_get(second, "id")), "r");
    assert_false(is_granted(json_object_get(second, "return")));
    line_client_close(&client);
}

static bool has_claims(Rig *rig, size_t count)
{
    g_autoptr(json_t) claims = rig_ask(rig, "query-claims", NULL);
    return json_array_size(claims) == count;
}

static void test_who_goes_while_waiting_leaves_nothing_behind(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    stop_balloons(rig);
    LineClient client = {0};
    line_client_open_qmp(&client, rig->socket_path);
    line_client_say(&client, "{\"execute\":\"reserve\",\"arguments\":{\"bytes\":536870912}}");
    wait_for(has_claims(rig, 1), PATIENCE_US);
    line_client_close(&client);
    wait_for(has_claims(rig, 0), PATIENCE_US);
}

// --- how reservations end ---------------------------------------------------------------------

// A third guest, known to the configuration, whose QEMU does not run yet.
static RigGuest *add_later(Rig *rig, const char *name)
{
    RigGuest *guest = rig_add(rig, name, GIB, NULL);
    fake_qemu_quit(guest->qemu);
    fake_agent_close(guest->agent);
    return guest;
}

static void start_guest(RigGuest *guest)
{
    fake_qemu_start(guest->qemu);
    fake_agent_open(guest->agent);
}

static bool is_known(Rig *rig, const RigGuest *guest)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    return json_object_get(view, "actual") != NULL;
}

// Starts the controller with two guests that hold everything and two that do not run.
static void start_with_later(Rig *rig, RigGuest **c, RigGuest **d)
{
    rig_add(rig, "a", GIB, NULL);
    rig_add(rig, "b", GIB, NULL);
    *c = add_later(rig, "c");
    *d = add_later(rig, "d");
    rig_configure(rig, FULL_BUDGET, NULL);
    rig_start(rig);
    for (guint i = 0; i < 2; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        wait_for(fake_agent_is_subscribed(guest->agent), PATIENCE_US);
    }
    rig->most_held_bytes = 0;
}

static void test_a_guest_takes_the_place_of_its_reservation(void **state)
{
    Rig *rig = *state;
    RigGuest *c;
    RigGuest *d;
    start_with_later(rig, &c, &d);
    g_autoptr(json_t) for_d = reserve(rig, 400 * MIB, 20000, "d");
    g_autoptr(json_t) for_c = reserve(rig, GIB, 20000, "c");
    assert_true(is_granted(for_c) && is_granted(for_d));
    start_guest(c);
    wait_for(is_known(rig, c), PATIENCE_US);
    wait_for(has_claims(rig, 1), PATIENCE_US);
    assert_int_equal(host_number(rig, "reserved"), 400 * MIB);
    rig_wait_until_calm(rig, 500 * MS_US);
    assert_true(held_bytes(rig) - GIB + 400 * MIB <= FULL_BUDGET); // d does not run
}

static void test_without_a_name_the_next_guest_takes_its_place(void **state)
{
    Rig *rig = *state;
    RigGuest *c;
    RigGuest *d;
    start_with_later(rig, &c, &d);
    g_autoptr(json_t) first = reserve(rig, 300 * MIB, 20000, NULL);
    g_autoptr(json_t) second = reserve(rig, 400 * MIB, 20000, NULL);
    assert_true(is_granted(first) && is_granted(second));
    start_guest(d);
    wait_for(has_claims(rig, 1), PATIENCE_US);
    assert_int_equal(host_number(rig, "reserved"), 400 * MIB);
}

static void test_a_reservation_that_nobody_uses_expires(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    g_autoptr(json_t) result =
        rig_ask(rig, "reserve",
                json_pack("{s:I, s:i, s:s}", "bytes", (json_int_t)(512 * MIB), "hold-ms", 300,
                          "name", "never"));
    assert_true(is_granted(result));
    wait_for(rig_had_event(rig, "CLAIM_EXPIRED", NULL), PATIENCE_US);
    assert_true(has_claims(rig, 0));
    // And the guests get it back.
    wait_for(held_bytes(rig) > FULL_BUDGET - 200 * MIB, PATIENCE_US);
}

static void test_what_is_released_goes_back_to_the_guests(void **state)
{
    Rig *rig = *state;
    start_full(rig);
    g_autoptr(json_t) result = reserve(rig, 512 * MIB, 20000, NULL);
    json_decref(rig_ask(rig, "release", json_pack("{s:I}", "id", number(result, "id"))));
    wait_for(held_bytes(rig) > FULL_BUDGET - 200 * MIB, PATIENCE_US);
    g_autofree char *desc =
        rig_ask_in_vain(rig, "release", json_pack("{s:I}", "id", number(result, "id")));
    assert_non_null(strstr(desc, "There is no reservation or preparation"));
}

static void test_there_are_only_so_many_claims(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, 4 * GIB, NULL);
    rig_start(rig);
    for (int i = 0; i < LIMIT_CLAIMS; i++) {
        json_decref(reserve(rig, MIB, 5000, NULL));
    }
    g_autofree char *desc =
        rig_ask_in_vain(rig, "reserve", json_pack("{s:I}", "bytes", (json_int_t)MIB));
    assert_non_null(strstr(desc, "already"));
}

static void test_numbers_out_of_range_are_refused(void **state)
{
    Rig *rig = *state;
    rig_configure(rig, 4 * GIB, NULL);
    rig_start(rig);
    static const char *const bad[] = {
        "{\"bytes\": 0}",
        "{\"bytes\": -5}",
        "{\"bytes\": 9223372036854775807}",
        "{\"bytes\": 1048576, \"timeout-ms\": -1}",
        "{\"bytes\": 1048576, \"timeout-ms\": 99999999999}",
        "{\"bytes\": 1048576, \"hold-ms\": 0}",
        "{}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_free(rig_ask_in_vain(rig, "reserve", json_loads(bad[i], 0, NULL)));
    }
    assert_true(has_claims(rig, 0));
}

// --- preparing --------------------------------------------------------------------------------

static json_t *prepare(Rig *rig, const RigGuest *guest)
{
    return rig_ask(rig, "prepare", json_pack("{s:s}", "name", guest->name));
}

static void test_a_prepared_guest_has_what_it_needs_and_is_held_there(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    fake_agent_guest(a->agent)->cache_bytes = 700 * MIB;
    rig_run(rig, 2 * GIB);
    rig_wait_until_calm(rig, 500 * MS_US);
    g_autoptr(json_t) result = prepare(rig, a);
    assert_true(is_granted(result));
    assert_int_equal(number(result, "bytes"), actual_bytes(a));
    assert_true(actual_bytes(a) < 300 * MIB);
    g_autoptr(json_t) view = rig_query_guest(rig, a);
    const json_t *reason = json_object_get(view, "reason");
    assert_string_equal(json_string_value(json_object_get(reason, "bound-by")), "prepared");

    // There is plenty, and it is not given any of it; small changes do not move it either.
    unsigned commands = rig_balloon_commands(rig);
    for (int i = 0; i < 20; i++) {
        fake_agent_guest(a->agent)->used_bytes += (i % 2 ? -5 : 5) * MIB;
        fake_agent_report(a->agent, REPORT_REASON_CHANGE);
        wait_while(50 * MS_US);
    }
    assert_int_equal(rig_balloon_commands(rig), commands);

    json_decref(rig_ask(rig, "release", json_pack("{s:I}", "id", number(result, "id"))));
    wait_for(actual_bytes(a) == GIB, PATIENCE_US);
}

static void test_a_prepared_guest_that_comes_to_need_more_gets_it(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    g_autoptr(json_t) result = prepare(rig, a);
    assert_true(is_granted(result));
    fake_agent_grow(a->agent, 700 * MIB, GIB);
    wait_for(fake_agent_guest(a->agent)->used_bytes == 700 * MIB, PATIENCE_US);
    assert_true(has_claims(rig, 1));
}

static void test_a_guest_that_does_not_get_there_is_let_go(void **state)
{
    Rig *rig = *state;
    RigGuest *a = rig_add(rig, "a", GIB, NULL);
    rig_run(rig, 2 * GIB);
    fake_qemu_set_rate(a->qemu, 10 * MIB);
    g_autoptr(json_t) result =
        rig_ask(rig, "prepare", json_pack("{s:s, s:i}", "name", "a", "timeout-ms", 1000));
    assert_false(is_granted(result));
    assert_true(has_claims(rig, 0));
    wait_for(fake_qemu_target_bytes(a->qemu) == GIB, PATIENCE_US);
}

static void assert_not_prepared(Rig *rig, const char *name, const char *why)
{
    g_autofree char *desc = rig_ask_in_vain(rig, "prepare", json_pack("{s:s}", "name", name));
    if (!strstr(desc, why)) {
        fail_msg("%s: %s", name, desc);
    }
    assert_true(has_claims(rig, 0));
}

static void test_what_cannot_be_prepared_is_refused_with_the_reason(void **state)
{
    Rig *rig = *state;
    RigGuest *mute = rig_add(rig, "mute", GIB, NULL);
    rig_add(rig, "foreign", GIB, "manage=no\n");
    fake_agent_close(mute->agent);
    rig_configure(rig, 4 * GIB, NULL);
    rig_start(rig);
    wait_for(is_known(rig, mute), PATIENCE_US);
    assert_not_prepared(rig, "nobody", "is not known");
    assert_not_prepared(rig, "mute", "does not report");
    assert_not_prepared(rig, "foreign", "cannot be moved");
    fake_agent_open(mute->agent);
    wait_for(fake_agent_is_subscribed(mute->agent), PATIENCE_US);
    wait_for(strcmp(rig_guest_text(rig, mute, "agent"), "connected") == 0, PATIENCE_US);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "observe")));
    assert_not_prepared(rig, "mute", "observe");
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "balance")));
    json_decref(prepare(rig, mute));
    g_autofree char *desc = rig_ask_in_vain(rig, "prepare", json_pack("{s:s}", "name", "mute"));
    assert_non_null(strstr(desc, "is prepared already"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_room_is_granted_when_the_memory_has_come_back),
        TEST(test_two_starts_at_once_never_count_on_the_same_memory),
        TEST(test_what_cannot_be_had_is_said_at_once_with_what_could),
        TEST(test_no_guest_is_pushed_below_what_it_uses),
        TEST(test_without_time_to_wait_nobody_is_moved),
        TEST(test_others_are_answered_while_one_waits),
        TEST(test_who_goes_while_waiting_leaves_nothing_behind),
        TEST(test_a_guest_takes_the_place_of_its_reservation),
        TEST(test_without_a_name_the_next_guest_takes_its_place),
        TEST(test_a_reservation_that_nobody_uses_expires),
        TEST(test_what_is_released_goes_back_to_the_guests),
        TEST(test_there_are_only_so_many_claims),
        TEST(test_numbers_out_of_range_are_refused),
        TEST(test_a_prepared_guest_has_what_it_needs_and_is_held_there),
        TEST(test_a_prepared_guest_that_comes_to_need_more_gets_it),
        TEST(test_a_guest_that_does_not_get_there_is_let_go),
        TEST(test_what_cannot_be_prepared_is_refused_with_the_reason),
    };
    return run_test_table(tests);
}
