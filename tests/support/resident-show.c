// SPDX-License-Identifier: Apache-2.0
#include "tests/support/resident-show.h"

#include "tests/test.h"

#include <glib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)8 << 20)

struct ResidentShow {
    size_t bytes;
    char *start;
};

ResidentShow *resident_show_new(int64_t bytes)
{
    ResidentShow *show = g_new0(ResidentShow, 1);
    show->bytes = ((size_t)bytes + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
    int fd = memfd_create("resident-show", MFD_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, PIECE_BYTES) == 0);
    // Room for all pieces side by side.
    show->start = mmap(NULL, show->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(show->start != MAP_FAILED);
    for (size_t at = 0; at < show->bytes; at += PIECE_BYTES) {
        void *piece = mmap(show->start + at, PIECE_BYTES, PROT_READ,
                           MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
        assert_true(piece != MAP_FAILED);
    }
    close(fd);
    return show;
}

void resident_show_free(ResidentShow *show)
{
    if (show) {
        munmap(show->start, show->bytes);
        g_free(show);
    }
}
