// SPDX-License-Identifier: Apache-2.0
#include "tests/support/line-client.h"

#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>

#define PATIENCE_US (60 * SECOND_US)

static void on_line(LineChannel *channel, const char *line, size_t length, bool after_sentinel,
                    void *context)
{
    (void)channel;
    LineClient *client = context;
    g_queue_push_tail(&client->lines, g_strndup(line, length));
    client->after_sentinel = after_sentinel;
}

static bool on_ended(LineChannel *channel, LineChannelEnd end, const char *message, void *context)
{
    (void)channel;
    (void)end;
    (void)message;
    LineClient *client = context;
    client->ended = true;
    return false;
}

static const LineChannelHandlers handlers = {.line = on_line, .ended = on_ended};

void line_client_close(LineClient *client)
{
    line_channel_free(client->channel);
    g_queue_clear_full(&client->lines, g_free);
    *client = (LineClient){0};
}

void line_client_open(LineClient *client, const char *path)
{
    line_client_close(client);
    int fd = unix_socket_connect(path, NULL);
    assert_true(fd >= 0);
    client->channel = line_channel_new(fd, LIMIT_CONTROLLER_LINE_BYTES, 1, &handlers, client);
}

void line_client_say(LineClient *client, const char *text)
{
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    line_channel_send_reply(client->channel, line, strlen(line));
}

json_t *line_client_hear(LineClient *client)
{
    wait_for(client->lines.length > 0, PATIENCE_US);
    g_autofree char *line = g_queue_pop_head(&client->lines);
    json_t *message = json_loads(line, 0, NULL);
    assert_non_null(message);
    return message;
}

json_t *line_client_hear_answer(LineClient *client)
{
    for (;;) {
        g_autoptr(json_t) message = line_client_hear(client);
        if (!json_object_get(message, "event")) {
            return g_steal_pointer(&message);
        }
    }
}

void line_client_ask(LineClient *client, const char *request, const char *expected)
{
    line_client_say(client, request);
    g_autoptr(json_t) answer = line_client_hear_answer(client);
    g_autofree char *text = g_strchomp(json_message_format(answer));
    assert_string_equal(text, expected);
}

void line_client_open_qmp(LineClient *client, const char *path)
{
    line_client_open(client, path);
    json_decref(line_client_hear(client));
    line_client_ask(client, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
}

json_t *line_client_hear_event(LineClient *client, const char *name)
{
    for (;;) {
        g_autoptr(json_t) message = line_client_hear(client);
        const char *event = json_string_value(json_object_get(message, "event"));
        if (g_strcmp0(event, name) == 0) {
            return json_incref(json_object_get(message, "data"));
        }
    }
}
