// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake-qemu-internal.h"

#include "tests/test.h"

#include <string.h>

#define PAGE_BYTES 4096
#define DEFAULT_RATE (INT64_C(1) << 30)
// How often a balloon on its way is looked at.
#define STEP_MS 5
// QEMU emits BALLOON_CHANGE once in this time at most, the last one of a burst included.
#define EVENT_SPACING_US ((int64_t)G_USEC_PER_SEC)

// --- the balloon ------------------------------------------------------------------------------

static int64_t goal_of(const FakeQemu *qemu)
{
    return CLAMP(qemu->target_bytes, MIN(qemu->floor_bytes, qemu->size_bytes), qemu->size_bytes);
}

static bool can_move(const FakeQemu *qemu)
{
    return qemu->running && qemu->has_device && qemu->has_driver && !qemu->keeps &&
           qemu->rate_bytes_per_s > 0;
}

int64_t fake_qemu_actual_bytes(FakeQemu *qemu)
{
    if (!can_move(qemu)) {
        return qemu->from_bytes;
    }
    int64_t elapsed_us = g_get_monotonic_time() - qemu->from_us;
    double way = (double)qemu->rate_bytes_per_s * (double)elapsed_us / G_USEC_PER_SEC;
    int64_t distance = goal_of(qemu) - qemu->from_bytes;
    if (way >= (double)ABS(distance)) {
        return goal_of(qemu);
    }
    int64_t pages = (int64_t)way / PAGE_BYTES;
    return qemu->from_bytes + (distance < 0 ? -pages : pages) * PAGE_BYTES;
}

int64_t fake_qemu_told_bytes(FakeQemu *qemu)
{
    int64_t actual_bytes = fake_qemu_actual_bytes(qemu);
    qemu->has_left &= actual_bytes == qemu->size_bytes;
    return qemu->has_left ? qemu->left_bytes : actual_bytes;
}

void fake_qemu_on_asked(FakeQemu *qemu, void (*asked)(void *context), void *context)
{
    qemu->asked = asked;
    qemu->asked_context = context;
}

static void tell_change(FakeQemu *qemu, int64_t actual_bytes)
{
    int64_t now_us = g_get_monotonic_time();
    if (actual_bytes != qemu->told_bytes && now_us - qemu->told_us >= EVENT_SPACING_US) {
        qemu->told_bytes = actual_bytes;
        qemu->told_us = now_us;
        fake_qemu_emit(qemu, "BALLOON_CHANGE", json_pack("{s:I}", "actual", actual_bytes));
    }
}

static void tell_watch(const FakeQemu *qemu)
{
    if (qemu->watch) {
        qemu->watch(qemu->watch_context);
    }
}

static gboolean on_step(void *context)
{
    FakeQemu *qemu = context;
    int64_t actual_bytes = fake_qemu_actual_bytes(qemu);
    if (actual_bytes != qemu->seen_bytes) {
        qemu->seen_bytes = actual_bytes;
        tell_watch(qemu);
    }
    int64_t told_bytes = fake_qemu_told_bytes(qemu);
    tell_change(qemu, told_bytes);
    bool arrived = actual_bytes == goal_of(qemu) || !can_move(qemu);
    if (!arrived || told_bytes != qemu->told_bytes) {
        return G_SOURCE_CONTINUE;
    }
    g_clear_pointer(&qemu->step, g_source_unref);
    return G_SOURCE_REMOVE;
}

void fake_qemu_depart(FakeQemu *qemu, int64_t actual_bytes)
{
    qemu->from_bytes = actual_bytes;
    qemu->from_us = g_get_monotonic_time();
    if (!qemu->step) {
        qemu->step = g_timeout_source_new(STEP_MS);
        g_source_set_callback(qemu->step, on_step, qemu, NULL);
        g_source_attach(qemu->step, g_main_context_get_thread_default());
    }
}

int64_t fake_qemu_size_bytes(const FakeQemu *qemu)
{
    return qemu->size_bytes;
}

int64_t fake_qemu_target_bytes(const FakeQemu *qemu)
{
    return qemu->target_bytes;
}

void fake_qemu_set_actual(FakeQemu *qemu, int64_t bytes)
{
    qemu->target_bytes = bytes;
    qemu->has_left = false;
    fake_qemu_depart(qemu, bytes);
}

void fake_qemu_plug(FakeQemu *qemu, int64_t bytes)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu) + bytes);
    qemu->size_bytes += bytes;
    qemu->plugged_bytes += bytes;
    qemu->target_bytes += bytes; // QEMU counts pages in the balloon
    qemu->left_bytes += bytes;
}

void fake_qemu_take_back(FakeQemu *qemu, int64_t bytes)
{
    qemu->keeps = true;
    fake_qemu_depart(qemu, bytes);
}

