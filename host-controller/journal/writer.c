// SPDX-License-Identifier: Apache-2.0
#include "host-controller/journal/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A file holds as much as this many lines told in full, however small it should be.
#define LEAST_FULL_LINES 4
// Lines of 10,000 guests told in full take 9 MiB; ordinary ones less than a kilobyte.
#define QUEUE_BYTES ((gsize)16 * 1024 * 1024)
#define FILE_MODE 0640

typedef struct Line {
    char *text;
    gsize length;
    bool full;        // it stands by itself
    bool begins_file; // what there is of the file is put aside first
} Line;

struct JournalWriter {
    grefcount references; // the owner's and the thread's
    GMutex mutex;
    GCond changed;

    // Under the mutex.
    GQueue lines; // Line *
    gsize queued_bytes;
    int64_t most_file_bytes;
    int64_t file_bytes; // of the file being written
    gsize full_bytes;   // of the last line that stood by itself
    bool rotating;      // one that begins a file waits
    bool lost;          // lines were, or may have been: the next one must stand by itself
    bool fails;         // the last line could not be written, or not even be queued
    bool ends;
    bool ended;
    JournalTally tally;

    // The thread's own.
    char *path;
    int fd;    // -1: not open
    bool torn; // the file ends in the middle of a line
    bool told; // that it cannot be written
};

static void line_free(void *data)
{
    Line *line = data;
    g_free(line->text);
    g_free(line);
}

static void writer_unref(JournalWriter *writer)
{
    if (g_ref_count_dec(&writer->references)) {
        g_queue_clear_full(&writer->lines, line_free);
        g_mutex_clear(&writer->mutex);
        g_cond_clear(&writer->changed);
        g_free(writer->path);
        g_free(writer);
    }
}

// --- the files, in the thread -----------------------------------------------------------------

static bool fail(GError **error, const char *what, const char *path)
{
    int number = errno;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(number), "%s %s: %s", what, path,
                g_strerror(number));
    return false;
}

static void close_file(JournalWriter *writer)
{
    if (writer->fd >= 0) {
        close(writer->fd);
        writer->fd = -1;
    }
}

static void set_file_bytes(JournalWriter *writer, int64_t bytes)
{
    g_mutex_lock(&writer->mutex);
    writer->file_bytes = bytes;
    g_mutex_unlock(&writer->mutex);
}

// Whether a file of `bytes` ends in the middle of a line: its writer was killed.
static bool is_torn(int fd, off_t bytes)
{
    char last = '\n';
    return bytes > 0 && pread(fd, &last, 1, bytes - 1) == 1 && last != '\n';
}

static bool open_file(JournalWriter *writer, GError **error)
{
    // Without waiting for a reader, should somebody have put a FIFO there.
    int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(writer->path, flags);
    if (fd < 0 && errno == ENOENT) {
        fd = open(writer->path, flags | O_CREAT | O_EXCL, FILE_MODE);
        // Whatever the umask: its group is to read it.
        if (fd >= 0 && fchmod(fd, FILE_MODE) != 0) {
            close(fd);
            return fail(error, "cannot set the mode of", writer->path);
        }
    }
    if (fd < 0) {
        return fail(error, "cannot open", writer->path);
    }
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is no file", writer->path);
        return false;
    }
    writer->fd = fd;
    writer->torn = is_torn(fd, info.st_size);
    set_file_bytes(writer, info.st_size);
    return true;
}

static char *former_path(const JournalWriter *writer, int age)
{
    return age == 0 ? g_strdup(writer->path) : g_strdup_printf("%s.%d", writer->path, age);
}

// PATH becomes PATH.1 and so on; the oldest goes.
static bool put_aside(JournalWriter *writer, GError **error)
{
    close_file(writer);
    for (int age = JOURNAL_FILES - 2; age >= 0; age--) {
        g_autofree char *from = former_path(writer, age);
        g_autofree char *to = former_path(writer, age + 1);
        if (rename(from, to) != 0 && errno != ENOENT) {
            return fail(error, "cannot rename", from);
        }
    }
    set_file_bytes(writer, 0);
    return true;
}

