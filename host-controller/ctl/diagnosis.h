// SPDX-License-Identifier: Apache-2.0
//
// What is wrong on a host, and the command that mends it, from what the controller tells and what
// can be seen of its guests' processes.
//
// Pure, but for process_facts_read().
#pragma once

#include "protocol/json.h"

#include <sys/types.h>

// Something that is wrong.
typedef struct Finding {
    char *subject;    // a guest's name, harmless, or "host"
    const char *code; // for programs; aerostatctl(1) lists all
    char *what;
    char *remedy;
} Finding;

// A list of Finding *, which it frees.
GPtrArray *findings_new(void);

// What a process shows of a guest's memory.
typedef struct ProcessFacts {
    bool vfio;             // it has a passed-through device open
    int64_t hugetlb_bytes; // of its memory in huge pages
} ProcessFacts;

// Looks at process `pid` (0: none) below `root`, which is "" but in tests. What may not be looked
// at is not there.
ProcessFacts process_facts_read(const char *root, pid_t pid);

// Adds what is wrong with the controller and its host: query-host and query-guests.
void diagnose_host(const json_t *host, const json_t *guests, GPtrArray *findings);
// Adds what is wrong with a guest as query-guests lists it.
void diagnose_guest(const json_t *guest, const ProcessFacts *process, GPtrArray *findings);
// Adds why the controller cannot be asked: `error` of a connection to the socket at `path`.
void diagnose_connection(const char *path, const GError *error, GPtrArray *findings);
