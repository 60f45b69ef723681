// SPDX-License-Identifier: Apache-2.0
#include "host-controller/journal/reader.h"

#include "protocol/error.h"
#include "protocol/json.h"
#include "protocol/limits.h"

#include <string.h>

#define MAX_TIME_US (INT64_C(1) << 62)

static void guest_free(void *data)
{
    JournalGuest *guest = data;
    g_free(guest->name);
    g_free(guest);
}

void journal_reader_init(JournalReader *reader)
{
    *reader = (JournalReader){
        .guests = g_ptr_array_new_with_free_func(guest_free),
        .by_name = g_hash_table_new(g_str_hash, g_str_equal),
    };
}

void journal_reader_clear(JournalReader *reader)
{
    g_clear_pointer(&reader->by_name, g_hash_table_unref);
    g_clear_pointer(&reader->guests, g_ptr_array_unref);
}

void journal_reader_forget(JournalReader *reader)
{
    reader->known = false;
    reader->host = (JournalHost){0};
    g_hash_table_remove_all(reader->by_name);
    g_ptr_array_set_size(reader->guests, 0);
}

static bool invalid(GError **error, const char *message)
{
    g_set_error_literal(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID, message);
    return false;
}

// --- guests -----------------------------------------------------------------------------------

static bool take_reports(JournalRecord *record, const json_t *reports, GError **error)
{
    size_t count = json_array_size(reports);
    if (!json_is_array(reports) || count > JOURNAL_REPORTS) {
        return invalid(error, "reports is no list of a few");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *report = json_array_get(reports, i);
        PolicySample sample = record->history.last;
        if (!json_is_object(report)) {
            return invalid(error, "a report is no object");
        }
        if (!journal_fields_read(report, journal_sample_fields, &sample, error)) {
            return false;
        }
        *record = journal_record_expect(record, &sample, 1);
    }
    return true;
}

static void remove_guest(JournalReader *reader, const char *name)
{
    JournalGuest *guest = g_hash_table_lookup(reader->by_name, name);
    if (guest) {
        g_hash_table_remove(reader->by_name, name);
        g_ptr_array_remove(reader->guests, guest);
    }
}

static JournalGuest *find_or_add_guest(JournalReader *reader, const char *name, GError **error)
{
    JournalGuest *guest = g_hash_table_lookup(reader->by_name, name);
    if (guest) {
        return guest;
    }
    if (reader->guests->len >= LIMIT_GUESTS || !name[0] || strlen(name) > LIMIT_NAME_BYTES) {
        invalid(error, "too many guests, or one with a name that is none");
        return NULL;
    }
    guest = g_new0(JournalGuest, 1);
    guest->name = g_strdup(name);
    g_ptr_array_add(reader->guests, guest);
    g_hash_table_insert(reader->by_name, guest->name, guest);
    return guest;
}

static bool take_guest(JournalReader *reader, const char *name, const json_t *told, GError **error)
{
    if (json_is_null(told)) {
        remove_guest(reader, name);
        return true;
    }
    if (!json_is_object(told)) {
        return invalid(error, "a guest is no object");
    }
    JournalGuest *guest = find_or_add_guest(reader, name, error);
    const json_t *reports = json_object_get(told, "reports");
    return guest && (!reports || take_reports(&guest->record, reports, error)) &&
           journal_fields_read(told, journal_record_fields, &guest->record, error);
}

static bool take_guests(JournalReader *reader, json_t *told, GError **error)
{
    const char *name;
    json_t *guest;
    json_object_foreach (told, name, guest) {
        if (!take_guest(reader, name, guest, error)) {
            g_autofree char *shown = json_text_for_people(name);
            g_prefix_error(error, "guest '%s': ", shown);
            return false;
        }
    }
    return true;
}

// --- lines ------------------------------------------------------------------------------------

typedef struct Head {
    int64_t line;
    int64_t at_us;
    int64_t unix_us;
    int64_t skipped;
    int64_t dropped;
    bool full;
    json_t *host;
    json_t *guests;
} Head;

static bool read_head(const json_t *root, Head *head, GError **error)
{
    return json_member_int(root, "line", 1, INT64_MAX - 1, &head->line, error) &&
           json_member_int(root, "at-us", 0, MAX_TIME_US, &head->at_us, error) &&
           json_member_int(root, "unix-us", 0, MAX_TIME_US, &head->unix_us, error) &&
           json_member_int(root, "skipped", 0, MAX_TIME_US, &head->skipped, error) &&
           json_member_object(root, "host", &head->host, error) &&
           json_member_object(root, "guests", &head->guests, error) &&
           (!json_object_get(root, "full") ||
            (json_member_bool(root, "full", &head->full, error) &&
             json_member_int(root, "dropped", 0, MAX_TIME_US, &head->dropped, error)));
}

static bool follows(const JournalReader *reader, const Head *head)
{
    return reader->known && head->line == reader->line + 1 && head->at_us >= reader->at_us;
}

static bool take(JournalReader *reader, const Head *head, GError **error)
{
    reader->began = !follows(reader, head);
    if (head->full) {
        journal_reader_forget(reader);
        reader->dropped = head->dropped;
    }
    reader->line = head->line;
    reader->at_us = head->at_us;
    reader->unix_us = head->unix_us;
    reader->skipped = head->skipped;
    reader->known = journal_fields_read(head->host, journal_host_fields, &reader->host, error) &&
                    take_guests(reader, head->guests, error);
    return reader->known;
}

JournalLine journal_reader_take(JournalReader *reader, const char *text, size_t length,
                                GError **error)
{
    Head head = {0};
    g_autoptr(json_t) root = json_message_parse(text, length, error);
    if (!root || !read_head(root, &head, error)) {
        journal_reader_forget(reader);
        return JOURNAL_LINE_DAMAGED;
    }
    if (!head.full && !follows(reader, &head)) {
        journal_reader_forget(reader);
        return JOURNAL_LINE_ORPHAN;
    }
    return take(reader, &head, error) ? JOURNAL_LINE_TAKEN : JOURNAL_LINE_DAMAGED;
}

// --- plans ------------------------------------------------------------------------------------

void journal_reader_plan(const JournalReader *reader, GArray *guests)
{
    PolicyHost host = journal_policy_host(&reader->host);
    g_array_set_size(guests, reader->guests->len);
    for (guint i = 0; i < reader->guests->len; i++) {
        const JournalGuest *guest = g_ptr_array_index(reader->guests, i);
        g_array_index(guests, PolicyGuest, i) = guest->record.input;
    }
    policy_plan(&host, (PolicyGuest *)guests->data, guests->len);
}

const JournalGuest *journal_reader_find_difference(const JournalReader *reader,
                                                   const GArray *guests,
                                                   const PolicyGuest **planned)
{
    for (guint i = 0; i < reader->guests->len; i++) {
        const JournalGuest *guest = g_ptr_array_index(reader->guests, i);
        const JournalOutcome *recorded = &guest->record.outcome;
        *planned = &g_array_index(guests, PolicyGuest, i);
        JournalOutcome now = journal_outcome_of(*planned);
        if (recorded->plan_bytes != now.plan_bytes ||
            recorded->fair_share_bytes != now.fair_share_bytes || recorded->bound != now.bound) {
            return guest;
        }
    }
    return NULL;
}