// Whether the open file is still the one called PATH.
static bool is_in_place(const JournalWriter *writer)
{
    struct stat ours;
    struct stat there;
    return writer->fd >= 0 && fstat(writer->fd, &ours) == 0 && stat(writer->path, &there) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

static bool write_all(int fd, const char *text, gsize length)
{
    while (length > 0) {
        ssize_t count = write(fd, text, length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        text += count;
        length -= (gsize)count;
    }
    return true;
}

// Writes the line whole, or leaves the file as it was.
static bool append(JournalWriter *writer, const Line *line, GError **error)
{
    off_t before = lseek(writer->fd, 0, SEEK_END);
    if ((writer->torn && !write_all(writer->fd, "\n", 1)) ||
        !write_all(writer->fd, line->text, line->length)) {
        fail(error, "cannot write to", writer->path);
        writer->torn |= before < 0 || ftruncate(writer->fd, before) != 0;
        return false;
    }
    writer->torn = false;
    set_file_bytes(writer, lseek(writer->fd, 0, SEEK_END));
    return true;
}

typedef enum Outcome {
    OUTCOME_WRITTEN,
    OUTCOME_MOVED, // the file was taken away with what the line builds on
    OUTCOME_FAILED,
} Outcome;

static Outcome write_line(JournalWriter *writer, const Line *line, GError **error)
{
    if (writer->fd >= 0 && !is_in_place(writer)) {
        close_file(writer);
        if (!line->full) {
            return OUTCOME_MOVED;
        }
    }
    bool written = (!line->begins_file || put_aside(writer, error)) &&
                   (writer->fd >= 0 || open_file(writer, error)) && append(writer, line, error);
    return written ? OUTCOME_WRITTEN : OUTCOME_FAILED;
}

// Counts what came of a line; says when writing begins to fail, and when it works again.
static void settle(JournalWriter *writer, const Line *line, Outcome outcome, const GError *error)
{
    if (outcome == OUTCOME_FAILED && !writer->told) {
        g_warning("journal: %s; decisions are not recorded", error->message);
        writer->told = true;
    } else if (outcome == OUTCOME_WRITTEN && writer->told) {
        g_message("journal: decisions are recorded again in %s", writer->path);
        writer->told = false;
    }
    bool written = outcome == OUTCOME_WRITTEN;
    g_mutex_lock(&writer->mutex);
    writer->queued_bytes -= line->length;
    writer->rotating &= !line->begins_file;
    writer->lost |= !written;
    writer->fails = outcome == OUTCOME_FAILED;
    writer->tally.dropped += !written;
    writer->tally.lines += written;
    writer->tally.bytes += written ? line->length : 0;
    g_mutex_unlock(&writer->mutex);
}

// The next line; NULL: there will be none.
static Line *next_line(JournalWriter *writer)
{
    g_mutex_lock(&writer->mutex);
    while (g_queue_is_empty(&writer->lines) && !writer->ends) {
        g_cond_wait(&writer->changed, &writer->mutex);
    }
    Line *line = g_queue_pop_head(&writer->lines);
    g_mutex_unlock(&writer->mutex);
    return line;
}

static void *work(void *context)
{
    JournalWriter *writer = context;
    for (Line *line; (line = next_line(writer));) {
        g_autoptr(GError) error = NULL;
        Outcome outcome = write_line(writer, line, &error);
        settle(writer, line, outcome, error);
        line_free(line);
    }
    close_file(writer);
    g_mutex_lock(&writer->mutex);
    writer->ended = true;
    g_cond_signal(&writer->changed);
    g_mutex_unlock(&writer->mutex);
    writer_unref(writer);
    return NULL;
}

// --- the loop's side --------------------------------------------------------------------------

void journal_writer_begin_anew(JournalWriter *writer, int64_t size_bytes)
{
    g_mutex_lock(&writer->mutex);
    writer->lost = true;
    writer->most_file_bytes = size_bytes / JOURNAL_FILES;
    g_mutex_unlock(&writer->mutex);
}

JournalWriter *journal_writer_new(const char *path, int64_t size_bytes)
{
    JournalWriter *writer = g_new0(JournalWriter, 1);
    g_ref_count_init(&writer->references);
    g_ref_count_inc(&writer->references);
    g_mutex_init(&writer->mutex);
    g_cond_init(&writer->changed);
    g_queue_init(&writer->lines);
    writer->path = g_strdup(path);
    writer->fd = -1;
    journal_writer_begin_anew(writer, size_bytes);
    g_thread_unref(g_thread_new("journal", work, writer));
    return writer;
}

void journal_writer_free(JournalWriter *writer, int64_t patience_us)
{
    if (!writer) {
        return;
    }
    int64_t deadline_us = g_get_monotonic_time() + patience_us;
    g_mutex_lock(&writer->mutex);
    writer->ends = true;
    g_cond_signal(&writer->changed);
    while (!writer->ended && g_cond_wait_until(&writer->changed, &writer->mutex, deadline_us)) {
    }
    g_mutex_unlock(&writer->mutex);
    writer_unref(writer);
}

static bool is_full(const JournalWriter *writer)
{
    int64_t most_bytes =
        MAX(writer->most_file_bytes, (int64_t)writer->full_bytes * LEAST_FULL_LINES);
    return !writer->rotating && writer->file_bytes + (int64_t)writer->queued_bytes >= most_bytes;
}

JournalState journal_writer_state(JournalWriter *writer)
{
    g_mutex_lock(&writer->mutex);
    bool wants_full = writer->lost || is_full(writer);
    JournalState state = writer->fails ? JOURNAL_STATE_FAILS
                         : wants_full  ? JOURNAL_STATE_WANTS_FULL
                                       : JOURNAL_STATE_READY;
    g_mutex_unlock(&writer->mutex);
    return state;
}

void journal_writer_put(JournalWriter *writer, const GString *line, bool full)
{
    g_mutex_lock(&writer->mutex);
    bool fits = writer->queued_bytes + line->len <= QUEUE_BYTES;
    if (!fits || (writer->lost && !full)) {
        writer->fails |= !fits;
        writer->lost = true;
        writer->tally.dropped++;
    } else {
        Line *queued = g_new(Line, 1);
        *queued = (Line){
            .text = g_strndup(line->str, line->len),
            .length = line->len,
            .full = full,
            .begins_file = full && is_full(writer),
        };
        g_queue_push_tail(&writer->lines, queued);
        writer->rotating |= queued->begins_file;
        writer->full_bytes = full ? line->len : writer->full_bytes;
        writer->queued_bytes += line->len;
        writer->lost = false;
        g_cond_signal(&writer->changed);
    }
    g_mutex_unlock(&writer->mutex);
}

void journal_writer_count_dropped(JournalWriter *writer)
{
    g_mutex_lock(&writer->mutex);
    writer->tally.dropped++;
    g_mutex_unlock(&writer->mutex);
}

JournalTally journal_writer_tally(JournalWriter *writer)
{
    g_mutex_lock(&writer->mutex);
    JournalTally tally = writer->tally;
    g_mutex_unlock(&writer->mutex);
    return tally;
}
