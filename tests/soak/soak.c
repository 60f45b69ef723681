// SPDX-License-Identifier: Apache-2.0
//
// Hours under a load that never rests: fake guests, which also hang, fall silent and lose their
// connections, and two real ones, under one controller. Every second the sum of all is to be within
// the budget, and the controller is to need no more memory and descriptors than in the beginning.
//
// A line a minute tells how it stands. AEROSTAT_SOAK_HOURS says how long (default 1; a fraction
// will do), AEROSTAT_SEED repeats a run's choices, and AEROSTAT_SOAK_CONFIG names a file of further
// configuration, for a journal or metrics to look at.
#include "tests/support/random.h"
#include "tests/support/rig.h"
#include "tests/support/vm-lab.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>
#include <unistd.h>

#define FAKES 16
#define REALS 2
#define REAL_BYTES (512 * MIB)
// Three quarters of what all have.
#define BUDGET_BYTES (3 * (FAKES * GIB + REALS * REAL_BYTES) / 4)
// A real balloon is let down in batches, and the guests are not read at the same instant.
#define TOLERANCE_BYTES (8 * MIB)
#define SECONDS_A_LINE 60
// What is needed in the end is compared with what was needed by then.
#define WARM_UP_S 120
#define GROWTH_BYTES (4 * MIB)
#define GROWTH_DESCRIPTORS 8
// What is shown of the controller's log when the budget was not kept.
#define LOG_TAIL_BYTES 4000

typedef struct Soak {
    Rig *rig;
    VmLab *lab; // NULL until the guests are wanted
    Vm *vms[REALS];
    int64_t oom_kills[REALS]; // by the guest's kernel, as it said after its last load
    Random random;
    int64_t busy_until_s[FAKES]; // a fake misbehaves until then
    int64_t held_bytes;          // by all, in the last second
    int64_t largest_bytes;       // since the last line
    int64_t warm_bytes;          // what the controller had when it was warm
    int warm_descriptors;
} Soak;

static RigGuest *fake(const Soak *soak, int index)
{
    return g_ptr_array_index(soak->rig->guests, (guint)index);
}

// --- load and faults --------------------------------------------------------------------------

// What it has beyond the goal it lets go at once.
static void load_fake(Soak *soak, RigGuest *guest)
{
    int64_t goal_bytes = random_between(&soak->random, 50, 900) * MIB;
    FakeGuest *fake = fake_agent_guest(guest->agent);
    fake->used_bytes = MIN(fake->used_bytes, goal_bytes);
    fake_agent_grow(guest->agent, goal_bytes, random_between(&soak->random, 1, 1024) * MIB);
}

// The next load begins when the former one has ended. Nothing waits for it: the fake guests live in
// this same thread.
static void load_real(Soak *soak, int index)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *output = NULL;
    int status;
    if (vm_poll(soak->vms[index], &status, &output, NULL) == GUEST_SHELL_RUNNING) {
        return;
    }
    if (output && *output) {
        soak->oom_kills[index] = g_ascii_strtoll(output, NULL, 10);
    }
    g_autofree char *command = g_strdup_printf(
        "load touch %dM --rate 100M --hold %d >/dev/null; sed -n 's/^oom_kill //p' /proc/vmstat",
        (int)random_between(&soak->random, 10, 250), (int)random_between(&soak->random, 0, 10));
    vm_begin(soak->vms[index], command, &error);
    assert_no_error(error);
}

// A fake hangs, falls silent or loses a connection, and is well again after a while.
static void disturb(Soak *soak, int index, int64_t now_s)
{
    const RigGuest *guest = fake(soak, index);
    soak->busy_until_s[index] = now_s + random_between(&soak->random, 1, 15);
    switch (random_between(&soak->random, 0, 4)) {
    case 0:
        fake_qemu_set_hanging(guest->qemu, true);
        break;
    case 1:
        fake_agent_set_silent(guest->agent, true);
        break;
    case 2:
        fake_qemu_drop_client(guest->qemu);
        break;
    case 3:
        fake_agent_drop_client(guest->agent);
        break;
    default:
        fake_agent_flood(guest->agent, 1000);
        break;
    }
}

static void mend(const RigGuest *guest)
{
    fake_qemu_set_hanging(guest->qemu, false);
    fake_agent_set_silent(guest->agent, false);
}

static void live(Soak *soak, int64_t now_s)
{
    for (int i = 0; i < FAKES; i++) {
        if (random_chance(&soak->random, 10)) {
            load_fake(soak, fake(soak, i));
        }
        if (now_s == soak->busy_until_s[i]) {
            mend(fake(soak, i));
        } else if (now_s > soak->busy_until_s[i] && random_chance(&soak->random, 1)) {
            disturb(soak, i, now_s);
        }
    }
    for (int i = 0; i < REALS; i++) {
        load_real(soak, i);
    }
}

// --- what is looked at ------------------------------------------------------------------------

static pid_t controller(const Soak *soak)
{
    return process_pid(soak->rig->controller);
}

