// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl explain against the policy itself: what it says of a plan is what can be worked out
// by hand, in MiB, beside each case.
#include "tests/test.h"

#include "host-controller/ctl/explain-render.h"
#include "host-controller/view-plan.h"
#include "tests/support/random.h"

#include <string.h>

#define MIB POLICY_MIB
#define STATES 20000

static const TextStyle plain = {0};

// A settled guest of 1024 MiB with a min of 256.
static PolicyGuest guest_of(int64_t holds_mib, int64_t committed_mib)
{
    return (PolicyGuest){
        .size_bytes = 1024 * MIB,
        .actual_bytes = holds_mib * MIB,
        .target_bytes = holds_mib * MIB,
        .ceiling_bytes = holds_mib * MIB,
        .min_bytes = 256 * MIB,
        .max_bytes = 1024 * MIB,
        .weight = 1,
        .movable = true,
        .fresh = true,
        .demand = {.committed_bytes = committed_mib * MIB,
                   .headroom_bytes = 32 * MIB,
                   .comfort_bytes = 32 * MIB},
    };
}

// The plan as the control socket tells it, with the first guest in it.
static json_t *view(const PolicyHost *host, const PolicyGuest *guests, size_t count, bool acts)
{
    int64_t ceiling_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        ceiling_bytes += guests[i].ceiling_bytes;
    }
    json_t *guest = view_planned(&guests[0], true);
    json_object_set_new(guest, "name", json_string("web1"));
    json_object_set_new(guest, "bound-for-us", json_integer(40000));
    json_object_set_new(guest, "report-age-us", json_integer(4200000));
    return json_pack("{s:b, s:I, s:I, s:I, s:[o]}", "acts", acts, "budget",
                     (json_int_t)host->budget_bytes, "pool", (json_int_t)policy_pool_bytes(host),
                     "sum-ceiling", (json_int_t)ceiling_bytes, "guests", guest);
}

static void explain(Explanation *explanation, const json_t *plan)
{
    explanation_init(explanation, plan, json_array_get(json_object_get(plan, "guests"), 0));
}

static void assert_explained(const PolicyHost *host, const PolicyGuest *guests, size_t count,
                             const char *expected)
{
    g_autoptr(json_t) plan = view(host, guests, count, true);
    g_auto(Explanation) explanation;
    explain(&explanation, plan);
    g_autoptr(GString) text = g_string_new(NULL);
    explanation_render(&explanation, &plain, text);
    assert_string_equal(text->str, expected);
}

// Budget 1600, of which 100 are the pool. The other guest, which uses 100, keeps its min. Above the
// minima 1088: in use takes 160, headroom 80, comfort 32, cache 84; of the 732 that are left 632
// are shared: 316 each.
static void test_calm(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1600 * MIB};
    PolicyGuest guests[] = {guest_of(928, 400), guest_of(572, 100)};
    guests[0].demand.headroom_bytes = 96 * MIB;
    guests[0].demand.cache_share_bytes = 84 * MIB;
    guests[0].demand.burst =
        (PolicyBurst){.bytes = 64 * MIB, .growth_bytes_per_s = 128 * MIB, .lasts_us = 500000};
    policy_plan(&host, guests, 2);
    assert_explained(
        &host, guests, 2,
        "web1: target 928 MiB: 400 MiB in use + 96 MiB headroom (fastest growth 128 MiB/s) + 32 "
        "MiB "
        "comfort + 84 MiB cache + 316 MiB beyond its need; fair share 928 MiB; bound by fair-share "
        "(L4) for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              419430400      400 MiB\n"
        "  headroom                            100663296       96 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  cache                                88080384       84 MiB\n"
        "  beyond its need                     331350016      316 MiB\n"
        "  = target                            973078528      928 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                  167772160      160 MiB\n"
        "  for headroom                         83886080       80 MiB\n"
        "  for comfort                          33554432       32 MiB\n"
        "  for cache                            88080384       84 MiB\n"
        "  of what is left                     331350016      316 MiB\n"
        "  = target                            973078528      928 MiB\n"
        "\n"
        "Why\n"
        "  It gets all it needs, and 316 MiB of what nobody needs, by its weight of 1; up to 100 "
        "MiB "
        "of that stay with the host as long as not everybody has its maximum.\n"
        "  Its headroom is 32 MiB at all times, 64 MiB for its largest burst of the last "
        "10 "
        "to 20 s (128 MiB a second for 500 ms).\n");
}

