// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/line-channel.h"

#include "protocol/limits.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Read at one go; a longer burst takes several turns of a loop bounded by LIMIT_READ_BURST_BYTES.
#define READ_CHUNK_BYTES 16384

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

    GByteArray *held_input; // read, but not handed on while replies wait; NULL: none

    GSource *readable;
    GSource *writable;
    GSource *failure; // tells of a failed write from the loop, never from within a send

    unsigned busy; // handlers running: the memory is kept until they are done
    bool ended;    // nothing is read or written any more
    bool freed;
};

static gboolean on_readable(int fd, GIOCondition condition, void *data);
static gboolean on_writable(int fd, GIOCondition condition, void *data);

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static GSource *watch_fd(LineChannel *channel, GIOCondition condition, GUnixFDSourceFunc function)
{
    GSource *source = g_unix_fd_source_new(channel->fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(function), channel, NULL);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

static bool may_read(const LineChannel *channel)
{
    return channel->pending_reply_bytes <= LIMIT_PENDING_REPLY_BYTES;
}

// Watches the descriptor for just what can be done now.
static void update_sources(LineChannel *channel)
{
    if (channel->ended || channel->freed) {
        return;
    }
    if (!may_read(channel)) {
        drop_source(&channel->readable);
    } else if (!channel->readable) {
        channel->readable = watch_fd(channel, G_IO_IN, on_readable);
    }
    if (g_queue_is_empty(&channel->output)) {
        drop_source(&channel->writable);
    } else if (!channel->writable) {
        channel->writable = watch_fd(channel, G_IO_OUT, on_writable);
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
    update_sources(channel);
    return channel;
}

static void drop_sources(LineChannel *channel)
{
    drop_source(&channel->readable);
    drop_source(&channel->writable);
    drop_source(&channel->failure);
}

void line_channel_free(LineChannel *channel)
{
    if (!channel) {
        return;
    }
    if (!channel->freed) {
        channel->freed = true;
        drop_sources(channel);
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
        drop_sources(channel);
    }
    return go_on;
}

// --- input ------------------------------------------------------------------------------------

// Hands on the lines among `bytes`; what cannot be handed on yet is held. False when the channel
// ended or was freed.
static bool take_input(LineChannel *channel, const char *bytes, size_t length)
{
    while (length > 0) {
        if (!may_read(channel)) {
            channel->held_input = g_byte_array_sized_new((guint)length);
            g_byte_array_append(channel->held_input, (const guint8 *)bytes, (guint)length);
            return true;
        }
        LineEvent event = line_framer_push(&channel->framer, &bytes, &length);
        if (event == LINE_EVENT_TOO_LONG) {
            if (!end(channel, LINE_CHANNEL_END_TOO_LONG, "line too long")) {
                return false;
            }
        } else if (event == LINE_EVENT_LINE) {
            channel->handlers->line(channel, channel->framer.line->str, channel->framer.line->len,
                                    channel->framer.after_sentinel, channel->context);
            if (channel->freed || channel->ended) {
                return false;
            }
        }
    }
    return true;
}

static gboolean on_readable(int fd, GIOCondition condition, void *data)
{
    (void)condition;
    LineChannel *channel = data;
    char chunk[READ_CHUNK_BYTES];
    size_t burst = 0;
    enter(channel);
    while (burst < LIMIT_READ_BURST_BYTES && may_read(channel)) {
        ssize_t count = read(fd, chunk, sizeof(chunk));
        if (count < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                end(channel, LINE_CHANNEL_END_ERROR, g_strerror(errno));
            }
            break;
        }
        if (count == 0) {
            end(channel, LINE_CHANNEL_END_CLOSED, "closed by the other side");
            break;
        }
        burst += (size_t)count;
        if (!take_input(channel, chunk, (size_t)count)) {
            break;
        }
        if ((size_t)count < sizeof(chunk)) {
            break;
        }
    }
    update_sources(channel);
    leave(channel);
    return G_SOURCE_CONTINUE;
}

// --- output -----------------------------------------------------------------------------------

static gboolean on_failure(void *data)
{
    LineChannel *channel = data;
    enter(channel);
    end(channel, LINE_CHANNEL_END_ERROR, "writing failed");
    leave(channel);
    return G_SOURCE_REMOVE;
}

static void fail_later(LineChannel *channel)
{
    channel->ended = true;
    drop_sources(channel);
    channel->failure = g_idle_source_new();
    g_source_set_priority(channel->failure, G_PRIORITY_DEFAULT);
    g_source_set_callback(channel->failure, on_failure, channel, NULL);
    g_source_attach(channel->failure, g_main_context_get_thread_default());
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
        update_sources(channel);
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

// Writes pending lines. False when writing failed.
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

static gboolean on_writable(int fd, GIOCondition condition, void *data)
{
    (void)fd;
    LineChannel *channel = data;
    enter(channel);
    if ((condition & G_IO_HUP) && !channel->readable) {
        // Nobody will read what waits, and no read() will tell while none is made. A port whose
        // host side is closed would say EAGAIN for ever.
        end(channel, LINE_CHANNEL_END_CLOSED, "closed by the other side");
    } else if (!flush(channel)) {
        end(channel, LINE_CHANNEL_END_ERROR, g_strerror(errno));
    } else {
        if (may_read(channel) && channel->held_input) {
            g_autoptr(GByteArray) held = g_steal_pointer(&channel->held_input);
            take_input(channel, (const char *)held->data, held->len);
        }
        update_sources(channel);
    }
    leave(channel);
    return G_SOURCE_CONTINUE;
}

uint64_t line_channel_dropped_events(const LineChannel *channel)
{
    return channel->dropped_events;
}