static void assert_budget_kept(Soak *soak)
{
    g_autoptr(GError) error = NULL;
    soak->held_bytes = 0;
    for (int i = 0; i < FAKES; i++) {
        const RigGuest *guest = fake(soak, i);
        soak->held_bytes +=
            MAX(fake_qemu_actual_bytes(guest->qemu), fake_qemu_target_bytes(guest->qemu));
    }
    for (int i = 0; i < REALS; i++) {
        soak->held_bytes += vm_actual_bytes(soak->vms[i], &error);
        assert_no_error(error);
    }
    soak->largest_bytes = MAX(soak->largest_bytes, soak->held_bytes);
    if (soak->held_bytes > BUDGET_BYTES + TOLERANCE_BYTES) {
        g_autofree char *log = rig_log(soak->rig);
        size_t length = strlen(log);
        fail_msg("%" G_GINT64_FORMAT " MiB above the budget, %s",
                 (soak->held_bytes - BUDGET_BYTES) / MIB,
                 log + (length > LOG_TAIL_BYTES ? length - LOG_TAIL_BYTES : 0));
    }
}

static void assert_does_not_grow(Soak *soak, int64_t now_s)
{
    if (now_s <= WARM_UP_S) {
        soak->warm_bytes = process_status_bytes(controller(soak), "VmRSS");
        soak->warm_descriptors = process_descriptors(controller(soak));
        return;
    }
    assert_true(process_status_bytes(controller(soak), "VmRSS") <= soak->warm_bytes + GROWTH_BYTES);
    assert_true(process_descriptors(controller(soak)) <=
                soak->warm_descriptors + GROWTH_DESCRIPTORS);
}

static void tell(Soak *soak, int64_t now_s)
{
    int64_t kills = 0;
    for (int i = 0; i < REALS; i++) {
        kills += soak->oom_kills[i];
    }
    printf(
        "%5" G_GINT64_FORMAT " min: at most %6.2f %% of the budget held, %7u balloon commands to "
        "fakes, %" G_GINT64_FORMAT " kills in real guests, controller %5.2f MiB, %u descriptors\n",
        now_s / 60, 100.0 * (double)soak->largest_bytes / (double)BUDGET_BYTES,
        rig_balloon_commands(soak->rig), kills,
        (double)process_status_bytes(controller(soak), "VmRSS") / (double)MIB,
        process_descriptors(controller(soak)));
    fflush(stdout);
    soak->largest_bytes = 0;
}

// --- the run ----------------------------------------------------------------------------------

static void add_configuration(const Soak *soak)
{
    const char *path = g_getenv("AEROSTAT_SOAK_CONFIG");
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    if (path) {
        g_file_get_contents(path, &text, NULL, &error);
        assert_no_error(error);
        g_free(scratch_write(&soak->rig->scratch, "controller.conf.d/soak.conf", text, -1));
    }
}

static void boot(Soak *soak)
{
    static const char *const names[REALS] = {"real0", "real1"};
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) groups = g_string_new(NULL);
    soak->lab = vm_lab_new(&error);
    assert_no_error(error);
    for (int i = 0; i < REALS; i++) {
        // None takes memory back by itself, which nobody can promise to be within the budget.
        VmOptions options = {.name = names[i], .memory_bytes = REAL_BYTES};
        soak->vms[i] = vm_lab_add(soak->lab, &options, &error);
        assert_no_error(error);
        g_string_append_printf(groups, "[guest %s]\nqmp=%s\nagent=%s\n", names[i],
                               vm_qmp_path(soak->vms[i]), vm_agent_path(soak->vms[i]));
    }
    vm_lab_wait_ready(soak->lab, &error);
    assert_no_error(error);
    for (int i = 0; i < FAKES; i++) {
        g_autofree char *name = g_strdup_printf("fake%d", i);
        rig_add(soak->rig, name, 512 * MIB, NULL);
    }
    rig_configure(soak->rig, BUDGET_BYTES, groups->str);
    add_configuration(soak);
    rig_start(soak->rig);
    wait_for(rig_is_complete(soak->rig), 20 * SECOND_US);
}

static int set_up(void **state)
{
    Soak *soak = g_new0(Soak, 1);
    *state = soak;
    soak->random = random_begin("soak");
    return rig_set_up((void **)&soak->rig);
}

static int tear_down(void **state)
{
    Soak *soak = *state;
    int result = rig_tear_down((void **)&soak->rig);
    vm_lab_free(soak->lab);
    g_free(soak);
    return result;
}

static void test_hours_of_load_and_faults_break_nothing_and_grow_nothing(void **state)
{
    Soak *soak = *state;
    const char *hours = g_getenv("AEROSTAT_SOAK_HOURS");
    int64_t duration_s = (int64_t)(3600 * (hours ? g_ascii_strtod(hours, NULL) : 1));
    boot(soak);
    for (int64_t now_s = 1; now_s <= duration_s; now_s++) {
        live(soak, now_s);
        wait_while(SECOND_US);
        assert_budget_kept(soak);
        assert_does_not_grow(soak, now_s);
        if (now_s % SECONDS_A_LINE == 0) {
            tell(soak, now_s);
        }
    }
    assert_true(soak->rig->most_held_bytes <= BUDGET_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_hours_of_load_and_faults_break_nothing_and_grow_nothing, set_up, tear_down),
    };
    return run_test_table(tests);
}
