// SPDX-License-Identifier: Apache-2.0
//
// The host: how soon guests follow when others take its memory or its control group's limit is
// lowered, what a start costs with and without a reservation, what a snapshot costs with and
// without preparation, and what page sharing brings.
//
// Guests are real; the host's /proc and control group are files that are fed with what the guests'
// QEMUs have resident, so that the host can be as small and as crowded as it takes. Page sharing is
// the kernel's own, which takes root; it is left out where it is in use. AEROSTAT_BENCH_ONLY names
// one part, AEROSTAT_BENCH_HOST_ROUNDS (1, in full 3) says how often each is measured.
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/fake-host.h"
#include "tests/support/vm-lab.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUEST_BYTES (1024 * MIB)
#define HOST_BYTES (6 * GUEST_BYTES)
#define RESERVE_BYTES (600 * MIB)
#define FEED_US (20 * MS_US)
#define PATIENCE_US (120 * SECOND_US)
#define MAX_GUESTS 10
#define MAX_ROUNDS 100

typedef struct Stage {
    VmLab *lab;
    Scratch scratch;
    FakeHost host;
    Vm *vms[MAX_GUESTS];
    size_t count;
    QmpSession *control;
    int64_t others_bytes;
    int64_t least_available_bytes;
} Stage;

static GError *error;

// --- the stage --------------------------------------------------------------------------------

// Many guests that boot at once on a busy machine find their timers too slow to be true.
static VmOptions options_of(const char *name, int64_t bytes)
{
    return (VmOptions){.name = name, .memory_bytes = bytes, .kernel_arguments = "no_timer_check"};
}

static void boot(Stage *stage, size_t count, int64_t bytes, const char *data_path)
{
    *stage = (Stage){.lab = vm_lab_new(&error), .count = count};
    bench_must(stage->lab != NULL, &error);
    scratch_init(&stage->scratch);
    fake_host_init(&stage->host, &stage->scratch, HOST_BYTES);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("g%zu", i);
        VmOptions options = options_of(name, bytes);
        options.data_path = data_path;
        stage->vms[i] = vm_lab_add(stage->lab, &options, &error);
        bench_must(stage->vms[i] != NULL, &error);
        // One after another: ten that boot at once starve each other.
        bench_must(vm_lab_wait_ready(stage->lab, &error), &error);
    }
}

static void strike(Stage *stage)
{
    qmp_session_close(stage->control);
    vm_lab_free(stage->lab);
    fake_host_clear(&stage->host);
    scratch_clear(&stage->scratch);
}

// Shows the controller a file of the running system where its host has none of its own.
static void show(const Stage *stage, const char *path)
{
    g_autofree char *link = g_strconcat(stage->host.root, path, NULL);
    g_autofree char *folder = g_path_get_dirname(link);
    bench_must(g_mkdir_with_parents(folder, 0700) == 0 && symlink(path, link) == 0, NULL);
}

// What the host's files say follows what the guests have.
static void feed(Stage *stage)
{
    int64_t guests_bytes = 0;
    for (size_t i = 0; i < stage->count; i++) {
        guests_bytes += process_status_bytes(vm_pid(stage->vms[i]), "RssAnon");
    }
    int64_t available_bytes = HOST_BYTES - stage->others_bytes - guests_bytes;
    stage->host.group_used_bytes = guests_bytes;
    stage->least_available_bytes = MIN(stage->least_available_bytes, available_bytes);
    stage->host.available_bytes = MAX(available_bytes, 0);
    fake_host_write(&stage->host);
}

static json_t *ask(Stage *stage, const char *command, json_t *arguments)
{
    json_t *value = qmp_session_execute(stage->control, command, arguments, PATIENCE_US, &error);
    bench_must(value != NULL, &error);
    return value;
}

static int64_t host_number(Stage *stage, const char *name)
{
    g_autoptr(json_t) host = ask(stage, "query-host", NULL);
    return json_integer_value(json_object_get(host, name));
}

