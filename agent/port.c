// SPDX-License-Identifier: Apache-2.0
#include "agent/port.h"

#include "protocol/transport/service-notify.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RETRY_S 1

typedef enum PortState {
    PORT_MISSING, // looked for once a second
    PORT_CLOSED,  // open, but nobody on the host side
    PORT_SERVED,
} PortState;

struct Port {
    char *name;
    AgentServer *server;
    PortState state;
    int fd;          // -1 when missing
    int epoll_fd;    // tells of the driver's wake-ups
    GSource *source; // of the state: the timer, or the wake-ups
    char *last_message;
};

// --- finding ----------------------------------------------------------------------------------

char *port_find(const char *root, const char *name)
{
    g_autofree char *link = g_strconcat(root, "/dev/virtio-ports/", name, NULL);
    if (g_file_test(link, G_FILE_TEST_EXISTS)) {
        return g_steal_pointer(&link);
    }
    g_autofree char *class_path = g_strconcat(root, "/sys/class/virtio-ports", NULL);
    g_autoptr(GDir) directory = g_dir_open(class_path, 0, NULL);
    const char *entry;
    while (directory && (entry = g_dir_read_name(directory))) {
        g_autofree char *name_path = g_build_filename(class_path, entry, "name", NULL);
        g_autofree char *text = NULL;
        if (g_file_get_contents(name_path, &text, NULL, NULL) &&
            strcmp(g_strchomp(text), name) == 0) {
            return g_strconcat(root, "/dev/", entry, NULL);
        }
    }
    return NULL;
}

// --- states -----------------------------------------------------------------------------------

// Says what became of the port, once: a port missing for a day is one line.
static void say(Port *port, const char *what, const char *why)
{
    g_autofree char *message = why ? g_strdup_printf("port %s: %s: %s", port->name, what, why)
                                   : g_strdup_printf("port %s: %s", port->name, what);
    if (g_strcmp0(message, port->last_message) != 0) {
        g_autofree char *status = g_strconcat("STATUS=", message, NULL);
        g_printerr("aerostat-agent: %s\n", message);
        service_notify(status);
        g_free(port->last_message);
        port->last_message = g_steal_pointer(&message);
    }
}

static void enter(Port *port, PortState state);

static void close_port(Port *port)
{
    if (port->fd >= 0) {
        close(port->epoll_fd);
        close(port->fd);
        port->fd = -1;
    }
}

// Opens the port and starts to watch it. False when it cannot be, for now.
static bool open_port(Port *port)
{
    g_autofree char *path =
        strchr(port->name, '/') ? g_strdup(port->name) : port_find("", port->name);
    if (!path) {
        say(port, "waiting for it to appear", NULL);
        return false;
    }
    port->fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (port->fd < 0) {
        say(port, "cannot open it", g_strerror(errno));
        return false;
    }
    port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, port->fd, &event) < 0) {
        say(port, "cannot watch it", g_strerror(errno));
        close_port(port);
        return false;
    }
    return true;
}

static bool host_side_is_open(const Port *port)
{
    struct pollfd poll_fd = {.fd = port->fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) >= 0 && (poll_fd.revents & POLLHUP) == 0;
}

// An unplugged port hangs up like one whose host side is closed; reading nothing tells them apart
// without taking a byte of a client that comes at this moment.
static bool is_unplugged(const Port *port)
{
    char none;
    return read(port->fd, &none, 0) < 0 && errno == ENODEV;
}

// Drops what a client that is gone has sent and nobody read: the next one would get the answers.
static void discard_input(const Port *port)
{
    char chunk[4096];
    while (!host_side_is_open(port) && read(port->fd, chunk, sizeof(chunk)) > 0) {
    }
}

static void on_client_ended(void *context, LineChannelEnd end, const char *message)
{
    Port *port = context;
    if (end == LINE_CHANNEL_END_CLOSED) {
        // First, so that who reads of it finds the port clean.
        discard_input(port);
        say(port, "host side closed", NULL);
        enter(port, PORT_CLOSED);
    } else {
        say(port, "lost", message);
        enter(port, PORT_MISSING);
    }
}

static gboolean on_retry(void *data)
{
    Port *port = data;
    if (open_port(port)) {
        enter(port, PORT_CLOSED);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_wake_up(int fd, GIOCondition condition, void *data)
{
    (void)condition;
    Port *port = data;
    // Takes the edge before looking, so that one which comes later wakes anew.
    struct epoll_event event;
    (void)epoll_wait(fd, &event, 1, 0);
    if (host_side_is_open(port)) {
        enter(port, PORT_SERVED);
    } else if (is_unplugged(port)) {
        say(port, "unplugged", NULL);
        enter(port, PORT_MISSING);
    }
    return G_SOURCE_CONTINUE;
}

static void set_source(Port *port, GSource *source, GSourceFunc callback)
{
    if (port->source) {
        g_source_destroy(port->source);
        g_source_unref(port->source);
    }
    port->source = source;
    if (source) {
        g_source_set_callback(source, callback, port, NULL);
        g_source_attach(source, g_main_context_get_thread_default());
    }
}

static void serve(Port *port)
{
    // The server closes its descriptor when the client is gone; the port stays open.
    int fd = fcntl(port->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        say(port, "cannot serve it", g_strerror(errno));
        enter(port, PORT_MISSING);
        return;
    }
    say(port, "host side open", NULL);
    agent_server_serve(port->server, fd, on_client_ended, port);
}

static void enter(Port *port, PortState state)
{
    port->state = state;
    switch (state) {
    case PORT_MISSING:
        close_port(port);
        set_source(port, g_timeout_source_new_seconds(RETRY_S), on_retry);
        break;
    case PORT_CLOSED:
        set_source(port, g_unix_fd_source_new(port->epoll_fd, G_IO_IN), G_SOURCE_FUNC(on_wake_up));
        break;
    case PORT_SERVED:
        set_source(port, NULL, NULL);
        serve(port);
        break;
    }
}

Port *port_new(const char *name, AgentServer *server)
{
    Port *port = g_new0(Port, 1);
    port->name = g_strdup(name);
    port->server = server;
    port->fd = -1;
    enter(port, open_port(port) ? PORT_CLOSED : PORT_MISSING);
    return port;
}

void port_free(Port *port)
{
    if (port) {
        set_source(port, NULL, NULL);
        close_port(port);
        g_free(port->name);
        g_free(port->last_message);
        g_free(port);
    }
}
