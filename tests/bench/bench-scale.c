// SPDX-License-Identifier: Apache-2.0
//
// The controller under the load of many guests that report once a second each: from a report
// written to its socket until the `balloon` command it leads to has arrived (p50 and p99, with the
// kernel's and this program's own wake-ups in it), the controller's processor time and resident
// memory; and the first once more while a client scrapes its metrics without a pause, and while
// another guest floods it as fast as it can write.
//
// Then what control clients cost the guests ("clients"): eight of 100 guests run short at once,
// with nobody at the control socket and with 50 clients there that are told of every event and of
// which every other one never reads, in turn.
//
// AEROSTAT_BENCH_PROBES (200, in full 1,000) reports are timed in each case; AEROSTAT_BENCH_ONLY
// names one number of guests, or clients, of which there are AEROSTAT_BENCH_ROUNDS (5, in full 10)
// pairs; with AEROSTAT_BENCH_JOURNAL decisions are recorded.
#include "protocol/transport/unix-socket.h"
#include "tests/bench/measure.h"
#include "tests/support/deadline.h"
#include "tests/support/guest-farm.h"
#include "tests/support/http-client.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

// All guests together fit into a host of 24 GiB: what is timed is the way, not the waiting for
// memory. Only the probed one has anything to move.
#define SMALL_BYTES (4 * MIB)
#define PROBED_BYTES (1024 * MIB)
#define LOW_BYTES (64 * MIB)
#define HIGH_BYTES (512 * MIB)
#define PROBES 200
#define FULL_PROBES 1000
#define MAX_PROBES 10000
#define PROBE_EVERY_US (20 * MS_US)
// A scraper looks as often whether it is to go on.
#define SCRAPE_LOOK_MS 50
#define COMMAND_TIMEOUT_US (30 * SECOND_US)
#define START_TIMEOUT_US (120 * SECOND_US)
// How long processor time is counted, and how often.
#define IDLE_US (2 * SECOND_US)
#define IDLE_ROUNDS 5
#define NOBODY (-1)
#define PROBED 0
#define FLOODER 1
// What is measured with clients of the control socket.
#define CLIENTS 50
#define CLIENT_GUESTS 100
#define SPIKING 8
#define ROUNDS 5
#define FULL_ROUNDS 10
#define MAX_ROUNDS 100

typedef struct Bench {
    Scratch scratch;
    GuestFarm *farm;
    Process *controller;
    int count;
    int probed;       // the first so many guests report only what is timed
    int next;         // the guest whose heartbeat is next
    int64_t beat_us;  // when it is due
    double *times_us; // one for each probe
    int probes;
    BenchFigures *figures;
    uint16_t metrics_port;
    gint scraping; // atomic: to go on
    gint scrapes;  // atomic: done
} Bench;

