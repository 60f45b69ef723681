// SPDX-License-Identifier: Apache-2.0
//
// The QEMU of a played guest: its monitor and its balloon.
#include "tests/fuzz/played-guest.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096
// What a command returns, in JSON.
#define VALUE_SIZE 256

// --- what happens to it -----------------------------------------------------------------------

// It has taken what the controller cannot know of before QEMU has told.
static void get_ahead(PlayedGuest *guest)
{
    guest->ahead = true;
    guest->told = 0;
}

void played_qemu_end(PlayedGuest *guest)
{
    guest->monitor.listens = false;
    guest->port.listens = false;
    played_peer_drop(&guest->monitor);
    played_peer_drop(&guest->port);
}

void played_qemu_start(PlayedGuest *guest)
{
    if (guest->monitor.listens) {
        return;
    }
    guest->monitor.listens = true;
    guest->port.listens = true;
    guest->pid += 4;
    guest->plugged_bytes = 0;
    guest->held_bytes = guest->target_bytes = guest->told_bytes = guest->size_bytes;
    guest->running = true;
    guest->has_device = true;
    guest->commanded = false;
    guest->migration = "none";
    guest->lies = guest->lies_size = NULL;
    guest->truthful = true;
    get_ahead(guest); // of what is remembered of the former one
    guest->boot_id++;
}

void played_qemu_emit(PlayedGuest *guest, const char *event, const char *data)
{
    played_peer_printf(
        &guest->monitor,
        "{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"%s\"%s%s}\r\n", event,
        data ? ",\"data\":" : "", data ? data : "");
}

void played_qemu_move(PlayedGuest *guest, int64_t bytes)
{
    if (bytes > played_guest_may_hold(guest)) {
        get_ahead(guest);
    }
    guest->held_bytes = CLAMP(bytes, 0, played_guest_size(guest));
    guest->told_bytes = guest->held_bytes;
}

void played_qemu_reset(PlayedGuest *guest)
{
    played_guest_held(guest);
    guest->held_bytes = played_guest_size(guest);
    get_ahead(guest);
    guest->subscribed = false;
    guest->boot_id++;
    g_string_truncate(guest->port.late, 0); // its agent is gone
    played_qemu_emit(guest, "RESET", "{\"guest\":true,\"reason\":\"guest-reset\"}");
}

void played_qemu_set_device(PlayedGuest *guest, bool present)
{
    played_guest_held(guest);
    if (present != guest->has_device) {
        guest->has_device = present;
        guest->commanded = false;
        guest->held_bytes = guest->target_bytes = guest->told_bytes = played_guest_size(guest);
        get_ahead(guest);
    }
    if (!present) {
        played_qemu_emit(guest, "DEVICE_DELETED", "{\"path\":\"/machine/peripheral/balloon0\"}");
    }
}

void played_qemu_plug(PlayedGuest *guest, int64_t bytes)
{
    played_guest_held(guest);
    int64_t more_bytes = bytes - guest->plugged_bytes;
    guest->plugged_bytes = bytes;
    guest->held_bytes = MAX(guest->held_bytes + more_bytes, 0);
    guest->target_bytes = MAX(guest->target_bytes + more_bytes, 0);
    guest->told_bytes = MAX(guest->told_bytes + more_bytes, 0);
    get_ahead(guest);
    played_qemu_emit(guest, "MEMORY_DEVICE_SIZE_CHANGE", "{\"id\":\"m\",\"size\":1}");
}

// --- its monitor ------------------------------------------------------------------------------

static int64_t number_behind(const char *line, const char *label)
{
    const char *found = strstr(line, label);
    return found ? strtoll(found + strlen(label), NULL, 10) : 0;
}

static bool asks(const char *line, const char *command)
{
    return strstr(line, command) != NULL;
}

static void set_target(PlayedGuest *guest, int64_t target_bytes)
{
    played_guest_held(guest);
    target_bytes = MIN(target_bytes, played_guest_size(guest));
    guest->target_bytes = target_bytes - target_bytes % PAGE_BYTES;
    // Where it went before, at another's word, is to be seen first.
    if (!guest->commanded) {
        get_ahead(guest);
    }
    guest->commanded = true;
}