static void start(Stage *stage, const char *budget)
{
    for (size_t i = 0; i < stage->count; i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d", (int)vm_pid(stage->vms[i]));
        show(stage, path);
    }
    feed(stage);
    g_autofree char *config = vm_lab_write_configuration(stage->lab, GUEST_BYTES, NULL, &error);
    bench_must(config != NULL, &error);
    g_autofree char *folder = g_strconcat(config, ".d", NULL);
    g_autofree char *file = g_build_filename(folder, "host.conf", NULL);
    g_autofree char *socket = vm_lab_path(stage->lab, "controller.sock");
    bench_must(g_mkdir_with_parents(folder, 0700) == 0, NULL);
    bench_must(g_file_set_contents(file, budget, -1, &error), &error);
    const char *const arguments[] = {"--config", config, "--host-root", stage->host.root, NULL};
    bench_must(vm_lab_start_program(stage->lab, "aerostat-controller", arguments, &error), &error);
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (!(stage->control = qmp_session_open(socket, SECOND_US, NULL))) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        g_usleep(FEED_US);
    }
}

// Feeds the host until what the guests have fits below `limit_bytes`; how long that took.
static double follow_s(Stage *stage, int64_t limit_bytes)
{
    int64_t since_us = g_get_monotonic_time();
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (host_number(stage, "sum-actual") > limit_bytes) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        feed(stage);
        g_usleep(FEED_US);
    }
    return (double)(g_get_monotonic_time() - since_us) / SECOND_US;
}

static void settle_for(Stage *stage, int64_t duration_us)
{
    int64_t until_us = deadline_after(duration_us);
    while (deadline_left_us(until_us) > 0) {
        feed(stage);
        g_usleep(FEED_US);
    }
}

static void settle(Stage *stage)
{
    settle_for(stage, 8 * SECOND_US);
}

// Has a guest use all its memory once, so that its QEMU holds it.
static void touch_all(Stage *stage, const char *size)
{
    g_autofree char *command = g_strdup_printf("load touch %s --hold 0", size);
    for (size_t i = 0; i < stage->count; i++) {
        vm_run(stage->vms[i], command, PATIENCE_US, NULL, &error);
        bench_must(!error, &error);
    }
}

// --- others take memory -----------------------------------------------------------------------

static void measure_growth(BenchFigures *figures)
{
    Stage stage;
    boot(&stage, 3, GUEST_BYTES, NULL);
    stage.others_bytes = 2 * GUEST_BYTES;
    touch_all(&stage, "850M");
    start(&stage, "[host]\nreserve=600M\nbudget=auto\n");
    settle(&stage);
    stage.least_available_bytes = INT64_MAX;
    int64_t taken_bytes = HOST_BYTES * 3 / 10;
    int64_t began_us = g_get_monotonic_time();
    int64_t before_bytes = host_number(&stage, "budget");
    int64_t seen_us = 0;
    for (int64_t past_us = 0; past_us < 2 * SECOND_US;
         past_us = g_get_monotonic_time() - began_us) {
        stage.others_bytes = 2 * GUEST_BYTES + taken_bytes * past_us / (2 * SECOND_US);
        feed(&stage);
        if (!seen_us && host_number(&stage, "budget") < before_bytes) {
            seen_us = g_get_monotonic_time() - began_us;
        }
        g_usleep(FEED_US);
    }
    stage.others_bytes = 2 * GUEST_BYTES + taken_bytes;
    double after_s = follow_s(&stage, HOST_BYTES - RESERVE_BYTES - stage.others_bytes);
    bench_note(figures, (double)seen_us / MS_US, "growth.budget-lower-after-ms");
    bench_note(figures, after_s, "growth.guests-within-budget-after-end-s");
    bench_note(figures, (double)(stage.least_available_bytes / MIB), "growth.least-available-mib");
    strike(&stage);
}

