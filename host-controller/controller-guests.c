// SPDX-License-Identifier: Apache-2.0
//
// Which guests there are: those of the configuration, those added at run time, those found in the
// directory.
//
// Of one name there is one guest, and of one monitor too: what is configured stands before what was
// added, and that before what was found. settle() brings the guest of one name in line with what is
// told of it; whatever changes ends there.
#include "host-controller/controller-state.h"

#include "host-controller/guest-name.h"
#include "protocol/error.h"
#include "protocol/limits.h"

#include <stdlib.h>
#include <string.h>

// A guest that was found, whether or not it is handled.
typedef struct Candidate {
    GuestConfig *guest;
    bool told; // that it is not
} Candidate;

static void free_candidate(void *data)
{
    Candidate *candidate = data;
    guest_config_free(candidate->guest);
    g_free(candidate);
}

// --- sockets ----------------------------------------------------------------------------------

// Where the path of a socket, which need not be there yet, leads to in the end.
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    if (real) {
        char *copy = g_strdup(real);
        free(real);
        return copy;
    }
    g_autofree char *link = g_file_read_link(path, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    return g_canonicalize_filename(link ? link : path, folder);
}

// Says, once, that a guest is not handled.
static void tell_ignored(Controller *controller, const GuestConfig *guest, const char *why,
                         const char *other)
{
    Candidate *candidate = g_hash_table_lookup(controller->found, guest->name);
    bool found = candidate && guest->origin == GUEST_ORIGIN_FOUND;
    if (!found || !candidate->told) {
        g_warning("%s at %s is ignored: %s%s", guest->name, guest->qmp_path, why, other);
    }
    if (found) {
        candidate->told = true;
    }
}

// --- coming and going -------------------------------------------------------------------------

static void emit_named(Controller *controller, const char *event, const char *name)
{
    controller_emit(event, json_pack("{s:s}", "name", name), controller);
}

static void remove_guest(Controller *controller, Guest *guest)
{
    g_message("%s: is no longer looked after", guest->config->name);
    emit_named(controller, "GUEST_REMOVED", guest->config->name);
    controller_plan_forget(controller);
    g_hash_table_remove(controller->by_name, guest->config->name);
    g_hash_table_remove(controller->by_socket, guest->socket);
    g_ptr_array_remove(controller->guests, guest);
    guest_free(guest);
    controller_plan_now(controller);
    // What was ignored for its sake may have its turn.
    timer_arm_by(controller->settle_timer, g_get_monotonic_time());
}

// Begins to look after a guest, unless that is another's monitor.
static void add_guest(Controller *controller, const GuestConfig *wanted)
{
    g_autofree char *socket = resolve(wanted->qmp_path);
    Guest *owner = g_hash_table_lookup(controller->by_socket, socket);
    if (owner && owner->config->origin <= wanted->origin) {
        tell_ignored(controller, wanted, "that is the monitor of ", owner->config->name);
        return;
    }
    if (owner) {
        remove_guest(controller, owner);
    }
    if (controller->guests->len >= LIMIT_GUESTS) {
        tell_ignored(controller, wanted, "there are too many guests", "");
        return;
    }
    Guest *guest = guest_new(wanted, &controller_guest_handlers, controller);
    guest->socket = g_steal_pointer(&socket);
    g_ptr_array_add(controller->guests, guest);
    g_hash_table_insert(controller->by_name, guest->config->name, guest);
    g_hash_table_insert(controller->by_socket, guest->socket, guest);
    emit_named(controller, "GUEST_ADDED", guest->config->name);
    controller_plan_now(controller);
}

// What is told of the guest of that name, with its settings; NULL: nothing.
static GuestConfig *find_wanted(const Controller *controller, const char *name)
{
    const GuestConfig *told = g_hash_table_lookup(controller->configured, name);
    const Candidate *candidate = g_hash_table_lookup(controller->found, name);
    if (!told) {
        told = g_hash_table_lookup(controller->added, name);
    }
    if (!told && candidate) {
        told = candidate->guest;
    }
    if (!told) {
        return NULL;
    }
    GuestConfig *wanted = guest_config_copy(told);
    config_complete_guest(controller->config, wanted);
    return wanted;
}