void fake_qemu_set_driver(FakeQemu *qemu, bool present)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->has_driver = present;
}

void fake_qemu_set_rate(FakeQemu *qemu, int64_t bytes_per_s)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->rate_bytes_per_s = bytes_per_s;
}

void fake_qemu_set_floor(FakeQemu *qemu, int64_t bytes)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->floor_bytes = bytes;
}

void fake_qemu_set_device(FakeQemu *qemu, bool present)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->has_device = present;
}

void fake_qemu_set_running(FakeQemu *qemu, bool running)
{
    fake_qemu_depart(qemu, fake_qemu_actual_bytes(qemu));
    qemu->running = running;
    fake_qemu_emit(qemu, running ? "RESUME" : "STOP", NULL);
}

void fake_qemu_set_migration(FakeQemu *qemu, const char *status)
{
    qemu->migration = status;
    if (qemu->tells_migration) {
        fake_qemu_emit(qemu, "MIGRATION", json_pack("{s:s}", "status", status));
    }
}

void fake_qemu_reset_guest(FakeQemu *qemu)
{
    qemu->left_bytes = fake_qemu_told_bytes(qemu);
    qemu->has_left = true;
    qemu->keeps = false;
    fake_qemu_depart(qemu, qemu->size_bytes);
    fake_qemu_emit(qemu, "RESET", json_pack("{s:b, s:s}", "guest", 1, "reason", "guest-reset"));
}

void fake_qemu_emit(FakeQemu *qemu, const char *event, json_t *data)
{
    json_t *message = qmp_event_new(event, data, g_get_real_time());
    if (qemu->negotiated) {
        fake_server_send_event(qemu->server, message);
    } else {
        json_decref(message);
    }
}

void fake_qemu_watch(FakeQemu *qemu, void function(void *context), void *context)
{
    qemu->watch = function;
    qemu->watch_context = context;
}

// --- commands ---------------------------------------------------------------------------------

static void send_stats(FakeQemu *qemu, const json_t *reply)
{
    g_autofree char *line = json_message_format(reply);
    g_autofree char *stats = fake_qemu_format_stats(qemu);
    g_auto(GStrv) around = g_strsplit(line, "\"" FAKE_QEMU_STATS "\"", 2);
    g_autofree char *text = g_strjoinv(stats, around);
    fake_server_send(qemu->server, text, strlen(text));
}

static void carry_out(FakeQemu *qemu, const char *line, size_t length)
{
    QmpResult result;
    qmp_serve_line(fake_qemu_commands_table, fake_qemu_gate, qemu, line, length, &result);
    if (result.command && !result.succeeded && !qemu->has_device &&
        strstr(result.command->name, "balloon")) {
        json_object_set_new(json_object_get(result.reply, "error"), "class",
                            json_string("DeviceNotActive"));
    }
    if (g_strcmp0(json_string_value(json_object_get(result.reply, "return")), FAKE_QEMU_STATS)) {
        fake_server_send_message(qemu->server, json_incref(result.reply));
    } else {
        send_stats(qemu, result.reply);
    }
    qmp_result_clear(&result);
    tell_watch(qemu);
}

static void note_command(FakeQemu *qemu, const json_t *request)
{
    FakeQemuCommand *command = g_new0(FakeQemuCommand, 1);
    command->name = g_strdup(json_string_value(json_object_get(request, "execute")));
    command->arguments = json_incref(json_object_get(request, "arguments"));
    command->at_us = g_get_monotonic_time();
    g_ptr_array_add(qemu->commands, command);
}

static void free_command(void *data)
{
    FakeQemuCommand *command = data;
    g_free(command->name);
    json_decref(command->arguments);
    g_free(command);
}

const GPtrArray *fake_qemu_commands(const FakeQemu *qemu)
{
    return qemu->commands;
}

unsigned fake_qemu_count(const FakeQemu *qemu, const char *name)
{
    unsigned count = 0;
    for (guint i = 0; i < qemu->commands->len; i++) {
        const FakeQemuCommand *command = g_ptr_array_index(qemu->commands, i);
        count += g_strcmp0(command->name, name) == 0;
    }
    return count;
}

// --- the connection ---------------------------------------------------------------------------

static void serve(FakeQemu *qemu, const char *line, size_t length)
{
    g_autoptr(json_t) request = json_message_parse(line, length, NULL);
    if (request && qemu->negotiated) {
        note_command(qemu, request);
    }
    if (qemu->next_answer && qemu->negotiated) {
        g_autoptr(GBytes) answer = g_steal_pointer(&qemu->next_answer);
        fake_server_send(qemu->server, g_bytes_get_data(answer, NULL), g_bytes_get_size(answer));
    } else if (request && qemu->scripted && qemu->negotiated) {
        json_t *reply = qmp_script_answer(&qemu->script, request);
        if (reply) {
            fake_server_send_message(qemu->server, reply);
        }
    } else {
        carry_out(qemu, line, length);
    }
}

