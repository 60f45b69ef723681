// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/explain.h"

#include "host-controller/ctl/render.h"
#include "protocol/units.h"

#include <string.h>

// What the explanation stands on.
typedef struct Facts {
    const json_t *plan;
    const json_t *guest;
    const json_t *demand; // NULL: it has not reported
    const json_t *tiers;  // NULL: it took no part in the sharing
    const char *bound_by;
    int64_t target_bytes;
    int64_t due_bytes;
} Facts;

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void add_part(GArray *parts, const char *word, const char *label, int64_t bytes)
{
    if (bytes != 0) {
        ExplainedPart part = {.word = word, .label = label, .bytes = bytes};
        g_array_append_val(parts, part);
    }
}

static void say(Explanation *explanation, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(Explanation *explanation, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(explanation->sentences, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

// Shorter than size_format(), which many sentences are full of.
static const char *size(int64_t bytes, char text[static SIZE_TEXT_SIZE])
{
    return size_format(bytes, text);
}

// --- what the target is for -------------------------------------------------------------------

static const struct {
    const char *word; // of PlannedDemand
    const char *label;
} needs[] = {
    {"committed", "in use"}, {"headroom", "headroom"}, {"caution", "caution"},
    {"comfort", "comfort"},  {"cache-share", "cache"},
};

// What the guest wants for one of the needs. The headroom is told without the caution that is part
// of it.
static int64_t wanted_for(const Facts *facts, size_t need)
{
    bool is_headroom = strcmp(needs[need].word, "headroom") == 0;
    int64_t told_apart_bytes = is_headroom ? number(facts->demand, "caution") : 0;
    return MAX(number(facts->demand, needs[need].word) - told_apart_bytes, 0);
}

// The demand in its order, as far as the target reaches.
static void add_needs(Explanation *explanation, const Facts *facts)
{
    int64_t left_bytes = facts->target_bytes;
    for (size_t i = 0; facts->demand && i < G_N_ELEMENTS(needs); i++) {
        int64_t wanted_bytes = wanted_for(facts, i);
        int64_t part_bytes = MIN(wanted_bytes, left_bytes);
        add_part(explanation->needs, needs[i].word, needs[i].label, part_bytes);
        left_bytes -= part_bytes;
        if (part_bytes < wanted_bytes) {
            char had[SIZE_TEXT_SIZE];
            char wanted[SIZE_TEXT_SIZE];
            say(explanation, "Of the %s it wants for %s the target has room for %s.",
                size(wanted_bytes, wanted), i == 0 ? "what is in use" : needs[i].label,
                size(part_bytes, had));
        }
    }
    add_part(explanation->needs, facts->demand ? "beyond" : "unknown",
             facts->demand ? "beyond its need" : "need not known", left_bytes);
}

static void say_headroom(Explanation *explanation, const Facts *facts)
{
    int64_t burst_bytes = number(facts->demand, "burst");
    int64_t relief_bytes = number(facts->demand, "relief");
    int64_t caution_bytes = number(facts->demand, "caution");
    int64_t growth_bytes = number(facts->demand, "burst-growth");
    int64_t lasts_us = number(facts->demand, "burst-us");
    int64_t always_bytes =
        number(facts->demand, "headroom") - burst_bytes - relief_bytes - caution_bytes;
    char text[3][SIZE_TEXT_SIZE];
    g_autoptr(GString) sentence = g_string_new(NULL);
    g_string_printf(sentence, "Its headroom is %s at all times", size(always_bytes, text[0]));
    if (burst_bytes > 0) {
        bool capped = growth_bytes / 1000 * (lasts_us / 1000) > burst_bytes;
        g_string_append_printf(
            sentence, ", %s for its largest burst of the last 10 to 20 s (%s a second for %d ms%s)",
            size(burst_bytes, text[1]), size(growth_bytes, text[2]), (int)(lasts_us / 1000),
            capped ? ", but no more than a quarter of its size" : "");
    }
    if (relief_bytes > 0) {
        g_string_append_printf(sentence, ", and %s because it is under pressure",
                               size(relief_bytes, text[1]));
    }
    say(explanation, "%s.", sentence->str);
    if (caution_bytes > 0) {
        say(explanation,
            "Only its balloon's statistics tell of it, up to two seconds late: %s of caution come "
            "on top.",
            size(caution_bytes, text[0]));
    }
}

static bool is_bound_by(const Facts *facts, const char *word)
{
    return strcmp(facts->bound_by, word) == 0;
}

// --- where it comes from ----------------------------------------------------------------------

static const char *difference_label(const Facts *facts)
{
    bool held_back = facts->target_bytes < facts->due_bytes;
    return held_back ? "not given yet" : "kept above its share";
}

static void add_sources(Explanation *explanation, const Facts *facts)
{
    static const char *const tiers[][2] = {
        {"used", "for what is in use"}, {"headroom", "for headroom"}, {"comfort", "for comfort"},
        {"cache", "for cache"},         {"rest", "of what is left"},
    };
    GArray *sources = explanation->sources;
    if (facts->tiers) {
        bool keeps = is_bound_by(facts, "stalled") || is_bound_by(facts, "ineffective");
        add_part(sources, "min", keeps ? "what it keeps" : "its minimum",
                 number(facts->guest, "min"));
    } else {
        add_part(sources, "ceiling", "what it may hold", number(facts->guest, "ceiling"));
    }
    for (size_t i = 0; facts->tiers && i < G_N_ELEMENTS(tiers); i++) {
        add_part(sources, tiers[i][0], tiers[i][1], number(facts->tiers, tiers[i][0]));
    }
    add_part(sources, "rounding", "rounded down", facts->due_bytes - explanation->fair_share_bytes);
    add_part(sources, "difference", difference_label(facts),
             facts->target_bytes - facts->due_bytes);
}

// --- which rule decided -----------------------------------------------------------------------

// The law of docs/policy.md behind a rule, or NULL.
static const char *find_law(const char *bound_by)
{
    static const char *const laws[][2] = {
        {"maximum", "L1"},    {"budget", "L2"},   {"stale", "L3"},
        {"fair-share", "L4"}, {"pressure", "L7"}, {"minimum", "L10"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(laws); i++) {
        if (strcmp(bound_by, laws[i][0]) == 0) {
            return laws[i][1];
        }
    }
    return NULL;
}

static bool is_scarce(const Facts *facts)
{
    int64_t fair_share_bytes = number(facts->guest, "fair-share");
    if (json_is_true(json_object_get(facts->guest, "pinned"))) {
        return fair_share_bytes < number(facts->guest, "pinned-at");
    }
    int64_t wanted_bytes = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
        wanted_bytes += wanted_for(facts, i);
    }
    return fair_share_bytes < MIN(wanted_bytes, number(facts->guest, "max"));
}

static void say_budget(Explanation *explanation, const Facts *facts)
{
    char text[4][SIZE_TEXT_SIZE];
    int64_t budget_bytes = number(facts->plan, "budget");
    int64_t ceiling_bytes = number(facts->plan, "sum-ceiling");
    say(explanation,
        "%s more are due to it. Memory is promised only after it has come back (L2): of the budget "
        "of "
        "%s guests could hold %s, which left %s to hand out.",
        size(facts->due_bytes - facts->target_bytes, text[0]), size(budget_bytes, text[1]),
        size(ceiling_bytes, text[2]), size(MAX(budget_bytes - ceiling_bytes, 0), text[3]));
}

static void say_fair_share(Explanation *explanation, const Facts *facts)
{
    char text[2][SIZE_TEXT_SIZE];
    int weight = (int)number(facts->guest, "weight");
    if (is_scarce(facts)) {
        say(explanation,
            "There is not enough for what all guests need: each gets its part by weight, tier by "
            "tier (L4). Its weight is %d.",
            weight);
    } else {
        say(explanation,
            "It gets all it needs, and %s of what nobody needs, by its weight of %d; up to %s of "
            "that stay with the host as long as not everybody has its maximum.",
            size(number(facts->tiers, "rest"), text[0]), weight,
            size(number(facts->plan, "pool"), text[1]));
    }
}

static void say_plenty(Explanation *explanation, const Facts *facts)
{
    char text[2][SIZE_TEXT_SIZE];
    size(facts->target_bytes - facts->due_bytes, text[0]);
    if (json_object_get(facts->guest, "asked-from")) {
        say(explanation,
            "It keeps %s above its share: as things are, it is asked to give only from %s on.",
            text[0], size(number(facts->guest, "asked-from"), text[1]));
    } else {
        say(explanation,
            "It keeps %s above its share: the controller has just started and takes everything as "
            "it "
            "finds it, as long as nobody is short.",
            text[0]);
    }
}

static void say_dead_band(Explanation *explanation, const Facts *facts)
{
    char text[2][SIZE_TEXT_SIZE];
    say(explanation,
        "The %s between its target and its share are not worth a command: below %s (1/64 of its "
        "size, "
        "at least 8 MiB) nothing is sent.",
        size(ABS(facts->due_bytes - facts->target_bytes), text[0]),
        size(number(facts->guest, "dead-band"), text[1]));
}

static void say_stale(Explanation *explanation, const Facts *facts)
{
    if (json_is_true(json_object_get(facts->guest, "fresh"))) {
        say(explanation, "Only its balloon's statistics tell of it: it gives back an eighth of its "
                         "size at a time, and no more before they have told anew.");
    } else if (facts->demand) {
        g_autofree char *age = render_duration(number(facts->guest, "report-age-us"));
        say(explanation,
            "Its last report is %s old: until it reports again it stays where it is and is not "
            "shrunk "
            "(L3). What it is said to need is what it needed then.",
            age);
    } else {
        say(explanation, "It does not report: it stays where it is and is not shrunk (L3).");
    }
}

static void say_limit(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    bool minimum = is_bound_by(facts, "minimum");
    size(number(facts->guest, minimum ? "min" : "max"), text);
    say(explanation,
        minimum ? "It is due no more than its minimum, %s, and never gets less (L10)."
                : "It is due its maximum, %s, and never gets more (L1).",
        text);
}

static void say_pinned(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation, "Its target was set by hand, at %s: what it needs does not count.",
        size(number(facts->guest, "pinned-at"), text));
}

static void say_pressure(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation,
        "Its tasks stall for lack of memory: it is not shrunk (L7), and keeps %s above its share.",
        size(facts->target_bytes - facts->due_bytes, text));
}

static void say_auto_deflated(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation,
        "It ran short and took memory back by itself: it keeps that for now, %s above its share.",
        size(facts->target_bytes - facts->due_bytes, text));
}

