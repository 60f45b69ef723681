// SPDX-License-Identifier: Apache-2.0
//
// The moves of a game: what guests, QEMUs and the host may do. Its operator's are in host-orders.c.
#include "tests/fuzz/host-moves.h"

#include "tests/fuzz/virtual-loop.h"

#include <string.h>

// Moves below this let a moment pass.
#define PASSING 64
#define SECOND_US INT64_C(1000000)
// All being honest again, the controller finds everybody within this time.
#define CALM_US (30 * SECOND_US)
#define CALM_MOMENTS 1000
// Most of it is busy; in the end nothing is late.
#define CALM_STRIDE_US INT64_C(1000)
#define CALM_END_US (3 * SECOND_US)
// A balloon that moves so fast is seen so near to where it is.
#define CALM_RATE_BYTES (1024 * PLAYED_MIB)
#define CALM_DISTANCE_BYTES (32 * PLAYED_MIB)
// One in so many moves that could begin the calm does: it takes long.
#define CALM_RARITY 32

// Numbers that no guest has, or that none should.
static const char *const numbers[] = {
    "-1",
    "0",
    "1",
    "4096",
    "1048577",
    "268435456",
    "536870912",
    "1073741824",
    "4611686018427387903",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "1e400",
    "0.5",
    "null",
    "true",
    "\"\"",
    "[]",
    "281474976710656",
    "140737488355328",
};

static const char *number_of(const HostGameMove *move)
{
    return numbers[move->a % G_N_ELEMENTS(numbers)];
}

static PlayedPeer *peer_of(PlayedGuest *guest, const HostGameMove *move)
{
    return host_move_variant(move) & 1 ? &guest->port : &guest->monitor;
}

static MemoryReportReason reason_of(const HostGameMove *move)
{
    return (MemoryReportReason)(move->b % REPORT_REASON_COUNT);
}

// --- time -------------------------------------------------------------------------------------

static void pass_seconds(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    host_game_pass(game, (1 + move->a % 60) * SECOND_US);
}

// The controller was stopped, up to four hours.
static void leap(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    (void)guest;
    virtual_loop_pass((1 + move->a) * 60 * SECOND_US, 0, 0);
}

// --- the guest's memory -----------------------------------------------------------------------

static void use_memory(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    guest->used_bytes = host_move_size(guest, move);
    guest->stall_us += host_move_variant(move) & 1 ? SECOND_US / 4 : 0;
    guest->refault_bytes += host_move_variant(move) & 2 ? 64 * PLAYED_MIB : 0;
    played_agent_report(guest, reason_of(move), 0, NULL);
}

static void report_falsely(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    PlayedField field = (PlayedField)(host_move_variant(move) % PLAYED_FIELD_COUNT);
    played_agent_report(guest, reason_of(move), field, number_of(move));
}

static void change_rate(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const int64_t rates_mib[] = {0, 1, 64, 1024, 1024 * 1024};
    (void)game;
    played_guest_held(guest);
    guest->rate_bytes_per_s = rates_mib[move->a % G_N_ELEMENTS(rates_mib)] * PLAYED_MIB;
}

static void move_balloon(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_qemu_move(guest, host_move_size(guest, move));
    if (host_move_variant(move) & 1) {
        played_qemu_emit(guest, "BALLOON_CHANGE", "{\"actual\":1}");
    }
}

static void lie_about_balloon(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    guest->lies = host_move_variant(move) & 1 ? number_of(move) : NULL;
}

static void lie_about_size(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    guest->lies_size = host_move_variant(move) & 1 ? number_of(move) : NULL;
    played_qemu_emit(guest, "MEMORY_DEVICE_SIZE_CHANGE", NULL);
}

static void keep_memory(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    guest->frees_nothing = move->a & 1;
}

// --- its life ---------------------------------------------------------------------------------