// What the guest's driver tells QEMU.
static void write_stats(PlayedGuest *guest, char value[VALUE_SIZE])
{
    int64_t held_bytes = played_guest_held(guest);
    int64_t free_bytes = MAX(held_bytes - guest->used_bytes, 0);
    int64_t seconds = g_get_real_time() / G_USEC_PER_SEC;
    g_snprintf(value, VALUE_SIZE,
               "{\"last-update\":%" G_GINT64_FORMAT
               ",\"stats\":{\"stat-total-memory\":%" G_GINT64_FORMAT
               ",\"stat-available-memory\":%" G_GINT64_FORMAT
               ",\"stat-free-memory\":%" G_GINT64_FORMAT ",\"stat-swap-in\":18446744073709551615}}",
               seconds, held_bytes, free_bytes, free_bytes);
}

static bool write_qom(PlayedGuest *guest, const char *line, char value[VALUE_SIZE])
{
    if (!guest->has_device) {
        return false;
    }
    if (asks(line, "\"qom-list\"")) {
        g_strlcpy(value, "[{\"name\":\"b0\",\"type\":\"child<virtio-balloon-pci>\"}]", VALUE_SIZE);
    } else if (asks(line, "\"qom-set\"")) {
        guest->stats_interval_s = number_behind(line, "\"value\":");
    } else if (asks(line, "polling")) {
        g_snprintf(value, VALUE_SIZE, "%" G_GINT64_FORMAT, guest->stats_interval_s);
    } else {
        write_stats(guest, value);
    }
    return true;
}

static bool write_balloon(PlayedGuest *guest, const char *line, char value[VALUE_SIZE])
{
    if (!guest->has_device) {
        return false;
    }
    if (asks(line, "\"balloon\"")) {
        int64_t target_bytes = number_behind(line, "\"value\":");
        if (target_bytes > 0) {
            set_target(guest, target_bytes);
        }
        return target_bytes > 0;
    }
    played_guest_held(guest);
    guest->told++;
    guest->truthful &= !guest->lies;
    if (guest->lies) {
        g_snprintf(value, VALUE_SIZE, "{\"actual\":%s}", guest->lies);
    } else {
        g_snprintf(value, VALUE_SIZE, "{\"actual\":%" G_GINT64_FORMAT "}", guest->told_bytes);
    }
    return true;
}

static void write_size(PlayedGuest *guest, char value[VALUE_SIZE])
{
    guest->truthful &= !guest->lies_size;
    if (guest->lies_size) {
        g_snprintf(value, VALUE_SIZE, "{\"base-memory\":%s}", guest->lies_size);
    } else {
        g_snprintf(value, VALUE_SIZE,
                   "{\"base-memory\":%" G_GINT64_FORMAT ",\"plugged-memory\":%" G_GINT64_FORMAT "}",
                   guest->size_bytes, guest->plugged_bytes);
    }
}

// Carries out a command; false: an error. What it returns is in `value`, which is an empty object
// before.
static bool carry_out(PlayedGuest *guest, const char *line, char value[VALUE_SIZE])
{
    if (asks(line, "balloon\"")) {
        return write_balloon(guest, line, value);
    }
    if (asks(line, "\"qom-")) {
        return write_qom(guest, line, value);
    }
    if (asks(line, "query-memory-size-summary")) {
        write_size(guest, value);
    } else if (asks(line, "query-status")) {
        g_snprintf(value, VALUE_SIZE, "{\"status\":\"any\",\"running\":%s}",
                   guest->running ? "true" : "false");
    } else if (asks(line, "query-migrate")) {
        g_snprintf(value, VALUE_SIZE, "{\"status\":\"%s\"}", guest->migration);
    }
    return true;
}

void played_qemu_answer(PlayedGuest *guest, const char *line)
{
    PlayedPeer *monitor = &guest->monitor;
    int64_t id = number_behind(line, "\"id\":") + (monitor->manner == PLAYED_STRANGE_ID ? 7 : 0);
    bool refused = monitor->manner == PLAYED_REFUSING;
    g_assert_true(line[0] == '{');
    // A balloon that is there and is said not to be: no word of it is true.
    guest->truthful &= !refused || !asks(line, "balloon\"");
    char value[VALUE_SIZE] = "{}";
    bool done = !refused && carry_out(guest, line, value);
    if (monitor->manner == PLAYED_SILENT) {
        monitor->clean = false;
        return;
    }
    if (done) {
        played_peer_printf(monitor, "{\"return\":%s,\"id\":%" G_GINT64_FORMAT "}\r\n", value, id);
    } else {
        played_peer_printf(monitor,
                           "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"No balloon\"},"
                           "\"id\":%" G_GINT64_FORMAT "}\r\n",
                           id);
    }
}