static void must(bool done, const char *what)
{
    if (!done) {
        fprintf(stderr, "bench-scale: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

// --- load -------------------------------------------------------------------------------------

// Serves until `until_us`, or until the guest `awaited` (NOBODY: none) is commanded, every guest
// but the probed ones reporting once a second.
static void run_until(Bench *bench, int64_t until_us, int awaited)
{
    unsigned commands = awaited == NOBODY ? 0 : guest_farm_commands(bench->farm, awaited);
    int64_t now_us;
    while ((now_us = g_get_monotonic_time()) < until_us) {
        while (bench->beat_us <= now_us) {
            if (bench->next >= bench->probed) {
                guest_farm_report(bench->farm, bench->next, "heartbeat", MIB);
            }
            bench->next = (bench->next + 1) % bench->count;
            bench->beat_us += SECOND_US / bench->count;
        }
        guest_farm_serve(bench->farm, MIN(bench->beat_us, until_us), awaited != NOBODY);
        if (awaited != NOBODY && guest_farm_commands(bench->farm, awaited) != commands) {
            return;
        }
    }
}

static void report_probed(Bench *bench, const char *reason, int64_t used_bytes)
{
    for (int i = 0; i < bench->probed; i++) {
        guest_farm_report(bench->farm, i, reason, used_bytes);
    }
}

static gpointer flood(gpointer data)
{
    // A report that is none, as fast as the socket takes it.
    static const char line[] =
        "{\"event\": \"GUEST_MEMORY_REPORT\", \"data\": {\"sequence\": 1, \"monotonic-us\": 1, "
        "\"reason\": \"pressure\", \"memory\": {\"total\": 1, \"free\": 1, \"available\": 1}}}\n";
    int fd = GPOINTER_TO_INT(data);
    while (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) > 0) {
    }
    return NULL;
}

// Whoever waits for the end of this answers no guest meanwhile: a scrape that has not ended when
// scraping does is given up.
static gpointer scrape(gpointer data)
{
    Bench *bench = data;
    while (g_atomic_int_get(&bench->scraping)) {
        g_autoptr(HttpClient) client =
            http_client_new(bench->metrics_port, "GET /metrics HTTP/1.0\r\n\r\n");
        bool ended;
        while (!(ended = http_client_read(client, G_MAXSIZE)) &&
               g_atomic_int_get(&bench->scraping)) {
            struct pollfd waiting = {.fd = client->fd, .events = POLLIN};
            poll(&waiting, 1, SCRAPE_LOOK_MS);
        }
        g_atomic_int_add(&bench->scrapes, ended);
    }
    return NULL;
}

// --- measures ---------------------------------------------------------------------------------

// Calls for more memory and waits for the command that gives it; then lets go again.
static int64_t probe_us(Bench *bench)
{
    int64_t written_us = g_get_monotonic_time();
    guest_farm_report(bench->farm, PROBED, "trend", HIGH_BYTES);
    unsigned commands = guest_farm_commands(bench->farm, PROBED);
    run_until(bench, deadline_after(COMMAND_TIMEOUT_US), PROBED);
    must(guest_farm_commands(bench->farm, PROBED) != commands, "a guest in need got no answer");
    int64_t elapsed_us = guest_farm_commanded_us(bench->farm, PROBED) - written_us;
    run_until(bench, deadline_after(PROBE_EVERY_US), NOBODY);
    commands = guest_farm_commands(bench->farm, PROBED);
    guest_farm_report(bench->farm, PROBED, "change", LOW_BYTES);
    run_until(bench, deadline_after(COMMAND_TIMEOUT_US), PROBED);
    must(guest_farm_commands(bench->farm, PROBED) != commands, "memory was not taken back");
    // Not in step with anything that happens once in so many milliseconds.
    run_until(bench, deadline_after(PROBE_EVERY_US + g_random_int_range(0, 20000)), NOBODY);
    return elapsed_us;
}

static void measure_latency(Bench *bench, const char *name)
{
    for (int i = 0; i < bench->probes; i++) {
        bench_note(bench->figures, (double)probe_us(bench), "%d-guests.%s", bench->count, name);
    }
}

// A number out of /proc/PID/stat, counted as proc(5) does.
static int64_t stat_field(const Bench *bench, int field)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)process_pid(bench->controller));
    g_autofree char *text = NULL;
    must(g_file_get_contents(path, &text, NULL, NULL), "the controller is gone");
    g_auto(GStrv) words = g_strsplit(strrchr(text, ')') + 2, " ", 0);
    return g_ascii_strtoll(words[field - 3], NULL, 10);
}

static int64_t cpu_us(const Bench *bench)
{
    return (stat_field(bench, 14) + stat_field(bench, 15)) * SECOND_US / sysconf(_SC_CLK_TCK);
}

static void measure_load(Bench *bench)
{
    for (int i = 0; i < IDLE_ROUNDS; i++) {
        int64_t began_us = g_get_monotonic_time();
        int64_t used_us = cpu_us(bench);
        run_until(bench, began_us + IDLE_US, NOBODY);
        used_us = cpu_us(bench) - used_us;
        bench_note(bench->figures,
                   100.0 * (double)used_us / (double)(g_get_monotonic_time() - began_us),
                   "%d-guests.processor-percent", bench->count);
    }
    bench_note(bench->figures, (double)(stat_field(bench, 24) * sysconf(_SC_PAGESIZE) / 1024),
               "%d-guests.resident-kib", bench->count);
}

static void measure_while_scraped(Bench *bench)
{
    g_atomic_int_set(&bench->scraping, 1);
    g_autoptr(GThread) thread = g_thread_new("scrape", scrape, bench);
    int64_t began_us = g_get_monotonic_time();
    measure_latency(bench, "report-to-balloon-scraped-us");
    g_atomic_int_set(&bench->scraping, 0);
    double seconds = (double)(g_get_monotonic_time() - began_us) / SECOND_US;
    bench_note(bench->figures, g_atomic_int_get(&bench->scrapes) / seconds,
               "%d-guests.scrapes-per-s", bench->count);
    g_thread_join(g_steal_pointer(&thread));
}

static void measure_while_flooded(Bench *bench)
{
    int fd = guest_farm_agent_fd(bench->farm, FLOODER);
    g_autoptr(GThread) thread = g_thread_new("flood", flood, GINT_TO_POINTER(fd));
    measure_latency(bench, "report-to-balloon-flooded-us");
    shutdown(fd, SHUT_RDWR);
    g_thread_join(g_steal_pointer(&thread));
}

