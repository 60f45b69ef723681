// SPDX-License-Identifier: Apache-2.0
//
// The simulated host: the same twice, the laws, what a trace becomes, and the search for a budget.
#include "tests/test.h"

#include "host-controller/sim/budget-search.h"
#include "host-controller/sim/host-model.h"
#include "host-controller/sim/jobs.h"
#include "host-controller/sim/quantity.h"
#include "host-controller/sim/scenario.h"
#include "host-controller/sim/trace-host.h"
#include "protocol/error.h"

#include <glib/gstdio.h>
#include <string.h>

static HostSetup *new_scenario(const char *name, const SimPolicy *policy, uint64_t seed)
{
    ScenarioSettings settings = {.seed = seed, .min_bytes = 256 * SIM_MIB};
    const Scenario *scenario = scenario_find(name);
    HostSetup *setup = scenario_host_new(scenario, &settings);
    int64_t needed;
    setup->policy = policy;
    setup->tick_us = SIM_S / 2;
    setup->fine_us = 20 * SIM_MS;
    setup->latency_us = 20 * SIM_MS;
    setup->budget_bytes =
        sim_scale(host_setup_optimum_bytes(setup, &needed), scenario->budget_permille, 1000);
    return setup;
}

static HostResult result_of(const HostSetup *setup)
{
    HostResult result;
    memset(&result, 0, sizeof result);
    host_model_run(setup, NULL, NULL, NULL, &result);
    return result;
}

static void the_same_seed_gives_the_same_figures(void **unused)
{
    (void)unused;
    for (size_t i = 0; sim_policies[i]; i++) {
        HostSetup *setup = new_scenario("sawtooth", sim_policies[i], 5);
        HostResult first = result_of(setup);
        HostResult second = result_of(setup);
        assert_memory_equal(&first, &second, sizeof first);
        host_setup_free(setup);
    }
}

static void another_seed_gives_others(void **unused)
{
    (void)unused;
    HostSetup *one = new_scenario("everyone", &sim_policy_aerostat, 1);
    HostSetup *other = new_scenario("everyone", &sim_policy_aerostat, 2);
    HostResult first = result_of(one);
    HostResult second = result_of(other);
    assert_memory_not_equal(&first, &second, sizeof first);
    host_setup_free(one);
    host_setup_free(other);
}

static void our_policy_keeps_the_laws_in_every_scenario(void **unused)
{
    (void)unused;
    for (const Scenario *scenario = scenarios; scenario->name; scenario++) {
        if (scenario->guests > 100) {
            continue;
        }
        for (int reclaim = 0; reclaim < 2; reclaim++) {
            HostSetup *setup = new_scenario(scenario->name, &sim_policy_aerostat, 3);
            setup->reclaim = reclaim;
            HostResult result = result_of(setup);
            if (laws_broken(&result.laws) > 0) {
                fail_msg("a law is broken in %s", scenario->name);
            }
            host_setup_free(setup);
        }
    }
}

static void the_clairvoyant_needs_no_more_than_the_optimum(void **unused)
{
    (void)unused;
    HostSetup *setup = new_scenario("staircase", &sim_policy_optimum, 1);
    HostResult result;
    int64_t needed;
    int64_t optimum = host_setup_optimum_bytes(setup, &needed);
    setup->keep_budget = true;
    assert_in_range(budget_search(setup, optimum, needed, 1, &result), 1000, 1002);
    assert_int_equal(result.sum.oom_kills, 0);
    host_setup_free(setup);
}

// A guest that goes from 10 % to 90 % of its size has to have that always.
static void fixed_shares_cost_the_sum_of_the_peaks(void **unused)
{
    (void)unused;
    HostSetup *setup = new_scenario("staircase", &sim_policy_static, 1);
    HostResult result;
    int64_t needed;
    int64_t optimum = host_setup_optimum_bytes(setup, &needed);
    int64_t found = budget_search(setup, optimum, needed, 2, &result);
    const GuestSetup *guest = g_ptr_array_index(setup->guests, 0);
    int64_t peak =
        guest_traits_need_bytes(&guest->traits, sim_scale(guest->traits.size_bytes, 900, 1000));
    int64_t expected = sim_scale(peak * setup->guests->len, 1000, optimum);
    assert_in_range(found, expected - 10, expected + 10);
    host_setup_free(setup);
}

