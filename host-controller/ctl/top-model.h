// SPDX-License-Identifier: Apache-2.0
//
// What aerostatctl top shows: the last answers of the controller, what it has seen of each guest
// over the last minutes, the last events, and where the person looks.
//
// Pure: no terminal, no socket, no clock.
#pragma once

#include "protocol/json.h"

// So many samples of each guest are kept, one a refresh.
#define TOP_SAMPLES 240
// And so many events.
#define TOP_EVENTS 50

typedef enum TopSort {
    TOP_SORT_NAME,
    TOP_SORT_USE, // what is in use, largest first
    TOP_SORT_ACTUAL,
    TOP_SORT_TARGET,
    TOP_SORT_PRESSURE,
    TOP_SORT_STATE, // what wants looking at first
    TOP_SORT_COUNT
} TopSort;

// The word for `sort` on the command line; its first letter is its key.
const char *top_sort_name(TopSort sort);
// Reads such a word. False when there is none.
bool top_sort_parse(const char *text, TopSort *sort);

// What a guest had in use at each refresh, in permille of its size; -1 where it was not known.
typedef struct TopHistory {
    int16_t use_permille[TOP_SAMPLES];
    uint64_t seen; // the refresh it was last seen at
} TopHistory;

typedef struct TopModel {
    json_t *status; // of query-status and so on; NULL: not known yet
    json_t *host;
    GPtrArray *guests;     // json_t *, as query-guests lists them, sorted
    GHashTable *histories; // TopHistory *, by name
    uint64_t refreshes;    // so far: the last is at use_permille[(refreshes - 1) % TOP_SAMPLES]
    GQueue events;         // json_t *, oldest first
    char *notice;          // in place of the host's line; NULL: none
    TopSort sort;
    guint first; // the guest shown in the first row
} TopModel;

void top_model_init(TopModel *model, TopSort sort);
void top_model_clear(TopModel *model);

// Takes over new answers; takes a reference of each.
void top_model_refresh(TopModel *model, json_t *status, json_t *host, json_t *guests);
// Takes over the reference to an event message.
void top_model_add_event(TopModel *model, json_t *event);
// What is wrong, or with NULL that all is well again.
void top_model_set_notice(TopModel *model, const char *notice);
void top_model_set_sort(TopModel *model, TopSort sort);
// Moves by so many guests, as far as there are any; `visible` of them are shown.
void top_model_scroll(TopModel *model, int by, guint visible);

// How a guest's memory is divided, in bytes; they add up to its size.
typedef struct TopMemory {
    int64_t size_bytes; // 0: nothing is known
    int64_t used_bytes;
    int64_t cache_bytes;
    int64_t free_bytes;
    int64_t unknown_bytes; // it has it, but does not report
    int64_t ballooned_bytes;
} TopMemory;

TopMemory top_memory_of(const json_t *guest);
