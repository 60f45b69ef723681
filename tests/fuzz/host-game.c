// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/host-game.h"

#include "host-controller/control-events.h"
#include "protocol/json.h"
#include "protocol/limits.h"
#include "tests/fuzz/host-json.h"
#include "tests/fuzz/virtual-loop.h"

#include <sanitizer/allocator_interface.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOST_BYTES (8192 * PLAYED_MIB)
#define FIRST_SIZE_BYTES (512 * PLAYED_MIB)
// Each guest's two unfinished lines, as large as they may get and in a buffer that grows by
// doubling, what was read beyond them, and what this program keeps for it.
#define MOST_BYTES                                                                                 \
    (HOST_GAME_GUESTS * (2 * (LIMIT_QEMU_LINE_BYTES + LIMIT_AGENT_LINE_BYTES) +                    \
                         2 * LIMIT_READ_BURST_BYTES + 512 * 1024))
#define NOISE_BYTES (4 * PLAYED_MIB)
// In a stretch of time the second moment is at least this long after the first.
#define FIRST_STRIDE_US INT64_C(1000)
// At its end a controller that gives all memory back takes this long.
#define END_US INT64_C(11000000)

// --- the host's files -------------------------------------------------------------------------

static HostGame *playing;

static char *host_file(HostGame *game, const char *path)
{
    int pid;
    if (strcmp(path, "/fuzz/proc/meminfo") == 0) {
        return g_strdup_printf("MemTotal: %" G_GINT64_FORMAT " kB\nMemAvailable: %" G_GINT64_FORMAT
                               " kB\n",
                               HOST_BYTES / 1024, game->available_bytes / 1024);
    }
    if (strcmp(path, "/fuzz/proc/vmstat") == 0) {
        return g_strdup_printf("pswpout %" G_GINT64_FORMAT "\n", game->swapped_pages);
    }
    if (strcmp(path, "/fuzz/proc/pressure/memory") == 0) {
        return g_strdup_printf("some avg10=%u.00 avg60=0.00 avg300=0.00 total=0\n"
                               "full avg10=%u.00 avg60=0.00 avg300=0.00 total=0\n",
                               game->stalled_percent, game->stalled_percent / 2);
    }
    path += g_str_has_prefix(path, "/fuzz") ? strlen("/fuzz") : 0;
    char *status = NULL;
    for (guint i = 0; i < game->count && !status && sscanf(path, "/proc/%d/", &pid) == 1; i++) {
        status = played_guest_process(&game->guests[i], pid);
    }
    return status;
}

// In the place of GLib's: the kernel's files of a host that is played.
gboolean g_file_get_contents(const gchar *path, gchar **contents, gsize *length, GError **error)
{
    *contents = playing ? host_file(playing, path) : NULL;
    if (length) {
        *length = *contents ? strlen(*contents) : 0;
    }
    if (!*contents) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "%s: not there", path);
    }
    return *contents != NULL;
}