// --- one number of guests ---------------------------------------------------------------------

static void start(Bench *bench)
{
    g_autoptr(GError) error = NULL;
    const char *build = g_getenv("AEROSTAT_BUILD");
    g_autofree char *guests = guest_farm_configuration(bench->farm);
    g_autofree char *journal = g_getenv("AEROSTAT_BENCH_JOURNAL")
                                   ? scratch_path(&bench->scratch, "decisions.jsonl")
                                   : g_strdup("");
    g_autofree char *text =
        g_strdup_printf("[controller]\nmode=reclaim\nsocket=%s/controller.sock\n"
                        "journal=%s\nmetrics=127.0.0.1:%u\n[host]\nreserve=0\nbudget=100%%\n"
                        "[defaults]\nmin=1M\n%s",
                        bench->scratch.folder, journal, bench->metrics_port, guests);
    g_autofree char *config = scratch_write(&bench->scratch, "controller.conf", text, -1);
    g_autofree char *log = scratch_path(&bench->scratch, "controller.log");
    g_autofree char *program =
        g_build_filename(build ? build : "build", "aerostat-controller", NULL);
    const char *arguments[] = {program, "--config", config, NULL};
    bench->controller =
        process_start(&(ProcessOptions){.arguments = arguments, .log_path = log}, &error);
    must(bench->controller != NULL, "the controller cannot be started");
    int64_t deadline_us = deadline_after(START_TIMEOUT_US);
    bench->beat_us = g_get_monotonic_time();
    while (guest_farm_reporting(bench->farm) < bench->count) {
        must(deadline_left_us(deadline_us) > 0, "not all guests were connected to");
        run_until(bench, deadline_after(100 * MS_US), NOBODY);
    }
    // All have reported twice, and what is to be reclaimed at first is.
    report_probed(bench, "change", LOW_BYTES);
    run_until(bench, deadline_after(6 * SECOND_US), NOBODY);
    report_probed(bench, "change", LOW_BYTES);
    run_until(bench, deadline_after(100 * MS_US), NOBODY);
}

static void open_bench(Bench *bench, BenchFigures *figures, int count, int probed, int probes)
{
    *bench = (Bench){.figures = figures, .count = count, .probed = probed, .probes = probes};
    bench->times_us = g_new(double, (gsize)probes);
    bench->metrics_port = http_free_port();
    scratch_init(&bench->scratch);
    bench->farm = guest_farm_new(bench->scratch.folder, count, SMALL_BYTES);
    for (int i = 0; i < probed; i++) {
        guest_farm_resize(bench->farm, i, PROBED_BYTES, 2 * LOW_BYTES);
    }
    start(bench);
}

static void close_bench(Bench *bench)
{
    process_free(bench->controller);
    guest_farm_free(bench->farm);
    scratch_clear(&bench->scratch);
    g_free(bench->times_us);
}

static void measure(BenchFigures *figures, int count, int probes)
{
    Bench bench;
    open_bench(&bench, figures, count, 1, probes);
    measure_load(&bench);
    measure_latency(&bench, "report-to-balloon-us");
    measure_while_scraped(&bench);
    if (count > FLOODER) {
        measure_while_flooded(&bench);
    }
    close_bench(&bench);
}

// --- control clients --------------------------------------------------------------------------

// Clients of the control socket.
typedef struct Clients {
    int fds[CLIENTS];
    GThread *reader; // of every other one
} Clients;

static int connect_client(const Bench *bench)
{
    static const char request[] = "{\"execute\": \"qmp_capabilities\"}\n";
    g_autofree char *path = scratch_path(&bench->scratch, "controller.sock");
    char answer[4096] = "";
    int fd = unix_socket_connect(path, NULL);
    must(fd >= 0 && send(fd, request, strlen(request), MSG_NOSIGNAL) > 0, "no control socket");
    while (!strstr(answer, "\"return\"")) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        poll(&waiting, 1, -1);
        ssize_t count = recv(fd, answer, sizeof(answer) - 1, 0);
        must(count > 0, "a client was turned away");
        answer[count] = '\0';
    }
    return fd;
}

// Reads what every other client is told until all are closed.
static gpointer read_events(gpointer data)
{
    const Clients *clients = data;
    struct pollfd waiting[CLIENTS / 2];
    for (int i = 0; i < CLIENTS / 2; i++) {
        waiting[i] = (struct pollfd){.fd = clients->fds[2 * i], .events = POLLIN};
    }
    for (int open = CLIENTS / 2; open > 0;) {
        poll(waiting, CLIENTS / 2, -1);
        for (int i = 0; i < CLIENTS / 2; i++) {
            char chunk[4096];
            if (waiting[i].revents && recv(waiting[i].fd, chunk, sizeof(chunk), 0) == 0) {
                waiting[i].fd = -1;
                open--;
            }
        }
    }
    return NULL;
}

