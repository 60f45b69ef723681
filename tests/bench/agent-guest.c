// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/agent-guest.h"

#include "tests/bench/measure.h"

#include "protocol/transport/unix-socket.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
#define CLOCK_ROUNDS 50
#define SUBSCRIBE "{\"execute\":\"guest-memory-subscribe\"}\n"
#define ASK "{\"execute\":\"guest-memory-report\"}\n"

static void wire_must(bool done, const char *what)
{
    if (!done) {
        fprintf(stderr, "bench: the agent's port: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

// --- the agent's wire -------------------------------------------------------------------------

static void say(AgentGuest *guest, const char *line)
{
    wire_must(write(guest->fd, line, strlen(line)) == (ssize_t)strlen(line),
              "cannot be written to");
}

static void read_more(AgentGuest *guest, int64_t deadline_us)
{
    char chunk[16384];
    struct pollfd poll_fd = {.fd = guest->fd, .events = POLLIN};
    if (poll(&poll_fd, 1, deadline_left_ms(deadline_us)) > 0) {
        ssize_t count = read(guest->fd, chunk, sizeof(chunk));
        wire_must(count > 0, "closed");
        g_string_append_len(guest->input, chunk, count);
    }
}

// The next message and the moment it was here; NULL when the deadline has passed.
static json_t *next_message(AgentGuest *guest, int64_t deadline_us, int64_t *arrived_us)
{
    const char *end;
    while (!(end = memchr(guest->input->str, '\n', guest->input->len))) {
        if (deadline_left_us(deadline_us) == 0) {
            return NULL;
        }
        read_more(guest, deadline_us);
    }
    *arrived_us = g_get_monotonic_time();
    size_t length = (size_t)(end - guest->input->str);
    g_autoptr(GError) error = NULL;
    json_t *message = json_message_parse(guest->input->str, length, &error);
    bench_must(message != NULL, &error);
    g_string_erase(guest->input, 0, (gssize)length + 1);
    return message;
}

// Takes the report out of the next message that has one as member `name`. Returns its arrival, or
// -1 when the deadline has passed.
static int64_t next_report(AgentGuest *guest, const char *name, MemoryReport *report,
                           int64_t deadline_us)
{
    for (;;) {
        int64_t arrived_us;
        g_autoptr(json_t) message = next_message(guest, deadline_us, &arrived_us);
        if (!message) {
            return -1;
        }
        const json_t *object = json_object_get(message, name);
        if (object) {
            g_autoptr(GError) error = NULL;
            bench_must(memory_report_from_json(object, report, &error), &error);
            return arrived_us;
        }
    }
}

static void subscribe(AgentGuest *guest)
{
    int64_t arrived_us;
    say(guest, SUBSCRIBE);
    g_autoptr(json_t) answer = next_message(guest, deadline_after(PATIENCE_US), &arrived_us);
    wire_must(json_object_get(answer, "return") != NULL, "the subscription is refused");
}

int64_t agent_guest_receive(AgentGuest *guest, MemoryReport *report, int64_t deadline_us)
{
    int64_t arrived_us = next_report(guest, "data", report, deadline_us);
    wire_must(arrived_us >= 0, "no report in time");
    return arrived_us;
}

MemoryReport agent_guest_ask(AgentGuest *guest)
{
    MemoryReport report;
    say(guest, ASK);
    wire_must(next_report(guest, "return", &report, deadline_after(PATIENCE_US)) >= 0,
              "no answer in time");
    return report;
}

int64_t agent_guest_listen(AgentGuest *guest, int64_t duration_us)
{
    MemoryReport report;
    int64_t deadline_us = deadline_after(duration_us);
    int64_t count = 0;
    while (next_report(guest, "data", &report, deadline_us) >= 0) {
        count++;
    }
    return count;
}

// The quickest of many questions tells best.
static void align_clocks(AgentGuest *guest)
{
    int64_t quickest_us = INT64_MAX;
    for (int i = 0; i < CLOCK_ROUNDS; i++) {
        int64_t asked_us = g_get_monotonic_time();
        MemoryReport report = agent_guest_ask(guest);
        int64_t took_us = g_get_monotonic_time() - asked_us;
        if (took_us < quickest_us) {
            quickest_us = took_us;
            guest->clock_offset_us = asked_us + took_us / 2 - report.monotonic_us;
        }
    }
}

// --- the guest --------------------------------------------------------------------------------

static char *run(AgentGuest *guest, const char *command)
{
    g_autoptr(GError) error = NULL;
    char *output = NULL;
    bench_must(vm_run(guest->vm, command, PATIENCE_US, &output, &error) >= 0, &error);
    return output;
}

void agent_guest_boot(AgentGuest *guest, VmLab *lab, int64_t zram_bytes)
{
    g_autoptr(GError) error = NULL;
    VmOptions options = {.name = "alpha",
                         .memory_bytes = AGENT_GUEST_BYTES,
                         .deflate_on_oom = true,
                         .zram_bytes = zram_bytes};
    *guest = (AgentGuest){.lab = lab, .input = g_string_new(NULL)};
    guest->vm = vm_lab_add(lab, &options, &error);
    bench_must(guest->vm && vm_lab_wait_ready(lab, &error), &error);
    // A device to read from that takes no memory; the module is there already with swap.
    g_free(run(guest, "[ -e /sys/class/zram-control ] || while read -r m; do insmod /modules/$m; "
                      "done </modules/zram.list; [ -e /dev/zram1 ] || "
                      "cat /sys/class/zram-control/hot_add; "
                      "[ -e /dev/zram1 ] || cat /sys/class/zram-control/hot_add; "
                      "echo 400M >/sys/block/zram1/disksize"));
    guest->fd = unix_socket_connect(vm_agent_path(guest->vm), &error);
    bench_must(guest->fd >= 0, &error);
    align_clocks(guest);
    subscribe(guest);
}

void agent_guest_clear(AgentGuest *guest)
{
    close(guest->fd);
    g_string_free(guest->input, TRUE);
    vm_lab_remove(guest->lab, guest->vm);
}

void agent_guest_squeeze(AgentGuest *guest, int64_t available_bytes)
{
    g_autoptr(GError) error = NULL;
    g_free(run(guest, "echo 3 >/proc/sys/vm/drop_caches"));
    MemoryReport report = agent_guest_ask(guest);
    int64_t spare = memory_report_get(&report, REPORT_MEMORY_AVAILABLE) - available_bytes;
    int64_t actual = AGENT_GUEST_BYTES - memory_report_get(&report, REPORT_BALLOON);
    int64_t target = (actual - spare) / MIB * MIB;
    bench_must(vm_set_target(guest->vm, target, &error), &error);
    bench_must(vm_wait_actual(guest->vm, target, target, PATIENCE_US, &error), &error);
    // At rest is a guest that has had nothing to say but heartbeats for a while.
    MemoryReport last;
    for (int quiet = 0; quiet < 3;) {
        agent_guest_receive(guest, &last, deadline_after(PATIENCE_US));
        quiet = last.reason == REPORT_REASON_HEARTBEAT ? quiet + 1 : 0;
    }
    // Spikes are to begin at any moment between two samples.
    g_usleep((gulong)g_random_int_range(0, (gint32)SECOND_US));
}

void agent_guest_release(AgentGuest *guest)
{
    g_autoptr(GError) error = NULL;
    bench_must(vm_set_target(guest->vm, AGENT_GUEST_BYTES, &error), &error);
}

int64_t agent_guest_start(AgentGuest *guest, const char *command)
{
    g_autoptr(GError) error = NULL;
    int64_t pid = vm_run_in_background(guest->vm, command, &error);
    bench_must(pid > 0, &error);
    return pid;
}

int64_t agent_guest_output(AgentGuest *guest, int64_t pid)
{
    g_autofree char *command =
        g_strdup_printf("until [ -s /tmp/%" G_GINT64_FORMAT ".out ]; do usleep 1000; done; "
                        "head -n 1 /tmp/%" G_GINT64_FORMAT ".out",
                        pid, pid);
    g_autofree char *output = run(guest, command);
    return g_ascii_strtoll(output, NULL, 10);
}

void agent_guest_end(AgentGuest *guest, int64_t pid)
{
    g_autoptr(GError) error = NULL;
    bench_must(vm_end_background(guest->vm, pid, &error), &error);
    bench_must(vm_wait_actual(guest->vm, AGENT_GUEST_BYTES, AGENT_GUEST_BYTES, PATIENCE_US, &error),
               &error);
}

bool agent_guest_has(AgentGuest *guest, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = g_strdup_printf("[ -x %s ]", path);
    int status = vm_run(guest->vm, command, PATIENCE_US, NULL, &error);
    bench_must(status >= 0, &error);
    return status == 0;
}

// --- what the agent costs ---------------------------------------------------------------------

// The number behind `name` in "name: number" lines, 0 without.
static int64_t number_of(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found ? g_ascii_strtoll(found + strlen(name), NULL, 10) : 0;
}

AgentCost agent_guest_cost(AgentGuest *guest, const char *program)
{
    g_autofree char *command =
        g_strdup_printf("p=$(pidof %s); echo \"clock: $(load clock)\"; "
                        "echo \"run: $(cut -d' ' -f1 /proc/$p/schedstat)\"; "
                        "cat /proc/$p/status /proc/$p/smaps_rollup /proc/$p/io",
                        program);
    g_autofree char *text = run(guest, command);
    return (AgentCost){
        .guest_us = number_of(text, "clock:"),
        .run_ns = number_of(text, "run:"),
        .switches = number_of(text, "\nvoluntary_ctxt_switches:"),
        .reads = number_of(text, "\nsyscr:"),
        .writes = number_of(text, "\nsyscw:"),
        .resident_kib = number_of(text, "\nRss:"),
        // Not Private_*: nobody else in the guest maps the libraries, whose pages are dirty in
        // the eyes of the file system they lie on.
        .anonymous_kib = number_of(text, "\nAnonymous:"),
        .locked_kib = number_of(text, "\nLocked:"),
    };
}
