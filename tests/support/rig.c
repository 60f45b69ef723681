// SPDX-License-Identifier: Apache-2.0
#include "tests/support/rig.h"

#include "protocol/json.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (60 * SECOND_US)
// From so long after a command on the plans are counted that lead to none.
#define PLANNED_US (100 * MS_US)

// --- life -------------------------------------------------------------------------------------

static void free_guest(void *data)
{
    RigGuest *guest = data;
    fake_agent_free(guest->agent);
    fake_qemu_free(guest->qemu);
    g_free(guest->name);
    g_free(guest->qmp_path);
    g_free(guest->agent_path);
    g_free(guest->keys);
    g_free(guest);
}

// What a sanitizer keeps of freed memory is not the controller's.
static void shrink_quarantine(void)
{
    const char *options = g_getenv("ASAN_OPTIONS");
    g_autofree char *more = g_strdup_printf(
        "%s:quarantine_size_mb=1:thread_local_quarantine_size_kb=64", options ? options : "");
    g_setenv("ASAN_OPTIONS", more, TRUE);
}

int rig_set_up(void **state)
{
    Rig *rig = g_new0(Rig, 1);
    const char *build = g_getenv("AEROSTAT_BUILD");
    shrink_quarantine();
    scratch_init(&rig->scratch);
    rig->program = g_build_filename(build ? build : "build", "aerostat-controller", NULL);
    rig->config_path = scratch_path(&rig->scratch, "controller.conf");
    rig->socket_path = scratch_path(&rig->scratch, "control");
    rig->log_path = scratch_path(&rig->scratch, "controller.log");
    rig->directory = scratch_path(&rig->scratch, "guests");
    rig->guests = g_ptr_array_new_with_free_func(free_guest);
    *state = rig;
    return 0;
}

static void disconnect_control(Rig *rig)
{
    line_client_close(&rig->control);
    g_queue_clear_full(&rig->events, (GDestroyNotify)json_decref);
}

int rig_tear_down(void **state)
{
    Rig *rig = *state;
    int status = rig->controller ? rig_stop(rig) : 0;
    if (status != 0) {
        g_autofree char *log = rig_log(rig);
        print_error("the controller ended with %d:\n%s\n", status, log);
    }
    disconnect_control(rig);
    g_ptr_array_unref(rig->guests);
    scratch_clear(&rig->scratch);
    g_free(rig->program);
    g_free(rig->config_path);
    g_free(rig->socket_path);
    g_free(rig->log_path);
    g_free(rig->directory);
    g_free(rig->host_root);
    g_free(rig);
    return status == 0 ? 0 : -1;
}

static void add_up(void *context)
{
    Rig *rig = context;
    int64_t held_bytes = 0;
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        held_bytes += MAX(fake_qemu_actual_bytes(guest->qemu), fake_qemu_target_bytes(guest->qemu));
    }
    rig->most_held_bytes = MAX(rig->most_held_bytes, held_bytes);
}

static RigGuest *new_guest(Rig *rig, const char *name, const char *folder, int64_t actual_bytes)
{
    RigGuest *guest = g_new0(RigGuest, 1);
    guest->name = g_strdup(name);
    guest->qmp_path = g_strdup_printf("%s/%s.qmp", folder, name);
    guest->agent_path = g_strdup_printf("%s/%s.agent", folder, name);
    guest->qemu = fake_qemu_new(guest->qmp_path, GIB);
    fake_qemu_set_actual(guest->qemu, actual_bytes);
    fake_qemu_watch(guest->qemu, add_up, rig);
    g_ptr_array_add(rig->guests, guest);
    return guest;
}

RigGuest *rig_add(Rig *rig, const char *name, int64_t actual_bytes, const char *keys)
{
    RigGuest *guest = new_guest(rig, name, rig->scratch.folder, actual_bytes);
    guest->keys = g_strdup(keys ? keys : "");
    rig_add_agent(guest);
    return guest;
}

RigGuest *rig_add_found(Rig *rig, const char *name, int64_t actual_bytes)
{
    g_mkdir_with_parents(rig->directory, 0755);
    return new_guest(rig, name, rig->directory, actual_bytes);
}

void rig_add_agent(RigGuest *guest)
{
    guest->agent = fake_agent_new(guest->agent_path, guest->qemu);
}

void rig_end_guest(Rig *rig, RigGuest *guest)
{
    g_ptr_array_remove(rig->guests, guest);
}