static void settle(Controller *controller, const char *name)
{
    g_autoptr(GuestConfig) wanted = find_wanted(controller, name);
    Guest *guest = g_hash_table_lookup(controller->by_name, name);
    if (guest && (!wanted || !guest_reconfigure(guest, wanted))) {
        remove_guest(controller, guest);
        guest = NULL;
    }
    if (wanted && !guest) {
        add_guest(controller, wanted);
    }
}

// Those that were ignored.
static void settle_found(void *context)
{
    Controller *controller = context;
    g_autoptr(GList) names = g_hash_table_get_keys(controller->found);
    for (GList *link = names; link; link = link->next) {
        if (!g_hash_table_contains(controller->by_name, link->data)) {
            settle(controller, link->data);
        }
    }
}

// --- the configuration ------------------------------------------------------------------------

// The configuration may now have what was added before it did.
static void forget_added_that_are_configured(Controller *controller)
{
    GHashTableIter iterator;
    void *name;
    g_hash_table_iter_init(&iterator, controller->added);
    while (g_hash_table_iter_next(&iterator, &name, NULL)) {
        if (g_hash_table_contains(controller->configured, name)) {
            g_message("%s: added at run time, is configured now", (const char *)name);
            g_hash_table_iter_remove(&iterator);
        }
    }
}

static GPtrArray *names_of_guests(const Controller *controller)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < controller->guests->len; i++) {
        const Guest *guest = g_ptr_array_index(controller->guests, i);
        g_ptr_array_add(names, g_strdup(guest->config->name));
    }
    return names;
}

static void settle_names(Controller *controller, GHashTable *table)
{
    g_autoptr(GList) names = g_hash_table_get_keys(table);
    for (GList *link = names; link; link = link->next) {
        settle(controller, link->data);
    }
}

// Configured guests come first, in the order of the configuration.
static void sort_guests(Controller *controller)
{
    GPtrArray *former = controller->guests;
    const GPtrArray *configured = controller->config->guests;
    controller->guests = g_ptr_array_new();
    for (guint i = 0; i < configured->len; i++) {
        const GuestConfig *config = g_ptr_array_index(configured, i);
        Guest *guest = g_hash_table_lookup(controller->by_name, config->name);
        if (guest) {
            g_ptr_array_add(controller->guests, guest);
        }
    }
    for (guint i = 0; i < former->len; i++) {
        Guest *guest = g_ptr_array_index(former, i);
        if (!g_hash_table_contains(controller->configured, guest->config->name)) {
            g_ptr_array_add(controller->guests, guest);
        }
    }
    g_ptr_array_unref(former);
}

static void on_found(const GuestConfig *found, void *context)
{
    Controller *controller = context;
    const Candidate *former = g_hash_table_lookup(controller->found, found->name);
    Candidate *candidate = g_new(Candidate, 1);
    *candidate = (Candidate){guest_config_copy(found), former && former->told};
    g_hash_table_replace(controller->found, candidate->guest->name, candidate);
    settle(controller, found->name);
    const Guest *guest = g_hash_table_lookup(controller->by_name, found->name);
    g_autofree char *socket = resolve(found->qmp_path);
    if (guest && strcmp(guest->socket, socket) != 0) {
        tell_ignored(controller, found, "the guest of that name has another monitor", "");
    }
}

static void on_lost(const char *name, void *context)
{
    Controller *controller = context;
    g_hash_table_remove(controller->found, name);
    settle(controller, name);
}

static const DiscoveryHandlers discovery_handlers = {.found = on_found, .lost = on_lost};

// Watches the configured directory, if it is not the one that is watched already.
static void start_discovery(Controller *controller)
{
    const char *path = controller->config->discovery_path;
    if (controller->discovery && g_strcmp0(path, discovery_path(controller->discovery)) == 0) {
        return;
    }
    g_clear_pointer(&controller->discovery, discovery_free);
    g_hash_table_remove_all(controller->found);
    if (path) {
        controller->discovery = discovery_new(path, &discovery_handlers, controller);
        discovery_start(controller->discovery);
    }
}