static void measure_group(BenchFigures *figures)
{
    Stage stage;
    boot(&stage, 3, GUEST_BYTES, NULL);
    stage.host.group_limit_bytes = 4 * GUEST_BYTES;
    touch_all(&stage, "850M");
    start(&stage, "[host]\nreserve=5%\nbudget=cgroup:/machine.slice\n");
    settle(&stage);
    stage.host.group_limit_bytes = 2 * GUEST_BYTES;
    double follow = follow_s(&stage, 2 * GUEST_BYTES / 100 * 95);
    stage.host.group_limit_bytes = GUEST_BYTES / 2;
    int64_t since_us = g_get_monotonic_time();
    for (bool told = false; !told;) {
        feed(&stage);
        g_autoptr(json_t) event = qmp_session_next_event(stage.control, FEED_US, &error);
        bench_must(!error && g_get_monotonic_time() - since_us < PATIENCE_US, &error);
        const char *name = json_string_value(json_object_get(event, "event"));
        told = g_strcmp0(name, "HOST_OVERCOMMITTED") == 0;
    }
    double told_ms = (double)(g_get_monotonic_time() - since_us) / MS_US;
    int64_t kills = 0;
    for (size_t i = 0; i < stage.count; i++) {
        kills += vm_oom_kills(stage.vms[i], &error);
    }
    bench_note(figures, follow, "group.from-4-to-2-gib-s");
    bench_note(figures, told_ms, "group.cannot-be-met-told-after-ms");
    bench_note(figures, (double)kills, "group.oom-kills");
    strike(&stage);
}

// --- snapshots --------------------------------------------------------------------------------

// Migrates the guest to a file and goes on; how long it took, and the file's size.
static double migrate(Stage *stage, int64_t *bytes)
{
    g_autofree char *path = vm_lab_path(stage->lab, "state");
    g_autofree char *uri = g_strconcat("exec:cat >", path, NULL);
    QmpSession *observer = vm_observer(stage->vms[0]);
    int64_t since_us = g_get_monotonic_time();
    g_autoptr(json_t) limit = qmp_session_execute(
        observer, "migrate-set-parameters",
        json_pack("{s:I}", "max-bandwidth", (json_int_t)(8 * GUEST_BYTES)), PATIENCE_US, &error);
    g_autoptr(json_t) begun = qmp_session_execute(
        observer, "migrate", json_pack("{s:s}", "uri", uri), PATIENCE_US, &error);
    bench_must(limit && begun, &error);
    for (bool done = false; !done;) {
        g_autoptr(json_t) state =
            qmp_session_execute(observer, "query-migrate", NULL, PATIENCE_US, &error);
        const char *status = json_string_value(json_object_get(state, "status"));
        bench_must(state && g_strcmp0(status, "failed") != 0, &error);
        done = g_strcmp0(status, "completed") == 0;
        g_usleep(FEED_US);
    }
    struct stat status;
    bench_must(stat(path, &status) == 0, NULL);
    *bytes = status.st_size;
    unlink(path);
    return (double)(g_get_monotonic_time() - since_us) / SECOND_US;
}

// A guest of 1 GiB that has read 700 MiB of a disk and is idle.
static void measure_snapshot(const char *data_path, bool prepared, BenchFigures *figures)
{
    Stage stage;
    boot(&stage, 1, GUEST_BYTES, data_path);
    start(&stage, "[host]\nreserve=600M\nbudget=3G\n");
    int status = vm_run(stage.vms[0], "for d in /dev/vd?; do cat $d >/dev/null; done", PATIENCE_US,
                        NULL, &error);
    bench_must(status == 0, &error);
    settle(&stage);
    int64_t since_us = g_get_monotonic_time();
    if (prepared) {
        json_decref(ask(&stage, "prepare", json_pack("{s:s}", "name", "g0")));
    }
    double prepare_s = (double)(g_get_monotonic_time() - since_us) / SECOND_US;
    int64_t bytes;
    double migrate_s = migrate(&stage, &bytes);
    const char *name = prepared ? "snapshot-prepared" : "snapshot";
    if (prepared) {
        bench_note(figures, prepare_s, "%s.prepare-s", name);
    }
    bench_note(figures, (double)(bytes / MIB), "%s.state-mib", name);
    bench_note(figures, migrate_s, "%s.state-s", name);
    strike(&stage);
}

