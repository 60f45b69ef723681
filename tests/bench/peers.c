// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peers.h"

#include "host-controller/sim/sim-policy.h"
#include "tests/support/deadline.h"

#include <string.h>

#define BALLOON_PATH "/machine/peripheral/balloon"
#define MONITOR_TIMEOUT_US (20 * SECOND_US)
#define LOOK_EVERY_US (20 * MS_US)
#define STATISTICS_TIMEOUT_US (60 * SECOND_US)
// How long a guest may take to follow before it is asked again, while it settles.
#define FOLLOW_TIMEOUT_US (3 * SECOND_US)
#define SETTLE_TIMEOUT_US (120 * SECOND_US)
// A spike begins at any moment of the longest period.
#define PHASE_US (10 * SECOND_US)
// Balloons move by so much.
#define BATCH_BYTES MIB
#define MIN_DIVISOR 4
#define WEIGHT 100

typedef struct Rule {
    const char *name;
    const SimPolicy *policy;
    int line_percent; // of what it takes for the host's memory it lets guests have
    bool ideal;       // decides as soon as there is news, hands out only what has come back
} Rule;

// The first also brings the guests within the budget before another takes over.
static const Rule rules[] = {
    {"poller-1s", &sim_policy_poller, 100, true},
    {"proxmox", &sim_policy_proportional, 80, false},
    {"mom", &sim_policy_mom, 80, false},
};

struct Peer {
    const Rule *rule;
    HandoverSteering steering;
    const Rule *active; // another one while the guests are brought within the budget
    void *state;        // of the active rule
    SimObservation guests[HANDOVER_MAX_GUESTS];
    int64_t targets[HANDOVER_MAX_GUESTS]; // decided; `target_bytes` of a guest are sent
    int64_t told_s[HANDOVER_MAX_GUESTS];  // when a guest's balloon told last, since 1970
    int64_t tick_us;                      // when it decides next, or looks for news
};

// --- what it sees -----------------------------------------------------------------------------

// Begins with a guest whose balloon is empty.
static void take_over(Vm *vm, SimObservation *guest)
{
    g_autoptr(GError) error = NULL;
    int64_t size_bytes = vm_memory_bytes(vm);
    *guest = (SimObservation){.size_bytes = size_bytes,
                              .min_bytes = size_bytes / MIN_DIVISOR,
                              .max_bytes = size_bytes,
                              .weight = WEIGHT,
                              .target_bytes = size_bytes};
    json_t *arguments = json_pack("{s:s, s:s, s:i}", "path", BALLOON_PATH, "property",
                                  "guest-stats-polling-interval", "value", 1);
    g_autoptr(json_t) done =
        qmp_session_execute(vm_observer(vm), "qom-set", arguments, MONITOR_TIMEOUT_US, &error);
    bench_must(done != NULL, &error);
}

// Reads what a guest's balloon has told last.
static void read_statistics(HandoverRound *round, Peer *peer, int i)
{
    g_autoptr(GError) error = NULL;
    SimObservation *guest = &peer->guests[i];
    QmpSession *monitor = vm_observer(round->vms[i]);
    // As text: at first all are 2^64 - 1, which no session takes.
    json_t *arguments = json_pack("{s:s}", "command-line", "qom-get " BALLOON_PATH " guest-stats");
    g_autoptr(json_t) answer = qmp_session_execute(monitor, "human-monitor-command", arguments,
                                                   MONITOR_TIMEOUT_US, &error);
    bench_must(answer != NULL, &error);
    g_autoptr(json_t) told =
        json_qemu_message_parse(json_string_value(answer), json_string_length(answer), &error);
    bench_must(told != NULL, &error);
    const json_t *stats = json_object_get(told, "stats");
    guest->free_bytes = json_integer_value(json_object_get(stats, "stat-free-memory"));
    guest->available_bytes = json_integer_value(json_object_get(stats, "stat-available-memory"));
    peer->told_s[i] = json_integer_value(json_object_get(told, "last-update"));
}

static void read_actual(Vm *vm, SimObservation *guest)
{
    g_autoptr(GError) error = NULL;
    guest->actual_bytes = vm_actual_bytes(vm, &error);
    bench_must(guest->actual_bytes >= 0, &error);
}

// Waits until every guest has told anew.
static void wait_for_statistics(HandoverRound *round, Peer *peer)
{
    int64_t now_s = g_get_real_time() / SECOND_US;
    int64_t deadline_us = deadline_after(STATISTICS_TIMEOUT_US);
    for (int i = 0; i < round->count; i++) {
        read_statistics(round, peer, i);
        while (peer->told_s[i] <= now_s) {
            bench_must(deadline_left_us(deadline_us) > 0, NULL);
            g_usleep(LOOK_EVERY_US);
            read_statistics(round, peer, i);
        }
    }
}

// Whether any guest has told anew since the last look.
static bool has_news(HandoverRound *round, Peer *peer)
{
    bool news = false;
    for (int i = 0; i < round->count; i++) {
        int64_t last_s = peer->told_s[i];
        read_statistics(round, peer, i);
        news |= peer->told_s[i] != last_s;
    }
    return news;
}

// --- what it does -----------------------------------------------------------------------------