// Budget 1000. Above the minima 488 for the 360 and 260 that are in use beyond them: 244 each, and
// nothing for the rest. The one gives back 200, the other waits for them.
static void test_scarce(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 1000 * MIB};
    PolicyGuest guests[] = {guest_of(700, 600), guest_of(300, 500)};
    policy_plan(&host, guests, 2);
    assert_explained(
        &host, guests, 2,
        "web1: target 500 MiB: 500 MiB in use; fair share 500 MiB; bound by fair-share "
        "(L4) for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              524288000      500 MiB\n"
        "  = target                            524288000      500 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                  255852544      244 MiB\n"
        "  = target                            524288000      500 MiB\n"
        "\n"
        "Why\n"
        "  There is not enough for what all guests need: each gets its part by weight, "
        "tier by tier (L4). Its weight is 1.\n"
        "  Its headroom is 32 MiB at all times.\n"
        "  Of the 600 MiB it wants for what is in use the target has room for 500 MiB.\n"
        "  Of the 32 MiB it wants for headroom the target has room for 0 B.\n"
        "  Of the 32 MiB it wants for comfort the target has room for 0 B.\n");
    PolicyGuest swapped[] = {guests[1], guests[0]};
    assert_explained(
        &host, swapped, 2,
        "web1: target 300 MiB: 300 MiB in use; fair share 500 MiB; held back by L2 for "
        "40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              314572800      300 MiB\n"
        "  = target                            314572800      300 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                  255852544      244 MiB\n"
        "  not given yet                      -209715200     -200 MiB\n"
        "  = target                            314572800      300 MiB\n"
        "\n"
        "Why\n"
        "  200 MiB more are due to it. Memory is promised only after it has come back "
        "(L2): of the budget of 1000 MiB guests could hold 1000 MiB, which left 0 B to "
        "hand out.\n"
        "  Its headroom is 32 MiB at all times.\n"
        "  Of the 500 MiB it wants for what is in use the target has room for 300 MiB.\n"
        "  Of the 32 MiB it wants for headroom the target has room for 0 B.\n"
        "  Of the 32 MiB it wants for comfort the target has room for 0 B.\n");
}

// Mode reclaim: the share is the demand, 500 + 132 + 32 = 664; but it is not shrunk from its 800.
static void test_pressure(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB, .reclaim = true};
    PolicyGuest guest = guest_of(800, 500);
    guest.demand.headroom_bytes = 132 * MIB;
    guest.demand.relief_bytes = 100 * MIB;
    guest.demand.under_pressure = true;
    policy_plan(&host, &guest, 1);
    assert_explained(
        &host, &guest, 1,
        "web1: target 800 MiB: 500 MiB in use + 132 MiB headroom + 32 MiB comfort + 136 "
        "MiB beyond its need; fair share 664 MiB; bound by pressure (L7) for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              524288000      500 MiB\n"
        "  headroom                            138412032      132 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  beyond its need                     142606336      136 MiB\n"
        "  = target                            838860800      800 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                  272629760      260 MiB\n"
        "  for headroom                        121634816      116 MiB\n"
        "  for comfort                          33554432       32 MiB\n"
        "  kept above its share                142606336      136 MiB\n"
        "  = target                            838860800      800 MiB\n"
        "\n"
        "Why\n"
        "  Its tasks stall for lack of memory: it is not shrunk (L7), and keeps 136 MiB "
        "above its share.\n"
        "  Its headroom is 32 MiB at all times, and 100 MiB because it is under "
        "pressure.\n");
}

