// SPDX-License-Identifier: Apache-2.0
#include "tests/support/ctl-fixture.h"

#include "protocol/error.h"
#include "protocol/qmp.h"
#include "tests/support/deadline.h"
#include "tests/test.h"

#include <string.h>

// --- the fake controller ------------------------------------------------------------------------

static json_t *get_guest(FakeController *fake)
{
    int64_t way_bytes = fake->target_bytes - fake->actual_bytes;
    const char *state = way_bytes == 0 ? "settled" : way_bytes < 0 ? "shrinking" : "growing";
    state = fake->first_state ? fake->first_state : state;
    fake->first_state = NULL;
    // The policy looks at a guest that was given back only a while later.
    bool decided = !fake->pinned && fake->looks_since_auto++ > 1;
    const char *bound = decided ? "demand" : "pinned";
    bound = fake->held_by ? fake->held_by : bound;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:{s:s}}", "name", "web1", "state", state,
                     "size", (json_int_t)(1024 * MIB), "actual", (json_int_t)fake->actual_bytes,
                     "target", (json_int_t)fake->target_bytes, "pinned", fake->pinned, "reason",
                     "bound-by", bound);
}

static void send_event(FakeController *fake, const char *name, int64_t target_bytes)
{
    g_autoptr(json_t) event = qmp_event_new(
        name,
        json_pack("{s:s, s:I, s:I, s:I}", "name", "web1", "target", (json_int_t)target_bytes,
                  "actual", (json_int_t)fake->actual_bytes, "elapsed-us", (json_int_t)1500000),
        1);
    g_autofree char *line = json_message_format(event);
    socket_thread_send(fake->fd, line);
}

static json_t *query_guest(void *context, const QmpCommand *command, json_t *arguments,
                           GError **error)
{
    (void)command;
    FakeController *fake = context;
    if (strcmp(json_string_value(json_object_get(arguments, "name")), "web1") != 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "no such thing");
        return NULL;
    }
    int64_t way_bytes = fake->target_bytes - fake->actual_bytes;
    fake->actual_bytes += CLAMP(way_bytes, -fake->step_bytes, fake->step_bytes);
    if (way_bytes != 0 && fake->actual_bytes == fake->target_bytes && fake->says_reached) {
        send_event(fake, "GUEST_TARGET_REACHED", fake->target_bytes);
    }
    fake->looked_at = true;
    return get_guest(fake);
}

static json_t *query_guests(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)command;
    (void)arguments;
    (void)error;
    return json_pack("[o, {s:s}]", get_guest(context), "name", "database");
}

static json_t *set_target(void *context, const QmpCommand *command, json_t *arguments,
                          GError **error)
{
    (void)command;
    FakeController *fake = context;
    const json_t *bytes = json_object_get(arguments, "bytes");
    fake->pinned = !json_is_null(bytes);
    if (fake->pinned && json_integer_value(bytes) < 256 * MIB) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, "256 MiB is the minimum\033[2J");
        return NULL;
    }
    if (fake->held_by) {
        return json_object();
    }
    fake->target_bytes = fake->pinned ? json_integer_value(bytes) : 800 * MIB;
    fake->gone = fake->leaves_at_set;
    if (fake->event_at_set) {
        send_event(fake, fake->event_at_set, fake->target_bytes);
    }
    return json_object();
}

static json_t *query_status(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_pack("{s:s}", "mode", "observe");
}

static json_t *claim(void *context, const QmpCommand *command, json_t *arguments, GError **error)
{
    (void)command;
    (void)error;
    FakeController *fake = context;
    json_decref(fake->last_claim);
    fake->last_claim = json_incref(arguments);
    return fake->denies ? json_pack("{s:b, s:I, s:I}", "granted", 0, "bytes",
                                    (json_int_t)(100 * MIB), "elapsed-us", (json_int_t)0)
                        : json_pack("{s:b, s:i, s:I, s:I}", "granted", 1, "id", 7, "bytes",
                                    (json_int_t)(512 * MIB), "elapsed-us", (json_int_t)1500000);
}

static json_t *query_claims(void *context, const QmpCommand *command, json_t *arguments,
                            GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_pack("[{s:i, s:s, s:s, s:I, s:b, s:I}]", "id", 7, "kind", "reservation", "name",
                     "web2", "bytes", (json_int_t)(512 * MIB), "granted", 1, "left-us",
                     (json_int_t)90000000);
}

static json_t *accept_anything(void *context, const QmpCommand *command, json_t *arguments,
                               GError **error)
{
    (void)context;
    (void)command;
    (void)arguments;
    (void)error;
    return json_object();
}