void rig_configure(Rig *rig, int64_t budget_bytes, const char *more)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text,
                           "[controller]\nsocket=%s\n"
                           "[host]\nreserve=0\nbudget=%" G_GINT64_FORMAT "\n"
                           "[discovery directory]\npath=%s\n",
                           rig->socket_path, budget_bytes, rig->directory);
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        if (guest->keys) {
            g_string_append_printf(text, "[guest %s]\nqmp=%s\nagent=%s\n%s\n", guest->name,
                                   guest->qmp_path, guest->agent_path, guest->keys);
        }
    }
    g_string_append(text, more ? more : "");
    g_free(scratch_write(&rig->scratch, "controller.conf", text->str, (gssize)text->len));
}

static bool try_connect(Rig *rig)
{
    if (!process_is_running(rig->controller)) {
        g_autofree char *log = rig_log(rig);
        fail_msg("the controller ended: %s", log);
    }
    int fd = unix_socket_connect(rig->socket_path, NULL);
    if (fd < 0) {
        return false;
    }
    close(fd);
    line_client_open_qmp(&rig->control, rig->socket_path);
    return true;
}

void rig_start(Rig *rig)
{
    const char *const arguments[] = {rig->program,
                                     "--verbose",
                                     "--config",
                                     rig->config_path,
                                     rig->host_root ? "--host-root" : NULL,
                                     rig->host_root,
                                     NULL};
    g_autoptr(GError) error = NULL;
    rig->controller =
        process_start(&(ProcessOptions){.arguments = arguments, .log_path = rig->log_path}, &error);
    assert_no_error(error);
    wait_for(try_connect(rig), PATIENCE_US);
}

void rig_use_host(Rig *rig, const char *root)
{
    rig->host_root = g_strdup(root);
}

bool rig_is_complete(const Rig *rig)
{
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        bool reports = !guest->agent || fake_agent_is_subscribed(guest->agent);
        if (!fake_qemu_is_connected(guest->qemu) || !reports) {
            return false;
        }
    }
    return true;
}

// Whether the controller has taken a report of the guest.
static bool rig_is_heard(Rig *rig, const RigGuest *guest)
{
    const char *state = rig_guest_text(rig, guest, "agent");
    return strcmp(state, "connected") == 0;
}

void rig_run(Rig *rig, int64_t budget_bytes)
{
    rig_configure(rig, budget_bytes, NULL);
    rig_start(rig);
    wait_for(rig_is_complete(rig), PATIENCE_US);
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        wait_for(!guest->agent || rig_is_heard(rig, guest), PATIENCE_US);
    }
}

RigPair rig_start_pair(Rig *rig, int64_t budget_bytes)
{
    RigPair pair = {
        .giver = rig_add(rig, "giver", 1000 * MIB, NULL),
        .taker = rig_add(rig, "taker", 300 * MIB, NULL),
    };
    rig_run(rig, budget_bytes);
    return pair;
}

void rig_signal(Rig *rig, int number)
{
    process_kill(rig->controller, number);
}

static int end_controller(Rig *rig, int number)
{
    disconnect_control(rig);
    process_kill(rig->controller, number);
    wait_for(!process_is_running(rig->controller), PATIENCE_US);
    int status = process_wait(rig->controller, 0, NULL);
    g_clear_pointer(&rig->controller, process_free);
    return status;
}

void rig_kill(Rig *rig)
{
    end_controller(rig, SIGKILL);
}

int rig_stop(Rig *rig)
{
    return end_controller(rig, SIGTERM);
}