static void decide(HandoverRound *round, Peer *peer)
{
    for (int i = 0; i < round->count; i++) {
        read_actual(round->vms[i], &peer->guests[i]);
        read_statistics(round, peer, i);
    }
    peer->active->policy->tick(peer->state, g_get_monotonic_time(), peer->guests,
                               (size_t)round->count, peer->targets);
}

static void set_target(Vm *vm, SimObservation *guest, int64_t target_bytes)
{
    g_autoptr(GError) error = NULL;
    bench_must(vm_set_target(vm, target_bytes, &error), &error);
    guest->target_bytes = target_bytes;
}

// What a guest may come to hold.
static int64_t ceiling(const SimObservation *guest)
{
    return MAX(guest->actual_bytes, guest->target_bytes);
}

// Sends what has been decided and not been sent yet. Returns whether there was any.
static bool send_targets(HandoverRound *round, Peer *peer)
{
    int64_t room_bytes = round->budget_bytes;
    bool due = false;
    for (int i = 0; i < round->count; i++) {
        due |= peer->targets[i] != peer->guests[i].target_bytes;
    }
    for (int i = 0; due && i < round->count; i++) {
        read_actual(round->vms[i], &peer->guests[i]);
        room_bytes -= ceiling(&peer->guests[i]);
    }
    for (int i = 0; due && i < round->count; i++) {
        SimObservation *guest = &peer->guests[i];
        int64_t target_bytes = peer->targets[i];
        if (peer->active->ideal && target_bytes > guest->target_bytes) {
            target_bytes = MIN(target_bytes, ceiling(guest) + MAX(room_bytes, 0));
        }
        bool whole = target_bytes == peer->targets[i];
        if (target_bytes != guest->target_bytes &&
            (whole || target_bytes >= guest->target_bytes + BATCH_BYTES)) {
            room_bytes += ceiling(guest);
            set_target(round->vms[i], guest, target_bytes);
            room_bytes -= ceiling(guest);
        }
    }
    return due;
}

static void turn(HandoverRound *round, void *context)
{
    Peer *peer = context;
    if (g_get_monotonic_time() >= peer->tick_us) {
        bool ideal = peer->active->ideal;
        peer->tick_us += ideal ? LOOK_EVERY_US : peer->active->policy->period_us;
        if (!ideal || has_news(round, peer)) {
            decide(round, peer);
        }
    }
    send_targets(round, peer);
}

static bool is_there(const SimObservation *guest)
{
    return ABS(guest->actual_bytes - guest->target_bytes) < BATCH_BYTES;
}

// Sends what has been decided until all guests have followed, or are not going to.
static void wait_until_there(HandoverRound *round, Peer *peer)
{
    int64_t deadline_us = deadline_after(FOLLOW_TIMEOUT_US);
    bool there = false;
    while (!there && deadline_left_us(deadline_us) > 0) {
        there = !send_targets(round, peer);
        for (int i = 0; i < round->count; i++) {
            read_actual(round->vms[i], &peer->guests[i]);
            there &= is_there(&peer->guests[i]);
        }
        g_usleep(LOOK_EVERY_US);
    }
}

static void forget(Peer *peer)
{
    if (peer->state) {
        peer->active->policy->free(peer->state);
        peer->state = NULL;
    }
}

static void begin(HandoverRound *round, Peer *peer, const Rule *rule)
{
    forget(peer);
    const SimPolicySettings settings = {.budget_bytes =
                                            round->budget_bytes / rule->line_percent * 100};
    peer->active = rule;
    peer->state = rule->policy->new (&settings, (size_t)round->count);
    peer->tick_us = g_get_monotonic_time();
}

// The ideal poller brings the guests within the budget; then the peer steers them for a random
// while.
static void settle(HandoverRound *round, void *context)
{
    Peer *peer = context;
    for (int i = 0; i < round->count; i++) {
        take_over(round->vms[i], &peer->guests[i]);
        peer->targets[i] = peer->guests[i].target_bytes;
    }
    begin(round, peer, &rules[0]);
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    while (handover_sum_bytes(round) > round->budget_bytes) {
        bench_must(deadline_left_us(deadline_us) > 0, NULL);
        wait_for_statistics(round, peer);
        decide(round, peer);
        wait_until_there(round, peer);
    }
    begin(round, peer, peer->rule);
    int64_t until_us = deadline_after(g_random_int_range(0, (gint32)PHASE_US));
    while (deadline_left_us(until_us) > 0) {
        turn(round, peer);
        g_usleep(LOOK_EVERY_US);
    }
}

// --- one of them ------------------------------------------------------------------------------

int peers_count(void)
{
    return (int)G_N_ELEMENTS(rules);
}

Peer *peer_new(int which)
{
    Peer *peer = g_new0(Peer, 1);
    peer->rule = &rules[which];
    peer->steering = (HandoverSteering){
        .name = rules[which].name, .settle = settle, .turn = turn, .context = peer};
    return peer;
}

void peer_free(Peer *peer)
{
    if (peer) {
        forget(peer);
        g_free(peer);
    }
}

const HandoverSteering *peer_steering(const Peer *peer)
{
    return &peer->steering;
}
