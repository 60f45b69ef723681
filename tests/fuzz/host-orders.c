// SPDX-License-Identifier: Apache-2.0
//
// The moves of a game that an operator makes, at the control socket and in the configuration.
#include "tests/fuzz/host-moves.h"

#include <string.h>

void host_order_set_target(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    if (move->a == 0) {
        host_game_request(game, "{'execute':'set-target','arguments':{'name':'%s','bytes':null}}",
                          guest->name);
        return;
    }
    host_game_request(
        game, "{'execute':'set-target','arguments':{'name':'%s','bytes':%" G_GINT64_FORMAT "}}",
        guest->name, (host_move_variant(move) & 1 ? 0 : host_move_size(guest, move)) + move->b);
}

void host_order_set_policy(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const members[] = {"min", "max", "weight"};
    const char *member = members[host_move_variant(move) % G_N_ELEMENTS(members)];
    g_autofree char *value =
        move->a == 0
            ? g_strdup("null")
            : g_strdup_printf("%" G_GINT64_FORMAT, strcmp(member, "weight") == 0
                                                       ? host_move_number(move)
                                                       : host_move_size(guest, move) + move->b);
    host_game_request(game, "{'execute':'set-policy','arguments':{'name':'%s','%s':%s}}",
                      guest->name, member, value);
}

void host_order_set_manage(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const values[] = {"true", "false", "null"};
    host_game_request(game, "{'execute':'set-manage','arguments':{'name':'%s','manage':%s}}",
                      guest->name, values[move->a % G_N_ELEMENTS(values)]);
}

void host_order_set_mode(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    const char *mode = controller_mode_name((ControllerMode)(move->a % CONTROLLER_MODE_COUNT));
    host_game_request(game, "{'execute':'set-mode','arguments':{'mode':'%s'}}", mode);
}

void host_order_reserve(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    host_game_request(game,
                      "{'execute':'reserve','arguments':{'bytes':%" G_GINT64_FORMAT
                      ",'timeout-ms':%d,'hold-ms':%d%s%s%s}}",
                      (1 + host_move_number(move)) * PLAYED_MIB / 32, move->b * 100,
                      1 + move->a * 1000, host_move_variant(move) & 1 ? ",'name':'" : "",
                      host_move_variant(move) & 1 ? guest->name : "",
                      host_move_variant(move) & 1 ? "'" : "");
}

void host_order_prepare(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    host_game_request(
        game, "{'execute':'prepare','arguments':{'name':'%s','timeout-ms':%d,'hold-ms':%d}}",
        guest->name, move->b * 100, 1 + move->a * 1000);
}

void host_order_release(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    host_game_request(game, "{'execute':'release','arguments':{'id':%d}}", move->a % 16);
}

void host_order_add_or_remove(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    if (move->a & 1) {
        const Guest *known = host_game_known(game, guest);
        if (known && known->config->origin == GUEST_ORIGIN_ADDED) {
            guest->commanded = false;
        }
        host_game_request(game, "{'execute':'remove-guest','arguments':{'name':'%s'}}",
                          guest->name);
        return;
    }
    host_game_request(game,
                      "{'execute':'add-guest','arguments':{'name':'%s','qmp':'/fuzz/%s.qmp',"
                      "'agent':'/fuzz/%s.agent'}}",
                      guest->name, guest->name, guest->name);
}

// Another budget, mode or minimum, and perhaps not the agents it had.
void host_order_reload(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    (void)guest;
    game->budget_mib = move->a * 16;
    game->mode = move->b;
    game->min = move->b >> 2;
    game->agents = ~(unsigned)move->b >> 4;
    host_game_write_config(game);
    host_game_request(game, "{'execute':'reload'}");
}

void host_order_look(HostGame *game, PlayedGuest *guest, const HostGameMove *move)
{
    static const char *const queries[] = {"query-guests", "query-plan",   "query-host",
                                          "query-status", "query-claims", "query-version"};
    (void)guest;
    host_game_request(game, "{'execute':'%s'}", queries[move->a % G_N_ELEMENTS(queries)]);
}