// MOM takes its first decision after ten seconds.
static void a_policy_that_decides_nothing_moves_nothing(void **unused)
{
    (void)unused;
    HostSetup *setup = new_scenario("idle", &sim_policy_mom, 1);
    setup->duration_us = 9 * SIM_S;
    HostResult result = result_of(setup);
    assert_int_equal(result.decisions, 1);
    assert_int_equal(result.commands, 0);
    host_setup_free(setup);
}

static void skipping_what_is_quiet_changes_nothing_that_matters(void **unused)
{
    (void)unused;
    HostSetup *setup = new_scenario("staircase", &sim_policy_aerostat, 1);
    HostResult quick = result_of(setup);
    setup->always_fine = true;
    HostResult slow = result_of(setup);
    assert_int_equal(quick.sum.oom_kills, slow.sum.oom_kills);
    assert_int_equal(quick.sum.unmet_kib_ms, slow.sum.unmet_kib_ms);
    assert_int_equal(quick.max_over_bytes, slow.max_over_bytes);
    int64_t gap = quick.sum.returned_kib_ms - slow.sum.returned_kib_ms;
    assert_true(ABS(gap) < slow.sum.returned_kib_ms / 100);
    host_setup_free(setup);
}

// --- laws -------------------------------------------------------------------------------------

static void a_broken_law_is_noted_with_its_time(void **unused)
{
    (void)unused;
    static const struct {
        LawGuest guest;
        Law broken; // LAW_COUNT: none
    } table[] = {
        {{10, 100, 50, 50, 60, false}, LAW_COUNT},
        {{10, 100, 50, 50, 101, false}, LAW_RANGE},
        {{10, 100, 50, 50, 9, false}, LAW_MINIMUM},
        {{10, 300, 50, 50, 251, false}, LAW_CONSERVATION},
        {{10, 300, 260, 50, 260, false}, LAW_COUNT}, // above the budget already
        {{10, 100, 50, 50, 49, true}, LAW_STALE},
        {{10, 100, 50, 80, 50, true}, LAW_COUNT}, // it has no more than that
        {{10, 100, 50, 50, 60, true}, LAW_COUNT},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        LawBreaches breaches = {0};
        laws_check(&breaches, 77, 250, &table[i].guest, 1);
        for (Law law = 0; law < LAW_COUNT; law++) {
            bool wanted =
                law == table[i].broken || (law == LAW_RANGE && table[i].broken == LAW_MINIMUM);
            assert_int_equal(breaches.count[law], wanted ? 1 : 0);
            assert_int_equal(breaches.first_us[law], wanted ? 77 : 0);
        }
    }
}

// --- traces -----------------------------------------------------------------------------------

static bool load(const char *text, Trace *trace, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("sim-trace-XXXXXX", &path, error);
    assert_true(fd >= 0);
    g_close(fd, NULL);
    assert_true(g_file_set_contents(path, text, -1, error));
    bool loaded = trace_load(trace, path, error);
    g_unlink(path);
    return loaded;
}

