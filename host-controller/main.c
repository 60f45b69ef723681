// SPDX-License-Identifier: Apache-2.0
//
// aerostat-controller: one a host. Reads the configuration, runs the loop, ends on a signal.
#include "host-controller/metrics-server.h"

#include "protocol/transport/service-log.h"
#include "protocol/transport/service-notify.h"

#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

typedef struct Options {
    char *config_path;
    char *socket_path;
    char *host_root; // where tests have their /proc and /sys; NULL: the running system's
    gboolean check_config;
    gboolean verbose;
    gboolean version;
} Options;

static bool parse_options(int argc, char **argv, Options *options, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config_path,
         "Configuration file (default: " CONFIG_DEFAULT_PATH ")", "FILE"},
        {"check-config", 0, 0, G_OPTION_ARG_NONE, &options->check_config,
         "Check the configuration, say all that is wrong with it, and exit", NULL},
        {"socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket_path,
         "Control socket (default: as configured)", "PATH"},
        {"host-root", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options->host_root, NULL,
         NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log every decision", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Show the version and exit", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- size the memory of this host's guests");
    g_option_context_set_summary(context,
                                 "Takes the reports of the guests' agents, works out what each "
                                 "guest should have, and moves their\nballoons there.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error)) {
        return false;
    }
    if (argc > 1) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "unexpected argument '%s'",
                    argv[1]);
        return false;
    }
    return true;
}

typedef struct Ending {
    Controller *controller;
    GMainLoop *loop;
} Ending;

static void on_ended(void *context)
{
    g_main_loop_quit(context);
}

static void end(void *context)
{
    const Ending *ending = context;
    controller_end(ending->controller, on_ended, ending->loop);
}

static gboolean on_end_signal(void *context)
{
    end(context);
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload_signal(void *context)
{
    g_autoptr(GError) error = NULL;
    if (!controller_reload(context, &error)) {
        g_warning("the old configuration stays in force:\n%s", error->message);
    }
    return G_SOURCE_CONTINUE;
}

// As many guests as there are want two descriptors each.
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// Without its metrics the controller still serves its guests: somebody else on the port is no
// reason to leave them alone.
static MetricsServer *start_metrics(const char *address, const Controller *controller,
                                    const ControlServer *control)
{
    g_autoptr(GError) error = NULL;
    MetricsServer *metrics =
        address ? metrics_server_new(address, controller, control, &error) : NULL;
    if (error) {
        g_warning("no metrics: %s", error->message);
    }
    return metrics;
}

// What `config` says, unless the command line names the socket. Free `*readonly_path` with
// g_free().
static ControlSockets find_sockets(const Config *config, const char *path, char **readonly_path)
{
    *readonly_path =
        config->readonly_path ? g_strdup(config->readonly_path) : config_readonly_path(path);
    return (ControlSockets){
        .path = path,
        .group = config->socket_group,
        .readonly_path = **readonly_path ? *readonly_path : NULL,
        .readonly_group = config->readonly_group ? config->readonly_group : config->socket_group,
    };
}

static int run(Config *config, const char *config_path, const Options *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autofree char *socket_path =
        g_strdup(options->socket_path ? options->socket_path : config->socket_path);
    g_autofree char *metrics_address = g_strdup(config->metrics_address);
    g_autofree char *socket_folder = g_path_get_dirname(socket_path);
    g_autoptr(Controller) controller =
        controller_new(config, config_path, options->host_root, &error);
    if (!controller) {
        config_free(config);
        fprintf(stderr, "aerostat-controller: %s\n", error->message);
        return EX_OSERR;
    }
    Ending ending = {.controller = controller, .loop = loop};
    // Whoever sees the socket may already send signals.
    g_unix_signal_add(SIGTERM, on_end_signal, &ending);
    g_unix_signal_add(SIGINT, on_end_signal, &ending);
    g_unix_signal_add(SIGHUP, on_reload_signal, controller);
    // /run is empty after a boot; what goes wrong here the socket tells.
    g_mkdir_with_parents(socket_folder, 0755);
    g_autofree char *readonly_path = NULL;
    ControlSockets sockets = find_sockets(config, socket_path, &readonly_path);
    g_autoptr(ControlServer) server =
        control_server_new(&sockets, controller, end, &ending, &error);
    if (!server) {
        fprintf(stderr, "aerostat-controller: %s\n", error->message);
        return EX_CANTCREAT;
    }
    MetricsServer *metrics = start_metrics(metrics_address, controller, server);
    g_message("aerostat-controller %s listens at %s", AEROSTAT_VERSION, socket_path);
    service_notify_ready();
    g_main_loop_run(loop);
    service_notify("STOPPING=1");
    metrics_server_free(metrics);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    Options options = {0};
    g_autoptr(GError) error = NULL;
    if (!parse_options(argc, argv, &options, &error)) {
        fprintf(stderr, "aerostat-controller: %s\nTry 'aerostat-controller --help'.\n",
                error->message);
        return EX_USAGE;
    }
    if (options.version) {
        printf("aerostat-controller %s\n", AEROSTAT_VERSION);
        return EXIT_SUCCESS;
    }
    service_log_start(options.verbose);
    g_autofree char *host_root = options.host_root ? options.host_root : g_strdup("");
    options.host_root = host_root;
    g_autofree char *config_path =
        options.config_path ? options.config_path : g_strdup(CONFIG_DEFAULT_PATH);
    Config *config =
        config_load(config_path, !options.config_path && !options.check_config, &error);
    if (!config) {
        fprintf(stderr, "%s\n", error->message);
        return EX_CONFIG;
    }
    if (options.check_config) {
        printf("%s: correct, %u guests\n", config_path, config->guests->len);
        config_free(config);
        return EXIT_SUCCESS;
    }
    raise_descriptor_limit();
    return run(config, config_path, &options);
}