void controller_guests_apply(Controller *controller)
{
    g_hash_table_remove_all(controller->configured);
    for (guint i = 0; i < controller->config->guests->len; i++) {
        GuestConfig *guest = g_ptr_array_index(controller->config->guests, i);
        g_hash_table_insert(controller->configured, guest->name, guest);
    }
    forget_added_that_are_configured(controller);
    start_discovery(controller);
    // First those that may go, so that they are in nobody's way.
    g_autoptr(GPtrArray) former = names_of_guests(controller);
    for (guint i = 0; i < former->len; i++) {
        settle(controller, g_ptr_array_index(former, i));
    }
    for (guint i = 0; i < controller->config->guests->len; i++) {
        const GuestConfig *guest = g_ptr_array_index(controller->config->guests, i);
        settle(controller, guest->name);
    }
    settle_names(controller, controller->added);
    settle_names(controller, controller->found);
    sort_guests(controller);
}

void controller_guests_init(Controller *controller)
{
    controller->guests = g_ptr_array_new();
    controller->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    controller->by_socket = g_hash_table_new(g_str_hash, g_str_equal);
    controller->configured = g_hash_table_new(g_str_hash, g_str_equal);
    controller->added =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)guest_config_free);
    controller->found = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_candidate);
    controller->settle_timer = timer_new(settle_found, controller);
}

void controller_guests_clear(Controller *controller)
{
    discovery_free(controller->discovery);
    timer_free(controller->settle_timer);
    for (guint i = 0; i < controller->guests->len; i++) {
        guest_free(g_ptr_array_index(controller->guests, i));
    }
    g_ptr_array_unref(controller->guests);
    g_hash_table_unref(controller->by_name);
    g_hash_table_unref(controller->by_socket);
    g_hash_table_unref(controller->configured);
    g_hash_table_unref(controller->added);
    g_hash_table_unref(controller->found);
}

// --- at run time ------------------------------------------------------------------------------

static bool refuse(GError **error, const Guest *guest, const char *why)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "Guest '%s' %s", guest->config->name,
                why);
    return false;
}

bool controller_add_guest(Controller *controller, const GuestConfig *guest, GError **error)
{
    const Guest *known = g_hash_table_lookup(controller->by_name, guest->name);
    if (known) {
        return refuse(error, known, "is known already");
    }
    g_autofree char *socket = resolve(guest->qmp_path);
    const Guest *owner = g_hash_table_lookup(controller->by_socket, socket);
    if (owner) {
        return refuse(error, owner, "has this monitor already");
    }
    if (controller->guests->len >= LIMIT_GUESTS) {
        g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                            "There are too many guests");
        return false;
    }
    GuestConfig *added = guest_config_copy(guest);
    added->origin = GUEST_ORIGIN_ADDED;
    g_hash_table_replace(controller->added, added->name, added);
    settle(controller, added->name);
    return true;
}

bool controller_remove_guest(Controller *controller, const char *name, GError **error)
{
    const Guest *guest = controller_find_guest(controller, name, error);
    if (!guest) {
        return false;
    }
    switch (guest->config->origin) {
    case GUEST_ORIGIN_CONFIGURED:
        return refuse(error, guest, "is configured; it goes when its group does");
    case GUEST_ORIGIN_FOUND:
        return refuse(error, guest, "is found in a directory; it goes when its socket does");
    case GUEST_ORIGIN_ADDED:
    case GUEST_ORIGIN_COUNT:
        break;
    }
    g_autofree char *removed = g_strdup(name);
    g_hash_table_remove(controller->added, removed);
    settle(controller, removed);
    return true;
}

bool controller_set_managed(Controller *controller, const char *name, const bool *managed,
                            GError **error)
{
    Guest *guest = controller_find_guest(controller, name, error);
    if (!guest) {
        return false;
    }
    guest_set_managed(guest, managed);
    controller_plan_now(controller);
    return true;
}
