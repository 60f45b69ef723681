// SPDX-License-Identifier: Apache-2.0
//
// Timers, watched descriptors and the price of a peer's lines: what every connection stands on.
#include "protocol/limits.h"
#include "protocol/transport/fd-watch.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/timer.h"
#include "tests/support/deadline.h"
#include "tests/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)

static void turn_until(const int *counter, int goal)
{
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (*counter < goal) {
        assert_true(deadline_left_us(deadline_us) > 0);
        g_main_context_iteration(NULL, FALSE);
    }
}

// --- timers -----------------------------------------------------------------------------------

typedef struct Alarm {
    Timer *timer;
    int *fired; // how many alarms have
    int place;  // which of them this was
    Timer **victim;
    bool again;
} Alarm;

static void on_alarm(void *context)
{
    Alarm *alarm = context;
    alarm->place = ++*alarm->fired;
    if (alarm->victim) {
        g_clear_pointer(alarm->victim, timer_free);
    }
    if (alarm->again) {
        timer_arm(alarm->timer, 0);
    }
}

static void test_timers_fire_in_the_order_of_their_moments(void **state)
{
    (void)state;
    int fired = 0;
    Alarm alarms[3] = {{.fired = &fired}, {.fired = &fired}, {.fired = &fired}};
    int64_t now_us = g_get_monotonic_time();
    static const int64_t after_us[] = {3000, 1000, 2000};
    for (int i = 0; i < 3; i++) {
        alarms[i].timer = timer_new(on_alarm, &alarms[i]);
        timer_arm(alarms[i].timer, now_us + after_us[i]);
    }
    turn_until(&fired, 3);
    assert_int_equal(alarms[0].place, 3);
    assert_int_equal(alarms[1].place, 1);
    assert_int_equal(alarms[2].place, 2);
    for (int i = 0; i < 3; i++) {
        timer_free(alarms[i].timer);
    }
}

static void test_a_timer_freed_by_another_does_not_fire(void **state)
{
    (void)state;
    int fired = 0;
    Alarm second = {.fired = &fired};
    Alarm first = {.fired = &fired, .victim = &second.timer};
    first.timer = timer_new(on_alarm, &first);
    second.timer = timer_new(on_alarm, &second);
    timer_arm(first.timer, 0);
    timer_arm(second.timer, 1);
    turn_until(&fired, 1);
    g_main_context_iteration(NULL, FALSE);
    assert_int_equal(fired, 1);
    timer_free(first.timer);
}

static void test_the_last_timer_may_free_itself(void **state)
{
    (void)state;
    int fired = 0;
    Alarm alarm = {.fired = &fired, .victim = &alarm.timer};
    alarm.timer = timer_new(on_alarm, &alarm);
    timer_arm(alarm.timer, 0);
    turn_until(&fired, 1);
    assert_null(alarm.timer);
    g_main_context_iteration(NULL, FALSE);
}

// One that is always due must not keep the loop from everything else.
static void test_a_timer_armed_anew_waits_for_the_next_turn(void **state)
{
    (void)state;
    int fired = 0;
    Alarm alarm = {.fired = &fired, .again = true};
    alarm.timer = timer_new(on_alarm, &alarm);
    timer_arm(alarm.timer, 0);
    for (int turns = 1; turns <= 3; turns++) {
        assert_true(g_main_context_iteration(NULL, FALSE));
        assert_int_equal(fired, turns);
    }
    timer_free(alarm.timer);
}

static void test_an_earlier_moment_stands_against_a_later_one(void **state)
{
    (void)state;
    int fired = 0;
    Alarm alarm = {.fired = &fired};
    alarm.timer = timer_new(on_alarm, &alarm);
    timer_arm(alarm.timer, g_get_monotonic_time());
    timer_arm_by(alarm.timer, g_get_monotonic_time() + PATIENCE_US * 2);
    turn_until(&fired, 1);
    timer_free(alarm.timer);
}

// --- descriptors ------------------------------------------------------------------------------

typedef struct Pipe {
    int ends[2];
    FdWatch *watch;
    int *calls;
    FdWatch **victim;
    bool mutes; // the victim, instead of freeing it
} Pipe;

static void on_pipe(uint32_t events, void *context)
{
    Pipe *pipe = context;
    assert_true(events & EPOLLIN);
    ++*pipe->calls;
    if (pipe->mutes) {
        fd_watch_set(*pipe->victim, 0);
    } else {
        g_clear_pointer(pipe->victim, fd_watch_free);
    }
}

