// SPDX-License-Identifier: Apache-2.0
//
// The real controller and guests without an agent, whose balloons' statistics are all it has.
#include "tests/test.h"

#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)
// Longer than an agent is waited for, and the next statistics.
#define FALLBACK_US (90 * SECOND_US)
#define USED_BYTES (200 * MIB)

// --- helpers ----------------------------------------------------------------------------------

static RigGuest *add_agentless(Rig *rig, const char *name, int64_t actual_bytes)
{
    RigGuest *guest = rig_add_found(rig, name, actual_bytes);
    fake_qemu_set_stats(guest->qemu, USED_BYTES, 0);
    return guest;
}

static void start(Rig *rig, int64_t budget_bytes, const char *more)
{
    rig_configure(rig, budget_bytes, more);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
}

static bool has_source(Rig *rig, const RigGuest *guest, const char *source)
{
    return strcmp(rig_guest_text(rig, guest, "source"), source) == 0;
}

static bool has_tried_statistics(const RigGuest *guest)
{
    return fake_qemu_count(guest->qemu, "qom-get") > 4;
}

static int64_t stats_age_us(Rig *rig, const RigGuest *guest)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    const json_t *stats = json_object_get(view, "guest-stats");
    return json_integer_value(json_object_get(stats, "age-us"));
}

static bool is_bound_by(Rig *rig, const RigGuest *guest, const char *word)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    const json_t *bound = json_object_get(json_object_get(view, "reason"), "bound-by");
    return g_strcmp0(json_string_value(bound), word) == 0;
}

// The largest piece that one `balloon` command took, counting from `actual_bytes`.
static int64_t largest_step_bytes(const RigGuest *guest, int64_t actual_bytes)
{
    const GPtrArray *commands = fake_qemu_commands(guest->qemu);
    int64_t largest_bytes = 0;
    for (guint i = 0; i < commands->len; i++) {
        const FakeQemuCommand *command = g_ptr_array_index(commands, i);
        if (strcmp(command->name, "balloon") == 0) {
            int64_t target_bytes = json_integer_value(json_object_get(command->arguments, "value"));
            largest_bytes = MAX(largest_bytes, actual_bytes - target_bytes);
            actual_bytes = target_bytes;
        }
    }
    return largest_bytes;
}

// --- shrinking and growing --------------------------------------------------------------------

static void test_a_guest_without_an_agent_is_shrunk_by_its_statistics(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 600 * MIB, NULL);
    wait_for(fake_qemu_actual_bytes(guest->qemu) <= 600 * MIB, PATIENCE_US);
    assert_true(has_source(rig, guest, "guest-stats"));
    assert_string_equal(rig_guest_text(rig, guest, "agent"), "none");
    assert_true(largest_step_bytes(guest, GIB) <= GIB / 8);
    wait_for(stats_age_us(rig, guest) < 3 * SECOND_US, PATIENCE_US);
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    const json_t *stats = json_object_get(view, "guest-stats");
    assert_non_null(json_object_get(stats, "available"));
    assert_null(json_object_get(stats, "caches")); // which it does not tell
}

static void test_it_keeps_more_than_a_guest_with_an_agent_would(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 2 * GIB, NULL);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    int64_t least_bytes = USED_BYTES + 32 * MIB + GIB / 8;
    wait_for(fake_qemu_actual_bytes(guest->qemu) < least_bytes + 64 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, 3 * SECOND_US);
    assert_true(fake_qemu_actual_bytes(guest->qemu) >= least_bytes);
}

static void test_it_grows_when_its_statistics_say_that_it_needs_more(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", 400 * MIB);
    start(rig, 2 * GIB, NULL);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
    fake_qemu_set_stats(guest->qemu, 380 * MIB, 0);
    wait_for(fake_qemu_actual_bytes(guest->qemu) >= 380 * MIB + GIB / 8, PATIENCE_US);
    // It comes to rest: growing is not taken for using.
    rig_wait_until_calm(rig, 3 * SECOND_US);
    assert_true(fake_qemu_actual_bytes(guest->qemu) < GIB);
}

