// SPDX-License-Identifier: Apache-2.0
//
// aerostatctl: a person's view of the controller. This file reads the command line.
#include "host-controller/config.h"
#include "host-controller/ctl/commands.h"
#include "protocol/units.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// How long to wait unless told otherwise.
#define DEFAULT_TIMEOUT "5min"

// What the command line said.
typedef struct Options {
    char *socket_path;
    gboolean read_only;
    gboolean json;
    gboolean version;
    gboolean names;
    char *sort;
    gboolean wait;
    char *timeout;
    char *name;
    char *hold;
} Options;

static void options_clear(Options *options)
{
    g_free(options->socket_path);
    g_free(options->timeout);
    g_free(options->sort);
    g_free(options->name);
    g_free(options->hold);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

// --- subcommands ------------------------------------------------------------------------------

// Options that some subcommands have.
enum {
    HAS_WAIT = 1 << 0, // --wait and --timeout
    WAITS = 1 << 1,    // --timeout; it waits anyway
    HAS_HOLD = 1 << 2,
    HAS_NAME = 1 << 3,
    HAS_NAMES = 1 << 4,
    HAS_SORT = 1 << 5,
};

typedef struct Subcommand {
    const char *name;
    const char *parameters;
    const char *summary;
    const char *description; // further help
    int min_arguments;
    int max_arguments;
    unsigned options; // that it has besides the common ones
    CtlCommand *run;
} Subcommand;

static const Subcommand subcommands[] = {
    {"list", "", "List all guests",
     "USED is what a guest's processes and kernel hold, DEMAND what the controller thinks it "
     "needs,\n"
     "PRESSURE how much of the last ten seconds some of its tasks waited for memory. Columns that\n"
     "the terminal has no room for are left out; --json has everything.",
     0, 0, HAS_NAMES, ctl_list},
    {"show", "GUEST", "Show everything about a guest, with the reason for its target", NULL, 1, 1,
     0, ctl_show},
    {"explain", "GUEST", "Say why a guest's target is what it is, to the byte",
     "What the target is for, where it comes from, and which rule decided; docs/policy.md has the "
     "rules.",
     1, 1, 0, ctl_explain},
    {"target", "GUEST SIZE|auto", "Set a guest's target, or leave it to the controller",
     "SIZE is a number with K, M, G or T (powers of 1024), such as 512M or 1.5G.", 2, 2, HAS_WAIT,
     ctl_target},
    {"policy", "GUEST [KEY=VALUE]...", "Show or change a guest's range and weight",
     "KEY=VALUE is min=SIZE, max=SIZE or weight=NUMBER. SIZE is a number with K, M, G or T, or a\n"
     "percentage of the guest's size. The word configured in place of a value goes back to what "
     "is\n"
     "configured. A change holds until the controller ends or reads its configuration anew.",
     1, 4, 0, ctl_policy},
    {"top", "", "Watch guests and events on a full screen",
     "Letters sort: n name, u in use, a actual, t target, p pressure, s state. Arrows and pages "
     "move,\n"
     "q ends. With --json, each second is one line.",
     0, 0, HAS_SORT, ctl_top},
    {"manage", "GUEST yes|no|auto", "Allow a guest to be touched, or leave it alone",
     "no: it gets no commands and counts with its whole size. auto: as the configuration says.", 2,
     2, 0, ctl_manage},
    {"add", "GUEST QMP [KEY=VALUE]...", "Look after one more guest, until it is removed",
     "QMP is the path of its monitor's socket. Keys are those of its group in controller.conf(5):\n"
     "agent, min, max, weight and manage.",
     2, 7, 0, ctl_add},
    {"remove", "GUEST", "Let go of a guest that was added", NULL, 1, 1, 0, ctl_remove},
    {"watch", "", "Show events as they happen",
     "Ends when the controller goes away. With --json, each event is one line.", 0, 0, 0,
     ctl_watch},
    {"status", "", "Show the controller and its host", NULL, 0, 0, 0, ctl_status},
    {"mode", "[observe|balance|reclaim]", "Show or change what the controller does",
     "observe: works targets out, but never acts. balance: shrinks guests only as far as the host\n"
     "needs it. reclaim: always takes idle memory back. It holds until the controller ends or "
     "reads\n"
     "its configuration anew.",
     0, 1, 0, ctl_mode},
    {"reload", "", "Have the controller read its configuration anew",
     "With a mistake in it the old one stays in force, and the mistake is told.", 0, 0, 0,
     ctl_reload},
    {"doctor", "", "Find what is wrong on this host, and what mends it",
     "Ends with 0 when nothing is wrong and with 6 when something is.", 0, 0, 0, ctl_doctor},
    {"reserve", "SIZE", "Keep room free for a guest about to start",
     "Without --wait only what is free already is reserved. Exits with 4 when it cannot be had.\n"
     "The reservation ends when its guest has started, when it is released, or after two minutes.",
     1, 1, HAS_WAIT | HAS_HOLD | HAS_NAME, ctl_reserve},
    {"prepare", "GUEST", "Make a guest small and hold it still, for a snapshot or a migration",
     "Waits until the guest is there; exits with 4 when it does not get there in time. It is held\n"
     "for ten minutes unless it is released before.",
     1, 1, WAITS | HAS_HOLD, ctl_prepare},
    {"release", "ID|GUEST", "End a reservation or a preparation", NULL, 1, 1, 0, ctl_release},
    {"claims", "", "List reservations and preparations", NULL, 0, 0, 0, ctl_claims},
};

static const Subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++) {
        if (strcmp(name, subcommands[i].name) == 0) {
            return &subcommands[i];
        }
    }
    return NULL;
}