// It did not give what it was asked for: the controller plans with its 900 as its minimum.
static void test_stalled(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB, .reclaim = true};
    PolicyGuest guest = guest_of(900, 300);
    guest.min_bytes = 900 * MIB;
    policy_plan(&host, &guest, 1);
    assert_int_equal(guest.bound, POLICY_BOUND_MINIMUM);
    guest.bound = POLICY_BOUND_STALLED;
    assert_explained(
        &host, &guest, 1,
        "web1: target 900 MiB: 300 MiB in use + 32 MiB headroom + 32 MiB comfort + 536 "
        "MiB beyond its need; fair share 900 MiB; bound by stalled for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              314572800      300 MiB\n"
        "  headroom                             33554432       32 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  beyond its need                     562036736      536 MiB\n"
        "  = target                            943718400      900 MiB\n"
        "\n"
        "Where it comes from\n"
        "  what it keeps                       943718400      900 MiB\n"
        "  = target                            943718400      900 MiB\n"
        "\n"
        "Why\n"
        "  It makes no progress towards what it was told: it counts with the 900 MiB it "
        "has and is tried again later.\n"
        "  Its headroom is 32 MiB at all times.\n");
}

static void test_stale(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB, .reclaim = true};
    PolicyGuest guest = guest_of(600, 300);
    guest.fresh = false;
    guest.bound = POLICY_BOUND_STALE;
    policy_plan(&host, &guest, 1);
    assert_explained(
        &host, &guest, 1,
        "web1: target 600 MiB: 300 MiB in use + 32 MiB headroom + 32 MiB comfort + 236 "
        "MiB beyond its need; fair share 600 MiB; bound by stale (L3) for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              314572800      300 MiB\n"
        "  headroom                             33554432       32 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  beyond its need                     247463936      236 MiB\n"
        "  = target                            629145600      600 MiB\n"
        "\n"
        "Where it comes from\n"
        "  what it may hold                    629145600      600 MiB\n"
        "  = target                            629145600      600 MiB\n"
        "\n"
        "Why\n"
        "  Its last report is 4.20 s old: until it reports again it stays where it is and "
        "is not shrunk (L3). What it is said to need is what it needed then.\n"
        "  Its headroom is 32 MiB at all times.\n");
}

// 700 MiB and 1000 bytes: a balloon has pages of 4 KiB. On top of the min that is 444 MiB and 1000.
static void test_pinned(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB};
    PolicyGuest guest = guest_of(900, 300);
    guest.pinned = true;
    guest.pinned_bytes = 700 * MIB + 1000;
    policy_plan(&host, &guest, 1);
    assert_explained(
        &host, &guest, 1,
        "web1: target 700 MiB: 300 MiB in use + 32 MiB headroom + 32 MiB comfort + 336 "
        "MiB beyond its need; fair share 700 MiB; bound by pinned for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              314572800      300 MiB\n"
        "  headroom                             33554432       32 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  beyond its need                     352321536      336 MiB\n"
        "  = target                            734003200      700 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                  465568744      444 MiB\n"
        "  rounded down                            -1000      -1000 B\n"
        "  = target                            734003200      700 MiB\n"
        "\n"
        "Why\n"
        "  Its target was set by hand, at 700 MiB: what it needs does not count.\n"
        "  Its headroom is 32 MiB at all times.\n");
}

// No agent: 128 of caution, an eighth of its size, are part of the headroom of 160. Mode reclaim:
// the share is the demand, 300 + 160 + 32 + 50. Of the 286 above its minimum in use takes 300 - 256
// and the 16 that go with it, headroom the other 144.
static void test_a_guest_known_by_its_statistics_alone(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB, .reclaim = true};
    PolicyGuest guest = guest_of(542, 300);
    guest.demand.headroom_bytes = 160 * MIB;
    guest.demand.caution_bytes = 128 * MIB;
    guest.demand.cache_share_bytes = 50 * MIB;
    policy_plan(&host, &guest, 1);
    assert_explained(
        &host, &guest, 1,
        "web1: target 542 MiB: 300 MiB in use + 32 MiB headroom + 128 MiB caution + 32 MiB comfort "
        "+ 50 MiB cache; fair share 542 MiB; bound by demand for 40.0 ms\n"
        "\n"
        "What it is for\n"
        "  in use                              314572800      300 MiB\n"
        "  headroom                             33554432       32 MiB\n"
        "  caution                             134217728      128 MiB\n"
        "  comfort                              33554432       32 MiB\n"
        "  cache                                52428800       50 MiB\n"
        "  = target                            568328192      542 MiB\n"
        "\n"
        "Where it comes from\n"
        "  its minimum                         268435456      256 MiB\n"
        "  for what is in use                   62914560       60 MiB\n"
        "  for headroom                        150994944      144 MiB\n"
        "  for comfort                          33554432       32 MiB\n"
        "  for cache                            52428800       50 MiB\n"
        "  = target                            568328192      542 MiB\n"
        "\n"
        "Why\n"
        "  It gets all it needs.\n"
        "  Its headroom is 32 MiB at all times.\n"
        "  Only its balloon's statistics tell of it, up to two seconds late: 128 MiB of caution "
        "come on top.\n");
}

