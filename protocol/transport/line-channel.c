// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/line-channel.h"

#include "protocol/limits.h"
#include "protocol/transport/fd-watch.h"
#include "protocol/transport/timer.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Read at one go; a longer burst takes several turns of a loop bounded by LIMIT_READ_BURST_BYTES.
#define READ_CHUNK_BYTES 16384
// Taken out of what was read before it is looked at whether the peer may go on.
#define TAKEN_AT_ONCE_BYTES ((size_t)4096)

// A line that could not be written whole at once.
typedef struct PendingLine {
    bool is_event;
    size_t length;
    size_t written;
    char bytes[];
} PendingLine;

struct LineChannel {
    int fd;
    bool is_socket;
    LineFramer framer;
    const LineChannelHandlers *handlers;
    void *context;

    GQueue output; // PendingLine*
    size_t pending_reply_bytes;
    size_t pending_events;
    size_t max_events;
    uint64_t dropped_events;
    bool awaits_room; // the loop writes as soon as the descriptor takes more

    GByteArray *held_input; // read, but not handed on yet; NULL: none
    size_t held_from;       // where in it that begins
    int64_t paid_until_us;  // the peer's lines are paid for up to this moment

    FdWatch *watch;
    Timer *later; // takes up held input again, or tells of a failed write from the loop
    bool failed;

    unsigned busy; // handlers running: the memory is kept until they are done
    bool ended;    // nothing is read or written any more
    bool freed;
};

static void on_ready(uint32_t events, void *context);
static void on_later(void *context);

static bool replies_wait(const LineChannel *channel)
{
    return channel->pending_reply_bytes > LIMIT_PENDING_REPLY_BYTES;
}

static bool may_read(const LineChannel *channel)
{
    return !channel->held_input && !replies_wait(channel);
}

// Watches the descriptor for just what can be done now.
static void update_watch(LineChannel *channel)
{
    if (!channel->ended && !channel->freed) {
        channel->awaits_room = !g_queue_is_empty(&channel->output);
        fd_watch_set(channel->watch,
                     (may_read(channel) ? EPOLLIN : 0) | (channel->awaits_room ? EPOLLOUT : 0));
    }
}

LineChannel *line_channel_new(int fd, size_t max_line_bytes, size_t max_events,
                              const LineChannelHandlers *handlers, void *context)
{
    LineChannel *channel = g_new0(LineChannel, 1);
    struct stat status;
    channel->fd = fd;
    channel->is_socket = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
    line_framer_init(&channel->framer, max_line_bytes);
    channel->handlers = handlers;
    channel->context = context;
    channel->max_events = max_events;
    g_queue_init(&channel->output);
    channel->watch = fd_watch_new(fd, on_ready, channel);
    channel->later = timer_new(on_later, channel);
    update_watch(channel);
    return channel;
}

void line_channel_free(LineChannel *channel)
{
    if (!channel) {
        return;
    }
    if (!channel->freed) {
        channel->freed = true;
        fd_watch_free(channel->watch);
        timer_free(channel->later);
        close(channel->fd);
        line_framer_clear(&channel->framer);
        g_queue_clear_full(&channel->output, g_free);
        g_clear_pointer(&channel->held_input, g_byte_array_unref);
    }
    if (channel->busy == 0) {
        g_free(channel);
    }
}

// Between enter() and leave() a handler may free the channel; its memory stays until leave().
static void enter(LineChannel *channel)
{
    channel->busy++;
}

static void leave(LineChannel *channel)
{
    if (--channel->busy == 0 && channel->freed) {
        g_free(channel);
    }
}

// Tells the owner that the channel ended. True when it goes on all the same.
static bool end(LineChannel *channel, LineChannelEnd reason, const char *message)
{
    bool go_on = channel->handlers->ended(channel, reason, message, channel->context) &&
                 reason == LINE_CHANNEL_END_TOO_LONG;
    if (channel->freed) {
        return false;
    }
    if (!go_on) {
        channel->ended = true;
        fd_watch_set(channel->watch, 0);
        timer_disarm(channel->later);
    }
    return go_on;
}

// --- input ------------------------------------------------------------------------------------

// Whether the peer has been quiet long enough for another line.
static bool is_paid(const LineChannel *channel)
{
    return channel->paid_until_us <= g_get_monotonic_time();
}