const char *host_game_write_config(const HostGame *game)
{
    static const char *const mins[] = {"0%", "25%", "50%", "200M"};
    static int fd = -1;
    static char path[32];
    g_autoptr(GString) text = g_string_new("[discovery directory]\npath=\n[host]\nreserve=1%\n");
    if (game->budget_mib > 0) {
        g_string_append_printf(text, "budget=%" G_GINT64_FORMAT "M\n", game->budget_mib);
    }
    g_string_append_printf(text, "[controller]\nmode=%s\non-exit=%s\n[defaults]\nmin=%s\n",
                           controller_mode_name(game->mode % CONTROLLER_MODE_COUNT),
                           game->releases ? "release" : "keep",
                           mins[game->min % G_N_ELEMENTS(mins)]);
    for (guint i = 0; i < game->count - game->last_is_added; i++) {
        const char *name = game->guests[i].name;
        g_string_append_printf(text, "[guest %s]\nqmp=/fuzz/%s.qmp\n", name, name);
        if (game->agents & 1U << i) {
            g_string_append_printf(text, "agent=/fuzz/%s.agent\n", name);
        }
    }
    if (fd < 0) {
        fd = memfd_create("controller.conf", MFD_CLOEXEC);
        g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    g_assert_true(ftruncate(fd, 0) == 0);
    g_assert_true(pwrite(fd, text->str, text->len, 0) == (ssize_t)text->len);
    return path;
}

// --- what must hold ---------------------------------------------------------------------------

const Guest *host_game_known(const HostGame *game, const PlayedGuest *guest)
{
    const Guest *found = controller_find_guest(game->controller, guest->name, NULL);
    return found && guest_is_known(found) ? found : NULL;
}

// L2 against the truth: the controller never counts on less than what the guest may come to hold as
// it was told. What a guest took by itself it can know only when QEMU has told; and it takes QEMU's
// count and the guest's for the same when they differ by no more than the noise.
static void check_account(const HostGame *game, PlayedGuest *guest)
{
    const HostLawsGuest *seen = host_laws_find(&game->laws, guest->name);
    if (!seen || !guest_is_known(seen->guest) || !guest->truthful || !guest->commanded ||
        !guest->monitor.listens) {
        return;
    }
    int64_t may_hold_bytes = played_guest_may_hold(guest) - NOISE_BYTES;
    if (guest->ahead) {
        // Who is told twice has heard it once; that both count the same before is chance.
        guest->ahead = guest->told < 2 || seen->ceiling_bytes < may_hold_bytes ||
                       seen->guest->balloon.actual_bytes != guest->held_bytes;
    } else {
        g_assert_cmpint(seen->ceiling_bytes, >=, may_hold_bytes);
    }
}

static void check_accounts(HostGame *game)
{
    for (guint i = 0; i < game->count; i++) {
        check_account(game, &game->guests[i]);
    }
}

// Without the sanitizer nobody counts.
static size_t allocated_bytes(void)
{
#if __has_feature(address_sanitizer)
    return __sanitizer_get_current_allocated_bytes();
#else
    return 0;
#endif
}

static void check_memory(const HostGame *game)
{
    g_assert_cmpuint(allocated_bytes(), <=, game->began_bytes + MOST_BYTES);
}

// --- the world --------------------------------------------------------------------------------

static void stepped(void *context)
{
    HostGame *game = context;
    host_laws_check(&game->laws);
    check_accounts(game);
}

static int connected(const char *path, int fd, pid_t *pid, void *context)
{
    HostGame *game = context;
    for (guint i = 0; i < game->count; i++) {
        int code = played_guest_connected(&game->guests[i], path, fd, pid);
        if (code >= 0) {
            return code;
        }
    }
    g_assert_not_reached();
}

static const VirtualWorld world = {.stepped = stepped, .connected = connected};

static void on_event(const char *name, json_t *data, void *context)
{
    (void)context;
    g_assert_true(control_event_bit(name) != 0 && json_is_object(data));
    json_decref(data);
}

static void on_later(const json_t *reply, void *context)
{
    (void)context;
    g_assert_true(json_object_get(reply, "return") || json_object_get(reply, "error"));
}

static void on_ended(void *context)
{
    HostGame *game = context;
    game->ended = true;
}

void host_game_request(HostGame *game, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_strdelimit(text, "'", '"');
    QmpResult result;
    qmp_serve_line(control_commands, control_gate, &game->control, text, strlen(text), &result);
    control_later_keep(game->control.later, result.reply);
    g_autofree char *line = json_message_format(result.reply);
    g_assert_true(line[0] == '{');
    qmp_result_clear(&result);
    host_laws_note(&game->laws, game->controller);
}

// --- a game -----------------------------------------------------------------------------------

static void begin_guests(HostGame *game, const HostGameMove *opening)
{
    int64_t sum_bytes = 0;
    for (guint i = 0; i < game->count; i++) {
        int64_t size_bytes = FIRST_SIZE_BYTES << i;
        int64_t held_bytes = size_bytes / 32 * (17 + (opening->b & 15));
        played_guest_init(&game->guests[i], i, size_bytes, held_bytes);
        sum_bytes += size_bytes;
    }
    game->budget_mib = sum_bytes / PLAYED_MIB * opening->a / 192;
}

void host_game_begin(HostGame *game, const HostGameMove *opening)
{
    size_t began_bytes = allocated_bytes();
    *game = (HostGame){
        .count = 1 + opening->action % HOST_GAME_GUESTS,
        .mode = opening->action >> 4,
        .min = opening->who,
        .releases = opening->who >> 2 & 1,
        .last_is_added = opening->who >> 3 & 1,
        .agents = ~(unsigned)opening->b >> 4,
        .available_bytes = HOST_BYTES / 2,
        .began_bytes = began_bytes,
    };
    playing = game;
    virtual_loop_begin(&world, game);
    begin_guests(game, opening);
    const char *path = host_game_write_config(game);
    Config *config = config_load(path, false, NULL);
    game->controller = controller_new(config, path, "/fuzz", NULL);
    game->control = (ControlContext){
        .controller = game->controller,
        .negotiated = true,
        .later = control_later_new(game->controller, on_later, NULL),
    };
    controller_set_event_func(game->controller, on_event, NULL);
    host_laws_note(&game->laws, game->controller);
    virtual_loop_rest();
}

void host_game_pass(HostGame *game, int64_t us)
{
    unsigned left = HOST_GAME_MOMENTS - MIN(game->moments, HOST_GAME_MOMENTS);
    game->moments += virtual_loop_pass(us, FIRST_STRIDE_US, MIN(left, HOST_GAME_STRETCH_MOMENTS));
}

void host_game_move(HostGame *game, const HostGameMove *move)
{
    PlayedGuest *guest = &game->guests[(move->who & 3) % game->count];
    host_game_act(game, guest, move);
    virtual_loop_rest();
    check_accounts(game);
    check_memory(game);
}

void host_game_end(HostGame *game)
{
    controller_end(game->controller, on_ended, game);
    if (!game->ended) {
        host_game_pass(game, END_US);
    }
    g_assert_true(game->ended);
    control_later_free(game->control.later);
    controller_free(game->controller);
    for (guint i = 0; i < game->count; i++) {
        played_guest_clear(&game->guests[i]);
    }
    g_assert_cmpuint(host_json_pieces(), ==, 0);
    playing = NULL;
}
