// SPDX-License-Identifier: Apache-2.0
//
// The host's budget and state in virtual time: a host of 16 GiB with a reserve of 1.6 GiB, read ten
// times a second.
#include "host-controller/policy/host.h"
#include "tests/test.h"

#define MIB POLICY_MIB
#define GIB (1024 * POLICY_MIB)
#define SECOND_US INT64_C(1000000)
#define STEP_US (SECOND_US / 10)
#define TOTAL (16 * GIB)
#define RESERVE (TOTAL / 10)
// A budget within this of another is the same to a guest: the noise that is allowed for.
#define NOISE (TOTAL / 256)

// A host on which others use `others_bytes` and guests `guests_bytes`.
typedef struct Host {
    PolicyHostHistory history;
    int64_t now_us;
    int64_t others_bytes;
    int64_t guests_bytes;
    int64_t swapped_bytes;
    int64_t some_permyriad;
    int64_t full_permyriad;
    int64_t shared_bytes;
} Host;

static void step(Host *host)
{
    host->now_us += STEP_US;
    PolicyHostReading reading = {
        .at_us = host->now_us,
        .total_bytes = TOTAL,
        .available_bytes = TOTAL - host->others_bytes - host->guests_bytes + host->shared_bytes,
        .reserve_bytes = RESERVE,
        .guests_bytes = host->guests_bytes,
        .shared_bytes = host->shared_bytes,
        .swapped_out_bytes = host->swapped_bytes,
        .some_permyriad = host->some_permyriad,
        .full_permyriad = host->full_permyriad,
    };
    policy_host_update(&host->history, &reading);
}

static void run(Host *host, int64_t duration_us)
{
    for (int64_t t = 0; t < duration_us; t += STEP_US) {
        step(host);
    }
}

static Host host_with(int64_t others_bytes, int64_t guests_bytes)
{
    Host host = {.others_bytes = others_bytes, .guests_bytes = guests_bytes};
    run(&host, SECOND_US);
    return host;
}

static int64_t budget(const Host *host)
{
    return policy_host_budget_bytes(&host->history);
}

// --- the budget -------------------------------------------------------------------------------

static void test_the_budget_is_what_others_and_the_reserve_leave(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 8 * GIB);
    assert_int_equal(host.history.non_guest_bytes, 2 * GIB);
    assert_in_range(budget(&host), TOTAL - RESERVE - 2 * GIB - NOISE, TOTAL - RESERVE - 2 * GIB);
}

static void test_what_guests_take_and_give_does_not_move_the_budget(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 4 * GIB);
    int64_t before = budget(&host);
    for (int i = 0; i < 600; i++) {
        host.guests_bytes = 4 * GIB + (i % 7) * GIB;
        step(&host);
        assert_int_equal(budget(&host), before);
    }
}

static void test_small_noise_does_not_move_the_budget(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 8 * GIB);
    int64_t before = budget(&host);
    for (int i = 0; i < 3000; i++) {
        host.others_bytes = 2 * GIB + (i * 37 % 100 - 50) * MIB / 2;
        step(&host);
        assert_int_equal(budget(&host), before);
    }
}

static void test_growth_of_others_lowers_the_budget_at_once(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 8 * GIB);
    host.others_bytes += GIB;
    step(&host);
    assert_true(budget(&host) <= TOTAL - RESERVE - 3 * GIB);
    // A piece taken at once says nothing about more to come.
    assert_true(budget(&host) >= TOTAL - RESERVE - 3 * GIB - NOISE);
}

static void test_what_goes_on_growing_is_provided_for_ahead(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 8 * GIB);
    int64_t per_step = TOTAL * 15 / 100 / 10; // 30 % of the host in 2 s
    for (int i = 0; i < 20; i++) {
        host.others_bytes += per_step;
        step(&host);
        if (i > 0) {
            // What it will have taken in the next half second is withheld already.
            assert_true(budget(&host) <= TOTAL - RESERVE - host.others_bytes - 4 * per_step);
        }
    }
    run(&host, 60 * SECOND_US);
    assert_in_range(budget(&host), TOTAL - RESERVE - host.others_bytes - 2 * NOISE,
                    TOTAL - RESERVE - host.others_bytes);
}

static void test_a_fall_raises_the_budget_only_when_it_lasts(void **state)
{
    (void)state;
    Host host = host_with(6 * GIB, 4 * GIB);
    int64_t before = budget(&host);
    host.others_bytes = 2 * GIB;
    run(&host, 10 * SECOND_US);
    assert_int_equal(budget(&host), before);
    run(&host, 25 * SECOND_US);
    assert_in_range(budget(&host), TOTAL - RESERVE - 2 * GIB - 2 * NOISE,
                    TOTAL - RESERVE - 2 * GIB);
}

static void test_what_comes_and_goes_keeps_the_budget_down(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 4 * GIB);
    host.others_bytes = 5 * GIB;
    step(&host);
    int64_t before = budget(&host);
    for (int i = 0; i < 30; i++) {
        host.others_bytes = i % 2 ? 5 * GIB : 2 * GIB;
        run(&host, 5 * SECOND_US);
        assert_int_equal(budget(&host), before);
    }
}