static void say_stalled(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation,
        "It makes no progress towards what it was told: it counts with the %s it has and is tried "
        "again later.",
        size(number(facts->guest, "actual"), text));
}

static void say_prepared(Explanation *explanation, const Facts *facts)
{
    (void)facts;
    say(explanation, "It was prepared for a snapshot or a migration, and is held still until it is "
                     "released.");
}

static void say_ineffective(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation,
        "Ballooning it frees nothing on the host: it is to have its maximum, and counts with %s.",
        size(number(facts->guest, "ceiling"), text));
}

static void say_unmanaged(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    say(explanation, "It is not to be moved, and counts with the %s it may hold.",
        size(number(facts->guest, "ceiling"), text));
}

static void say_demand(Explanation *explanation, const Facts *facts)
{
    (void)facts;
    say(explanation, "It gets all it needs.");
}

static void say_rule(Explanation *explanation, const Facts *facts)
{
    static const struct {
        const char *bound_by;
        void (*say)(Explanation *explanation, const Facts *facts);
    } rules[] = {
        {"demand", say_demand},
        {"fair-share", say_fair_share},
        {"minimum", say_limit},
        {"maximum", say_limit},
        {"pinned", say_pinned},
        {"budget", say_budget},
        {"stale", say_stale},
        {"pressure", say_pressure},
        {"dead-band", say_dead_band},
        {"plenty", say_plenty},
        {"unmanaged", say_unmanaged},
        {"stalled", say_stalled},
        {"ineffective", say_ineffective},
        {"auto-deflated", say_auto_deflated},
        {"prepared", say_prepared},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (is_bound_by(facts, rules[i].bound_by)) {
            rules[i].say(explanation, facts);
        }
    }
    // A rule of a newer controller has no sentence; the headline names it.
}

