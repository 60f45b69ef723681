// SPDX-License-Identifier: Apache-2.0
//
// aerostat-libvirt: stands between libvirt and aerostat-controller on a host. Reads the
// configuration, runs the loop, ends on a signal.
#include "host-controller/config.h"
#include "host-controller/libvirt/bridge.h"
#include "host-controller/libvirt/connection.h"
#include "protocol/json.h"
#include "protocol/transport/service-log.h"
#include "protocol/transport/service-notify.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_URI "qemu:///system"

typedef struct Options {
    char *config_path;
    char *uri;
    char *folder;
    gboolean version;
} Options;

static void clear_options(Options *options)
{
    g_free(options->config_path);
    g_free(options->uri);
    g_free(options->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, clear_options)

static bool parse_options(int argc, char **argv, Options *options, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config_path,
         "The controller's configuration file (default: " CONFIG_DEFAULT_PATH ")", "FILE"},
        {"uri", 'u', 0, G_OPTION_ARG_STRING, &options->uri,
         "libvirt's uri (default: as configured, or " DEFAULT_URI ")", "URI"},
        {"directory", 'd', 0, G_OPTION_ARG_FILENAME, &options->folder,
         "Where the controller finds guests (default: as configured, or " CONFIG_DEFAULT_DIRECTORY
         ")",
         "DIR"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Show the version and exit", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- show libvirt's domains to aerostat-controller");
    g_option_context_set_summary(context, "Makes every running domain a guest that "
                                          "aerostat-controller finds by itself.");
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

static gboolean on_end_signal(void *context)
{
    g_main_loop_quit(context);
    return G_SOURCE_REMOVE;
}

// What the command line does not say the configuration does, or it is as usual. CONFIG_ERROR.
static bool complete(Options *options, GError **error)
{
    if (options->uri && options->folder) {
        return true;
    }
    const char *path = options->config_path ? options->config_path : CONFIG_DEFAULT_PATH;
    g_autoptr(Config) config = config_load(path, !options->config_path, error);
    if (!config) {
        return false;
    }
    if (!options->uri) {
        options->uri = g_strdup(config->libvirt_uri ? config->libvirt_uri : DEFAULT_URI);
    }
    if (!options->folder) {
        const char *folder = config->discovery_path;
        options->folder = g_strdup(folder ? folder : CONFIG_DEFAULT_DIRECTORY);
    }
    return true;
}

static void run(const char *uri, const char *folder)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGTERM, on_end_signal, loop);
    g_unix_signal_add(SIGINT, on_end_signal, loop);
    // Threads use it at once.
    json_object_seed(0);
    connection_start();
    Bridge *bridge = bridge_new(uri, folder);
    g_message("aerostat-libvirt %s follows %s in %s", AEROSTAT_VERSION, uri, folder);
    service_notify_ready();
    g_main_loop_run(loop);
    service_notify("STOPPING=1");
    (void)bridge; // its threads may be in calls that nobody can end
}

int main(int argc, char **argv)
{
    g_auto(Options) options = {0};
    g_autoptr(GError) error = NULL;
    if (!parse_options(argc, argv, &options, &error)) {
        fprintf(stderr, "aerostat-libvirt: %s\nTry 'aerostat-libvirt --help'.\n", error->message);
        return EX_USAGE;
    }
    if (options.version) {
        printf("aerostat-libvirt %s\n", AEROSTAT_VERSION);
        return EXIT_SUCCESS;
    }
    service_log_start(false);
    if (!complete(&options, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return EX_CONFIG;
    }
    const char *folder = options.folder;
    if (g_mkdir_with_parents(folder, 0755) != 0 || g_access(folder, W_OK | X_OK) != 0) {
        fprintf(stderr, "aerostat-libvirt: %s: %s\n", folder, g_strerror(errno));
        return EX_CANTCREAT;
    }
    run(options.uri, folder);
    // Not exit(): it would take libvirt apart under the threads that use it.
    _exit(EXIT_SUCCESS);
}