// --- options ----------------------------------------------------------------------------------

static void add_common_options(GOptionContext *parser, Options *options)
{
    const GOptionEntry entries[] = {
        {"socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket_path,
         "The controller's socket (default: $AEROSTAT_SOCKET or " CONFIG_DEFAULT_SOCKET ")",
         "PATH"},
        {"read-only", 'r', 0, G_OPTION_ARG_NONE, &options->read_only,
         "Use the socket that only tells (default: " CONFIG_DEFAULT_READONLY_SOCKET ")", NULL},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Write JSON instead of text", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_option_context_add_main_entries(parser, entries, NULL);
}

static GOptionContext *new_main_parser(Options *options)
{
    GOptionContext *parser = g_option_context_new("COMMAND ...");
    const GOptionEntry entries[] = {
        {"version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Show the version", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GString) text = g_string_new("Commands:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(subcommands); i++) {
        g_autofree char *usage =
            g_strdup_printf("%s %s", subcommands[i].name, subcommands[i].parameters);
        g_string_append_printf(text, "  %-33s%s\n", usage, subcommands[i].summary);
    }
    g_string_append(text, "\n'aerostatctl COMMAND --help' tells more about a command.");
    add_common_options(parser, options);
    g_option_context_add_main_entries(parser, entries, NULL);
    g_option_context_set_summary(parser, "See and steer the memory of this host's guests.");
    g_option_context_set_description(parser, text->str);
    // Options after the command are the command's.
    g_option_context_set_strict_posix(parser, TRUE);
    return parser;
}

static GOptionContext *new_subcommand_parser(const Subcommand *subcommand, Options *options)
{
    GOptionContext *parser = g_option_context_new(subcommand->parameters);
    const GOptionEntry wait_entries[] = {
        {"wait", 'w', 0, G_OPTION_ARG_NONE, &options->wait, "Stay until it is so", NULL},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry hold_entries[] = {
        {"hold", 0, 0, G_OPTION_ARG_STRING, &options->hold,
         "Let it last this long once it is granted, such as 30s or 2min", "TIME"},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry name_entries[] = {
        {"name", 'n', 0, G_OPTION_ARG_STRING, &options->name,
         "The guest it is for (default: whichever starts next)", "GUEST"},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry timeout_entries[] = {
        {"timeout", 't', 0, G_OPTION_ARG_STRING, &options->timeout,
         "Wait no longer than this, such as 30s or 2min (default: " DEFAULT_TIMEOUT ")", "TIME"},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry list_entries[] = {
        {"names", 0, 0, G_OPTION_ARG_NONE, &options->names, "Only the names, one a line", NULL},
        G_OPTION_ENTRY_NULL,
    };
    const GOptionEntry sort_entries[] = {
        {"sort", 0, 0, G_OPTION_ARG_STRING, &options->sort,
         "By name, use, actual, target, pressure or state (default)", "KEY"},
        G_OPTION_ENTRY_NULL,
    };
    add_common_options(parser, options);
    if (subcommand->options & HAS_SORT) {
        g_option_context_add_main_entries(parser, sort_entries, NULL);
    }
    if (subcommand->options & HAS_NAMES) {
        g_option_context_add_main_entries(parser, list_entries, NULL);
    }
    if (subcommand->options & HAS_WAIT) {
        g_option_context_add_main_entries(parser, wait_entries, NULL);
    }
    if (subcommand->options & (HAS_WAIT | WAITS)) {
        g_option_context_add_main_entries(parser, timeout_entries, NULL);
    }
    if (subcommand->options & HAS_HOLD) {
        g_option_context_add_main_entries(parser, hold_entries, NULL);
    }
    if (subcommand->options & HAS_NAME) {
        g_option_context_add_main_entries(parser, name_entries, NULL);
    }
    g_option_context_set_summary(parser, subcommand->summary);
    g_option_context_set_description(parser, subcommand->description);
    return parser;
}

// --- mistakes on the command line -------------------------------------------------------------

static CtlExit complain_usage(const Subcommand *subcommand, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static CtlExit complain_usage(const Subcommand *subcommand, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, "aerostatctl: %s\nTry 'aerostatctl %s%s--help'.\n", message,
            subcommand ? subcommand->name : "", subcommand ? " " : "");
    return CTL_EXIT_USAGE;
}

// Which socket to use: the one that was named, or else the usual one.
static void choose_socket(const Options *options, CtlContext *context)
{
    const char *named = options->socket_path;
    if (!named) {
        named = g_getenv(options->read_only ? "AEROSTAT_READONLY_SOCKET" : "AEROSTAT_SOCKET");
    }
    if (named && *named) {
        context->socket_path = named;
    } else if (options->read_only) {
        context->socket_path = CONFIG_DEFAULT_READONLY_SOCKET;
    } else {
        context->socket_path = CONFIG_DEFAULT_SOCKET;
        context->fallback_path = CONFIG_DEFAULT_READONLY_SOCKET;
    }
}

// Turns what was said into a context. False when it makes no sense.
static bool apply_options(const Subcommand *subcommand, const Options *options, CtlContext *context)
{
    g_autoptr(GError) error = NULL;
    choose_socket(options, context);
    context->names_only = options->names;
    context->sort = options->sort;
    context->json = options->json;
    context->wait = options->wait || (subcommand->options & WAITS);
    context->name = options->name;
    if (options->timeout && !context->wait) {
        complain_usage(subcommand, "--timeout makes sense only together with --wait");
        return false;
    }
    if (!duration_parse(options->timeout ? options->timeout : DEFAULT_TIMEOUT, &context->timeout_us,
                        &error)) {
        complain_usage(subcommand, "--timeout: %s", error->message);
        return false;
    }
    if (options->hold && !duration_parse(options->hold, &context->hold_us, &error)) {
        complain_usage(subcommand, "--hold: %s", error->message);
        return false;
    }
    if (options->name && !g_utf8_validate(options->name, -1, NULL)) {
        complain_usage(subcommand, "--name is not UTF-8");
        return false;
    }
    return true;
}

static bool check_arguments(const Subcommand *subcommand, int count, char **arguments)
{
    if (count < subcommand->min_arguments || count > subcommand->max_arguments) {
        complain_usage(subcommand, "usage: aerostatctl %s %s", subcommand->name,
                       subcommand->parameters);
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (!g_utf8_validate(arguments[i], -1, NULL)) {
            complain_usage(subcommand, "an argument is not UTF-8");
            return false;
        }
    }
    return true;
}

// --- terminals --------------------------------------------------------------------------------

static bool is_smart_terminal(int fd)
{
    return isatty(fd) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

static TextStyle style_of(int fd)
{
    struct winsize size = {0};
    bool terminal = is_smart_terminal(fd);
    const char *no_colour = g_getenv("NO_COLOR");
    TextStyle style = {
        .colour = terminal && !(no_colour && *no_colour),
        .unicode = g_get_charset(NULL),
    };
    if (terminal && ioctl(fd, TIOCGWINSZ, &size) == 0) {
        style.width = size.ws_col;
    }
    return style;
}

// --- main -------------------------------------------------------------------------------------

static CtlExit run_subcommand(const Subcommand *subcommand, int argc, char **argv, Options *options)
{
    g_autofree char *program = g_strdup_printf("aerostatctl %s", subcommand->name);
    g_set_prgname(program);
    g_autoptr(GOptionContext) parser = new_subcommand_parser(subcommand, options);
    g_autoptr(GError) error = NULL;
    if (!g_option_context_parse(parser, &argc, &argv, &error)) {
        return complain_usage(subcommand, "%s", error->message);
    }
    CtlContext context = {
        .out = stdout,
        .err = stderr,
        .out_style = style_of(STDOUT_FILENO),
        .err_style = style_of(STDERR_FILENO),
        .show_progress = is_smart_terminal(STDERR_FILENO),
    };
    if (!check_arguments(subcommand, argc - 1, argv + 1) ||
        !apply_options(subcommand, options, &context)) {
        return CTL_EXIT_USAGE;
    }
    return subcommand->run(&context, argv + 1);
}

static CtlExit run(int argc, char **argv)
{
    g_auto(Options) options = {0};
    g_autoptr(GOptionContext) parser = new_main_parser(&options);
    g_autoptr(GError) error = NULL;
    if (!g_option_context_parse(parser, &argc, &argv, &error)) {
        return complain_usage(NULL, "%s", error->message);
    }
    if (options.version) {
        printf("aerostatctl %s\n", AEROSTAT_VERSION);
        return CTL_EXIT_OK;
    }
    if (argc < 2) {
        return complain_usage(NULL, "which command?");
    }
    const Subcommand *subcommand = find_subcommand(argv[1]);
    if (!subcommand) {
        return complain_usage(NULL, "there is no command '%s'", argv[1]);
    }
    return run_subcommand(subcommand, argc - 1, argv + 1, &options);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    // Numbers are written with a point, whatever the language: they are read by programs too.
    setlocale(LC_NUMERIC, "C");
    g_set_prgname("aerostatctl");
    return (int)run(argc, argv);
}
