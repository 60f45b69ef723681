// SPDX-License-Identifier: Apache-2.0
//
// The agent of a played guest.
#include "tests/fuzz/played-guest.h"

#include "protocol/qmp.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_US INT64_C(1000000)
// Of its memory the guest's kernel never counts so much.
#define KERNEL_BYTES (48 * PLAYED_MIB)
#define NUMBER_SIZE 32

static void write_number(char number[NUMBER_SIZE], int64_t value)
{
    g_snprintf(number, NUMBER_SIZE, "%" G_GINT64_FORMAT, value);
}

void played_agent_report(PlayedGuest *guest, MemoryReportReason reason, PlayedField field,
                         const char *lie)
{
    if (!guest->subscribed || !guest->running) {
        return;
    }
    int64_t held_bytes = played_guest_held(guest);
    int64_t size_bytes = played_guest_size(guest);
    int64_t available_bytes = MAX(held_bytes - guest->used_bytes - KERNEL_BYTES, 0);
    char numbers[PLAYED_FIELD_COUNT][NUMBER_SIZE];
    write_number(numbers[PLAYED_SEQUENCE], ++guest->sequence);
    write_number(numbers[PLAYED_MONOTONIC], g_get_monotonic_time() / 2);
    write_number(numbers[PLAYED_TOTAL], size_bytes);
    write_number(numbers[PLAYED_FREE], available_bytes / 2);
    write_number(numbers[PLAYED_AVAILABLE], available_bytes);
    write_number(numbers[PLAYED_REFAULT], guest->refault_bytes);
    write_number(numbers[PLAYED_STALL], guest->stall_us);
    write_number(numbers[PLAYED_BALLOON], size_bytes - held_bytes);
    if (lie) {
        g_strlcpy(numbers[field], lie, NUMBER_SIZE);
        guest->truthful &= field != PLAYED_BALLOON;
    }
    played_peer_printf(
        &guest->port,
        "{\"event\":\"GUEST_MEMORY_REPORT\",\"timestamp\":{\"seconds\":1,\"microseconds\":0},"
        "\"data\":{\"sequence\":%s,\"monotonic-us\":%s,\"boot-id\":\"%x\",\"reason\":\"%s\","
        "\"memory\":{\"total\":%s,\"free\":%s,\"available\":%s},\"paging\":{\"refault-file\":%s},"
        "\"pressure\":{\"some\":{\"total-us\":%s}},\"balloon\":%s}}\n",
        numbers[PLAYED_SEQUENCE], numbers[PLAYED_MONOTONIC], guest->boot_id,
        memory_report_reason_name(reason), numbers[PLAYED_TOTAL], numbers[PLAYED_FREE],
        numbers[PLAYED_AVAILABLE], numbers[PLAYED_REFAULT], numbers[PLAYED_STALL],
        numbers[PLAYED_BALLOON]);
}

static void on_heartbeat(void *context)
{
    PlayedGuest *guest = context;
    if (guest->subscribed && guest->port.fd >= 0) {
        timer_arm(guest->heartbeat, g_get_monotonic_time() + HEARTBEAT_US);
        if (guest->beats) {
            played_agent_report(guest, REPORT_REASON_HEARTBEAT, 0, NULL);
        }
    }
}

void played_agent_begin(PlayedGuest *guest)
{
    guest->heartbeat = timer_new(on_heartbeat, guest);
}

// --- what it is asked -------------------------------------------------------------------------

static int64_t id_of(const char *text)
{
    const char *id = strstr(text, "\"id\":");
    return id ? strtoll(id + strlen("\"id\":"), NULL, 10) : 0;
}

static void answer_sync(PlayedGuest *guest, const char *line)
{
    const char *arguments = strstr(line, "\"arguments\"");
    guest->subscribed = false;
    played_peer_printf(&guest->port, "%c{\"return\":%" G_GINT64_FORMAT "}\n", 0xFF,
                       arguments ? id_of(arguments) : 0);
}

static void subscribe(PlayedGuest *guest)
{
    guest->subscribed = true;
    played_agent_report(guest, REPORT_REASON_START, 0, NULL);
    timer_arm(guest->heartbeat, g_get_monotonic_time() + HEARTBEAT_US);
}

void played_agent_answer(PlayedGuest *guest, const char *line)
{
    PlayedPeer *port = &guest->port;
    int64_t id = id_of(line) + (port->manner == PLAYED_STRANGE_ID ? 7 : 0);
    if (port->manner == PLAYED_SILENT || !guest->running) {
        return;
    }
    if (port->manner == PLAYED_REFUSING) {
        played_peer_printf(port,
                           "{\"error\":{\"class\":\"GenericError\",\"desc\":\"\\u001b[2J\"},"
                           "\"id\":%" G_GINT64_FORMAT "}\n",
                           id);
    } else if (strstr(line, QGA_SYNC_DELIMITED)) {
        answer_sync(guest, line);
    } else if (strstr(line, QGA_MEMORY_SUBSCRIBE)) {
        played_peer_printf(port, "{\"return\":{},\"id\":%" G_GINT64_FORMAT "}\n", id);
        subscribe(guest);
    } else {
        played_peer_printf(port,
                           "{\"return\":{\"version\":\"1\",\"supported_commands\":[{\"name\":"
                           "\"" QGA_MEMORY_SUBSCRIBE
                           "\",\"enabled\":true}]},\"id\":%" G_GINT64_FORMAT "}\n",
                           id);
    }
}
