// SPDX-License-Identifier: Apache-2.0
//
// aerostat-agent: tells the host what the guest's memory is like, over a virtio-serial port.
#include "agent/config.h"
#include "agent/listener.h"
#include "agent/port.h"
#include "agent/sampler.h"
#include "agent/server.h"
#include "agent/survival.h"
#include "protocol/transport/service-notify.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sysexits.h>

#define EXIT_USAGE 2
#define US_PER_MS 1000

typedef struct Options {
    char *port;
    char *socket;
    char *config;
    gboolean check_config;
    gboolean report;
    gboolean version;
} Options;

static int fail(int status, const char *message)
{
    g_printerr("aerostat-agent: %s\n", message);
    return status;
}

// Returns -1 to go on, or the exit status.
static int parse_options(int argc, char **argv, Options *options)
{
    const GOptionEntry entries[] = {
        {"port", 0, 0, G_OPTION_ARG_STRING, &options->port,
         "Serve the virtio-serial port of this name, or the device at this path "
         "(default: " PORT_DEFAULT_NAME ")",
         "NAME"},
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket,
         "Serve a unix socket at PATH instead of a port", "PATH"},
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &options->config,
         "Read the configuration from PATH (default: " AGENT_CONFIG_DEFAULT_PATH ", if it exists)",
         "PATH"},
        {"check-config", 0, 0, G_OPTION_ARG_NONE, &options->check_config,
         "Tell of every mistake in the configuration and exit", NULL},
        {"report", 0, 0, G_OPTION_ARG_NONE, &options->report, "Print one report and exit", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version and exit", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- report this guest's memory to the host");
    g_autoptr(GError) error = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        return fail(EXIT_USAGE, error->message);
    }
    if (argc > 1) {
        return fail(EXIT_USAGE, "takes options only (see --help)");
    }
    if (options->port && options->socket) {
        return fail(EXIT_USAGE, "--port and --socket exclude each other");
    }
    if (options->version) {
        printf("aerostat-agent %s\n", AEROSTAT_VERSION);
        return EXIT_SUCCESS;
    }
    return -1;
}

static int print_report(Sampler *sampler)
{
    g_autoptr(GError) error = NULL;
    MemoryReport report;
    if (!sampler_read(sampler, &report, &error)) {
        return fail(EXIT_FAILURE, error->message);
    }
    report.reason = REPORT_REASON_REQUEST;
    report.sequence = 1;
    g_autoptr(json_t) json = memory_report_to_json(&report);
    if (json_dumpf(json, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF ||
        fflush(stdout) == EOF) {
        return fail(EXIT_FAILURE, "cannot write the report");
    }
    return EXIT_SUCCESS;
}

static gboolean on_stop(int fd, GIOCondition condition, void *data)
{
    (void)fd;
    (void)condition;
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

// g_unix_signal_add() would take a thread, whose stack is the largest thing this process has.
static bool quit_on_signals(GMainLoop *loop)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0) {
        return false;
    }
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    g_unix_fd_add(fd, G_IO_IN, on_stop, loop);
    return true;
}

static gboolean on_watchdog(void *data)
{
    (void)data;
    service_notify("WATCHDOG=1");
    return G_SOURCE_CONTINUE;
}

static void start_watchdog(void)
{
    int64_t interval_us = service_watchdog_interval_us();
    if (interval_us > 0) {
        g_timeout_add((guint)CLAMP(interval_us / US_PER_MS, 1, G_MAXINT), on_watchdog, NULL);
    }
}

static int serve(const AgentConfig *config, const Options *options, Sampler *sampler)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    // Whoever sees the socket may already want the agent to end.
    if (!quit_on_signals(loop)) {
        return fail(EXIT_FAILURE, g_strerror(errno));
    }
    survival_prepare();
    const AgentServerSettings settings = {
        .root = "",
        .interval_ms = config->interval_ms,
        .heartbeat_ms = config->heartbeat_ms,
    };
    g_autoptr(AgentServer) server = agent_server_new(sampler, &settings);
    const char *name = options->port ? options->port : config->port;
    g_autoptr(Port) port = options->socket ? NULL : port_new(name, server);
    g_autoptr(Listener) listener = port ? NULL : listener_new(options->socket, server, &error);
    if (!port && !listener) {
        return fail(EXIT_FAILURE, error->message);
    }
    service_notify("READY=1");
    start_watchdog();
    g_main_loop_run(loop);
    service_notify("STOPPING=1");
    return EXIT_SUCCESS;
}

static int configure_and_serve(const Options *options, Sampler *sampler)
{
    g_autoptr(GError) error = NULL;
    const char *path = options->config ? options->config : AGENT_CONFIG_DEFAULT_PATH;
    bool is_optional = !options->config && !options->check_config;
    g_autoptr(AgentConfig) config = agent_config_load(path, is_optional, &error);
    if (!config) {
        // Each line tells its file.
        g_printerr("%s\n", error->message);
        return EX_CONFIG;
    }
    if (options->check_config) {
        printf("%s: correct\n", path);
        return EXIT_SUCCESS;
    }
    return serve(config, options, sampler);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    // A reader of --report that goes away early is an error to report, not a reason to die of.
    signal(SIGPIPE, SIG_IGN);
    Options options = {0};
    int status = parse_options(argc, argv, &options);
    if (status < 0) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Sampler) sampler = sampler_new("", &error);
        if (!sampler) {
            status = fail(EXIT_FAILURE, error->message);
        } else {
            status =
                options.report ? print_report(sampler) : configure_and_serve(&options, sampler);
        }
    }
    g_free(options.port);
    g_free(options.socket);
    g_free(options.config);
    return status;
}
