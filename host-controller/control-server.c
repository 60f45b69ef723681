// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-server.h"

#include "host-controller/control-commands.h"
#include "host-controller/control-events.h"
#include "host-controller/view.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/transport/line-channel.h"
#include "protocol/transport/timer.h"
#include "protocol/transport/unix-socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_MODE 0660
#define ACCEPT_PAUSE_US INT64_C(1000000)

// One of the two sockets.
typedef struct Listener {
    ControlServer *server;
    char *path;
    bool read_only;
    int fd;
    guint source;
    Timer *resume; // listening pauses while no connection can be accepted
    guint clients; // connected through it
} Listener;

struct ControlServer {
    Controller *controller;
    void (*quit)(void *context);
    void *context;
    Listener *steering;
    Listener *telling;  // NULL: none
    GPtrArray *clients; // Client*, which it frees
    GQueue news;        // json_t *, events that were not handed out to the clients yet
    guint teller;       // the source that does so; 0: nothing is to be told
    uint64_t dropped;   // events that clients who went had not read
};

typedef struct Client {
    Listener *listener;
    LineChannel *channel;
    ControlContext control;
    uint64_t told_lost; // of the events it lost
    bool has_news;      // its channel has events to write
} Client;

static void free_client(void *data)
{
    Client *client = data;
    control_later_free(client->control.later);
    client->listener->server->dropped += line_channel_dropped_events(client->channel);
    client->listener->clients--;
    line_channel_free(client->channel);
    g_free(client);
}

// --- events -----------------------------------------------------------------------------------
//
// What guests need comes first: an event is only kept when it happens, and told of when the loop
// has nothing more urgent to do, to one client after another.

// A client that reads again is told first how many events it has lost.
static void tell_lost(Client *client)
{
    uint64_t lost = line_channel_dropped_events(client->channel) - client->told_lost;
    bool has_room = line_channel_pending_events(client->channel) + 2 <= LIMIT_PENDING_EVENTS;
    if (lost == 0 || !has_room) {
        return;
    }
    client->told_lost += lost;
    json_t *data = json_pack("{s:I}", "count", (json_int_t)lost);
    g_autoptr(json_t) event = qmp_event_new(CONTROL_EVENTS_LOST, data, g_get_real_time());
    g_autofree char *line = json_message_format(event);
    line_channel_queue_event(client->channel, line, strlen(line));
}

// Queues the oldest event that was kept for every client that wants it.
static void hand_out_one(ControlServer *server)
{
    g_autoptr(json_t) event = g_queue_pop_head(&server->news);
    uint64_t bit = control_event_bit(json_string_value(json_object_get(event, "event")));
    g_autofree char *line = json_message_format(event);
    size_t length = strlen(line);
    for (guint i = 0; i < server->clients->len; i++) {
        Client *client = g_ptr_array_index(server->clients, i);
        if (client->control.negotiated && client->control.events & bit) {
            tell_lost(client);
            line_channel_queue_event(client->channel, line, length);
            client->has_news = true;
        }
    }
}

static void hand_out(ControlServer *server)
{
    while (!g_queue_is_empty(&server->news)) {
        hand_out_one(server);
    }
}

// Writes what is queued for one client. False when there is nothing for any.
static bool write_to_one(ControlServer *server)
{
    for (guint i = 0; i < server->clients->len; i++) {
        Client *client = g_ptr_array_index(server->clients, i);
        if (client->has_news) {
            client->has_news = false;
            line_channel_flush(client->channel);
            return true;
        }
    }
    return false;
}

// One small step of all that is to be told.
static gboolean tell_step(void *context)
{
    ControlServer *server = context;
    if (!g_queue_is_empty(&server->news)) {
        hand_out_one(server);
    } else if (!write_to_one(server)) {
        server->teller = 0;
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static void on_controller_event(const char *name, json_t *data, void *context)
{
    ControlServer *server = context;
    if (server->clients->len == 0) {
        json_decref(data);
        return;
    }
    g_queue_push_tail(&server->news, qmp_event_new(name, data, g_get_real_time()));
    if (server->news.length >= LIMIT_PENDING_EVENTS) {
        hand_out(server);
    }
    if (!server->teller) {
        server->teller = g_idle_add_full(G_PRIORITY_LOW, tell_step, server, NULL);
    }
}

// --- requests ---------------------------------------------------------------------------------

// What happened before an answer is told before it.
static void reply(Client *client, const json_t *message)
{
    hand_out(client->listener->server);
    g_autofree char *line = json_message_format(message);
    line_channel_send_reply(client->channel, line, strlen(line));
}

static void reply_later(const json_t *message, void *context)
{
    reply(context, message);
}

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)after_sentinel;
    Client *client = context;
    QmpResult result;
    // A client that negotiates now is told of what happens from now on.
    hand_out(client->listener->server);
    client->control.events_lost = line_channel_dropped_events(channel);
    qmp_serve_line(control_commands, control_gate, &client->control, line, length, &result);
    if (!control_later_keep(client->control.later, result.reply)) {
        reply(client, result.reply);
    }
    qmp_result_clear(&result);
    if (client->control.quit) {
        client->listener->server->quit(client->listener->server->context);
    }
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    Client *client = context;
    if (end == LINE_CHANNEL_END_TOO_LONG) {
        g_autoptr(GError) error =
            g_error_new(PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "JSON parse error, %s", message);
        g_autoptr(json_t) answer = qmp_error_reply(error);
        reply(client, answer);
        return true;
    }
    g_ptr_array_remove_fast(client->listener->server->clients, client);
    return false;
}

