// SPDX-License-Identifier: Apache-2.0
#include "protocol/transport/config-text.h"

#include "protocol/json.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

// No configuration of 10,000 guests comes near it.
#define MAX_FILE_BYTES ((size_t)4 * 1024 * 1024)
#define MAX_MISTAKES_SHOWN 50

// --- mistakes ---------------------------------------------------------------------------------

void config_mistakes_init(ConfigMistakes *mistakes)
{
    *mistakes = (ConfigMistakes){.text = g_string_new(NULL)};
}

void config_mistakes_clear(ConfigMistakes *mistakes)
{
    g_string_free(mistakes->text, TRUE);
    *mistakes = (ConfigMistakes){0};
}

void config_mistakes_add(ConfigMistakes *mistakes, ConfigPlace place, const char *group,
                         const char *key, const char *format, ...)
{
    if (mistakes->count++ >= MAX_MISTAKES_SHOWN) {
        return;
    }
    GString *text = mistakes->text;
    g_string_append_printf(text, "%s%s:", text->len > 0 ? "\n" : "", place.file);
    if (place.line > 0) {
        g_string_append_printf(text, "%u:", place.line);
    }
    if (group) {
        g_autofree char *shown = json_text_for_people(group);
        g_string_append_printf(text, " [%s]%s", shown, key ? "" : ":");
    }
    if (key) {
        g_autofree char *shown = json_text_for_people(key);
        g_string_append_printf(text, " %s:", shown);
    }
    g_string_append_c(text, ' ');
    va_list arguments;
    va_start(arguments, format);
    g_string_append_vprintf(text, format, arguments);
    va_end(arguments);
}

void config_mistakes_finish(ConfigMistakes *mistakes)
{
    if (mistakes->count > MAX_MISTAKES_SHOWN) {
        g_string_append_printf(mistakes->text, "\nand %u more mistakes",
                               mistakes->count - MAX_MISTAKES_SHOWN);
    }
}

// --- reading ----------------------------------------------------------------------------------

// Reads at most a little more than a file may have, so that not even /dev/zero takes memory.
// Returns false with errno set.
static bool read_bounded(const char *path, GString *text)
{
    FILE *file = g_fopen(path, "re");
    if (!file) {
        return false;
    }
    char buffer[16384];
    size_t length;
    while (text->len <= MAX_FILE_BYTES && (length = fread(buffer, 1, sizeof buffer, file)) > 0) {
        g_string_append_len(text, buffer, (gssize)length);
    }
    bool succeeded = !ferror(file);
    int saved_errno = errno;
    fclose(file);
    errno = saved_errno;
    return succeeded;
}

static GString *read_file(const char *path, bool optional, ConfigMistakes *mistakes)
{
    ConfigPlace place = {.file = path};
    g_autoptr(GString) text = g_string_new(NULL);
    if (!read_bounded(path, text)) {
        if (errno != ENOENT || !optional) {
            mistakes->unreadable = true;
            config_mistakes_add(mistakes, place, NULL, NULL, "cannot be read: %s",
                                g_strerror(errno));
        }
        return NULL;
    }
    if (text->len > MAX_FILE_BYTES) {
        config_mistakes_add(mistakes, place, NULL, NULL, "is larger than 4 MiB");
        return NULL;
    }
    return g_steal_pointer(&text);
}

// --- lines ------------------------------------------------------------------------------------

typedef struct Reader {
    ConfigPlace place;
    ConfigMistakes *mistakes;
    ConfigSettingHandler *handler;
    void *context;
    GHashTable *lines;   // "group" or "group\nkey" -> unsigned *, where it was seen
    GKeyFile *unescaper; // for what a value means
    char *group;         // the group open now
    bool after_bad_header;
} Reader;

