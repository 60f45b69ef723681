// SPDX-License-Identifier: Apache-2.0
//
// The simulated agent beside the rules of the real one: the same reports at the same moments.
#include "tests/test.h"

#include "agent/report-trigger.h"
#include "host-controller/sim/agent-model.h"
#include "host-controller/sim/quantity.h"

#define FINE (20 * SIM_MS)
#define DURATION (120 * SIM_S)

typedef struct Rig {
    GuestTraits traits;
    Workload workload;
    GuestModel guest;
    AgentModel agent;
    MemoryReport report;
} Rig;

// A guest of 4 GiB with 1 GiB in use and 1.5 GiB in all.
static void set_up(Rig *rig)
{
    *rig = (Rig){.traits = guest_traits_of_size(4 * SIM_GIB)};
    workload_init(&rig->workload);
    curve_add_point(&rig->workload.anonymous, 0, 800 * SIM_MIB);
    agent_model_init(&rig->agent, &rig->traits, 1);
}

static void begin(Rig *rig)
{
    guest_model_init(&rig->guest, &rig->traits, &rig->workload, 1536 * SIM_MIB);
}

// Steps on; whether a report was made.
static bool step(Rig *rig)
{
    guest_model_step(&rig->guest, rig->guest.now_us + FINE);
    return agent_model_sample(&rig->agent, &rig->guest, &rig->report);
}

static int count_reports(Rig *rig, int64_t until_us)
{
    int count = 0;
    while (rig->guest.now_us < until_us) {
        count += step(rig);
    }
    return count;
}

// What the real agent's trigger makes of the same guest, looking when it wants to.
static bool real_sample(ReportTrigger *trigger, const Rig *rig, MemoryReportReason *reason)
{
    const GuestModel *guest = &rig->guest;
    if (guest->now_us < report_trigger_latest_us(trigger)) {
        return false;
    }
    MemoryReport sample = {0};
    memory_report_set(&sample, REPORT_MEMORY_TOTAL,
                      rig->traits.size_bytes - rig->traits.kernel_bytes -
                          (rig->traits.deflate_on_oom ? 0 : guest->balloon_bytes));
    memory_report_set(&sample, REPORT_MEMORY_AVAILABLE, guest_model_available_bytes(guest));
    memory_report_set(&sample, REPORT_BALLOON, guest->balloon_bytes);
    memory_report_set(&sample, REPORT_PRESSURE_SOME_TOTAL, guest->stall_us);
    memory_report_set(&sample, REPORT_PAGING_SWAP_IN, guest->counters.swap_in_bytes);
    memory_report_set(&sample, REPORT_PAGING_SWAP_OUT, guest->counters.swap_out_bytes);
    memory_report_set(&sample, REPORT_PAGING_REFAULT_FILE, guest->counters.refault_bytes);
    memory_report_set(&sample, REPORT_PAGING_OOM_KILLS, guest->counters.oom_kills);
    return report_trigger_sample(trigger, &sample, guest->now_us, false, reason);
}

static void assert_same_reports(Rig *rig)
{
    ReportTrigger trigger;
    ReportTriggerSettings settings = {
        .interval_us = 100 * SIM_MS,
        .heartbeat_us = SIM_S,
        .change_bytes = rig->agent.change_bytes,
        .has_tripwire = true,
    };
    bool said[REPORT_REASON_COUNT] = {false};
    report_trigger_init(&trigger, &settings);
    while (rig->guest.now_us < DURATION) {
        MemoryReportReason reason = REPORT_REASON_COUNT;
        bool reported = step(rig);
        bool expected = real_sample(&trigger, rig, &reason);
        assert_int_equal(reported, expected);
        if (reported) {
            assert_int_equal(rig->report.reason, reason);
            said[reason] = true;
        }
    }
    assert_true(said[REPORT_REASON_START] && said[REPORT_REASON_HEARTBEAT] &&
                said[REPORT_REASON_CHANGE] && said[REPORT_REASON_TREND]);
}

static void it_reports_when_the_real_agent_would(void **unused)
{
    (void)unused;
    SimRandom random = {.state = 3};
    Rig rig;
    set_up(&rig);
    // Slowly at first, which is a change, then at random.
    curve_add_point(&rig.workload.anonymous, 8 * SIM_S, 960 * SIM_MIB);
    for (int64_t at_us = 20 * SIM_S; at_us < DURATION - 30 * SIM_S;) {
        curve_add_point(&rig.workload.anonymous, at_us,
                        sim_random_between(&random, 500, 1300) * SIM_MIB);
        at_us += sim_random_between(&random, 100, 20000) * SIM_MS;
    }
    // And in the end fast, up to what there is.
    curve_add_point(&rig.workload.anonymous, DURATION - 5 * SIM_S, 500 * SIM_MIB);
    curve_add_point(&rig.workload.anonymous, DURATION - 2 * SIM_S, 1380 * SIM_MIB);
    begin(&rig);
    assert_same_reports(&rig);
    workload_clear(&rig.workload);
}

