// SPDX-License-Identifier: Apache-2.0
//
// The real controller on a host that is made of files: the budget it works out, the host's states,
// and what it does when memory runs short.
#include "tests/test.h"

#include "tests/support/fake-host.h"
#include "tests/support/rig.h"
#include "tests/support/wait.h"

#include <string.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
// What others give up counts as theirs for 15 to 30 s.
#define FALL_PATIENCE_US (90 * SECOND_US)
#define TOTAL (8 * GIB)
#define RESERVE (800 * MIB)
// What the controller allows for noise.
#define NOISE (TOTAL / 256)

typedef struct Stage {
    Rig *rig;
    FakeHost host;
    int64_t others_bytes;
} Stage;

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);
    void *rig = NULL;
    rig_set_up(&rig);
    stage->rig = rig;
    fake_host_init(&stage->host, &stage->rig->scratch, TOTAL);
    rig_use_host(stage->rig, stage->host.root);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    Stage *stage = *state;
    void *rig = stage->rig;
    int result = rig_tear_down(&rig);
    fake_host_clear(&stage->host);
    g_free(stage);
    return result;
}

// What guests have, as the host sees it: all of it, or what their balloons leave them.
static int64_t held_bytes(const Stage *stage)
{
    int64_t sum = 0;
    for (guint i = 0; i < stage->rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(stage->rig->guests, i);
        sum += fake_qemu_actual_bytes(guest->qemu);
    }
    return sum;
}

// Brings the host's files up to date with what guests and others have now. The controller finds the
// QEMU of every guest in this process, each of which has all that its balloon leaves it.
static bool live(Stage *stage)
{
    int64_t held = held_bytes(stage);
    stage->host.available_bytes = MAX(TOTAL - stage->others_bytes - held, 0);
    stage->host.group_used_bytes = held + stage->host.group_cache_bytes;
    fake_host_write(&stage->host);
    return true;
}

// What QEMU says that a guest has left the host's files say as well: otherwise it is taken for what
// others use, the budget falls, guests give, and so on.
static void on_asked(void *context)
{
    live(context);
}

static json_t *query_host(Stage *stage)
{
    live(stage);
    return rig_ask(stage->rig, "query-host", NULL);
}

static int64_t host_number(Stage *stage, const char *name)
{
    g_autoptr(json_t) host = query_host(stage);
    return json_integer_value(json_object_get(host, name));
}

static bool host_is(Stage *stage, const char *state)
{
    g_autoptr(json_t) host = query_host(stage);
    return strcmp(json_string_value(json_object_get(host, "state")), state) == 0;
}

// Three guests of 1 GiB with all their memory, of which a tenth is in use, and a budget of auto.
static void start_guests(Stage *stage, const char *settings, int64_t others_bytes)
{
    static const char *const names[] = {"a", "b", "c"};
    Rig *rig = stage->rig;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        RigGuest *guest = rig_add(rig, names[i], GIB, NULL);
        fake_qemu_on_asked(guest->qemu, on_asked, stage);
    }
    stage->others_bytes = others_bytes;
    stage->host.qemu_pid = getpid();
    stage->host.qemu_bytes = GIB;
    live(stage);
    g_autofree char *text = g_strconcat("[host]\n", settings, "\n", NULL);
    g_free(scratch_write(&rig->scratch, "controller.conf.d/host.conf",
                         "[host]\nreserve=800M\nbudget=auto\n", -1));
    g_free(scratch_write(&rig->scratch, "controller.conf.d/more.conf", text, -1));
    rig_configure(rig, GIB, NULL);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    wait_for(host_number(stage, "sum-actual") == 3 * GIB, PATIENCE_US);
}

static bool budget_is(Stage *stage, int64_t low, int64_t high)
{
    int64_t budget_bytes = host_number(stage, "budget");
    return budget_bytes >= low && budget_bytes <= high;
}

// --- budget=auto ------------------------------------------------------------------------------

static void test_the_budget_is_what_others_and_the_reserve_leave(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 2 * GIB);
    int64_t left = TOTAL - RESERVE - 2 * GIB;
    wait_for(budget_is(stage, left - 2 * NOISE, left), PATIENCE_US);
    assert_int_equal(host_number(stage, "non-guest"), 2 * GIB);
    assert_int_equal(host_number(stage, "reserve"), RESERVE);
    assert_true(host_is(stage, "calm"));
}

