// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/replay-files.h"

#include "protocol/json.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

// Progress is told this often.
#define PROGRESS_BYTES ((int64_t)4 * 1024 * 1024)

typedef struct Source {
    const char *path;
    FILE *file;
    int64_t bytes;
    int64_t unix_us; // of its first line; G_MAXINT64: it has none
} Source;

static bool fail(GError **error, const char *path, int number)
{
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(number), "%s: %s", path,
                g_strerror(number));
    return false;
}

static void source_clear(void *data)
{
    Source *source = data;
    if (source->file) {
        fclose(source->file);
    }
}

// --- lines ------------------------------------------------------------------------------------

// What read_line() found.
typedef enum Found {
    FOUND_END,
    FOUND_LINE,
    FOUND_UNFINISHED, // the file ends within it
    FOUND_TOO_LONG,
} Found;

static Found read_line(FILE *file, GString *line)
{
    g_string_truncate(line, 0);
    bool too_long = false;
    int byte;
    while ((byte = getc_unlocked(file)) != EOF && byte != '\n') {
        too_long |= line->len == JOURNAL_LINE_BYTES;
        if (!too_long) {
            g_string_append_c(line, (char)byte);
        }
    }
    if (too_long) {
        return FOUND_TOO_LONG;
    }
    if (byte != EOF) {
        return FOUND_LINE;
    }
    return line->len > 0 ? FOUND_UNFINISHED : FOUND_END;
}

static int64_t time_of_line(const GString *line)
{
    g_autoptr(json_t) root = json_message_parse(line->str, line->len, NULL);
    int64_t unix_us;
    bool told = root && json_member_int(root, "unix-us", 0, G_MAXINT64 - 1, &unix_us, NULL);
    return told ? unix_us : G_MAXINT64;
}

// --- files ------------------------------------------------------------------------------------

// Opens the file and looks when it begins: its first line may be damaged.
static bool source_open(Source *source, const char *path, GString *line, GError **error)
{
    struct stat info;
    *source = (Source){.path = path, .file = fopen(path, "re"), .unix_us = G_MAXINT64};
    if (!source->file || fstat(fileno(source->file), &info) != 0) {
        return fail(error, path, errno);
    }
    if (!S_ISREG(info.st_mode)) {
        return fail(error, path, S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
    }
    source->bytes = info.st_size;
    while (source->unix_us == G_MAXINT64 && read_line(source->file, line) != FOUND_END) {
        source->unix_us = time_of_line(line);
    }
    rewind(source->file);
    return true;
}

static int compare_sources(const void *a, const void *b)
{
    int64_t a_us = ((const Source *)a)->unix_us;
    int64_t b_us = ((const Source *)b)->unix_us;
    return (a_us > b_us) - (a_us < b_us);
}

typedef struct Reading {
    ReplayLineFunc *take;
    ReplayProgressFunc *progress;
    void *context;
    int64_t done_bytes;
    int64_t told_bytes;
    int64_t all_bytes;
} Reading;

static void tell_progress(Reading *reading, bool now)
{
    if (reading->progress && (now || reading->done_bytes - reading->told_bytes >= PROGRESS_BYTES)) {
        reading->told_bytes = reading->done_bytes;
        reading->progress(MIN(reading->done_bytes, reading->all_bytes), reading->all_bytes,
                          reading->context);
    }
}

static bool read_source(Reading *reading, const Source *source, GString *line, GError **error)
{
    Found found;
    for (int64_t number = 1; (found = read_line(source->file, line)) != FOUND_END; number++) {
        ReplayLine told = {
            .path = source->path,
            .number = number,
            .text = found == FOUND_TOO_LONG ? NULL : line->str,
            .length = line->len,
            .unfinished = found == FOUND_UNFINISHED,
        };
        reading->take(&told, reading->context);
        reading->done_bytes += (int64_t)line->len + 1;
        tell_progress(reading, false);
    }
    return !ferror(source->file) || fail(error, source->path, errno);
}

bool replay_files_read(char *const *paths, ReplayLineFunc *take, ReplayProgressFunc *progress,
                       void *context, GError **error)
{
    Reading reading = {.take = take, .progress = progress, .context = context};
    g_autoptr(GArray) sources = g_array_new(FALSE, FALSE, sizeof(Source));
    g_array_set_clear_func(sources, source_clear);
    g_autoptr(GString) line = g_string_new(NULL);
    for (size_t i = 0; paths[i]; i++) {
        Source source;
        bool opened = source_open(&source, paths[i], line, error);
        g_array_append_val(sources, source);
        if (!opened) {
            return false;
        }
        reading.all_bytes += source.bytes;
    }
    g_array_sort(sources, compare_sources);
    bool read = true;
    for (guint i = 0; read && i < sources->len; i++) {
        read = read_source(&reading, &g_array_index(sources, Source, i), line, error);
    }
    tell_progress(&reading, true);
    return read;
}
