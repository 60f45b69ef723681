// SPDX-License-Identifier: Apache-2.0
//
// The controller on a real kernel's control groups, swap and pressure: a guest plays the host. In
// it the real controller runs, configured where a package has it, beside processes that stand in
// for QEMUs and hold real memory (tests/guest/qemu-stand-in.c), in control groups as libvirt makes
// them.
#include "tests/e2e/lab.h"

#define HOST_BYTES (768 * MIB)
#define HOST_SWAP_BYTES (512 * MIB)
#define WAIT_TIMEOUT_US SETTLE_TIMEOUT_US

#define GROUPS "/sys/fs/cgroup"
#define SLICE GROUPS "/machine.slice"
#define CONFIG "/etc/aerostat/controller.conf"
#define GUESTS "/run/aerostat/guests"
#define LOG "/tmp/controller.log"
#define EVENTS "/tmp/events"
// Processes of the host come and go, and QEMUs have memory of their own.
#define NOISE_BYTES (16 * MIB)

// --- on the host ------------------------------------------------------------------------------

// Runs one line, which must succeed. Returns what it printed; free with g_free().
static char *ask(Vm *host, const char *format, ...) G_GNUC_PRINTF(2, 3);

static char *ask(Vm *host, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    g_autofree char *line = g_strdup_vprintf(format, values);
    va_end(values);
    g_autoptr(GError) error = NULL;
    char *output = NULL;
    int status = vm_run(host, line, WAIT_TIMEOUT_US, &output, &error);
    if (status != 0) {
        g_autofree char *log = NULL;
        print_error("'%s' ended with %d: %s%s\n", line, status, output ? output : "",
                    error ? error->message : "");
        vm_run(host, "cat " LOG " " EVENTS, VM_COMMAND_TIMEOUT_US, &log, NULL);
        print_error("%s\n", log ? log : "");
        fail();
    }
    return output;
}

#define run(...) g_free(ask(__VA_ARGS__))

// Waits until the condition, a command of the shell's, holds; how long that took, in seconds.
static double wait_until(Vm *host, const char *condition)
{
    int64_t began_us = g_get_monotonic_time();
    run(host, "until %s; do usleep 50000; done", condition);
    return (double)(g_get_monotonic_time() - began_us) / (double)SECOND_US;
}

static int64_t number(Vm *host, const char *path)
{
    g_autofree char *text = ask(host, "cat %s", path);
    return g_ascii_strtoll(text, NULL, 10);
}

// A size in the status of the process called `name`, such as "RssAnon".
static int64_t status_bytes(Vm *host, const char *name, const char *label)
{
    g_autofree char *text =
        ask(host, "sed -n 's/^%s:[^0-9]*//p' /proc/$(cat /tmp/%s.pid)/status", label, name);
    return g_ascii_strtoll(text, NULL, 10) * 1024;
}

// Starts one line in the background. What it says goes to /tmp/PID.out; returns the PID.
static int64_t start(Vm *host, const char *line)
{
    g_autoptr(GError) error = NULL;
    int64_t pid = vm_run_in_background(host, line, &error);
    assert_no_error(error);
    return pid;
}

static Vm *boot_host(VmLab *lab)
{
    g_autoptr(GError) error = NULL;
    Vm *host = vm_lab_add(lab,
                          &(VmOptions){.name = "host",
                                       .memory_bytes = HOST_BYTES,
                                       .zram_bytes = HOST_SWAP_BYTES,
                                       .without_agent = true,
                                       .kernel_arguments = "aerostat.host=1"},
                          &error);
    assert_no_error(error);
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
    return host;
}

static void start_controller(Vm *host, const char *settings)
{
    run(host, "mkdir -p " CONFIG ".d " GUESTS " && printf '[host]\\n%s\\n' >" CONFIG, settings);
    start(host, "exec aerostat-controller >" LOG " 2>&1");
    wait_until(host, "aerostatctl status >/dev/null 2>&1");
    start(host, "exec aerostatctl --json watch >" EVENTS);
    // It is connected when it tells of what happens.
    wait_until(host, "{ aerostatctl add nobody /nowhere && aerostatctl remove nobody && "
                     "grep -q GUEST_REMOVED " EVENTS "; }");
}

// Starts a QEMU as libvirt does: in a group of its own, its threads in a group below that.
static void start_qemu(Vm *host, const char *name, const char *arguments)
{
    run(host,
        "cd " SLICE " && echo +memory >cgroup.subtree_control && "
        "mkdir -p %s.scope/libvirt/emulator && echo +memory >%s.scope/cgroup.subtree_control && "
        "echo threaded >%s.scope/libvirt/emulator/cgroup.type",
        name, name, name);
    g_autofree char *line =
        g_strdup_printf("cd " SLICE "/%s.scope/libvirt && echo $$ >cgroup.procs && "
                        "echo $$ >emulator/cgroup.threads && echo $$ >/tmp/%s.pid && cd " GUESTS
                        " && exec qemu-stand-in %s %s",
                        name, name, name, arguments);
    start(host, line);
}