static void test_guests_follow_when_others_take_memory(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 2 * GIB);
    // 30 % of the host: more than is left, so that guests have to give.
    for (int i = 0; i < 20; i++) {
        stage->others_bytes += TOTAL * 3 / 10 / 20;
        live(stage);
        wait_while(100 * MS_US);
    }
    wait_for(host_number(stage, "available") >= RESERVE, PATIENCE_US);
    wait_for(host_number(stage, "sum-actual") <= TOTAL - RESERVE - stage->others_bytes,
             PATIENCE_US);
}

static void test_a_budget_that_stays_the_same_moves_nobody(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 9 * GIB / 2);
    wait_for(host_number(stage, "available") >= RESERVE, PATIENCE_US);
    RigCalm calm = {0};
    wait_for(live(stage) && rig_is_calm(stage->rig, &calm, 500 * MS_US), PATIENCE_US);
    unsigned commands = rig_balloon_commands(stage->rig);
    for (int i = 0; i < 40; i++) {
        stage->others_bytes += (i % 2 ? 1 : -1) * NOISE / 2;
        live(stage);
        wait_while(50 * MS_US);
    }
    assert_int_equal(rig_balloon_commands(stage->rig), commands);
}

static void test_what_a_guest_takes_is_not_taken_for_others(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 9 * GIB / 2);
    wait_for(host_number(stage, "available") >= RESERVE, PATIENCE_US);
    // A reading between a guest's move and the files of this host may have been wrong for a while.
    int64_t left = TOTAL - RESERVE - 9 * GIB / 2;
    wait_for(budget_is(stage, left - 2 * NOISE, left), FALL_PATIENCE_US);
    RigGuest *a = g_ptr_array_index(stage->rig->guests, 0);
    fake_agent_grow(a->agent, 800 * MIB, GIB);
    wait_for(live(stage) && fake_agent_guest(a->agent)->used_bytes == 800 * MIB, PATIENCE_US);
    wait_for(budget_is(stage, left - 2 * NOISE, left), FALL_PATIENCE_US);
}

static bool stays_within(Stage *stage, int64_t most_bytes)
{
    assert_true(host_number(stage, "budget") <= most_bytes);
    return true;
}

// A monitor may be silent for seconds after it was connected to, and by then its QEMU's memory has
// been seen to be no others'. To take that off what others use once more would promise it twice.
static void test_what_a_qemu_holds_is_taken_off_others_once_however_late_it_greets(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 2 * GIB);
    RigGuest *late = g_ptr_array_index(stage->rig->guests, 2);
    int64_t left = TOTAL - RESERVE - 2 * GIB;
    unsigned connections = fake_qemu_connections(late->qemu);
    fake_qemu_quit(late->qemu);
    wait_for(host_number(stage, "sum-actual") == 2 * GIB, PATIENCE_US);
    fake_qemu_set_hanging(late->qemu, true);
    fake_qemu_start(late->qemu);
    wait_for(fake_qemu_connections(late->qemu) > connections, PATIENCE_US);
    wait_for(budget_is(stage, left - 2 * NOISE, left), FALL_PATIENCE_US);
    fake_qemu_set_hanging(late->qemu, false);
    wait_for(stays_within(stage, left) && host_number(stage, "sum-actual") == 3 * GIB, PATIENCE_US);
    // It takes part in the next plan, and the next reading of the host would put it right.
    int64_t plans = rig_plans(stage->rig) + 2;
    wait_for(stays_within(stage, left) && rig_plans(stage->rig) >= plans, PATIENCE_US);
}

static void test_a_process_that_is_no_qemu_does_not_make_its_guest_others(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "", 2 * GIB);
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)getpid());
    stage->host.qemu_pid = 0;
    fake_host_write_file(&stage->host, path,
                         "Name:\tlibvirtd\nVmSize:\t 9999 kB\nRssAnon:\t 1 kB\n");
    int64_t left = TOTAL - RESERVE - 2 * GIB;
    wait_for(budget_is(stage, left - 2 * NOISE, left), PATIENCE_US);
    for (int i = 0; i < 10; i++) {
        assert_true(budget_is(stage, left - 2 * NOISE, left));
        wait_while(100 * MS_US);
    }
}

