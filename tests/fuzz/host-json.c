// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/host-json.h"

#include <glib.h>
#include <jansson.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>

#define GRAIN_BYTES 16
#define CLASSES 17 // of pieces up to 256 bytes; larger ones are the sanitizer's
#define BLOCK_BYTES ((size_t)64 * 1024)
// So many of a class are freed before the first of them is used again.
#define LATE 64
#define NOT_SANITIZED __attribute__((no_sanitize("address")))

typedef struct Piece {
    struct Piece *next; // of those that were freed
    guint32 class;
    guint32 is_free;
    char bytes[];
} Piece;

typedef struct Class {
    Piece *first; // the one freed first
    Piece *last;
    unsigned freed;
} Class;

static Class classes[CLASSES];
static char *block; // the rest of it
static size_t block_bytes;
static size_t pieces;

static Piece *new_piece(size_t class)
{
    size_t size = sizeof(Piece) + class * GRAIN_BYTES;
    if (block_bytes < size) {
        block = g_malloc(BLOCK_BYTES);
        block_bytes = BLOCK_BYTES;
        ASAN_POISON_MEMORY_REGION(block, BLOCK_BYTES);
    }
    Piece *piece = (Piece *)(void *)block;
    block += size;
    block_bytes -= size;
    return piece;
}

NOT_SANITIZED static Piece *used_piece(Class *class)
{
    Piece *piece = class->first;
    class->first = piece->next;
    class->freed--;
    return piece;
}

NOT_SANITIZED static void *take(size_t size)
{
    size_t number = (size + GRAIN_BYTES - 1) / GRAIN_BYTES;
    Piece *piece;
    pieces++;
    if (number >= CLASSES) {
        piece = g_malloc(sizeof(Piece) + size);
        number = CLASSES;
    } else if (classes[number].freed > LATE) {
        piece = used_piece(&classes[number]);
    } else {
        piece = new_piece(number);
    }
    piece->class = (guint32)number;
    piece->is_free = 0;
    ASAN_UNPOISON_MEMORY_REGION(piece->bytes, size);
    return piece->bytes;
}

NOT_SANITIZED static void give(void *bytes)
{
    if (!bytes) {
        return;
    }
    Piece *piece = (Piece *)(void *)((char *)bytes - offsetof(Piece, bytes));
    g_assert_true(piece->class <= CLASSES && !piece->is_free);
    pieces--;
    if (piece->class == CLASSES) {
        g_free(piece);
        return;
    }
    Class *class = &classes[piece->class];
    piece->is_free = 1;
    piece->next = NULL;
    if (class->freed++ > 0) {
        class->last->next = piece;
    } else {
        class->first = piece;
    }
    class->last = piece;
    ASAN_POISON_MEMORY_REGION(piece->bytes, piece->class * GRAIN_BYTES);
}

__attribute__((constructor)) static void set_up(void)
{
    json_set_alloc_funcs(take, give);
}

size_t host_json_pieces(void)
{
    return pieces;
}