static void open_pipe(Pipe *pipe, int *calls)
{
    assert_int_equal(pipe2(pipe->ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write(pipe->ends[1], "x", 1), 1);
    pipe->calls = calls;
    pipe->watch = fd_watch_new(pipe->ends[0], on_pipe, pipe);
    fd_watch_set(pipe->watch, EPOLLIN);
}

static void close_pipe(Pipe *pipe)
{
    fd_watch_free(pipe->watch);
    close(pipe->ends[0]);
    close(pipe->ends[1]);
}

// Both are ready in the same turn; whichever comes first frees the other.
static void test_a_watch_freed_by_another_is_not_called(void **state)
{
    (void)state;
    int calls = 0;
    Pipe left = {0};
    Pipe right = {.victim = &left.watch};
    left.victim = &right.watch;
    open_pipe(&left, &calls);
    open_pipe(&right, &calls);
    g_main_context_iteration(NULL, FALSE);
    assert_int_equal(calls, 1);
    assert_true((left.watch == NULL) != (right.watch == NULL));
    close_pipe(&left);
    close_pipe(&right);
}

static void test_a_watch_muted_by_another_is_not_called(void **state)
{
    (void)state;
    int calls = 0;
    Pipe left = {.mutes = true};
    Pipe right = {.victim = &left.watch, .mutes = true};
    left.victim = &right.watch;
    open_pipe(&left, &calls);
    open_pipe(&right, &calls);
    g_main_context_iteration(NULL, FALSE);
    assert_int_equal(calls, 1);
    close_pipe(&left);
    close_pipe(&right);
}

static void test_a_watch_for_nothing_is_not_called(void **state)
{
    (void)state;
    int calls = 0;
    Pipe pipe = {0};
    pipe.victim = &pipe.watch;
    open_pipe(&pipe, &calls);
    fd_watch_set(pipe.watch, 0);
    close(pipe.ends[1]);
    assert_false(g_main_context_iteration(NULL, FALSE));
    fd_watch_set(pipe.watch, EPOLLIN);
    g_main_context_iteration(NULL, FALSE);
    assert_int_equal(calls, 1);
    close(pipe.ends[0]);
}

// --- the price of lines -----------------------------------------------------------------------

static void count_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                       void *context)
{
    (void)channel;
    (void)line;
    (void)length;
    (void)after_sentinel;
    ++*(int *)context;
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    (void)context;
    fail_msg("the channel ended: %s", message);
    return false;
}

static void test_a_flood_is_taken_no_faster_than_its_time_allows(void **state)
{
    (void)state;
    static const LineChannelHandlers handlers = {.line = count_line, .ended = on_ended};
    enum { LINES = 200 };
    int lines = 0;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    int64_t began_us = g_get_monotonic_time();
    LineChannel *channel =
        line_channel_new(ends[0], LIMIT_REQUEST_LINE_BYTES, 1, &handlers, &lines);
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(write(ends[1], "{}\n", 3), 3);
    }
    int64_t deadline_us = deadline_after(PATIENCE_US);
    while (lines < LINES) {
        assert_true(deadline_left_us(deadline_us) > 0);
        g_main_context_iteration(NULL, TRUE);
        int64_t elapsed_us = g_get_monotonic_time() - began_us;
        assert_true((lines - 1) * LIMIT_LINE_COST_US <= elapsed_us + LIMIT_AHEAD_US);
    }
    line_channel_free(channel);
    close(ends[1]);
}

static bool skip_long_line(LineChannel *channel, LineChannelEnd end, const char *message,
                           void *context)
{
    (void)channel;
    (void)message;
    (void)context;
    assert_int_equal(end, LINE_CHANNEL_END_TOO_LONG);
    return true;
}

// What makes no line costs time too, or a peer could have all of ours.
static void test_a_flood_of_what_is_no_line_is_taken_no_faster_either(void **state)
{
    (void)state;
    static const LineChannelHandlers handlers = {.line = count_line, .ended = skip_long_line};
    static const char floods[] = {'x', ' ', '\n', LINE_SENTINEL};
    // What may be on its way: the socket's buffer and what was read at one go.
    enum { BUFFERED_BYTES = 1 << 20 };
    for (size_t i = 0; i < sizeof(floods); i++) {
        char chunk[16384];
        int lines = 0;
        int ends[2];
        memset(chunk, floods[i], sizeof(chunk));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                         0);
        int64_t began_us = g_get_monotonic_time();
        LineChannel *channel =
            line_channel_new(ends[0], LIMIT_REQUEST_LINE_BYTES, 1, &handlers, &lines);
        int64_t written = 0;
        int64_t elapsed_us = 0;
        while (elapsed_us < SECOND_US / 4) {
            ssize_t count = write(ends[1], chunk, sizeof(chunk));
            written += MAX(count, 0);
            g_main_context_iteration(NULL, FALSE);
            elapsed_us = g_get_monotonic_time() - began_us;
            assert_true(written <=
                        (elapsed_us + LIMIT_AHEAD_US) * LIMIT_BYTES_PER_US + BUFFERED_BYTES);
        }
        line_channel_free(channel);
        close(ends[1]);
    }
}

// --- events that can wait ---------------------------------------------------------------------

typedef struct Peer {
    LineChannel *channel;
    int fd;
    int ends; // how often the channel told that it had ended
} Peer;

static void ignore_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                        void *context)
{
    (void)channel;
    (void)line;
    (void)length;
    (void)after_sentinel;
    (void)context;
}

static bool note_end(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    (void)message;
    ((Peer *)context)->ends++;
    return false;
}

