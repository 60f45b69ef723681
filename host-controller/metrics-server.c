// SPDX-License-Identifier: Apache-2.0
#include "host-controller/metrics-server.h"

#include "host-controller/metrics-address.h"
#include "host-controller/metrics-status-page.h"
#include "host-controller/metrics-text.h"
#include "protocol/error.h"
#include "protocol/transport/timer.h"

#ifdef HAVE_MICROHTTPD
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// What one connection's request and headers may take.
#define CONNECTION_MEMORY_BYTES ((size_t)32 * 1024)
// Nothing read or written for this long ends a connection. The library needs it, too, for a client
// that closed behind half a request: it does not look for the end once it has read the rest.
#define SILENCE_S 3U
// Taken from a page at once.
#define BLOCK_BYTES ((size_t)16 * 1024)

struct MetricsServer {
    struct MHD_Daemon *daemon;
    GSource *source;
    const Controller *controller;
    const ControlServer *control;
    bool freed; // a connection has ended, so that another may be accepted
};

// --- pages ------------------------------------------------------------------------------------

// A page on its way to a client.
typedef struct Page {
    MetricsSnapshot *snapshot;
    MetricsStepFunc *append_step;
    size_t step;   // the next one
    GString *text; // of the last one
    size_t sent;   // of that text
} Page;

static void free_page(void *data)
{
    Page *page = data;
    metrics_snapshot_free(page->snapshot);
    g_string_free(page->text, TRUE);
    g_free(page);
}

static ssize_t read_page(void *data, uint64_t position, char *buffer, size_t size)
{
    (void)position;
    Page *page = data;
    while (page->sent == page->text->len) {
        page->sent = 0;
        g_string_truncate(page->text, 0);
        if (!page->append_step(page->snapshot, page->step++, page->text)) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
    }
    size_t length = MIN(size, page->text->len - page->sent);
    memcpy(buffer, page->text->str + page->sent, length);
    page->sent += length;
    return (ssize_t)length;
}

static struct MHD_Response *new_page(const MetricsServer *server, MetricsStepFunc *append_step)
{
    Page *page = g_new0(Page, 1);
    page->snapshot =
        metrics_snapshot_new(server->controller, server->control, g_get_monotonic_time());
    page->append_step = append_step;
    page->text = g_string_sized_new(BLOCK_BYTES);
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_page, page,
                                             free_page);
}

// --- requests ---------------------------------------------------------------------------------

// Answers and ends the connection. Whatever runs out of memory here ends it without an answer.
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response, const char *type)
{
    if (!response) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy", METRICS_STATUS_PAGE_POLICY);
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    return answer(
        connection, status,
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT),
        "text/plain; charset=utf-8");
}

static enum MHD_Result answer_metrics(const MetricsServer *server,
                                      struct MHD_Connection *connection)
{
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
    return answer(
        connection, MHD_HTTP_OK,
        new_page(server, openmetrics ? metrics_openmetrics_step : metrics_prometheus_step),
        openmetrics ? METRICS_OPENMETRICS_TYPE : METRICS_PROMETHEUS_TYPE);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request)
{
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)request;
    const MetricsServer *server = context;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
    }
    if (strcmp(url, "/metrics") == 0) {
        return answer_metrics(server, connection);
    }
    if (strcmp(url, "/") == 0) {
        return answer(connection, MHD_HTTP_OK, new_page(server, metrics_status_page_step),
                      "text/html; charset=utf-8");
    }
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "Only / and /metrics.\n");
}

// --- connections ------------------------------------------------------------------------------

typedef struct Deadline {
    Timer *timer;
    int fd;
} Deadline;

// The library finds the connection at its end, and closes it.
static void on_deadline(void *context)
{
    const Deadline *deadline = context;
    shutdown(deadline->fd, SHUT_RDWR);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    MetricsServer *server = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        Deadline *deadline = g_new0(Deadline, 1);
        deadline->fd =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        deadline->timer = timer_new(on_deadline, deadline);
        timer_arm(deadline->timer, g_get_monotonic_time() + METRICS_DEADLINE_US);
        *socket_context = deadline;
    } else {
        Deadline *deadline = *socket_context;
        timer_free(deadline->timer);
        g_free(deadline);
        server->freed = true;
    }
}

// --- the loop ---------------------------------------------------------------------------------

typedef struct DaemonSource {
    GSource source;
    MetricsServer *server;
} DaemonSource;

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    (void)callback;
    (void)data;
    MetricsServer *server = ((DaemonSource *)source)->server;
    server->freed = false;
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (server->freed) {
        // While it was full the library did not listen; it does again when it is next run.
        g_source_set_ready_time(source, 0);
    } else if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
        g_source_set_ready_time(source, g_get_monotonic_time() + (int64_t)wait_ms * 1000);
    } else {
        g_source_set_ready_time(source, -1);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs daemon_functions = {.dispatch = dispatch};

static GSource *watch_daemon(MetricsServer *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    GSource *source = g_source_new(&daemon_functions, sizeof(DaemonSource));
    ((DaemonSource *)source)->server = server;
    g_source_set_priority(source, G_PRIORITY_LOW);
    g_source_add_unix_fd(source, info->epoll_fd, G_IO_IN);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

MetricsServer *metrics_server_new(const char *address, const Controller *controller,
                                  const ControlServer *control, GError **error)
{
    int fd = metrics_address_listen(address, error);
    if (fd < 0) {
        return NULL;
    }
    MetricsServer *server = g_new0(MetricsServer, 1);
    server->controller = controller;
    server->control = control;
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET,
                         fd, MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)METRICS_MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         CONNECTION_MEMORY_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                         server, MHD_OPTION_END);
    if (!server->daemon) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "libmicrohttpd does not start at %s", address);
        close(fd);
        g_free(server);
        return NULL;
    }
    server->source = watch_daemon(server);
    g_message("metrics at http://%s/metrics", address);
    return server;
}

void metrics_server_free(MetricsServer *server)
{
    if (!server) {
        return;
    }
    g_source_destroy(server->source);
    g_source_unref(server->source);
    MHD_stop_daemon(server->daemon);
    g_free(server);
}

#else

MetricsServer *metrics_server_new(const char *address, const Controller *controller,
                                  const ControlServer *control, GError **error)
{
    (void)controller;
    (void)control;
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                "nothing listens at %s, this controller was built without libmicrohttpd", address);
    return NULL;
}

void metrics_server_free(MetricsServer *server)
{
    (void)server;
}

#endif