// However fast a peer writes, what it sends costs us no more than a fixed part of our time.
static void charge(LineChannel *channel, int64_t cost_us)
{
    int64_t from_us = MAX(channel->paid_until_us, g_get_monotonic_time() - LIMIT_AHEAD_US);
    channel->paid_until_us = from_us + cost_us;
}

// Hands on the lines among `*bytes` and advances it, as far as may be now: until replies have been
// read, or the time of the next bytes has come. False when the channel ended or was freed.
static bool take_input(LineChannel *channel, const char **bytes, size_t *length)
{
    while (*length > 0 && !replies_wait(channel) && is_paid(channel)) {
        size_t offered = MIN(*length, TAKEN_AT_ONCE_BYTES);
        size_t left = offered;
        LineEvent event = line_framer_push(&channel->framer, bytes, &left);
        *length -= offered - left;
        charge(channel, (int64_t)((offered - left) / LIMIT_BYTES_PER_US));
        if (event == LINE_EVENT_TOO_LONG) {
            charge(channel, LIMIT_LINE_COST_US);
            if (!end(channel, LINE_CHANNEL_END_TOO_LONG, "line too long")) {
                return false;
            }
        } else if (event == LINE_EVENT_LINE) {
            // Parsing takes its time with the length.
            charge(channel, MAX((int64_t)channel->framer.line->len, LIMIT_LINE_COST_US));
            channel->handlers->line(channel, channel->framer.line->str, channel->framer.line->len,
                                    channel->framer.after_sentinel, channel->context);
            if (channel->freed || channel->ended) {
                return false;
            }
        }
    }
    return true;
}

// What is held goes on when replies have been read, of which on_ready() hears, or at its time.
static void wait_with_input(LineChannel *channel)
{
    if (!replies_wait(channel)) {
        timer_arm(channel->later, channel->paid_until_us);
    }
}

static void take_held_input(LineChannel *channel)
{
    const char *bytes = (const char *)channel->held_input->data + channel->held_from;
    size_t length = channel->held_input->len - channel->held_from;
    if (!take_input(channel, &bytes, &length)) {
        return;
    }
    if (length == 0) {
        g_clear_pointer(&channel->held_input, g_byte_array_unref);
    } else {
        channel->held_from = channel->held_input->len - length;
        wait_with_input(channel);
    }
}

static void read_input(LineChannel *channel)
{
    char chunk[READ_CHUNK_BYTES];
    size_t burst = 0;
    while (burst < LIMIT_READ_BURST_BYTES && may_read(channel)) {
        ssize_t count = read(channel->fd, chunk, sizeof(chunk));
        if (count < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                end(channel, LINE_CHANNEL_END_ERROR, g_strerror(errno));
            }
            return;
        }
        if (count == 0) {
            end(channel, LINE_CHANNEL_END_CLOSED, "closed by the other side");
            return;
        }
        burst += (size_t)count;
        charge(channel, LIMIT_READ_COST_US);
        const char *bytes = chunk;
        size_t length = (size_t)count;
        if (!take_input(channel, &bytes, &length)) {
            return;
        }
        if (length > 0) {
            channel->held_input = g_byte_array_sized_new((guint)length);
            g_byte_array_append(channel->held_input, (const guint8 *)bytes, (guint)length);
            channel->held_from = 0;
            wait_with_input(channel);
        }
        if ((size_t)count < sizeof(chunk)) {
            return;
        }
    }
}

// --- output -----------------------------------------------------------------------------------

static void fail_later(LineChannel *channel)
{
    channel->failed = true;
    channel->ended = true;
    fd_watch_set(channel->watch, 0);
    timer_arm(channel->later, 0);
}