static void open_clients(const Bench *bench, Clients *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients->fds[i] = connect_client(bench);
    }
    clients->reader = g_thread_new("reader", read_events, clients);
}

static void close_clients(Clients *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        shutdown(clients->fds[i], SHUT_RDWR);
    }
    g_thread_join(clients->reader);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients->fds[i]);
    }
}

// All that are probed call for more memory at once; how long each waited for its command.
static void spike(Bench *bench, double *times_us)
{
    unsigned commands[SPIKING];
    int64_t written_us[SPIKING];
    for (int i = 0; i < SPIKING; i++) {
        commands[i] = guest_farm_commands(bench->farm, i);
        written_us[i] = g_get_monotonic_time();
        guest_farm_report(bench->farm, i, "trend", HIGH_BYTES);
    }
    for (int i = 0; i < SPIKING; i++) {
        if (guest_farm_commands(bench->farm, i) == commands[i]) {
            run_until(bench, deadline_after(COMMAND_TIMEOUT_US), i);
        }
        must(guest_farm_commands(bench->farm, i) != commands[i], "a guest in need got no answer");
        times_us[i] = (double)(guest_farm_commanded_us(bench->farm, i) - written_us[i]);
    }
    run_until(bench, deadline_after(PROBE_EVERY_US), NOBODY);
    report_probed(bench, "change", LOW_BYTES);
    run_until(bench, deadline_after(5 * PROBE_EVERY_US + g_random_int_range(0, 20000)), NOBODY);
}

// The median of what one round saw, and what one in a hundred waited for longer.
static void time_spikes(Bench *bench, double *p50_us, double *p99_us)
{
    int timed = 0;
    for (; timed + SPIKING <= bench->probes; timed += SPIKING) {
        spike(bench, bench->times_us + timed);
    }
    *p50_us = bench_percentile(bench->times_us, timed, 50);
    *p99_us = bench_percentile(bench->times_us, timed, 99);
}

// Events that clients did not read, by the controller's own count.
static int64_t lost_events(const Bench *bench)
{
    static const char name[] = "\naerostat_control_dropped_events_total ";
    g_autofree char *page = http_get(bench->metrics_port, "/metrics", "");
    const char *line = strstr(page, name);
    must(line != NULL, "there is no count of lost events");
    return g_ascii_strtoll(line + strlen(name), NULL, 10);
}

static void note_clients(BenchFigures *figures, const char *name, const double *values_us)
{
    bench_note(figures, values_us[0], "clients.%s-without-us", name);
    bench_note(figures, values_us[1], "clients.%s-with-us", name);
    bench_note(figures, values_us[1] / values_us[0], "clients.%s-ratio", name);
}

static void measure_clients(BenchFigures *figures, int rounds, int probes)
{
    Bench bench;
    open_bench(&bench, figures, CLIENT_GUESTS, SPIKING, MAX(probes, SPIKING));
    for (int i = 0; i < rounds; i++) {
        Clients clients;
        double p50_us[2];
        double p99_us[2];
        time_spikes(&bench, &p50_us[0], &p99_us[0]);
        open_clients(&bench, &clients);
        time_spikes(&bench, &p50_us[1], &p99_us[1]);
        close_clients(&clients);
        note_clients(figures, "p50", p50_us);
        note_clients(figures, "p99", p99_us);
    }
    bench_note(figures, (double)lost_events(&bench), "clients.events-lost");
    close_bench(&bench);
}

int main(void)
{
    static const int counts[] = {1, 100, 1000, 5000};
    const char *only = g_getenv("AEROSTAT_BENCH_ONLY");
    int probes = bench_setting("AEROSTAT_BENCH_PROBES", PROBES, FULL_PROBES, MAX_PROBES);
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "no limit of descriptors");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        if (!only || atoi(only) == counts[i]) {
            BenchFigures *figures = bench_figures_new();
            measure(figures, counts[i], probes);
            bench_print(figures, "scale");
        }
    }
    if (!only || strcmp(only, "clients") == 0) {
        int rounds = bench_setting("AEROSTAT_BENCH_ROUNDS", ROUNDS, FULL_ROUNDS, MAX_ROUNDS);
        BenchFigures *figures = bench_figures_new();
        measure_clients(figures, rounds, probes);
        bench_print(figures, "scale");
    }
    return EXIT_SUCCESS;
}