// What the controller was told of in time, it counts with.
static void reset(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)move;
    const Guest *known = host_game_known(game, guest);
    bool heard = known && known->has_balloon && qmp_client_is_ready(known->qmp) &&
                 guest->monitor.clean && guest->monitor.fd >= 0 &&
                 guest->monitor.manner == PLAYED_HONEST;
    played_qemu_reset(guest);
    heard &= guest->monitor.heard_us <= g_get_monotonic_time();
    virtual_loop_rest();
    if (heard && guest->truthful) {
        GuestHolding holding = guest_holding(known, g_get_monotonic_time());
        g_assert_cmpint(holding.ceiling_bytes, >=, played_guest_held(guest));
    }
}

static void halt(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const events[] = {"STOP", "SUSPEND", "SUSPEND_DISK", "SHUTDOWN"};
    (void)game;
    played_guest_held(guest);
    guest->running = host_move_variant(move) & 1;
    played_qemu_emit(guest, events[move->a % G_N_ELEMENTS(events)], NULL);
}

static void resume(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_guest_held(guest);
    guest->running = !(host_move_variant(move) & 1);
    played_qemu_emit(guest, move->a & 1 ? "RESUME" : "WAKEUP", NULL);
}

static void migrate(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const statuses[] = {
        "setup", "active", "postcopy-active", "completed", "failed", "cancelled", "none", "?"};
    (void)game;
    guest->migration = statuses[move->a % G_N_ELEMENTS(statuses)];
    g_autofree char *data = g_strdup_printf("{\"status\":\"%s\"}", guest->migration);
    played_qemu_emit(guest, "MIGRATION", data);
}

static void change_device(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_qemu_set_device(guest, move->a & 1);
}

static void plug_memory(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_qemu_plug(guest, move->a % 3 * 256 * PLAYED_MIB);
}

static void end_or_start(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    if (move->a & 1) {
        played_qemu_start(guest);
    } else {
        played_qemu_end(guest);
    }
}

// --- misbehaviour -----------------------------------------------------------------------------

static void change_manner(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_peer_set_manner(peer_of(guest, move), (PlayedManner)(move->a % PLAYED_MANNER_COUNT));
}

static void drop(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    played_peer_drop(peer_of(guest, move));
}

static void close_or_open_port(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    guest->port.listens = guest->monitor.listens && move->a & 1;
    guest->beats = !(move->a & 2);
    if (!guest->port.listens) {
        played_peer_drop(&guest->port);
    }
}

static void talk_rubbish(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const rubbish[] = {
        "\n",
        "{\n",
        "}\n",
        "{\"return\":{}}\n",
        "{\"return\":{},\"id\":-1}\n",
        "{\"error\":{}}\n",
        "{\"error\":{\"class\":\"\",\"desc\":7},\"id\":1}\n",
        "{\"event\":7}\n",
        "{\"event\":\"RESET\",\"data\":[]}\n",
        "{\"event\":\"MIGRATION\",\"data\":{\"status\":{}}}\n",
        "{\"event\":\"GUEST_MEMORY_REPORT\"}\n",
        "{\"event\":\"GUEST_MEMORY_REPORT\",\"data\":{\"memory\":[]}}\n",
        "{\"QMP\":{}}\n",
        "\xFF",
        "\xFF{\"return\":0}\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\"\\ud800\"\n",
        "{\"return\":{\"actual\":",
    };
    (void)game;
    const char *text = rubbish[move->a % G_N_ELEMENTS(rubbish)];
    size_t length = strlen(text);
    played_peer_send_raw(peer_of(guest, move), text,
                         host_move_variant(move) & 2 ? length / 2 : length);
}

// Up to 64 KiB of one byte, with an end to the line or without.
static void talk_without_end(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char bytes[] = "x [\"{0\\\xFF";
    (void)game;
    size_t length = (1 + (size_t)move->a / 4) * 1024;
    g_autofree char *text = g_malloc(length);
    memset(text, bytes[move->b % (sizeof(bytes) - 1)], length);
    text[length - 1] = host_move_variant(move) & 2 ? '\n' : text[0];
    played_peer_send_raw(peer_of(guest, move), text, length);
}

static void flood_with_events(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const events[] = {
        "BALLOON_CHANGE", "VSERPORT_CHANGE", "DEVICE_DELETED", "MEMORY_DEVICE_SIZE_CHANGE",
        "RESUME",         "RESET",           "WAKEUP",         "ANY",
    };
    (void)game;
    guest->monitor.clean = false;
    for (int i = 0; i <= move->a; i++) {
        played_qemu_emit(guest, events[move->b % G_N_ELEMENTS(events)], NULL);
    }
}