static void test_an_explicit_budget_keeps_its_meaning(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "budget=3G", 2 * GIB);
    assert_int_equal(host_number(stage, "budget"), 3 * GIB);
    stage->others_bytes = 4 * GIB;
    wait_for(host_number(stage, "non-guest") == 4 * GIB, PATIENCE_US);
    assert_int_equal(host_number(stage, "budget"), 3 * GIB);
}

static void test_a_host_that_tells_little_will_do(void **state)
{
    Stage *stage = *state;
    static const char *const files[] = {"/proc/vmstat", "/proc/pressure/memory"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strconcat(stage->host.root, files[i], NULL);
        assert_int_equal(unlink(path), 0);
    }
    rig_configure(stage->rig, GIB, NULL);
    rig_start(stage->rig);
    g_autoptr(json_t) host = rig_ask(stage->rig, "query-host", NULL);
    assert_int_equal(json_integer_value(json_object_get(host, "total")), TOTAL);
    assert_null(json_object_get(host, "pressure"));
}

// --- states -----------------------------------------------------------------------------------

static void test_states_are_told_when_they_change(void **state)
{
    Stage *stage = *state;
    // Guests that may not be moved leave the host to its fate.
    start_guests(stage, "[defaults]\nmin=100%", 2 * GIB);
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 2 + 16 * MIB;
    live(stage);
    wait_for(rig_had_event(stage->rig, "HOST_PRESSURE", NULL), PATIENCE_US);
    assert_true(host_is(stage, "scarce"));
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 4 + 16 * MIB;
    live(stage);
    wait_for(rig_had_event(stage->rig, "HOST_PRESSURE", NULL), PATIENCE_US);
    assert_true(host_is(stage, "critical"));
    assert_true(rig_has_said(stage->rig, "the host's memory is critical"));
    stage->others_bytes = 2 * GIB;
    live(stage);
    wait_for(rig_had_event(stage->rig, "HOST_PRESSURE", NULL), PATIENCE_US);
    assert_true(host_is(stage, "calm"));
}

static void test_who_does_not_fit_and_who_had_best_go_is_told(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "[guest b]\nmin=700M\n[guest c]\nmin=900M", 2 * GIB);
    // 256 + 700 + 900 MiB are needed, 1256 are left.
    stage->others_bytes = TOTAL - RESERVE - 1256 * MIB;
    live(stage);
    wait_for(live(stage) && rig_has_said(stage->rig, "; best moved away: "), PATIENCE_US);
    wait_for(live(stage) && rig_had_event(stage->rig, "HOST_OVERCOMMITTED", NULL), PATIENCE_US);
}

// --- a control group --------------------------------------------------------------------------

// The guests' slice, which nobody else is in.
static void start_in_group(Stage *stage, int64_t limit_bytes)
{
    stage->host.group_limit_bytes = limit_bytes;
    stage->host.group_cache_bytes = 512 * MIB;
    start_guests(stage, "reserve=5%\nbudget=cgroup:" FAKE_HOST_GROUP, GIB);
}

static void test_a_control_groups_limit_is_the_budget(void **state)
{
    Stage *stage = *state;
    start_in_group(stage, 4 * GIB);
    int64_t left = 4 * GIB - 4 * GIB * 5 / 100;
    wait_for(live(stage) && budget_is(stage, left - 64 * MIB, left), FALL_PATIENCE_US);
}

static void test_guests_follow_when_the_groups_limit_is_lowered(void **state)
{
    Stage *stage = *state;
    start_in_group(stage, 4 * GIB);
    // Slowly: the files of this host are never quite of the moment at which a balloon is read.
    for (guint i = 0; i < stage->rig->guests->len; i++) {
        fake_qemu_set_rate(((RigGuest *)g_ptr_array_index(stage->rig->guests, i))->qemu, 300 * MIB);
    }
    stage->host.group_limit_bytes = 2 * GIB;
    wait_for(live(stage) && held_bytes(stage) <= 2 * GIB / 100 * 95, PATIENCE_US);
    assert_true(rig_has_said(stage->rig, "the memory of control group /machine.slice is critical"));
    assert_false(rig_had_event(stage->rig, "HOST_OVERCOMMITTED", NULL));
    // Below what they can be brought to: a clear word instead.
    stage->host.group_limit_bytes = 700 * MIB;
    wait_for(live(stage) && rig_had_event(stage->rig, "HOST_OVERCOMMITTED", NULL), PATIENCE_US);
}