char *rig_log(const Rig *rig)
{
    char *text = NULL;
    g_file_get_contents(rig->log_path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

bool rig_has_said(const Rig *rig, const char *text)
{
    g_autofree char *log = rig_log(rig);
    return strstr(log, text) != NULL;
}

int64_t rig_peak_bytes(const Rig *rig)
{
    return process_status_bytes(process_pid(rig->controller), "VmHWM");
}

// --- the control socket -----------------------------------------------------------------------

// The whole reply to a command.
static json_t *execute(Rig *rig, const char *command, json_t *arguments)
{
    json_int_t id = ++rig->next_id;
    g_autoptr(json_t) request =
        json_pack("{s:s, s:I, s:o*}", "execute", command, "id", id, "arguments", arguments);
    g_autofree char *line = g_strchomp(json_message_format(request));
    line_client_say(&rig->control, line);
    for (;;) {
        json_t *message = line_client_hear(&rig->control);
        const json_t *reply_id = json_object_get(message, "id");
        if (!json_object_get(message, "event")) {
            assert_int_equal(json_integer_value(reply_id), id);
            return message;
        }
        g_queue_push_tail(&rig->events, message);
    }
}

json_t *rig_ask(Rig *rig, const char *command, json_t *arguments)
{
    g_autoptr(json_t) reply = execute(rig, command, arguments);
    json_t *value = json_object_get(reply, "return");
    if (!value) {
        g_autofree char *text = json_message_format(reply);
        fail_msg("%s: %s", command, text);
    }
    return json_incref(value);
}

char *rig_ask_in_vain(Rig *rig, const char *command, json_t *arguments)
{
    g_autoptr(json_t) reply = execute(rig, command, arguments);
    const json_t *desc = json_object_get(json_object_get(reply, "error"), "desc");
    assert_non_null(desc);
    return g_strdup(json_string_value(desc));
}

json_t *rig_query_guest(Rig *rig, const RigGuest *guest)
{
    return rig_ask(rig, "query-guest", json_pack("{s:s}", "name", guest->name));
}

bool rig_has_heard_all(Rig *rig, const RigGuest *guest)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    const json_t *report = json_object_get(view, "report");
    return json_integer_value(json_object_get(report, "sequence")) ==
           fake_agent_reports(guest->agent);
}

const char *rig_guest_text(Rig *rig, const RigGuest *guest, const char *name)
{
    g_autoptr(json_t) view = rig_query_guest(rig, guest);
    const char *text = json_string_value(json_object_get(view, name));
    return g_intern_string(text ? text : "");
}

int64_t rig_ceiling_bytes(Rig *rig, const RigGuest *guest)
{
    g_autoptr(json_t) plan = rig_ask(rig, "query-plan", json_pack("{s:s}", "name", guest->name));
    const json_t *planned = json_array_get(json_object_get(plan, "guests"), 0);
    return json_integer_value(json_object_get(planned, "ceiling"));
}

static bool is_event(const json_t *message, const char *name, const RigGuest *guest)
{
    const char *event = json_string_value(json_object_get(message, "event"));
    const json_t *data = json_object_get(message, "data");
    const char *of = json_string_value(json_object_get(data, "name"));
    return g_strcmp0(event, name) == 0 && (!guest || g_strcmp0(of, guest->name) == 0);
}

bool rig_had_event(Rig *rig, const char *name, const RigGuest *guest)
{
    char *line;
    while ((line = g_queue_pop_head(&rig->control.lines))) {
        g_queue_push_tail(&rig->events, json_loads(line, 0, NULL));
        g_free(line);
    }
    bool found = false;
    json_t *message;
    while (!found && (message = g_queue_pop_head(&rig->events))) {
        found = is_event(message, name, guest);
        json_decref(message);
    }
    return found;
}

// --- what the guests were told ----------------------------------------------------------------

unsigned rig_balloon_commands(const Rig *rig)
{
    unsigned count = 0;
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        count += fake_qemu_count(guest->qemu, "balloon");
    }
    return count;
}

// When the last of them came, or `since_us` if none did after it.
static int64_t last_command_us(const Rig *rig, int64_t since_us)
{
    for (guint i = 0; i < rig->guests->len; i++) {
        const RigGuest *guest = g_ptr_array_index(rig->guests, i);
        const GPtrArray *commands = fake_qemu_commands(guest->qemu);
        for (guint j = 0; j < commands->len; j++) {
            const FakeQemuCommand *command = g_ptr_array_index(commands, j);
            if (g_strcmp0(command->name, "balloon") == 0) {
                since_us = MAX(since_us, command->at_us);
            }
        }
    }
    return since_us;
}

int64_t rig_plans(Rig *rig)
{
    g_autoptr(json_t) plan = rig_ask(rig, "query-plan", NULL);
    return json_integer_value(json_object_get(plan, "number"));
}

void rig_wait_for_plans(Rig *rig)
{
    int64_t before = rig_plans(rig);
    wait_for(rig_plans(rig) >= before + 2, PATIENCE_US);
}

bool rig_is_calm(Rig *rig, RigCalm *calm, int64_t calm_us)
{
    int64_t now_us = g_get_monotonic_time();
    int64_t since_us = last_command_us(rig, calm->since_us ? calm->since_us : now_us);
    if (since_us != calm->since_us) {
        *calm = (RigCalm){.since_us = since_us};
    }
    if (calm->plans == 0 && now_us - since_us >= PLANNED_US) {
        calm->plans = rig_plans(rig);
    }
    return now_us - since_us >= calm_us && rig_plans(rig) >= calm->plans + 2;
}

void rig_wait_until_calm(Rig *rig, int64_t calm_us)
{
    RigCalm calm = {0};
    wait_for(rig_is_calm(rig, &calm, calm_us), PATIENCE_US);
}