static void open_peer(Peer *peer, size_t max_events)
{
    static const LineChannelHandlers handlers = {.line = ignore_line, .ended = note_end};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    *peer = (Peer){.fd = ends[1]};
    peer->channel =
        line_channel_new(ends[0], LIMIT_REQUEST_LINE_BYTES, max_events, &handlers, peer);
}

static void close_peer(const Peer *peer)
{
    line_channel_free(peer->channel);
    close(peer->fd);
}

// That `expected` has arrived, and no more.
static void assert_arrived(const Peer *peer, const char *expected)
{
    char text[256] = "";
    ssize_t count = recv(peer->fd, text, sizeof(text) - 1, 0);
    assert_int_equal(MAX(count, 0), strlen(expected));
    assert_string_equal(text, expected);
}

static void test_a_queued_event_waits_until_it_is_flushed(void **state)
{
    (void)state;
    Peer peer;
    open_peer(&peer, 4);
    line_channel_queue_event(peer.channel, "a\n", 2);
    g_main_context_iteration(NULL, FALSE);
    assert_arrived(&peer, "");
    line_channel_flush(peer.channel);
    assert_arrived(&peer, "a\n");
    close_peer(&peer);
}

static void test_a_reply_follows_the_events_that_were_queued_before_it(void **state)
{
    (void)state;
    Peer peer;
    open_peer(&peer, 4);
    line_channel_queue_event(peer.channel, "a\n", 2);
    line_channel_send_reply(peer.channel, "b\n", 2);
    g_main_context_iteration(NULL, FALSE);
    assert_arrived(&peer, "a\nb\n");
    close_peer(&peer);
}

static void test_queued_events_are_written_rather_than_dropped(void **state)
{
    (void)state;
    Peer peer;
    open_peer(&peer, 2);
    for (const char *line = "a\nb\nc\nd\ne\n"; *line; line += 2) {
        line_channel_queue_event(peer.channel, line, 2);
    }
    line_channel_flush(peer.channel);
    assert_arrived(&peer, "a\nb\nc\nd\ne\n");
    assert_int_equal(line_channel_dropped_events(peer.channel), 0);
    close_peer(&peer);
}

static void test_of_a_peer_that_does_not_read_the_newest_events_are_kept(void **state)
{
    (void)state;
    enum { EVENTS = 100000, KEPT = 3 };
    Peer peer;
    open_peer(&peer, KEPT);
    for (int i = 0; i < EVENTS; i++) {
        line_channel_queue_event(peer.channel, "x\n", 2);
        line_channel_flush(peer.channel);
    }
    assert_int_equal(line_channel_pending_events(peer.channel), KEPT);
    char chunk[4096];
    int64_t heard_bytes = 0;
    ssize_t count;
    while ((count = recv(peer.fd, chunk, sizeof(chunk), 0)) > 0 ||
           line_channel_pending_events(peer.channel) > 0) {
        heard_bytes += MAX(count, 0);
        g_main_context_iteration(NULL, FALSE);
    }
    assert_true(line_channel_dropped_events(peer.channel) > 0);
    assert_int_equal(heard_bytes / 2 + (int64_t)line_channel_dropped_events(peer.channel), EVENTS);
    close_peer(&peer);
}

// Whoever flushes many channels must not find one freed under his hands.
static void test_a_flush_that_fails_is_told_of_by_the_loop(void **state)
{
    (void)state;
    Peer peer;
    open_peer(&peer, 4);
    shutdown(peer.fd, SHUT_RDWR);
    line_channel_queue_event(peer.channel, "a\n", 2);
    line_channel_flush(peer.channel);
    assert_int_equal(peer.ends, 0);
    turn_until(&peer.ends, 1);
    line_channel_queue_event(peer.channel, "b\n", 2);
    line_channel_flush(peer.channel);
    g_main_context_iteration(NULL, FALSE);
    assert_int_equal(peer.ends, 1);
    close_peer(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_in_the_order_of_their_moments),
        cmocka_unit_test(test_a_timer_freed_by_another_does_not_fire),
        cmocka_unit_test(test_the_last_timer_may_free_itself),
        cmocka_unit_test(test_a_timer_armed_anew_waits_for_the_next_turn),
        cmocka_unit_test(test_an_earlier_moment_stands_against_a_later_one),
        cmocka_unit_test(test_a_watch_freed_by_another_is_not_called),
        cmocka_unit_test(test_a_watch_muted_by_another_is_not_called),
        cmocka_unit_test(test_a_watch_for_nothing_is_not_called),
        cmocka_unit_test(test_a_flood_is_taken_no_faster_than_its_time_allows),
        cmocka_unit_test(test_a_flood_of_what_is_no_line_is_taken_no_faster_either),
        cmocka_unit_test(test_a_queued_event_waits_until_it_is_flushed),
        cmocka_unit_test(test_a_reply_follows_the_events_that_were_queued_before_it),
        cmocka_unit_test(test_queued_events_are_written_rather_than_dropped),
        cmocka_unit_test(test_of_a_peer_that_does_not_read_the_newest_events_are_kept),
        cmocka_unit_test(test_a_flush_that_fails_is_told_of_by_the_loop),
    };
    return run_test_table(tests);
}