static const LineChannelHandlers channel_handlers = {.line = on_line, .ended = on_ended};

// --- connections ------------------------------------------------------------------------------

// Says why before the connection is closed, as far as a socket takes it at once.
static void turn_away(int fd)
{
    g_autoptr(GError) error = g_error_new(
        PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
        "This socket has %d clients already, as many as there can be", LIMIT_CONTROL_CLIENTS);
    g_autoptr(json_t) message = qmp_error_reply(error);
    g_autofree char *line = json_message_format(message);
    send(fd, line, strlen(line), MSG_NOSIGNAL);
    close(fd);
}

static void welcome(Listener *listener, int fd)
{
    Client *client = g_new0(Client, 1);
    client->listener = listener;
    client->control = (ControlContext){
        .controller = listener->server->controller,
        .read_only = listener->read_only,
        .events = CONTROL_EVENTS_ALL,
        .later = control_later_new(listener->server->controller, reply_later, client),
    };
    client->channel = line_channel_new(fd, LIMIT_REQUEST_LINE_BYTES, LIMIT_PENDING_EVENTS,
                                       &channel_handlers, client);
    listener->clients++;
    g_ptr_array_add(listener->server->clients, client);
    g_autoptr(json_t) greeting =
        json_pack("{s:{s:o, s:[]}}", "QMP", "version", view_version(), "capabilities");
    reply(client, greeting);
}

static gboolean on_connection(int fd, GIOCondition condition, void *context)
{
    (void)condition;
    Listener *listener = context;
    int client_fd = unix_socket_accept(fd);
    if (client_fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        // It would be told of again at once.
        listener->source = 0;
        timer_arm(listener->resume, g_get_monotonic_time() + ACCEPT_PAUSE_US);
        return G_SOURCE_REMOVE;
    }
    if (client_fd >= 0 && listener->clients >= LIMIT_CONTROL_CLIENTS) {
        turn_away(client_fd);
    } else if (client_fd >= 0) {
        welcome(listener, client_fd);
    }
    return G_SOURCE_CONTINUE;
}

static void listen_again(void *context)
{
    Listener *listener = context;
    listener->source = g_unix_fd_add(listener->fd, G_IO_IN, on_connection, listener);
}

// --- listening --------------------------------------------------------------------------------

// Until then nobody but the process's own group could connect.
static void give_to_group(const char *path, const char *name)
{
    const struct group *group = getgrnam(name);
    if (!group) {
        g_warning("%s: there is no group %s", path, name);
    } else if (lchown(path, (uid_t)-1, group->gr_gid) < 0) {
        g_warning("%s: cannot be given to the group %s: %s", path, name, g_strerror(errno));
    }
}

static Listener *listener_new(ControlServer *server, const char *path, const char *group,
                              bool read_only, GError **error)
{
    int fd = unix_socket_listen(path, SOCKET_MODE, error);
    if (fd < 0) {
        return NULL;
    }
    if (group) {
        give_to_group(path, group);
    }
    Listener *listener = g_new0(Listener, 1);
    listener->server = server;
    listener->path = g_strdup(path);
    listener->read_only = read_only;
    listener->fd = fd;
    listener->resume = timer_new(listen_again, listener);
    listen_again(listener);
    return listener;
}

static void listener_free(Listener *listener)
{
    if (!listener) {
        return;
    }
    if (listener->source) {
        g_source_remove(listener->source);
    }
    timer_free(listener->resume);
    close(listener->fd);
    unlink(listener->path);
    g_free(listener->path);
    g_free(listener);
}

// Who may steer can do so without the other socket.
static Listener *start_telling(ControlServer *server, const ControlSockets *sockets)
{
    g_autoptr(GError) error = NULL;
    Listener *listener =
        sockets->readonly_path
            ? listener_new(server, sockets->readonly_path, sockets->readonly_group, true, &error)
            : NULL;
    if (error) {
        g_warning("no read-only socket: %s", error->message);
    }
    return listener;
}

ControlServer *control_server_new(const ControlSockets *sockets, Controller *controller,
                                  void quit(void *context), void *context, GError **error)
{
    ControlServer *server = g_new0(ControlServer, 1);
    server->steering = listener_new(server, sockets->path, sockets->group, false, error);
    if (!server->steering) {
        g_free(server);
        return NULL;
    }
    server->controller = controller;
    server->quit = quit;
    server->context = context;
    server->clients = g_ptr_array_new_with_free_func(free_client);
    server->telling = start_telling(server, sockets);
    controller_set_event_func(controller, on_controller_event, server);
    return server;
}

uint64_t control_server_dropped_events(const ControlServer *server)
{
    uint64_t dropped = server->dropped;
    for (guint i = 0; i < server->clients->len; i++) {
        const Client *client = g_ptr_array_index(server->clients, i);
        dropped += line_channel_dropped_events(client->channel);
    }
    return dropped;
}

void control_server_free(ControlServer *server)
{
    if (!server) {
        return;
    }
    controller_set_event_func(server->controller, NULL, NULL);
    if (server->teller) {
        g_source_remove(server->teller);
    }
    // Who reads is told of everything up to the end.
    hand_out(server);
    while (write_to_one(server)) {
    }
    g_ptr_array_unref(server->clients);
    listener_free(server->steering);
    listener_free(server->telling);
    g_free(server);
}
