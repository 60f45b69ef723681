// SPDX-License-Identifier: Apache-2.0
#include "host-controller/libvirt/domain-xml.h"

#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

#define KIB INT64_C(1024)

// Where the parser is, and what the device it is in has told so far.
typedef struct Reader {
    DomainXml *domain;
    GString *path;       // of the open element, such as "/domain/devices/channel"
    int64_t total_bytes; // of <memory>, which counts every memory device
    // The <memory> device that is open.
    bool is_dimm;
    bool is_virtio_mem;
    int64_t size_bytes;
    int64_t current_bytes;
    int64_t devices_bytes; // all of them together
    // The <channel> that is open.
    char *source_path;
    bool is_agent_channel;
} Reader;

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
            return values[i];
        }
    }
    return NULL;
}

static bool is_at(const Reader *reader, const char *path)
{
    return strcmp(reader->path->str, path) == 0;
}

static void start_element(GMarkupParseContext *context, const char *element, const char **names,
                          const char **values, void *data, GError **error)
{
    (void)context;
    Reader *reader = data;
    g_string_append_printf(reader->path, "/%s", element);
    if (is_at(reader, "/domain/devices/memory")) {
        const char *model = attribute(names, values, "model");
        reader->is_dimm = g_strcmp0(model, "dimm") == 0;
        reader->is_virtio_mem = g_strcmp0(model, "virtio-mem") == 0;
        reader->size_bytes = reader->current_bytes = 0;
    } else if (is_at(reader, "/domain/devices/memballoon")) {
        const char *model = attribute(names, values, "model");
        reader->domain->has_balloon = model && g_str_has_prefix(model, "virtio");
    } else if (is_at(reader, "/domain/devices/memballoon/stats")) {
        const char *period = attribute(names, values, "period");
        gint64 period_s = period ? g_ascii_strtoll(period, NULL, 10) : 0;
        reader->domain->stats_period_s = CLAMP(period_s, 0, G_MAXINT);
    } else if (is_at(reader, "/domain/devices/channel")) {
        g_clear_pointer(&reader->source_path, g_free);
        reader->is_agent_channel = false;
    } else if (is_at(reader, "/domain/devices/channel/source") &&
               g_strcmp0(attribute(names, values, "mode"), "connect") != 0) {
        g_free(reader->source_path);
        reader->source_path = g_strdup(attribute(names, values, "path"));
    } else if (is_at(reader, "/domain/devices/channel/target")) {
        reader->is_agent_channel =
            g_strcmp0(attribute(names, values, "name"), DOMAIN_XML_AGENT_CHANNEL) == 0;
    }
    // libvirt itself writes every size in this unit.
    const char *unit = attribute(names, values, "unit");
    if (g_str_has_prefix(reader->path->str, "/domain/memory") && unit && strcmp(unit, "KiB") != 0) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX,
                    "the domain's memory is given in '%s', not in KiB", unit);
    }
}

static void read_size(const char *text, size_t length, int64_t *bytes, GError **error)
{
    g_autofree char *number = g_strstrip(g_strndup(text, length));
    guint64 kib;
    if (g_ascii_string_to_unsigned(number, 10, 0, (guint64)(LIMIT_REPORT_VALUE / KIB / 4), &kib,
                                   error)) {
        *bytes = (int64_t)kib * KIB;
    }
}

static void read_text(GMarkupParseContext *context, const char *text, gsize length, void *data,
                      GError **error)
{
    (void)context;
    Reader *reader = data;
    if (is_at(reader, "/domain/memory")) {
        read_size(text, length, &reader->total_bytes, error);
    } else if (is_at(reader, "/domain/devices/memory/target/size")) {
        read_size(text, length, &reader->size_bytes, error);
    } else if (is_at(reader, "/domain/devices/memory/target/current")) {
        read_size(text, length, &reader->current_bytes, error);
    }
}

static void end_element(GMarkupParseContext *context, const char *element, void *data,
                        GError **error)
{
    (void)context;
    (void)error;
    Reader *reader = data;
    DomainXml *domain = reader->domain;
    if (is_at(reader, "/domain/devices/memory")) {
        reader->devices_bytes += reader->size_bytes;
        domain->plugged_bytes += reader->is_dimm         ? reader->size_bytes
                                 : reader->is_virtio_mem ? reader->current_bytes
                                                         : 0;
    } else if (is_at(reader, "/domain/devices/channel") && reader->is_agent_channel) {
        g_free(domain->agent_path);
        domain->agent_path = g_steal_pointer(&reader->source_path);
    }
    g_string_truncate(reader->path, reader->path->len - strlen(element) - 1);
}

static const GMarkupParser parser = {
    .start_element = start_element, .end_element = end_element, .text = read_text};

bool domain_xml_parse(const char *text, DomainXml *domain, GError **error)
{
    Reader reader = {.domain = domain, .path = g_string_new(NULL)};
    g_autoptr(GError) cause = NULL;
    domain_xml_clear(domain);
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &reader, NULL);
    bool parsed = g_markup_parse_context_parse(context, text, -1, &cause) &&
                  g_markup_parse_context_end_parse(context, &cause);
    g_markup_parse_context_free(context);
    g_string_free(reader.path, TRUE);
    g_free(reader.source_path);
    domain->base_bytes = reader.total_bytes - reader.devices_bytes;
    if (parsed && domain->base_bytes > 0) {
        return true;
    }
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "the domain's XML: %s",
                cause ? cause->message : "it has no memory");
    domain_xml_clear(domain);
    return false;
}

void domain_xml_clear(DomainXml *domain)
{
    g_free(domain->agent_path);
    *domain = (DomainXml){0};
}