static void say_what_follows(Explanation *explanation, const Facts *facts)
{
    char text[SIZE_TEXT_SIZE];
    if (json_is_true(json_object_get(facts->plan, "acts"))) {
        return;
    }
    bool starting = json_is_true(json_object_get(facts->plan, "starting"));
    say(explanation, "%s: it was left at %s.",
        starting ? "The controller has just started and waits for guests it has not heard of"
                 : "In mode observe nothing is sent",
        size(number(facts->guest, "from"), text));
}

// --- one line ---------------------------------------------------------------------------------

static void append_needs(const Explanation *explanation, const Facts *facts, GString *line)
{
    for (guint i = 0; i < explanation->needs->len; i++) {
        const ExplainedPart *part = &g_array_index(explanation->needs, ExplainedPart, i);
        char text[SIZE_TEXT_SIZE];
        g_string_append_printf(line, "%s%s %s", i == 0 ? "" : " + ", size(part->bytes, text),
                               part->label);
        if (strcmp(part->word, "headroom") == 0 && number(facts->demand, "burst") > 0) {
            g_string_append_printf(line, " (fastest growth %s/s)",
                                   size(number(facts->demand, "burst-growth"), text));
        }
    }
}

static void append_rule(const Facts *facts, GString *line)
{
    const char *law = find_law(facts->bound_by);
    g_autofree char *bound_by = json_text_for_people(facts->bound_by);
    g_autofree char *since = render_duration(number(facts->guest, "bound-for-us"));
    if (facts->target_bytes < facts->due_bytes && law) {
        g_string_append_printf(line, "held back by %s for %s", law, since);
    } else {
        g_string_append_printf(line, "bound by %s%s%s%s for %s", bound_by, law ? " (" : "",
                               law ? law : "", law ? ")" : "", since);
    }
}