static void a_bad_trace_is_refused_with_its_line(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *error;
    } table[] = {
        {"", "no rows"},
        {"a,1,2\nb,1\n", "line 2: 1 values"},
        {"a\n", "line 1: 0 values"},
        {"a,1,x\n", "line 1: 'x' is not"},
        {"a,1001\n", "line 1: '1001' is not"},
        {"a,-1\n", "line 1: '-1' is not"},
        {"a,1,\n", "line 1: '' is not"},
        {"a,1.5\n", "line 1: '1.5' is not"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_auto(Trace) trace = {0};
        g_autoptr(GError) error = NULL;
        assert_false(load(table[i].text, &trace, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, table[i].error);
    }
}

static void a_trace_becomes_hosts_that_need_what_it_says(void **unused)
{
    (void)unused;
    g_auto(Trace) trace = {0};
    assert_true(load("a,100,200\nb,300,300\r\n\nc,500,400\n", &trace, NULL));
    TraceSettings settings = {.rows = 100,
                              .per_host = 2,
                              .size_bytes = 1000 * SIM_MIB,
                              .step_us = 10 * SIM_S,
                              .duration_us = 20 * SIM_S};
    assert_int_equal(trace_hosts_count(&trace, &settings), 2);
    HostSetup *setup = trace_host_new(&trace, &settings, 0);
    assert_int_equal(setup->guests->len, 2);
    const GuestSetup *guest = g_ptr_array_index(setup->guests, 0);
    CurveCursor cursor = {0};
    int64_t halfway = curve_at(&guest->workload.anonymous, &cursor, 5 * SIM_S);
    assert_int_equal(guest_traits_need_bytes(&guest->traits, halfway), 150 * SIM_MIB);
    int64_t needed;
    setup->tick_us = SIM_S;
    assert_int_equal(host_setup_optimum_bytes(setup, &needed), 500 * SIM_MIB);
    host_setup_free(setup);
}

static void spikes_add_a_quarter_once_an_hour(void **unused)
{
    (void)unused;
    g_auto(Trace) trace = {0};
    assert_true(load("a,200,200\n", &trace, NULL));
    TraceSettings settings = {.rows = 1,
                              .per_host = 1,
                              .size_bytes = 1000 * SIM_MIB,
                              .step_us = SIM_HOUR,
                              .duration_us = 3 * SIM_HOUR,
                              .spikes = true,
                              .seed = 9};
    HostSetup *setup = trace_host_new(&trace, &settings, 0);
    const GuestSetup *guest = g_ptr_array_index(setup->guests, 0);
    CurveCursor cursor = {0};
    int64_t high_s = 0;
    for (int64_t at_us = 0; at_us < 3 * SIM_HOUR; at_us += SIM_S) {
        int64_t wanted = curve_at(&guest->workload.anonymous, &cursor, at_us);
        high_s += guest_traits_need_bytes(&guest->traits, wanted) >= 450 * SIM_MIB;
    }
    assert_in_range(high_s, 3 * 299, 3 * 302);
    host_setup_free(setup);
}

// --- curves and jobs --------------------------------------------------------------------------

static void curves_add_up_at_every_moment(void **unused)
{
    (void)unused;
    Curve sum;
    Curve other;
    CurveCursor cursor = {0};
    curve_init(&sum);
    curve_init(&other);
    curve_add_point(&sum, 0, 100);
    curve_add_point(&sum, 100, 200);
    curve_add_point(&other, 50, 0);
    curve_add_point(&other, 50, 10);
    curve_add_point(&other, 150, 110);
    curve_add_curve(&sum, &other);
    static const int64_t expected[][2] = {{0, 100},   {40, 140},  {50, 160},  {75, 210},
                                          {100, 260}, {125, 285}, {150, 310}, {999, 310}};
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        assert_int_equal(curve_at(&sum, &cursor, expected[i][0]), expected[i][1]);
    }
    curve_clear(&sum);
    curve_clear(&other);
}

static void square(size_t index, void *result, void *context)
{
    (void)context;
    *(size_t *)result = index * index;
}

static void jobs_give_the_same_however_many_processes(void **unused)
{
    (void)unused;
    for (unsigned processes = 1; processes < 5; processes++) {
        size_t results[10] = {0};
        assert_true(jobs_run(10, processes, sizeof *results, results, square, NULL, NULL));
        for (size_t i = 0; i < 10; i++) {
            assert_int_equal(results[i], i * i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_figures),
        cmocka_unit_test(another_seed_gives_others),
        cmocka_unit_test(our_policy_keeps_the_laws_in_every_scenario),
        cmocka_unit_test(the_clairvoyant_needs_no_more_than_the_optimum),
        cmocka_unit_test(fixed_shares_cost_the_sum_of_the_peaks),
        cmocka_unit_test(a_policy_that_decides_nothing_moves_nothing),
        cmocka_unit_test(skipping_what_is_quiet_changes_nothing_that_matters),
        cmocka_unit_test(a_broken_law_is_noted_with_its_time),
        cmocka_unit_test(a_bad_trace_is_refused_with_its_line),
        cmocka_unit_test(a_trace_becomes_hosts_that_need_what_it_says),
        cmocka_unit_test(spikes_add_a_quarter_once_an_hour),
        cmocka_unit_test(curves_add_up_at_every_moment),
        cmocka_unit_test(jobs_give_the_same_however_many_processes),
    };
    return run_test_table(tests);
}