static void wait_for_reports(Vm *host, int guests)
{
    g_autofree char *condition = g_strdup_printf(
        "[ $(aerostatctl --json list | grep -c '\"agent\": \"connected\"') = %d ]", guests);
    wait_until(host, condition);
}

// --- what the controller says -----------------------------------------------------------------

static json_t *query_host(Vm *host)
{
    g_autofree char *text = ask(host, "aerostatctl --json status");
    g_autoptr(json_t) both = json_loads(text, 0, NULL);
    return json_incref(json_object_get(both, "host"));
}

static int64_t host_bytes(Vm *host, const char *name)
{
    g_autoptr(json_t) view = query_host(host);
    return json_integer_value(json_object_get(view, name));
}

static bool host_is(Vm *host, const char *state)
{
    g_autoptr(json_t) view = query_host(host);
    return strcmp(json_word(view, "state"), state) == 0;
}

static double wait_for_event(Vm *host, const char *text)
{
    g_autofree char *condition = g_strdup_printf("grep -q '%s' " EVENTS, text);
    return wait_until(host, condition);
}

static int64_t count_events(Vm *host, const char *name)
{
    g_autofree char *count = ask(host, "grep -c %s " EVENTS " || true", name);
    return g_ascii_strtoll(count, NULL, 10);
}

// Waits until guests have no more than the budget, and that is no more than `limit_bytes`.
static void wait_until_within(Vm *host, int64_t limit_bytes)
{
    int64_t deadline_us = deadline_after(WAIT_TIMEOUT_US);
    for (;;) {
        g_autoptr(json_t) view = query_host(host);
        int64_t budget_bytes = json_integer_value(json_object_get(view, "budget"));
        if (budget_bytes <= limit_bytes &&
            json_integer_value(json_object_get(view, "sum-actual")) <= budget_bytes) {
            return;
        }
        assert_true(deadline_left_us(deadline_us) > 0);
    }
}

// --- a control group's limit ------------------------------------------------------------------

static int64_t oom_kills(Vm *host)
{
    g_autofree char *text = ask(host, "sed -n 's/^oom_kill //p' " SLICE "/memory.events");
    return g_ascii_strtoll(text, NULL, 10);
}

// Without swap the kernel would kill: room is made first. Released is it when the new limit is
// known.
static void lower_with_room_made(Vm *host)
{
    run(host, "echo 0 >" SLICE "/memory.swap.max");
    run(host, "aerostatctl reserve 150M --name room --wait");
    run(host, "echo 250M >" SLICE "/memory.max");
    wait_until_within(host, 250 * MIB);
    run(host, "aerostatctl release room");
    wait_until_within(host, 250 * MIB);
    assert_int_equal(oom_kills(host), 0);
    run(host, "echo max >" SLICE "/memory.swap.max");
}

// The kernel swaps out what is above the limit before the command is over.
static void lower_with_swap(Vm *host)
{
    int64_t began_us = g_get_monotonic_time();
    run(host, "echo 180M >" SLICE "/memory.max");
    int64_t limited_us = g_get_monotonic_time();
    wait_until_within(host, 180 * MIB);
    print_message("limit: %.2f s, the guests are within it %.2f s after\n",
                  (double)(limited_us - began_us) / SECOND_US,
                  (double)(g_get_monotonic_time() - limited_us) / SECOND_US);
    assert_int_equal(oom_kills(host), 0);
}

// Below what the guests can be brought to.
static void lower_too_far(Vm *host)
{
    int64_t before = count_events(host, "HOST_OVERCOMMITTED");
    g_autofree char *condition = g_strdup_printf(
        "[ $(grep -c HOST_OVERCOMMITTED " EVENTS ") -gt %" G_GINT64_FORMAT " ]", before);
    run(host, "echo 50M >" SLICE "/memory.max");
    print_message("told of after %.2f s\n", wait_until(host, condition));
    assert_int_equal(oom_kills(host), 0);
}

static void test_guests_follow_their_control_groups_limit(void **state)
{
    Vm *host = boot_host(*state);
    start_controller(host, "reserve=5%%\\nbudget=cgroup:/machine.slice");
    // After the controller, as on a host that has just started.
    run(host, "mkdir " SLICE " && echo 400M >" SLICE "/memory.max");
    start_qemu(host, "alpha", "128M");
    start_qemu(host, "beta", "128M");
    wait_for_reports(host, 2);
    wait_until_within(host, 400 * MIB);
    assert_int_equal(host_bytes(host, "sum-actual"), 256 * MIB);
    wait_until(host,
               "ls -l /proc/$(pidof aerostat-controller)/fd | grep -q " SLICE "/memory.pressure");
    lower_with_room_made(host);
    lower_with_swap(host);
    lower_too_far(host);
}