static void test_without_the_group_the_host_is_the_limit(void **state)
{
    Stage *stage = *state;
    start_guests(stage, "budget=cgroup:/nowhere.slice", 2 * GIB);
    int64_t left = TOTAL - RESERVE - 2 * GIB;
    wait_for(budget_is(stage, left - 2 * NOISE, left), PATIENCE_US);
}

// --- page sharing -----------------------------------------------------------------------------

#define KSM "/sys/kernel/mm/ksm/"

static int64_t ksm_number(const Stage *stage, const char *path)
{
    return fake_host_read_number(&stage->host, path);
}

static void test_pages_are_shared_while_the_host_is_short(void **state)
{
    Stage *stage = *state;
    fake_host_write_ksm(&stage->host, 0);
    start_guests(stage, "ksm=auto\n[defaults]\nmin=100%", 2 * GIB);
    assert_int_equal(ksm_number(stage, KSM "run"), 0);
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 3;
    wait_for(live(stage) && ksm_number(stage, KSM "run") == 1, PATIENCE_US);
    // It costs nothing yet, so that more pages are looked at.
    int64_t first = ksm_number(stage, KSM "pages_to_scan");
    wait_for(live(stage) && ksm_number(stage, KSM "pages_to_scan") > first, PATIENCE_US);
    stage->others_bytes = 2 * GIB;
    wait_for(live(stage) && ksm_number(stage, KSM "run") == 0, PATIENCE_US);
    wait_for(ksm_number(stage, KSM "pages_to_scan") == 100, PATIENCE_US);
}

static void test_page_sharing_is_switched_off_at_the_end(void **state)
{
    Stage *stage = *state;
    fake_host_write_ksm(&stage->host, 0);
    start_guests(stage, "ksm=auto\n[defaults]\nmin=100%", 2 * GIB);
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 3;
    wait_for(live(stage) && ksm_number(stage, KSM "run") == 1, PATIENCE_US);
    assert_int_equal(rig_stop(stage->rig), 0);
    assert_int_equal(ksm_number(stage, KSM "run"), 0);
}

static void test_page_sharing_that_others_switched_on_is_left_alone(void **state)
{
    Stage *stage = *state;
    fake_host_write_ksm(&stage->host, 0);
    fake_host_write_file(&stage->host, KSM "run", "1\n");
    start_guests(stage, "ksm=auto\n[defaults]\nmin=100%", 2 * GIB);
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 3;
    wait_for(live(stage) && rig_has_said(stage->rig, "KSM is left alone"), PATIENCE_US);
    stage->others_bytes = 2 * GIB;
    wait_for(host_is(stage, "calm"), PATIENCE_US);
    assert_int_equal(ksm_number(stage, KSM "run"), 1);
    assert_int_equal(ksm_number(stage, KSM "pages_to_scan"), 100);
}

// --- the last resort --------------------------------------------------------------------------

#define SCOPE "/machine.slice/qemu-a.scope"
#define RECLAIM "/sys/fs/cgroup" SCOPE "/memory.reclaim"

// A host that is critical because a guest that holds much does not give it.
static void start_stuck(Stage *stage, const char *settings, const char *processes)
{
    g_autofree char *cgroup = g_strdup_printf("/proc/%d/cgroup", (int)getpid());
    fake_host_write_file(&stage->host, cgroup, "0::" SCOPE "/libvirt/emulator\n");
    fake_host_write_file(&stage->host, "/sys/fs/cgroup" SCOPE "/cgroup.procs", processes);
    fake_host_write_file(&stage->host, RECLAIM, "");
    start_guests(stage, settings, 2 * GIB);
    for (guint i = 0; i < stage->rig->guests->len; i++) {
        fake_qemu_set_rate(((RigGuest *)g_ptr_array_index(stage->rig->guests, i))->qemu, 0);
    }
    stage->others_bytes = TOTAL - 3 * GIB - RESERVE / 5;
    wait_for(host_is(stage, "critical"), PATIENCE_US);
    wait_for(live(stage) && rig_had_event(stage->rig, "GUEST_STALLED", NULL), PATIENCE_US);
}