// What others use falls for a minute, because it is freed or because it is swapped out.
static int64_t budget_after_fall(bool swapping)
{
    Host host = host_with(6 * GIB, 4 * GIB);
    for (int i = 0; i < 600; i++) {
        host.others_bytes -= 5 * MIB;
        host.swapped_bytes += swapping ? 5 * MIB : 0;
        step(&host);
    }
    return budget(&host);
}

static void test_what_is_swapped_out_is_still_needed(void **state)
{
    (void)state;
    assert_true(budget_after_fall(true) < budget_after_fall(false) - 500 * MIB);
}

static void test_what_page_sharing_saves_is_not_given_out(void **state)
{
    (void)state;
    Host host = host_with(2 * GIB, 8 * GIB);
    int64_t before = budget(&host);
    host.shared_bytes = 4 * GIB;
    run(&host, 60 * SECOND_US);
    assert_int_equal(budget(&host), before);
}

static void test_a_guest_that_becomes_known_is_no_longer_others(void **state)
{
    (void)state;
    // At its start the controller takes all that is used for others'.
    Host host = host_with(10 * GIB, 0);
    policy_host_credit(&host.history, 8 * GIB);
    host.others_bytes = 2 * GIB;
    host.guests_bytes = 8 * GIB;
    assert_in_range(budget(&host), TOTAL - RESERVE - 2 * GIB - NOISE, TOTAL - RESERVE - 2 * GIB);
    int64_t before = budget(&host);
    run(&host, SECOND_US);
    assert_int_equal(budget(&host), before);
}

// --- states -----------------------------------------------------------------------------------

static void assert_state(const Host *host, PolicyHostState state)
{
    if (host->history.state != state) {
        fail_msg("the state is %s, not %s", policy_host_state_name(host->history.state),
                 policy_host_state_name(state));
    }
}

static Host host_with_available(int64_t available_bytes)
{
    return host_with(TOTAL - available_bytes, 0);
}

static void set_available(Host *host, int64_t available_bytes)
{
    host->others_bytes = TOTAL - available_bytes;
}

static void test_less_than_half_the_reserve_is_scarce_and_a_quarter_critical(void **state)
{
    (void)state;
    Host host = host_with_available(RESERVE / 2);
    assert_state(&host, POLICY_HOST_CALM);
    set_available(&host, RESERVE / 2 - MIB);
    step(&host);
    assert_state(&host, POLICY_HOST_SCARCE);
    set_available(&host, RESERVE / 4 - MIB);
    step(&host);
    assert_state(&host, POLICY_HOST_CRITICAL);
}

static void test_a_state_is_left_with_more_memory_than_it_was_entered_with(void **state)
{
    (void)state;
    Host host = host_with_available(RESERVE / 4 - MIB);
    assert_state(&host, POLICY_HOST_CRITICAL);
    set_available(&host, RESERVE * 3 / 8 - MIB);
    run(&host, 20 * SECOND_US);
    assert_state(&host, POLICY_HOST_CRITICAL);
    set_available(&host, RESERVE * 3 / 8 + MIB);
    run(&host, 4 * SECOND_US);
    assert_state(&host, POLICY_HOST_CRITICAL);
    run(&host, 2 * SECOND_US);
    assert_state(&host, POLICY_HOST_SCARCE);
    set_available(&host, RESERVE * 3 / 4 + MIB);
    run(&host, 6 * SECOND_US);
    assert_state(&host, POLICY_HOST_CALM);
}

static void test_a_moment_of_plenty_does_not_end_a_state(void **state)
{
    (void)state;
    Host host = host_with_available(RESERVE / 2 - MIB);
    for (int i = 0; i < 20; i++) {
        set_available(&host, RESERVE);
        run(&host, 3 * SECOND_US);
        set_available(&host, RESERVE / 2 - MIB);
        step(&host);
        assert_state(&host, POLICY_HOST_SCARCE);
    }
}

static void test_stalls_and_swapping_count_only_when_memory_is_short(void **state)
{
    (void)state;
    Host host = host_with_available(4 * GIB);
    host.some_permyriad = 9000;
    host.full_permyriad = 9000;
    host.swapped_bytes += GIB;
    run(&host, 10 * SECOND_US);
    // A container at its own limit stalls and swaps; no guest could mend that.
    assert_state(&host, POLICY_HOST_CALM);

    host = host_with_available(RESERVE - MIB);
    assert_state(&host, POLICY_HOST_CALM);
    host.some_permyriad = 1000;
    step(&host);
    assert_state(&host, POLICY_HOST_SCARCE);

    host = host_with_available(RESERVE - MIB);
    host.swapped_bytes += 2 * MIB;
    step(&host);
    assert_state(&host, POLICY_HOST_SCARCE);

    host = host_with_available(RESERVE / 2 - MIB);
    host.full_permyriad = 1000;
    step(&host);
    assert_state(&host, POLICY_HOST_CRITICAL);
}

