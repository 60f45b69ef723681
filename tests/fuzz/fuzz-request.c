// SPDX-License-Identifier: Apache-2.0
//
// Whatever a client writes to the control socket: every line gets one reply that is proper JSON.
#include "host-controller/control-commands.h"
#include "protocol/framing.h"
#include "protocol/limits.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Controller *new_controller(void)
{
    Config *config = config_load("/nonexistent/controller.conf", true, NULL);
    GuestConfig guest = {
        .name = (char *)"web1", .qmp_path = (char *)"/nonexistent/web1.qmp", .weight = 100};
    g_ptr_array_add(config->guests, guest_config_copy(&guest));
    return controller_new(config, "/nonexistent/controller.conf", "", NULL);
}

static void ignore(const json_t *reply, void *context)
{
    (void)reply;
    (void)context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Controller *controller;
    if (!controller) {
        controller = new_controller();
    }
    ControlContext control = {
        .controller = controller,
        .later = control_later_new(controller, ignore, NULL),
    };
    LineFramer framer;
    line_framer_init(&framer, LIMIT_REQUEST_LINE_BYTES);
    const char *bytes = (const char *)data;
    LineEvent event;
    while ((event = line_framer_push(&framer, &bytes, &size)) != LINE_EVENT_NONE) {
        if (event != LINE_EVENT_LINE) {
            continue;
        }
        QmpResult result;
        qmp_serve_line(control_commands, control_gate, &control, framer.line->str, framer.line->len,
                       &result);
        control_later_keep(control.later, result.reply);
        g_autofree char *line = json_message_format(result.reply);
        g_assert_true(strchr(line, '\n') == line + strlen(line) - 1);
        qmp_result_clear(&result);
    }
    control_later_free(control.later);
    line_framer_clear(&framer);
    return 0;
}
