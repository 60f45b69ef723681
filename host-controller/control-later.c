// SPDX-License-Identifier: Apache-2.0
#include "host-controller/control-later.h"

#include "protocol/qmp.h"

typedef struct Waiting {
    ControlLater *later;
    json_t *reply; // NULL until it was served
} Waiting;

struct ControlLater {
    Controller *controller;
    void (*send)(const json_t *reply, void *context);
    void *context;
    GPtrArray *list;  // Waiting*
    Waiting *serving; // of those, the one that is being served; NULL: none
};

static void free_waiting(void *data)
{
    Waiting *waiting = data;
    json_decref(waiting->reply);
    g_free(waiting);
}

ControlLater *control_later_new(Controller *controller,
                                void send(const json_t *reply, void *context), void *context)
{
    ControlLater *later = g_new0(ControlLater, 1);
    later->controller = controller;
    later->send = send;
    later->context = context;
    later->list = g_ptr_array_new_with_free_func(free_waiting);
    return later;
}

void control_later_free(ControlLater *later)
{
    if (later) {
        for (guint i = 0; i < later->list->len; i++) {
            controller_abandon(later->controller, g_ptr_array_index(later->list, i));
        }
        g_ptr_array_unref(later->list);
        g_free(later);
    }
}

void *control_later_begin(ControlLater *later)
{
    Waiting *waiting = g_new0(Waiting, 1);
    waiting->later = later;
    g_ptr_array_add(later->list, waiting);
    later->serving = waiting;
    return waiting;
}

void control_later_cancel(ControlLater *later)
{
    g_ptr_array_remove(later->list, g_steal_pointer(&later->serving));
}

bool control_later_keep(ControlLater *later, json_t *reply)
{
    Waiting *waiting = g_steal_pointer(&later->serving);
    if (waiting) {
        waiting->reply = json_incref(reply);
    }
    return waiting != NULL;
}

void control_later_answer(json_t *value, const GError *error, void *context)
{
    Waiting *waiting = context;
    ControlLater *later = waiting->later;
    if (value) {
        json_object_set_new(waiting->reply, "return", value);
    } else {
        g_autoptr(json_t) refusal = qmp_error_reply(error);
        json_object_del(waiting->reply, "return");
        json_object_update(waiting->reply, refusal);
    }
    later->send(waiting->reply, later->context);
    g_ptr_array_remove(later->list, waiting);
}