static void test_numbers_that_cannot_be_true_do_no_harm(void **state)
{
    (void)state;
    static const int64_t odd[] = {INT64_MIN, -1, 0, 1, 1000, INT64_MAX};
    PolicyHostHistory history = {0};
    for (size_t i = 0; i < 6 * 6 * 6 * 6; i++) {
        PolicyHostReading reading = {
            .at_us = odd[i % 6],
            .total_bytes = odd[i / 6 % 6],
            .available_bytes = odd[i / 36 % 6],
            .reserve_bytes = odd[i / 216 % 6],
            .guests_bytes = odd[(i + 1) % 6],
            .shared_bytes = odd[(i + 2) % 6],
            .swapped_out_bytes = odd[(i + 3) % 6],
            .some_permyriad = odd[(i + 4) % 6],
            .full_permyriad = odd[(i + 5) % 6],
        };
        policy_host_update(&history, &reading);
        policy_host_credit(&history, odd[i % 6]);
        assert_in_range(policy_host_budget_bytes(&history), 0, POLICY_MAX_BYTES);
    }
}

// --- room -------------------------------------------------------------------------------------

static PolicyGuest guest_of(int64_t actual_bytes, int64_t committed_bytes)
{
    return (PolicyGuest){
        .size_bytes = GIB,
        .actual_bytes = actual_bytes,
        .target_bytes = actual_bytes,
        .ceiling_bytes = actual_bytes,
        .plan_bytes = actual_bytes,
        .min_bytes = 256 * MIB,
        .max_bytes = GIB,
        .weight = 100,
        .movable = true,
        .fresh = true,
        .demand = {.committed_bytes = committed_bytes, .headroom_bytes = 32 * MIB},
    };
}

static void test_room_is_made_of_what_guests_can_do_without(void **state)
{
    (void)state;
    const PolicyHost host = {.budget_bytes = 2 * GIB};
    PolicyGuest guests[] = {guest_of(GIB, 100 * MIB), guest_of(GIB, 500 * MIB)};
    // One keeps its min, the other what it uses.
    assert_int_equal(policy_reservable_bytes(&host, guests, 2), 2 * GIB - 256 * MIB - 532 * MIB);
    guests[1].fresh = false;
    assert_int_equal(policy_reservable_bytes(&host, guests, 2), 2 * GIB - 256 * MIB - GIB);
    guests[1].fresh = true;
    guests[1].demand.under_pressure = true;
    assert_int_equal(policy_reservable_bytes(&host, guests, 2), 2 * GIB - 256 * MIB - GIB);
    guests[1].demand.committed_bytes = INT64_MAX;
    assert_int_equal(policy_reservable_bytes(&host, guests, 2), 2 * GIB - 256 * MIB - GIB);
}

static void test_the_smallest_guest_that_suffices_is_best_moved(void **state)
{
    (void)state;
    PolicyGuest guests[] = {guest_of(GIB, 0), guest_of(GIB, 0), guest_of(GIB, 0)};
    guests[0].min_bytes = 300 * MIB;
    guests[1].min_bytes = 500 * MIB;
    guests[2].movable = false; // counts with all it has
    assert_int_equal(policy_best_to_move(guests, 3, 100 * MIB), 0);
    assert_int_equal(policy_best_to_move(guests, 3, 400 * MIB), 1);
    assert_int_equal(policy_best_to_move(guests, 3, 600 * MIB), 2);
    assert_int_equal(policy_best_to_move(guests, 3, 5 * GIB), 2);
    assert_int_equal(policy_best_to_move(guests, 0, GIB), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_budget_is_what_others_and_the_reserve_leave),
        cmocka_unit_test(test_what_guests_take_and_give_does_not_move_the_budget),
        cmocka_unit_test(test_small_noise_does_not_move_the_budget),
        cmocka_unit_test(test_growth_of_others_lowers_the_budget_at_once),
        cmocka_unit_test(test_what_goes_on_growing_is_provided_for_ahead),
        cmocka_unit_test(test_a_fall_raises_the_budget_only_when_it_lasts),
        cmocka_unit_test(test_what_comes_and_goes_keeps_the_budget_down),
        cmocka_unit_test(test_what_is_swapped_out_is_still_needed),
        cmocka_unit_test(test_what_page_sharing_saves_is_not_given_out),
        cmocka_unit_test(test_a_guest_that_becomes_known_is_no_longer_others),
        cmocka_unit_test(test_less_than_half_the_reserve_is_scarce_and_a_quarter_critical),
        cmocka_unit_test(test_a_state_is_left_with_more_memory_than_it_was_entered_with),
        cmocka_unit_test(test_a_moment_of_plenty_does_not_end_a_state),
        cmocka_unit_test(test_stalls_and_swapping_count_only_when_memory_is_short),
        cmocka_unit_test(test_numbers_that_cannot_be_true_do_no_harm),
        cmocka_unit_test(test_room_is_made_of_what_guests_can_do_without),
        cmocka_unit_test(test_the_smallest_guest_that_suffices_is_best_moved),
    };
    return run_test_table(tests);
}