// Writes what the descriptor takes now: a count, possibly 0, or -1 when it failed for good.
static ssize_t write_some(LineChannel *channel, const char *bytes, size_t length)
{
    ssize_t count = channel->is_socket ? send(channel->fd, bytes, length, MSG_NOSIGNAL)
                                       : write(channel->fd, bytes, length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return count;
}

static void forget_pending(LineChannel *channel, PendingLine *line)
{
    if (line->is_event) {
        channel->pending_events--;
    } else {
        channel->pending_reply_bytes -= line->length;
    }
    g_free(line);
}

// Drops the oldest event not yet begun.
static void drop_oldest_event(LineChannel *channel)
{
    for (GList *link = channel->output.head; link; link = link->next) {
        PendingLine *line = link->data;
        if (line->is_event && line->written == 0) {
            g_queue_delete_link(&channel->output, link);
            forget_pending(channel, line);
            channel->dropped_events++;
            return;
        }
    }
}

static void enqueue(LineChannel *channel, const char *bytes, size_t length, size_t written,
                    bool is_event)
{
    // An event already begun is no longer one of those waiting.
    if (is_event && channel->pending_events >= channel->max_events && written == 0) {
        drop_oldest_event(channel);
    }
    PendingLine *line = g_malloc(sizeof(*line) + length);
    *line = (PendingLine){.is_event = is_event, .length = length, .written = written};
    memcpy(line->bytes, bytes, length);
    g_queue_push_tail(&channel->output, line);
    if (is_event) {
        channel->pending_events++;
    } else {
        channel->pending_reply_bytes += length;
    }
}

static void send_line(LineChannel *channel, const char *bytes, size_t length, bool is_event)
{
    if (channel->freed || channel->ended) {
        return;
    }
    ssize_t written = 0;
    if (g_queue_is_empty(&channel->output)) {
        written = write_some(channel, bytes, length);
        if (written < 0) {
            fail_later(channel);
            return;
        }
    }
    if ((size_t)written < length) {
        enqueue(channel, bytes, length, (size_t)written, is_event);
        update_watch(channel);
    }
}

void line_channel_send_reply(LineChannel *channel, const char *line, size_t length)
{
    send_line(channel, line, length, false);
}

void line_channel_send_event(LineChannel *channel, const char *line, size_t length)
{
    send_line(channel, line, length, true);
}

// Writes pending lines, as far as they are taken. False when writing failed.
static bool flush(LineChannel *channel)
{
    PendingLine *line;
    while ((line = g_queue_peek_head(&channel->output))) {
        ssize_t count =
            write_some(channel, line->bytes + line->written, line->length - line->written);
        if (count < 0) {
            return false;
        }
        line->written += (size_t)count;
        if (line->written < line->length) {
            return true;
        }
        g_queue_pop_head(&channel->output);
        forget_pending(channel, line);
    }
    return true;
}

void line_channel_flush(LineChannel *channel)
{
    if (channel->freed || channel->ended) {
        return;
    }
    // The peer's room is waited for already, or is now if there is none.
    if (!channel->awaits_room && !flush(channel)) {
        fail_later(channel);
    }
    update_watch(channel);
}

void line_channel_queue_event(LineChannel *channel, const char *line, size_t length)
{
    if (channel->pending_events >= channel->max_events) {
        line_channel_flush(channel);
    }
    if (!channel->freed && !channel->ended) {
        enqueue(channel, line, length, 0, true);
    }
}

// --- turns ------------------------------------------------------------------------------------

static void write_output(LineChannel *channel)
{
    if (!flush(channel)) {
        end(channel, LINE_CHANNEL_END_ERROR, g_strerror(errno));
    } else if (channel->held_input && !replies_wait(channel)) {
        take_held_input(channel);
    }
}

static void on_ready(uint32_t events, void *context)
{
    LineChannel *channel = context;
    bool was_reading = may_read(channel);
    enter(channel);
    if (was_reading && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        read_input(channel);
    } else if (events & EPOLLHUP) {
        // Nobody will read what waits, and no read() will tell while none is made. A port whose
        // host side is closed would say EAGAIN for ever.
        end(channel, LINE_CHANNEL_END_CLOSED, "closed by the other side");
    }
    if ((events & (EPOLLOUT | EPOLLERR)) && !channel->freed && !channel->ended) {
        write_output(channel);
    }
    update_watch(channel);
    leave(channel);
}

static void on_later(void *context)
{
    LineChannel *channel = context;
    enter(channel);
    if (channel->failed) {
        end(channel, LINE_CHANNEL_END_ERROR, "writing failed");
    } else if (channel->held_input && !replies_wait(channel)) {
        take_held_input(channel);
    }
    update_watch(channel);
    leave(channel);
}

size_t line_channel_pending_events(const LineChannel *channel)
{
    return channel->pending_events;
}

uint64_t line_channel_dropped_events(const LineChannel *channel)
{
    return channel->dropped_events;
}