static void test_its_cache_is_left_to_it_while_there_is_enough(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    fake_qemu_set_stats(guest->qemu, USED_BYTES, 400 * MIB);
    start(rig, 2 * GIB, NULL);
    json_decref(rig_ask(rig, "set-mode", json_pack("{s:s}", "mode", "reclaim")));
    int64_t least_bytes = USED_BYTES + 400 * MIB + 32 * MIB + GIB / 8;
    wait_for(fake_qemu_actual_bytes(guest->qemu) < least_bytes + 64 * MIB, PATIENCE_US);
    rig_wait_until_calm(rig, 3 * SECOND_US);
    assert_true(fake_qemu_actual_bytes(guest->qemu) >= least_bytes);
}

// --- no news ----------------------------------------------------------------------------------

static void test_a_guest_whose_driver_tells_nothing_is_left_alone(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add_found(rig, "appliance", GIB);
    start(rig, 600 * MIB, NULL);
    wait_for(has_tried_statistics(guest), PATIENCE_US);
    assert_true(has_source(rig, guest, "none"));
    assert_int_equal(rig_balloon_commands(rig), 0);
}

static void test_statistics_that_were_there_before_are_no_news(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    // Somebody had them asked for once, and the guest is dead since.
    fake_qemu_stop_stats(guest->qemu);
    start(rig, 600 * MIB, NULL);
    wait_for(has_tried_statistics(guest), PATIENCE_US);
    assert_true(has_source(rig, guest, "none"));
    assert_int_equal(rig_balloon_commands(rig), 0);
}

static void test_statistics_from_before_a_reset_are_no_news(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 2 * GIB, NULL);
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
    fake_qemu_set_driver(guest->qemu, false);
    // These are of another second than the last that were looked at.
    wait_while(2 * SECOND_US);
    fake_qemu_stop_stats(guest->qemu);
    fake_qemu_reset_guest(guest->qemu);
    unsigned looks = fake_qemu_count(guest->qemu, "qom-get");
    wait_for(fake_qemu_count(guest->qemu, "qom-get") > looks + 2, PATIENCE_US);
    assert_true(has_source(rig, guest, "none"));
}

static void test_a_guest_whose_statistics_stop_is_not_shrunk_any_more(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 400 * MIB, NULL);
    wait_for(rig_balloon_commands(rig) > 0, PATIENCE_US);
    fake_qemu_stop_stats(guest->qemu);
    // Between two pieces it waits for statistics, too; these have not come for long.
    rig_wait_until_calm(rig, 4 * SECOND_US);
    wait_for(is_bound_by(rig, guest, "stale"), PATIENCE_US);
    assert_true(fake_qemu_target_bytes(guest->qemu) > 400 * MIB);
}

// It is asked for a piece, and gives none: not for the next one either, however low its max is.
static void test_a_guest_that_stalls_is_asked_for_no_more_than_a_piece(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    fake_qemu_set_rate(guest->qemu, 0);
    start(rig, 400 * MIB, "[guest windows]\nmax=300M\n");
    wait_for(rig_had_event(rig, "GUEST_STALLED", guest), PATIENCE_US);
    assert_true(fake_qemu_target_bytes(guest->qemu) >= GIB - GIB / 8);
}

static void test_a_guest_left_alone_is_not_asked_for_statistics(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 600 * MIB, "[guest windows]\nmanage=no\n");
    wait_while(2 * SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "qom-set"), 0);
    json_decref(
        rig_ask(rig, "set-manage", json_pack("{s:s, s:b}", "name", guest->name, "manage", 1)));
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
    json_decref(
        rig_ask(rig, "set-manage", json_pack("{s:s, s:b}", "name", guest->name, "manage", 0)));
    wait_for(fake_qemu_stats_interval_s(guest->qemu) == 0, PATIENCE_US);
    assert_true(has_source(rig, guest, "none"));
}

// --- the device -------------------------------------------------------------------------------

static void test_a_device_without_an_id_is_found(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    fake_qemu_set_anonymous(guest->qemu);
    start(rig, 2 * GIB, NULL);
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
}

static void test_statistics_are_found_again_after_qemu_was_lost(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "windows", GIB);
    start(rig, 2 * GIB, NULL);
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
    fake_qemu_drop_client(guest->qemu);
    fake_qemu_set_stats_interval(guest->qemu, 0);
    wait_for(!has_source(rig, guest, "guest-stats") || fake_qemu_stats_interval_s(guest->qemu) == 1,
             PATIENCE_US);
    wait_for(fake_qemu_stats_interval_s(guest->qemu) == 1, PATIENCE_US);
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
}