static void test_a_guest_that_does_not_give_is_reclaimed_from_as_a_last_resort(void **state)
{
    Stage *stage = *state;
    g_autofree char *processes = g_strdup_printf("%d\n", (int)getpid());
    start_stuck(stage, "last-resort=memory.reclaim", processes);
    wait_for(live(stage) && rig_had_event(stage->rig, "GUEST_FORCED_RECLAIM", NULL), PATIENCE_US);
    wait_for(live(stage) && fake_host_read_number(&stage->host, RECLAIM) > 0, PATIENCE_US);
    assert_true(fake_host_read_number(&stage->host, RECLAIM) <= 256 * MIB);
    assert_true(rig_has_said(stage->rig, "warning: a: gives nothing") ||
                rig_has_said(stage->rig, "warning: b: gives nothing") ||
                rig_has_said(stage->rig, "warning: c: gives nothing"));
    // Of 1 GiB, 256 MiB is the min; 100 MiB above it is left in the host's memory, then nothing.
    stage->host.qemu_bytes = 356 * MIB;
    wait_for(live(stage) && fake_host_read_number(&stage->host, RECLAIM) == 100 * MIB, PATIENCE_US);
    stage->host.qemu_bytes = 256 * MIB;
    int64_t others_bytes = TOTAL - RESERVE / 5 - 3 * stage->host.qemu_bytes;
    wait_for(host_number(stage, "non-guest") == others_bytes, PATIENCE_US);
    while (rig_had_event(stage->rig, "GUEST_FORCED_RECLAIM", NULL)) {
    }
    wait_while(3 * SECOND_US);
    assert_false(rig_had_event(stage->rig, "GUEST_FORCED_RECLAIM", NULL));
}

static void test_nothing_is_reclaimed_from_a_group_with_others_in_it(void **state)
{
    Stage *stage = *state;
    g_autofree char *processes = g_strdup_printf("1\n%d\n", (int)getpid());
    start_stuck(stage, "last-resort=memory.reclaim", processes);
    wait_for(live(stage) && rig_has_said(stage->rig, "nothing can be reclaimed from it"),
             PATIENCE_US);
    assert_true(fake_host_read_number(&stage->host, RECLAIM) <= 0);
}

static void test_the_last_resort_is_off_unless_it_is_asked_for(void **state)
{
    Stage *stage = *state;
    g_autofree char *processes = g_strdup_printf("%d\n", (int)getpid());
    start_stuck(stage, "", processes);
    for (int i = 0; i < 30; i++) {
        live(stage);
        wait_while(100 * MS_US);
    }
    assert_false(rig_had_event(stage->rig, "GUEST_FORCED_RECLAIM", NULL));
    assert_true(fake_host_read_number(&stage->host, RECLAIM) <= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_budget_is_what_others_and_the_reserve_leave),
        TEST(test_guests_follow_when_others_take_memory),
        TEST(test_a_budget_that_stays_the_same_moves_nobody),
        TEST(test_what_a_guest_takes_is_not_taken_for_others),
        TEST(test_what_a_qemu_holds_is_taken_off_others_once_however_late_it_greets),
        TEST(test_a_process_that_is_no_qemu_does_not_make_its_guest_others),
        TEST(test_an_explicit_budget_keeps_its_meaning),
        TEST(test_a_host_that_tells_little_will_do),
        TEST(test_states_are_told_when_they_change),
        TEST(test_who_does_not_fit_and_who_had_best_go_is_told),
        TEST(test_a_control_groups_limit_is_the_budget),
        TEST(test_guests_follow_when_the_groups_limit_is_lowered),
        TEST(test_without_the_group_the_host_is_the_limit),
        TEST(test_pages_are_shared_while_the_host_is_short),
        TEST(test_page_sharing_is_switched_off_at_the_end),
        TEST(test_page_sharing_that_others_switched_on_is_left_alone),
        TEST(test_a_guest_that_does_not_give_is_reclaimed_from_as_a_last_resort),
        TEST(test_nothing_is_reclaimed_from_a_group_with_others_in_it),
        TEST(test_the_last_resort_is_off_unless_it_is_asked_for),
    };
    return run_test_table(tests);
}