static void test_what_is_not_acted_upon_is_said_to_be_so(void **state)
{
    (void)state;
    PolicyHost host = {.budget_bytes = 2048 * MIB, .reclaim = true};
    PolicyGuest guest = guest_of(900, 300);
    policy_plan(&host, &guest, 1);
    g_autoptr(json_t) plan = view(&host, &guest, 1, false);
    g_auto(Explanation) explanation;
    explain(&explanation, plan);
    guint last = explanation.sentences->len - 1;
    assert_string_equal(g_ptr_array_index(explanation.sentences, last),
                        "In mode observe nothing is sent: it was left at 900 MiB.");
}

// --- whatever the numbers ---------------------------------------------------------------------

static int64_t sum_of(const GArray *parts)
{
    int64_t sum_bytes = 0;
    for (guint i = 0; i < parts->len; i++) {
        sum_bytes += g_array_index(parts, ExplainedPart, i).bytes;
    }
    return sum_bytes;
}

static PolicyGuest random_guest(Random *random)
{
    PolicyGuest guest = guest_of(0, 0);
    guest.size_bytes = random_between(random, MIB, 64 * 1024 * MIB);
    guest.min_bytes = random_between(random, 0, guest.size_bytes);
    guest.max_bytes = random_between(random, guest.min_bytes, guest.size_bytes);
    guest.actual_bytes = random_between(random, 0, guest.size_bytes);
    guest.target_bytes = random_between(random, 0, guest.size_bytes);
    guest.ceiling_bytes = MAX(guest.actual_bytes, guest.target_bytes);
    guest.weight = random_between(random, 1, 10000);
    guest.movable = random_chance(random, 90);
    guest.fresh = random_chance(random, 90);
    guest.pinned = random_chance(random, 20);
    guest.pinned_bytes = random_between(random, guest.min_bytes, guest.max_bytes);
    guest.bound = POLICY_BOUND_STALE;
    guest.demand.committed_bytes = random_between(random, 0, guest.size_bytes);
    guest.demand.headroom_bytes = random_between(random, 0, guest.size_bytes / 4);
    guest.demand.caution_bytes = random_between(random, 0, guest.demand.headroom_bytes);
    guest.demand.cache_share_bytes = random_between(random, 0, guest.size_bytes / 2);
    guest.demand.under_pressure = random_chance(random, 20);
    return guest;
}

static void test_every_sum_is_right_to_the_byte(void **state)
{
    (void)state;
    Random random = random_begin(__func__);
    for (int i = 0; i < STATES; i++) {
        PolicyGuest guests[3];
        for (int j = 0; j < 3; j++) {
            guests[j] = random_guest(&random);
        }
        PolicyHost host = {.budget_bytes = random_between(&random, 0, 128 * 1024 * MIB),
                           .reclaim = random_chance(&random, 50),
                           .adopting = random_chance(&random, 10)};
        policy_plan(&host, guests, 3);
        g_autoptr(json_t) plan = view(&host, guests, 3, true);
        g_auto(Explanation) explanation;
        explain(&explanation, plan);
        assert_int_equal(sum_of(explanation.needs), guests[0].plan_bytes);
        assert_int_equal(sum_of(explanation.sources), guests[0].plan_bytes);
        assert_true(explanation.sentences->len >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm),
        cmocka_unit_test(test_scarce),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_a_guest_known_by_its_statistics_alone),
        cmocka_unit_test(test_what_is_not_acted_upon_is_said_to_be_so),
        cmocka_unit_test(test_every_sum_is_right_to_the_byte),
    };
    return run_test_table(tests);
}