static const QmpArgument name_arguments[] = {{.name = "name", .type = JSON_STRING}, {0}};
static const QmpArgument target_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "bytes", .type = JSON_INTEGER, .nullable = true},
    {0}};
static const QmpArgument mode_arguments[] = {{.name = "mode", .type = JSON_STRING}, {0}};
static const QmpArgument reserve_arguments[] = {
    {.name = "bytes", .type = JSON_INTEGER},
    {.name = "name", .type = JSON_STRING, .optional = true},
    {.name = "timeout-ms", .type = JSON_INTEGER},
    {.name = "hold-ms", .type = JSON_INTEGER, .optional = true},
    {0}};
static const QmpArgument prepare_arguments[] = {
    {.name = "name", .type = JSON_STRING},
    {.name = "timeout-ms", .type = JSON_INTEGER},
    {.name = "hold-ms", .type = JSON_INTEGER, .optional = true},
    {0}};
static const QmpArgument id_arguments[] = {{.name = "id", .type = JSON_INTEGER}, {0}};
static const QmpCommand fake_commands[] = {
    {.name = "qmp_capabilities", .handler = accept_anything},
    {.name = "query-guests", .handler = query_guests},
    {.name = "query-guest", .arguments = name_arguments, .handler = query_guest},
    {.name = "set-target", .arguments = target_arguments, .handler = set_target},
    {.name = "set-mode", .arguments = mode_arguments, .handler = accept_anything},
    {.name = "query-status", .handler = query_status},
    {.name = "query-host", .handler = accept_anything},
    {.name = "reserve", .arguments = reserve_arguments, .handler = claim},
    {.name = "prepare", .arguments = prepare_arguments, .handler = claim},
    {.name = "release", .arguments = id_arguments, .handler = claim},
    {.name = "query-claims", .handler = query_claims},
    {0},
};

static void serve(int fd, void *context)
{
    FakeController *fake = context;
    fake->fd = fd;
    socket_thread_send(fd, CTL_GREETING);
    while (!fake->gone) {
        g_autofree char *line = socket_thread_receive_line(fd);
        if (!line) {
            return;
        }
        QmpResult result;
        qmp_serve_line(fake_commands, NULL, fake, line, strlen(line), &result);
        g_autofree char *reply = json_message_format(result.reply);
        socket_thread_send(fd, reply);
        qmp_result_clear(&result);
        if (fake->looked_at) {
            // Wakes whoever waits for the next step.
            send_event(fake, "GUEST_TARGET_CHANGED", fake->target_bytes);
            fake->looked_at = false;
        }
    }
}

// --- the fixture ------------------------------------------------------------------------------

int ctl_fixture_set_up(void **state)
{
    CtlFixture *fixture = g_new0(CtlFixture, 1);
    scratch_init(&fixture->scratch);
    fixture->path = scratch_path(&fixture->scratch, "controller.sock");
    fixture->fake = (FakeController){
        .actual_bytes = 1024 * MIB, .target_bytes = 1024 * MIB, .step_bytes = 200 * MIB};
    fixture->server = socket_thread_start(fixture->path, serve, &fixture->fake);
    fixture->context = (CtlContext){
        .socket_path = fixture->path,
        .out = open_memstream(&fixture->out, &fixture->out_length),
        .err = open_memstream(&fixture->err, &fixture->err_length),
        .timeout_us = 20 * SECOND_US,
    };
    *state = fixture;
    return 0;
}

int ctl_fixture_tear_down(void **state)
{
    CtlFixture *fixture = *state;
    socket_thread_stop(fixture->server);
    fclose(fixture->context.out);
    fclose(fixture->context.err);
    free(fixture->out);
    free(fixture->err);
    json_decref(fixture->fake.last_claim);
    g_free(fixture->path);
    scratch_clear(&fixture->scratch);
    g_free(fixture);
    return 0;
}

void ctl_fixture_serve(CtlFixture *fixture, SocketThreadServe *server)
{
    socket_thread_stop(fixture->server);
    fixture->server = socket_thread_start(fixture->path, server, NULL);
}

void ctl_fixture_assert_runs(CtlFixture *fixture, CtlCommand *command, const char *first,
                             const char *second, CtlExit exit, const char *out, const char *err)
{
    char *arguments[] = {(char *)first, (char *)second, NULL};
    CtlExit actual = command(&fixture->context, arguments);
    fflush(fixture->context.out);
    fflush(fixture->context.err);
    if (actual != exit) {
        fail_msg("exit code %d, not %d: %s%s", (int)actual, (int)exit, fixture->out, fixture->err);
    }
    if (out) {
        assert_string_equal(fixture->out, out);
    }
    if (err) {
        assert_string_equal(fixture->err, err);
    }
}