// --- pressure and the last resort -------------------------------------------------------------

// Takes what is available but `left_bytes`, and holds it. The kernel is asked how much that is:
// what the controller knows is a moment old.
static void take_all_but(Vm *host, int64_t left_bytes)
{
    g_autofree char *available = ask(host, "sed -n 's/^MemAvailable:[^0-9]*//p' /proc/meminfo");
    int64_t bytes = g_ascii_strtoll(available, NULL, 10) * 1024 - left_bytes;
    g_autofree char *line = g_strdup_printf("exec load touch %" G_GINT64_FORMAT, MAX(bytes, 0));
    g_autofree char *done =
        g_strdup_printf("grep -q ended-us /tmp/%" G_GINT64_FORMAT ".out", start(host, line));
    wait_until(host, done);
}

// A process above its own group's memory.high, which the kernel has wait.
static void start_stalling(Vm *host)
{
    run(host, "mkdir " GROUPS "/stalled && cd " GROUPS "/stalled && echo 4M >memory.high && "
              "echo 0 >memory.swap.max");
    start(host, "echo $$ >" GROUPS "/stalled/cgroup.procs; exec load touch 64M");
}

#define ALPHA_BYTES (128 * MIB)

static void
test_a_guest_that_gives_nothing_is_reclaimed_from_when_nothing_else_is_left(void **state)
{
    int64_t excess_bytes = ALPHA_BYTES / 4 * 3; // above its min
    Vm *host = boot_host(*state);
    start_controller(host, "reserve=300M");
    run(host, "mkdir " SLICE);
    start_qemu(host, "alpha", "128M stuck");
    start_qemu(host, "beta", "32M");
    wait_for_reports(host, 2);
    assert_true(host_is(host, "calm"));

    // Less than the reserve is left: tasks that stall make that scarce.
    take_all_but(host, 225 * MIB);
    assert_true(host_is(host, "calm"));
    start_stalling(host);
    print_message("scarce after %.2f s\n", wait_for_event(host, "\"state\":\"scarce\""));
    take_all_but(host, 40 * MIB);
    print_message("critical after %.2f s\n", wait_for_event(host, "\"state\":\"critical\""));

    // Off, unless it is asked for.
    wait_for_event(host, "GUEST_STALLED");
    run(host, "sleep 3");
    assert_int_equal(count_events(host, "GUEST_FORCED_RECLAIM"), 0);
    assert_int_equal(number(host, SLICE "/alpha.scope/memory.swap.current"), 0);
    int64_t resident_bytes = status_bytes(host, "alpha", "RssAnon");
    int64_t non_guest_bytes = host_bytes(host, "non-guest");

    run(host, "printf '[host]\\nlast-resort=memory.reclaim\\n' >" CONFIG ".d/resort.conf && "
              "kill -HUP $(pidof aerostat-controller)");
    double after_s = wait_for_event(host, "GUEST_FORCED_RECLAIM");
    g_autofree char *line = ask(host, "grep -m 1 GUEST_FORCED_RECLAIM " EVENTS);
    g_autoptr(json_t) event = json_loads(line, 0, NULL);
    const json_t *data = json_object_get(event, "data");
    int64_t bytes = json_integer_value(json_object_get(data, "bytes"));
    assert_string_equal(json_word(data, "name"), "alpha");
    assert_string_equal(json_word(data, "group"), "/machine.slice/alpha.scope/libvirt");
    assert_in_range(bytes, excess_bytes - NOISE_BYTES, excess_bytes);
    wait_until(host, "grep -q 'warning: alpha: gives nothing and the host is critical' " LOG);
    wait_until(host, "grep -q 'of it was reclaimed' " LOG);

    int64_t left_bytes = status_bytes(host, "alpha", "RssAnon");
    print_message("told of after %.2f s: %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                  " MiB reclaimed\n",
                  after_s, (resident_bytes - left_bytes) / MIB, bytes / MIB);
    assert_true(resident_bytes - left_bytes >= bytes / 10 * 9);
    assert_true(left_bytes >= ALPHA_BYTES - excess_bytes - NOISE_BYTES);
    assert_int_equal(number(host, SLICE "/beta.scope/memory.swap.current"), 0);
    // What was swapped out was a guest's, and is not taken off what others use.
    assert_true(host_bytes(host, "non-guest") >= non_guest_bytes - NOISE_BYTES);

    run(host, "killall -9 load");
    print_message("calm after %.2f s\n", wait_for_event(host, "\"state\":\"calm\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_guests_follow_their_control_groups_limit),
        LAB_TEST(test_a_guest_that_gives_nothing_is_reclaimed_from_when_nothing_else_is_left),
    };
    return run_test_table(tests);
}