static void measure_snapshots(BenchFigures *figures)
{
    Scratch scratch;
    scratch_init(&scratch);
    g_autofree char *path = scratch_path(&scratch, "data");
    g_autofree char *count = g_strdup_printf("of=%s", path);
    const char *const fill[] = {"dd", "if=/dev/urandom", count, "bs=1M", "count=700", NULL};
    bench_must(process_run(fill, PATIENCE_US, NULL, NULL, &error) == 0, &error);
    measure_snapshot(path, false, figures);
    measure_snapshot(path, true, figures);
    scratch_clear(&scratch);
}

// --- starts -----------------------------------------------------------------------------------

// Starts two more guests of 1 GiB on a host whose three hold all of the budget and use little, and
// watches how far above the budget all together come.
static void measure_starts(bool reserving, BenchFigures *figures)
{
    static const char *const names[] = {"late0", "late1"};
    Stage stage;
    boot(&stage, 3, GUEST_BYTES, NULL);
    g_autoptr(GString) budget = g_string_new("[host]\nreserve=0\nbudget=3G\n");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *folder = vm_lab_directory(stage.lab);
        g_string_append_printf(budget, "[guest %s]\nqmp=%s/%s.qmp\nagent=%s/%s.agent\n", names[i],
                               folder, names[i], folder, names[i]);
    }
    start(&stage, budget->str);
    // What guests took while they booted is forgotten by then.
    settle_for(&stage, 25 * SECOND_US);
    int64_t since_us = g_get_monotonic_time();
    for (size_t i = 0; reserving && i < G_N_ELEMENTS(names); i++) {
        g_autoptr(json_t) result =
            ask(&stage, "reserve",
                json_pack("{s:I, s:s, s:i}", "bytes", (json_int_t)GUEST_BYTES, "name", names[i],
                          "timeout-ms", 60000));
        bench_must(json_is_true(json_object_get(result, "granted")), NULL);
    }
    double reserved_s = (double)(g_get_monotonic_time() - since_us) / SECOND_US;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        VmOptions options = options_of(names[i], GUEST_BYTES);
        stage.vms[stage.count++] = vm_lab_add(stage.lab, &options, &error);
        bench_must(!error, &error);
    }
    int64_t most_bytes = 0;
    int64_t above_us = 0;
    int64_t until_us = deadline_after(30 * SECOND_US);
    for (int64_t last_us = g_get_monotonic_time(); deadline_left_us(until_us) > 0;) {
        int64_t over_bytes = host_number(&stage, "sum-actual") - 3 * GUEST_BYTES;
        int64_t now_us = g_get_monotonic_time();
        above_us += over_bytes > MIB ? now_us - last_us : 0;
        last_us = now_us;
        most_bytes = MAX(most_bytes, over_bytes);
        feed(&stage);
        g_usleep(FEED_US);
    }
    bench_must(vm_lab_wait_ready(stage.lab, &error), &error);
    const char *name = reserving ? "starts-reserved" : "starts";
    if (reserving) {
        bench_note(figures, reserved_s, "%s.room-for-both-s", name);
    }
    bench_note(figures, (double)(most_bytes / MIB), "%s.most-over-mib", name);
    bench_note(figures, (double)above_us / SECOND_US, "%s.over-s", name);
    strike(&stage);
}

static void measure_all_starts(BenchFigures *figures)
{
    measure_starts(true, figures);
    measure_starts(false, figures);
}