static char *make_headline(const Explanation *explanation, const Facts *facts)
{
    char text[2][SIZE_TEXT_SIZE];
    g_autofree char *name = render_word(facts->guest, "name");
    GString *line = g_string_new(NULL);
    g_string_printf(line, "%s: target %s: ", name, size(facts->target_bytes, text[0]));
    append_needs(explanation, facts, line);
    g_string_append_printf(line, "; fair share %s; ", size(explanation->fair_share_bytes, text[1]));
    append_rule(facts, line);
    return g_string_free(line, FALSE);
}

// --- all of it --------------------------------------------------------------------------------

void explanation_init(Explanation *explanation, const json_t *plan, const json_t *guest)
{
    const char *bound_by = json_string_value(json_object_get(guest, "bound-by"));
    Facts facts = {
        .plan = plan,
        .guest = guest,
        .demand = json_object_get(guest, "demand"),
        .tiers = json_object_get(guest, "tiers"),
        .bound_by = bound_by ? bound_by : "-",
        .target_bytes = number(guest, "target"),
        .due_bytes = number(guest, "due"),
    };
    *explanation = (Explanation){
        .target_bytes = facts.target_bytes,
        .fair_share_bytes = number(guest, "fair-share"),
        .needs = g_array_new(FALSE, FALSE, sizeof(ExplainedPart)),
        .sources = g_array_new(FALSE, FALSE, sizeof(ExplainedPart)),
        .sentences = g_ptr_array_new_with_free_func(g_free),
    };
    say_rule(explanation, &facts);
    if (facts.demand) {
        say_headroom(explanation, &facts);
    }
    add_needs(explanation, &facts);
    add_sources(explanation, &facts);
    say_what_follows(explanation, &facts);
    explanation->headline = make_headline(explanation, &facts);
}

void explanation_clear(Explanation *explanation)
{
    g_free(explanation->headline);
    g_clear_pointer(&explanation->needs, g_array_unref);
    g_clear_pointer(&explanation->sources, g_array_unref);
    g_clear_pointer(&explanation->sentences, g_ptr_array_unref);
}