static void flood_with_reports(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)game;
    for (int i = 0; i <= move->a / 4; i++) {
        guest->used_bytes += PLAYED_MIB;
        played_agent_report(guest, reason_of(move), 0, NULL);
    }
}

// --- the host ---------------------------------------------------------------------------------

static void change_host(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    game->available_bytes = 32 * PLAYED_MIB * move->a;
    game->stalled_percent = move->b % 100;
    game->swapped_pages += host_move_variant(move) * 64;
}

// --- calm -------------------------------------------------------------------------------------

static void make_honest(PlayedGuest *guest)
{
    played_qemu_start(guest);
    played_peer_set_manner(&guest->monitor, PLAYED_HONEST);
    played_peer_set_manner(&guest->port, PLAYED_HONEST);
    guest->lies = guest->lies_size = NULL;
    guest->port.listens = true;
    guest->beats = true;
    played_guest_held(guest);
    guest->running = true;
    guest->rate_bytes_per_s = CALM_RATE_BYTES;
    guest->migration = "none";
    played_qemu_set_device(guest, true);
    played_qemu_emit(guest, "RESUME", NULL);
}

// What the controller believes is true again.
static void check_found(const HostGame *game, PlayedGuest *guest)
{
    const Guest *found = controller_find_guest(game->controller, guest->name, NULL);
    if (!found) {
        return;
    }
    g_assert_true(guest_is_known(found) && found->has_balloon && found->running);
    g_assert_false(found->migrating);
    g_assert_cmpint(found->size_bytes, ==, played_guest_size(guest));
    if (found->link) {
        g_assert_true(agent_link_is_connected(found->link));
        g_assert_true(guest_is_fresh(found, g_get_monotonic_time()));
    }
    // After a reset only the guest's own count may tell that QEMU is to be believed again. It is
    // held against QEMU's when the balloon rests: if QEMU lied before, it may have to stall first.
    if (found->source == GUEST_SOURCE_AGENT && !balloon_is_moving(&found->balloon)) {
        int64_t distance_bytes = found->balloon.actual_bytes - played_guest_held(guest);
        g_assert_cmpint(ABS(distance_bytes), <=, CALM_DISTANCE_BYTES);
    }
}

// Once a game, all behave for a while. No blunder of theirs is to have a lasting effect.
static void calm(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    if (game->calmed || move->b % CALM_RARITY != 0) {
        return;
    }
    game->calmed = true;
    for (guint i = 0; i < game->count; i++) {
        make_honest(&game->guests[i]);
    }
    virtual_loop_pass(CALM_US - CALM_END_US, CALM_STRIDE_US, CALM_MOMENTS);
    bool followed = virtual_loop_pass(CALM_END_US, 0, CALM_MOMENTS) < CALM_MOMENTS;
    for (guint i = 0; i < game->count && followed; i++) {
        check_found(game, &game->guests[i]);
    }
}

// --- the table --------------------------------------------------------------------------------

static HostMove *const moves[] = {
    pass_seconds,
    leap,
    use_memory,
    report_falsely,
    change_rate,
    move_balloon,
    lie_about_balloon,
    lie_about_size,
    keep_memory,
    reset,
    halt,
    resume,
    migrate,
    change_device,
    plug_memory,
    end_or_start,
    change_manner,
    drop,
    close_or_open_port,
    talk_rubbish,
    talk_without_end,
    flood_with_events,
    flood_with_reports,
    host_order_set_target,
    host_order_set_policy,
    host_order_set_manage,
    host_order_set_mode,
    host_order_reserve,
    host_order_prepare,
    host_order_release,
    host_order_add_or_remove,
    host_order_reload,
    host_order_look,
    change_host,
    calm,
};

void host_game_act(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    if (move->action < PASSING) {
        host_game_pass(game, host_move_number(move) % 2000 * 1000);
        return;
    }
    moves[(move->action - PASSING) % G_N_ELEMENTS(moves)](game, guest, move);
}
