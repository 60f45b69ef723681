// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scratch.h"

#include <glib/gstdio.h>

void scratch_init(Scratch *scratch)
{
    g_autoptr(GError) error = NULL;
    scratch->folder = g_dir_make_tmp("aerostat-XXXXXX", &error);
    if (!scratch->folder) {
        g_error("%s", error->message);
    }
}

static void remove_tree(const char *path)
{
    if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        for (const char *name; directory && (name = g_dir_read_name(directory));) {
            g_autofree char *child = g_build_filename(path, name, NULL);
            remove_tree(child);
        }
    }
    g_remove(path);
}

void scratch_clear(Scratch *scratch)
{
    if (scratch->folder && g_getenv("AEROSTAT_KEEP")) {
        g_print("left behind: %s\n", scratch->folder);
    } else if (scratch->folder) {
        remove_tree(scratch->folder);
    }
    g_clear_pointer(&scratch->folder, g_free);
}

char *scratch_path(const Scratch *scratch, const char *name)
{
    return g_build_filename(scratch->folder, name, NULL);
}

char *scratch_write(const Scratch *scratch, const char *name, const char *text, gssize length)
{
    char *path = scratch_path(scratch, name);
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GError) error = NULL;
    g_mkdir_with_parents(folder, 0700);
    if (!g_file_set_contents(path, text, length, &error)) {
        g_error("%s", error->message);
    }
    return path;
}

int scratch_set_up(void **state)
{
    Scratch *scratch = g_new0(Scratch, 1);
    scratch_init(scratch);
    *state = scratch;
    return 0;
}

int scratch_tear_down(void **state)
{
    scratch_clear(*state);
    g_free(*state);
    return 0;
}