static void a_guest_at_rest_sends_a_heartbeat_a_second(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig);
    begin(&rig);
    assert_true(step(&rig));
    assert_int_equal(rig.report.reason, REPORT_REASON_START);
    assert_int_equal(count_reports(&rig, 10 * SIM_S + 2 * FINE), 10);
    assert_int_equal(rig.report.reason, REPORT_REASON_HEARTBEAT);
    assert_true(agent_model_is_quiet(&rig.agent));
    workload_clear(&rig.workload);
}

static void a_stall_is_told_within_a_tenth_of_a_second(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig);
    rig.traits.oom_grace_us = 10 * SIM_S;
    begin(&rig);
    count_reports(&rig, 5 * SIM_S);
    // A sudden want of more than there is.
    rig.workload.anonymous.points = (g_array_unref(rig.workload.anonymous.points), NULL);
    curve_add_point(&rig.workload.anonymous, 0, 2 * SIM_GIB);
    rig.guest.anonymous_cursor = (CurveCursor){0};
    int64_t stalled_us = 0;
    do {
        if (step(&rig) && rig.report.reason == REPORT_REASON_PRESSURE) {
            break;
        }
        stalled_us += rig.guest.stall_us > 0 ? FINE : 0;
    } while (rig.guest.now_us < 10 * SIM_S);
    assert_int_equal(rig.report.reason, REPORT_REASON_PRESSURE);
    assert_true(stalled_us <= 100 * SIM_MS);
    workload_clear(&rig.workload);
}

static void a_dead_agent_is_silent_until_it_is_back(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig);
    begin(&rig);
    count_reports(&rig, 5 * SIM_S);
    agent_model_event(&rig.agent, WORKLOAD_AGENT_DIES, rig.guest.now_us);
    assert_int_equal(count_reports(&rig, 10 * SIM_S), 0);
    agent_model_event(&rig.agent, WORKLOAD_AGENT_RETURNS, rig.guest.now_us);
    assert_true(step(&rig));
    assert_int_equal(rig.report.reason, REPORT_REASON_START);
    workload_clear(&rig.workload);
}

static void after_a_reboot_it_has_another_boot_id(void **unused)
{
    (void)unused;
    Rig rig;
    set_up(&rig);
    begin(&rig);
    count_reports(&rig, 5 * SIM_S);
    g_autofree char *before = g_strdup(rig.report.boot_id);
    agent_model_event(&rig.agent, WORKLOAD_REBOOT, rig.guest.now_us);
    assert_int_equal(count_reports(&rig, 8 * SIM_S), 0);
    assert_true(count_reports(&rig, 12 * SIM_S) > 0);
    assert_string_not_equal(rig.report.boot_id, before);
    workload_clear(&rig.workload);
}

static void lies_stay_what_the_decoder_accepts(void **unused)
{
    (void)unused;
    static const WorkloadEventType lies[] = {WORKLOAD_AGENT_OVERSTATES, WORKLOAD_AGENT_UNDERSTATES,
                                             WORKLOAD_AGENT_RAVES};
    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
        Rig rig;
        set_up(&rig);
        begin(&rig);
        agent_model_event(&rig.agent, lies[i], 0);
        for (int k = 0; k < 2000; k++) {
            if (step(&rig)) {
                g_autoptr(json_t) object = memory_report_to_json(&rig.report);
                MemoryReport decoded;
                assert_true(memory_report_from_json(object, &decoded, NULL));
            }
        }
        int64_t claimed = memory_report_get(&rig.report, REPORT_MEMORY_AVAILABLE);
        assert_int_not_equal(claimed, guest_model_available_bytes(&rig.guest));
        workload_clear(&rig.workload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_reports_when_the_real_agent_would),
        cmocka_unit_test(a_guest_at_rest_sends_a_heartbeat_a_second),
        cmocka_unit_test(a_stall_is_told_within_a_tenth_of_a_second),
        cmocka_unit_test(a_dead_agent_is_silent_until_it_is_back),
        cmocka_unit_test(after_a_reboot_it_has_another_boot_id),
        cmocka_unit_test(lies_stay_what_the_decoder_accepts),
    };
    return run_test_table(tests);
}