static void on_line(const char *line, size_t length, bool after_sentinel, void *context)
{
    (void)after_sentinel;
    FakeQemu *qemu = context;
    if (qemu->hanging) {
        g_queue_push_tail(&qemu->held, g_bytes_new(line, length));
    } else {
        serve(qemu, line, length);
    }
}

static void greet(FakeQemu *qemu)
{
    if (!qemu->hanging && !qemu->greeted && fake_server_has_client(qemu->server)) {
        qemu->greeted = true;
        fake_server_send_message(qemu->server,
                                 json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[s]}}", "QMP",
                                           "version", "qemu", "micro", 0, "minor", 2, "major", 7,
                                           "package", "fake", "capabilities", "oob"));
    }
}

static void on_connected(void *context)
{
    greet(context);
}

static void on_disconnected(void *context)
{
    FakeQemu *qemu = context;
    qemu->greeted = false;
    qemu->negotiated = false;
    g_queue_clear_full(&qemu->held, (GDestroyNotify)g_bytes_unref);
}

static const FakeServerHandlers server_handlers = {
    .connected = on_connected,
    .line = on_line,
    .disconnected = on_disconnected,
};

FakeQemu *fake_qemu_new(const char *path, int64_t size_bytes)
{
    FakeQemu *qemu = g_new0(FakeQemu, 1);
    *qemu = (FakeQemu){
        .size_bytes = size_bytes,
        .target_bytes = size_bytes,
        .rate_bytes_per_s = DEFAULT_RATE,
        .has_device = true,
        .has_driver = true,
        .running = true,
        .from_bytes = size_bytes,
        .seen_bytes = size_bytes,
        .told_bytes = size_bytes,
        .commands = g_ptr_array_new_with_free_func(free_command),
    };
    qemu->server = fake_server_new(path, &server_handlers, qemu);
    return qemu;
}

void fake_qemu_free(FakeQemu *qemu)
{
    if (!qemu) {
        return;
    }
    fake_server_free(qemu->server);
    if (qemu->step) {
        g_source_destroy(qemu->step);
        g_source_unref(qemu->step);
    }
    g_ptr_array_unref(qemu->commands);
    g_clear_pointer(&qemu->next_answer, g_bytes_unref);
    qmp_script_clear(&qemu->script);
    g_free(qemu->lie_member);
    g_free(qemu->lie_number);
    g_free(qemu);
}

bool fake_qemu_is_connected(const FakeQemu *qemu)
{
    return qemu->negotiated;
}

unsigned fake_qemu_connections(const FakeQemu *qemu)
{
    return fake_server_connections(qemu->server);
}

// --- misbehaving ------------------------------------------------------------------------------

void fake_qemu_set_hanging(FakeQemu *qemu, bool hanging)
{
    qemu->hanging = hanging;
    greet(qemu);
    GBytes *held;
    while (!hanging && (held = g_queue_pop_head(&qemu->held))) {
        serve(qemu, g_bytes_get_data(held, NULL), g_bytes_get_size(held));
        g_bytes_unref(held);
    }
}

void fake_qemu_answer_next_with(FakeQemu *qemu, const char *bytes, size_t length)
{
    g_clear_pointer(&qemu->next_answer, g_bytes_unref);
    qemu->next_answer = g_bytes_new(bytes, length);
}

void fake_qemu_send(FakeQemu *qemu, const char *bytes, size_t length)
{
    fake_server_send(qemu->server, bytes, length);
}

void fake_qemu_drop_client(FakeQemu *qemu)
{
    fake_server_drop_client(qemu->server);
}

void fake_qemu_quit(FakeQemu *qemu)
{
    fake_server_close(qemu->server);
}

void fake_qemu_start(FakeQemu *qemu)
{
    qemu->migration = NULL;
    qemu->tells_migration = false;
    qemu->interval_s = 0;
    qemu->stats_at_us = 0;
    fake_qemu_set_actual(qemu, qemu->size_bytes);
    fake_server_open(qemu->server);
}

// --- script -----------------------------------------------------------------------------------

void fake_qemu_expect(FakeQemu *qemu, const char *command, const char *reply)
{
    qemu->scripted = true;
    qmp_script_expect(&qemu->script, command, reply);
}

bool fake_qemu_script_is_done(const FakeQemu *qemu)
{
    g_autofree char *fault = qmp_script_fault(&qemu->script);
    return !fault;
}

void fake_qemu_assert_script_done(const FakeQemu *qemu)
{
    g_autofree char *fault = qmp_script_fault(&qemu->script);
    if (fault) {
        fail_msg("%s", fault);
    }
}