// Whether this is the first time; a mistake otherwise. Takes over `id`.
static bool note_first(Reader *reader, char *id, const char *group, const char *key)
{
    const unsigned *line = g_hash_table_lookup(reader->lines, id);
    if (line) {
        config_mistakes_add(reader->mistakes, reader->place, group, key, "is already in line %u",
                            *line);
        g_free(id);
        return false;
    }
    g_hash_table_insert(reader->lines, id, g_memdup2(&reader->place.line, sizeof(unsigned)));
    return true;
}

static void read_header(Reader *reader, const char *line)
{
    size_t length = strlen(line);
    g_clear_pointer(&reader->group, g_free);
    reader->after_bad_header = true;
    g_autofree char *group = g_strndup(line + 1, length - 1);
    if (length < 3 || group[length - 2] != ']') {
        config_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                            "a group is written as [name], with nothing after it");
        return;
    }
    group[length - 2] = '\0';
    if (strpbrk(group, "[]")) {
        config_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                            "a group's name has no brackets in it");
        return;
    }
    if (!note_first(reader, g_strdup(group), group, NULL)) {
        return;
    }
    reader->after_bad_header = false;
    reader->group = g_steal_pointer(&group);
    reader->handler(reader->context,
                    &(ConfigSetting){.place = reader->place, .group = reader->group});
}

static void read_setting(Reader *reader, const char *line, const char *equals)
{
    g_autofree char *key = g_strchomp(g_strndup(line, (gsize)(equals - line)));
    if (!reader->group) {
        if (!reader->after_bad_header) {
            config_mistakes_add(reader->mistakes, reader->place, NULL, key,
                                "stands before any [group]");
        }
        return;
    }
    if (!note_first(reader, g_strconcat(reader->group, "\n", key, NULL), reader->group, key)) {
        return;
    }
    g_autofree char *raw = g_strstrip(g_strdup(equals + 1));
    g_key_file_set_value(reader->unescaper, "group", "key", raw);
    g_autoptr(GError) error = NULL;
    g_autofree char *value = g_key_file_get_string(reader->unescaper, "group", "key", &error);
    if (error) {
        config_mistakes_add(reader->mistakes, reader->place, reader->group, key,
                            "has a backslash that is none of \\s \\n \\t \\r \\\\");
        return;
    }
    reader->handler(reader->context, &(ConfigSetting){.place = reader->place,
                                                      .group = reader->group,
                                                      .key = key,
                                                      .value = value});
}

static void read_line(Reader *reader, const char *start, size_t length)
{
    if (memchr(start, '\0', length)) {
        config_mistakes_add(reader->mistakes, reader->place, NULL, NULL, "holds a NUL byte");
        return;
    }
    if (!g_utf8_validate(start, (gssize)length, NULL)) {
        config_mistakes_add(reader->mistakes, reader->place, NULL, NULL, "is not valid UTF-8");
        return;
    }
    g_autofree char *line = g_strstrip(g_strndup(start, length));
    const char *equals = strchr(line, '=');
    if (line[0] == '\0' || line[0] == '#') {
        return;
    }
    if (line[0] == '[') {
        read_header(reader, line);
    } else if (equals && equals > line) {
        read_setting(reader, line, equals);
    } else {
        config_mistakes_add(reader->mistakes, reader->place, NULL, NULL,
                            "is neither [group] nor key=value nor # comment");
    }
}

void config_text_read(const char *path, bool optional, ConfigMistakes *mistakes,
                      ConfigSettingHandler *handler, void *context)
{
    g_autoptr(GString) text = read_file(path, optional, mistakes);
    if (!text) {
        return;
    }
    Reader reader = {
        .place = {.file = path},
        .mistakes = mistakes,
        .handler = handler,
        .context = context,
        .lines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .unescaper = g_key_file_new(),
    };
    const char *end = text->str + text->len;
    for (const char *start = text->str; start < end;) {
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        const char *stop = newline ? newline : end;
        reader.place.line++;
        read_line(&reader, start, (size_t)(stop - start));
        start = stop + 1;
    }
    g_free(reader.group);
    g_key_file_free(reader.unescaper);
    g_hash_table_unref(reader.lines);
}
