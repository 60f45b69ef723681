// SPDX-License-Identifier: Apache-2.0
//
// Bounded JSON: jansson behind a check of depth, and typed access to members that says what is
// wrong.
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_t, json_decref)

// Parses one message, which must be a JSON object without duplicate keys and nested no deeper than
// LIMIT_JSON_DEPTH; the depth is checked before the parser sees the text. The caller bounds
// `length`. Returns a new reference, or NULL with PROTOCOL_ERROR_SYNTAX.
json_t *json_message_parse(const char *text, size_t length, GError **error);

// The same for a message of QEMU's, in which a number beyond int64_t becomes null: QEMU writes 2^64
// - 1 for what it does not know, and hands on whatever 64 bits a guest has written.
json_t *json_qemu_message_parse(const char *text, size_t length, GError **error);

// Serialises `message` compactly on one line, with the newline, into a new string.
char *json_message_format(const json_t *message);

// Reads member `name` of `object` into `*value`. A missing member, another type or a number outside
// [min, max] is PROTOCOL_ERROR_INVALID, in QEMU's words.
bool json_member_int(const json_t *object, const char *name, int64_t min, int64_t max,
                     int64_t *value, GError **error);
bool json_member_bool(const json_t *object, const char *name, bool *value, GError **error);
// `*value` is borrowed from `object`.
bool json_member_string(const json_t *object, const char *name, const char **value, GError **error);
// `*value` is borrowed from `object`.
bool json_member_object(const json_t *object, const char *name, json_t **value, GError **error);

// Copies text that came from a peer for a person to read: at most LIMIT_TEXT_BYTES bytes of valid
// UTF-8, what does not print (control characters, changes of direction) replaced by a blank, so
// that no guest can forge a log line or steer a terminal.
char *json_text_for_people(const char *text);