// --- the agent --------------------------------------------------------------------------------

static void test_the_agent_takes_over_when_it_comes(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "linux", GIB);
    // As Proxmox sets it.
    fake_qemu_set_stats_interval(guest->qemu, 2);
    start(rig, 2 * GIB, NULL);
    wait_for(has_source(rig, guest, "guest-stats"), PATIENCE_US);
    assert_int_equal(fake_qemu_stats_interval_s(guest->qemu), 1);
    rig_add_agent(guest);
    wait_for(has_source(rig, guest, "agent"), PATIENCE_US);
    wait_for(fake_qemu_stats_interval_s(guest->qemu) == 2, PATIENCE_US);
    unsigned looks = fake_qemu_count(guest->qemu, "qom-get");
    wait_while(1500 * MS_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "qom-get"), looks);
}

static void test_statistics_take_over_when_the_agent_has_gone_for_long(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = add_agentless(rig, "linux", GIB);
    rig_add_agent(guest);
    start(rig, 2 * GIB, NULL);
    wait_for(has_source(rig, guest, "agent"), PATIENCE_US);
    fake_agent_set_silent(guest->agent, true);
    wait_while(5 * SECOND_US);
    assert_int_equal(fake_qemu_count(guest->qemu, "qom-get"), 0);
    wait_for(has_source(rig, guest, "guest-stats"), FALLBACK_US);
    fake_agent_set_silent(guest->agent, false);
    wait_for(has_source(rig, guest, "agent"), PATIENCE_US);
}

// --- a hostile guest --------------------------------------------------------------------------

static void test_no_number_a_guest_can_tell_does_any_harm(void **state)
{
    static const char *const numbers[] = {"18446744073709551615", "9223372036854775808",
                                          "9223372036854775807",  "4611686018427387903",
                                          "1099511627776",        "0"};
    static const char *const members[] = {"stat-available-memory", "stat-free-memory",
                                          "stat-total-memory", "stat-swap-in"};
    Rig *rig = *state;
    RigGuest *liar = add_agentless(rig, "liar", 512 * MIB);
    RigGuest *other = add_agentless(rig, "other", 512 * MIB);
    start(rig, 1024 * MIB, NULL);
    wait_for(has_source(rig, liar, "guest-stats"), PATIENCE_US);
    for (size_t i = 0; i < G_N_ELEMENTS(members) * G_N_ELEMENTS(numbers); i++) {
        fake_qemu_lie_in_stats(liar->qemu, members[i % G_N_ELEMENTS(members)],
                               numbers[i / G_N_ELEMENTS(members)]);
        unsigned looks = fake_qemu_count(liar->qemu, "qom-get");
        wait_for(fake_qemu_count(liar->qemu, "qom-get") > looks + 1, PATIENCE_US);
    }
    assert_int_equal(fake_qemu_connections(liar->qemu), 1);
    assert_true(fake_qemu_actual_bytes(other->qemu) >= USED_BYTES);
    assert_true(rig->most_held_bytes <= 1024 * MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_guest_without_an_agent_is_shrunk_by_its_statistics),
        TEST(test_it_keeps_more_than_a_guest_with_an_agent_would),
        TEST(test_it_grows_when_its_statistics_say_that_it_needs_more),
        TEST(test_its_cache_is_left_to_it_while_there_is_enough),
        TEST(test_a_guest_whose_driver_tells_nothing_is_left_alone),
        TEST(test_statistics_that_were_there_before_are_no_news),
        TEST(test_statistics_from_before_a_reset_are_no_news),
        TEST(test_a_guest_whose_statistics_stop_is_not_shrunk_any_more),
        TEST(test_a_guest_that_stalls_is_asked_for_no_more_than_a_piece),
        TEST(test_a_guest_left_alone_is_not_asked_for_statistics),
        TEST(test_a_device_without_an_id_is_found),
        TEST(test_statistics_are_found_again_after_qemu_was_lost),
        TEST(test_the_agent_takes_over_when_it_comes),
        TEST(test_statistics_take_over_when_the_agent_has_gone_for_long),
        TEST(test_no_number_a_guest_can_tell_does_any_harm),
    };
    return run_test_table(tests);
}