// --- page sharing -----------------------------------------------------------------------------

#define KSM "/sys/kernel/mm/ksm"

static int64_t system_number(const char *path)
{
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : -1;
}

static char *find_ksmd(void)
{
    g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(processes))) {
        g_autofree char *path = g_strconcat("/proc/", name, "/comm", NULL);
        g_autofree char *comm = NULL;
        if (g_file_get_contents(path, &comm, NULL, NULL) && strcmp(comm, "ksmd\n") == 0) {
            return g_strconcat("/proc/", name, NULL);
        }
    }
    return NULL;
}

static double ksmd_s(const char *process)
{
    g_autofree char *path = g_strconcat(process, "/stat", NULL);
    g_autofree char *text = NULL;
    bench_must(g_file_get_contents(path, &text, NULL, &error), &error);
    g_auto(GStrv) fields = g_strsplit(text, " ", 16);
    return (double)g_ascii_strtoll(fields[14], NULL, 10) / (double)sysconf(_SC_CLK_TCK);
}

// Ten guests of 256 MiB that are alike, on a host that is scarce for 60 s.
static void measure_sharing(BenchFigures *figures)
{
    g_autofree char *ksmd = find_ksmd();
    if (!ksmd || system_number(KSM "/run") != 0 || access(KSM "/run", W_OK) != 0) {
        fprintf(stderr, "bench-host: page sharing is not measured: no KSM, or it is in use\n");
        return;
    }
    Stage stage;
    boot(&stage, MAX_GUESTS, GUEST_BYTES / 4, NULL);
    show(&stage, KSM);
    show(&stage, ksmd);
    start(&stage, "[host]\nreserve=600M\nbudget=3G\nksm=auto\n[defaults]\nmin=100%\n");
    double before_s = ksmd_s(ksmd);
    stage.others_bytes = HOST_BYTES - 10 * GUEST_BYTES / 4;
    int64_t until_us = deadline_after(60 * SECOND_US);
    while (deadline_left_us(until_us) > 0) {
        stage.others_bytes = HOST_BYTES - RESERVE_BYTES * 2 / 5;
        for (size_t i = 0; i < stage.count; i++) {
            stage.others_bytes -= process_status_bytes(vm_pid(stage.vms[i]), "RssAnon");
        }
        feed(&stage);
        g_usleep(100 * MS_US);
    }
    int64_t shared_bytes = system_number(KSM "/pages_sharing") * sysconf(_SC_PAGESIZE);
    double spent_s = ksmd_s(ksmd) - before_s;
    stage.others_bytes = GUEST_BYTES;
    int64_t since_us = g_get_monotonic_time();
    while (system_number(KSM "/run") != 0) {
        bench_must(g_get_monotonic_time() - since_us < PATIENCE_US, NULL);
        feed(&stage);
        g_usleep(FEED_US);
    }
    bench_note(figures, (double)(shared_bytes / MIB), "sharing.shared-mib");
    bench_note(figures, spent_s, "sharing.ksmd-s-of-60");
    bench_note(figures, (double)(g_get_monotonic_time() - since_us) / SECOND_US,
               "sharing.off-after-s");
    strike(&stage);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*measure)(BenchFigures *figures);
    } parts[] = {
        {"growth", measure_growth},     {"group", measure_group},
        {"starts", measure_all_starts}, {"snapshots", measure_snapshots},
        {"sharing", measure_sharing},
    };
    const char *only = g_getenv("AEROSTAT_BENCH_ONLY");
    int rounds = bench_setting("AEROSTAT_BENCH_HOST_ROUNDS", 1, 3, MAX_ROUNDS);
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (only && strcmp(only, parts[i].name) != 0) {
            continue;
        }
        BenchFigures *figures = bench_figures_new();
        for (int round = 0; round < rounds; round++) {
            parts[i].measure(figures);
        }
        bench_print(figures, "host");
    }
    return EXIT_SUCCESS;
}
