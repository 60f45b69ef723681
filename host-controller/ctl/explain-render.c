// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/explain-render.h"

#include "protocol/units.h"

static void render_sum_row(const char *label, int64_t bytes, GString *out)
{
    char text[SIZE_TEXT_SIZE];
    g_autofree char *sign = bytes < 0 ? g_strconcat("-", size_format(-bytes, text), NULL)
                                      : g_strdup(size_format(bytes, text));
    g_string_append_printf(out, "  %-24s %20" G_GINT64_FORMAT " %12s\n", label, bytes, sign);
}

static void render_sum(const TextStyle *style, const char *title, const GArray *parts,
                       int64_t sum_bytes, GString *out)
{
    g_string_append_c(out, '\n');
    text_append_coloured(out, style, TEXT_HEADING, title);
    g_string_append_c(out, '\n');
    for (guint i = 0; i < parts->len; i++) {
        const ExplainedPart *part = &g_array_index(parts, ExplainedPart, i);
        render_sum_row(part->label, part->bytes, out);
    }
    render_sum_row("= target", sum_bytes, out);
}

void explanation_render(const Explanation *explanation, const TextStyle *style, GString *out)
{
    text_append_wrapped(out, style, 0, explanation->headline);
    g_string_append_c(out, '\n');
    render_sum(style, "What it is for", explanation->needs, explanation->target_bytes, out);
    render_sum(style, "Where it comes from", explanation->sources, explanation->target_bytes, out);
    g_string_append_c(out, '\n');
    text_append_coloured(out, style, TEXT_HEADING, "Why");
    g_string_append_c(out, '\n');
    for (guint i = 0; i < explanation->sentences->len; i++) {
        g_string_append(out, "  ");
        text_append_wrapped(out, style, 2, g_ptr_array_index(explanation->sentences, i));
        g_string_append_c(out, '\n');
    }
}

static json_t *parts_to_json(const GArray *parts)
{
    json_t *list = json_array();
    for (guint i = 0; i < parts->len; i++) {
        const ExplainedPart *part = &g_array_index(parts, ExplainedPart, i);
        json_array_append_new(
            list, json_pack("{s:s, s:I}", "part", part->word, "bytes", (json_int_t)part->bytes));
    }
    return list;
}

json_t *explanation_to_json(const Explanation *explanation, const json_t *guest)
{
    json_t *sentences = json_array();
    for (guint i = 0; i < explanation->sentences->len; i++) {
        const char *sentence = g_ptr_array_index(explanation->sentences, i);
        json_array_append_new(sentences, json_string(sentence));
    }
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:O}", "headline", explanation->headline,
                     "target", (json_int_t)explanation->target_bytes, "fair-share",
                     (json_int_t)explanation->fair_share_bytes, "needs",
                     parts_to_json(explanation->needs), "sources",
                     parts_to_json(explanation->sources), "sentences", sentences, "planned", guest);
}
