// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/ctl/render.h"

#include <string.h>

static const TextStyle plain = {0};

#define MEMORY "'memory': {'total': 1019215872, 'available': 629145600}"

#define WEB                                                                                        \
    "{'name': 'web1', 'state': 'shrinking', 'size': 1073741824, 'actual': 1048576000,"             \
    " 'target': 641728512, 'min': 268435456, 'max': 1073741824, 'weight': 100, 'pinned': false,"   \
    " 'managed': true, 'agent': 'connected', 'report-age-us': 212345,"                             \
    " 'report': {'sequence': 7, 'monotonic-us': 5, 'boot-id': '3f1c', 'reason': 'change',"         \
    "  'deflate-on-oom': true, " MEMORY ", 'paging': {'swap-out': 4096, 'oom-kills': 2},"          \
    "  'pressure': {'some': {'avg10-permyriad': 1234, 'avg60-permyriad': 0,"                       \
    "   'avg300-permyriad': 0, 'total-us': 2500000}}, 'balloon': 25165824},"                       \
    " 'reason': {'demand': 641728512, 'committed': 451936256, 'headroom': 100663296,"              \
    "  'cache-share': 89128960, 'fair-share': 734003200, 'bound-by': 'demand'}}"

#define ABSENT                                                                                     \
    "{'name': 'absent', 'state': 'connecting', 'weight': 100, 'pinned': false, 'managed': true,"   \
    " 'agent': 'none'}"

// JSON with ' for ".
static json_t *parse(const char *text)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
    json_error_t error;
    json_t *value = json_loads(quoted, 0, &error);
    if (!value) {
        fail_msg("%s", error.text);
    }
    return value;
}

typedef void Render(const json_t *value, const TextStyle *style, GString *out);

static char *render(Render *function, const char *json, const TextStyle *style)
{
    g_autoptr(json_t) value = parse(json);
    GString *out = g_string_new(NULL);
    function(value, style, out);
    return g_string_free(out, FALSE);
}

static void assert_contains(const char *text, const char *piece)
{
    if (!strstr(text, piece)) {
        fail_msg("'%s' is not in:\n%s", piece, text);
    }
}

static void assert_lines_within(const char *text, int width)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (text_columns(*line) > width) {
            fail_msg("wider than %d: %s", width, *line);
        }
    }
}

// --- the list ---------------------------------------------------------------------------------

static void test_the_list_shows_what_is_known_and_dashes(void **state)
{
    (void)state;
    g_autofree char *text = render(render_guests, "[" WEB "," ABSENT "]", &plain);
    assert_string_equal(
        text,
        "NAME    STATE           SIZE    ACTUAL   TARGET     USED   DEMAND  AGENT      PRESSURE\n"
        "web1    shrinking   1024 MiB  1000 MiB  612 MiB  431 MiB  612 MiB  connected   12.34 %\n"
        "absent  connecting         -         -        -        -        -  none              -\n");
}

static void test_a_narrow_list_keeps_what_matters_most(void **state)
{
    const TextStyle narrow = {.width = 48};
    (void)state;
    g_autofree char *text = render(render_guests, "[" WEB "," ABSENT "]", &narrow);
    assert_string_equal(text, "NAME    STATE         ACTUAL   TARGET     USED\n"
                              "web1    shrinking   1000 MiB  612 MiB  431 MiB\n"
                              "absent  connecting         -        -        -\n");
}

static void test_no_guests_is_said_in_words(void **state)
{
    (void)state;
    g_autofree char *text = render(render_guests, "[]", &plain);
    assert_string_equal(text, "There are no guests.\n");
}

static void test_used_memory_comes_from_the_report_when_there_is_no_reason(void **state)
{
    (void)state;
    g_autoptr(json_t) guest = parse(WEB);
    assert_true(render_used_bytes(guest) == 451936256);
    json_object_del(guest, "reason");
    assert_true(render_used_bytes(guest) == 1073741824 - 25165824 - 629145600);
    json_object_del(guest, "report");
    assert_true(render_used_bytes(guest) == -1);
}

// A guest without an agent.
#define COARSE                                                                                     \
    "{\"name\": \"win\", \"origin\": \"found\", \"state\": \"settled\", \"agent\": \"none\","      \
    " \"source\": \"guest-stats\", \"guest-stats\": {\"age-us\": 900000, \"available\": "          \
    "629145600,"                                                                                   \
    " \"major-faults\": 7}}"

static void test_a_guest_known_by_its_statistics_is_listed_as_such(void **state)
{
    (void)state;
    g_autofree char *text = render(render_guests, "[" COARSE "]", &plain);
    assert_non_null(strstr(text, "guest-stats"));
}

static void test_the_statistics_of_a_guest_are_shown_as_such(void **state)
{
    static const char *const pieces[] = {
        "known from            found: its monitor lies in the watched directory\n",
        "need known from       guest-stats: its balloon's statistics",
        "Statistics of its balloon, 900.0 ms old\n",
        "available             600 MiB\n",
        "major-faults          7 since boot\n",
    };
    (void)state;
    g_autofree char *text = render(render_guest, COARSE, &plain);
    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        if (!strstr(text, pieces[i])) {
            fail_msg("no '%s' in:\n%s", pieces[i], text);
        }
    }
}

// --- one guest --------------------------------------------------------------------------------

static void test_a_guest_is_shown_with_every_number_and_its_unit(void **state)
{
    static const char *const pieces[] = {
        "web1\n",
        "state                 shrinking: it gives memory back\n",
        "target set by         the controller\n",
        "size                  1024 MiB\n",
        "weight                100\n",
        "bound by              demand: it gets what it needs\n",
        "  headroom            96 MiB\n",
        "Report number 7, 212.3 ms old\n",
        "cause                 change: ",
        "deflate on OOM        on\n",
        "available             600 MiB\n",
        "swap-out              4 KiB\n",
        "oom-kills             2 since boot\n",
        "pressure some avg10   12.34 %\n",
        "pressure some total   2.50 s\n",
        "balloon               24 MiB\n",
    };
    (void)state;
    g_autofree char *text = render(render_guest, WEB, &plain);
    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        assert_contains(text, pieces[i]);
    }
    // What the kernel lacks is not made up.
    assert_null(strstr(text, "dirty"));
    assert_null(strstr(text, "full"));
}

static void test_a_guest_that_is_absent_has_neither_report_nor_reason(void **state)
{
    (void)state;
    g_autofree char *text = render(render_guest, ABSENT, &plain);
    assert_contains(text, "connecting: its QEMU cannot be reached");
    assert_contains(text, "actual                -\n");
    assert_null(strstr(text, "Report"));
    assert_null(strstr(text, "Why"));
}

static void test_a_guest_is_wrapped_on_a_narrow_terminal(void **state)
{
    const TextStyle narrow = {.width = 40};
    (void)state;
    g_autofree char *text = render(render_guest, WEB, &narrow);
    assert_lines_within(text, 40);
    assert_contains(text, "shrinking: it\n                        gives memory\n");
}

static void test_words_of_a_newer_controller_are_shown_as_they_are(void **state)
{
    (void)state;
    g_autofree char *text =
        render(render_guest, "{'name': 'x', 'state': 'dreaming', 'agent': 'odd'}", &plain);
    assert_contains(text, "state                 dreaming\n");
}

static void test_text_of_a_peer_cannot_steer_the_terminal(void **state)
{
    static Render *const functions[] = {render_guest, render_event};
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(functions); i++) {
        g_autofree char *text = render(
            functions[i],
            "{'name': 'a\\u001b[2Jb\\nc\\u009bd', 'state': '\\u001b]0;x\\u0007', 'event': "
            "'X\\u001b',"
            " 'data': {'name': 'e\\u001b[2J', 'x': '\\u001b\\u009b'}, 'report': {'reason': '\\r'},"
            " 'reason': {'bound-by': '\\u001b'}}",
            &plain);
        assert_null(strpbrk(text, "\033\r\a"));
        assert_null(strstr(text, "\xc2\x9b"));
    }
}

// --- status -----------------------------------------------------------------------------------

#define HOST(overcommitted)                                                                        \
    "{'mode': 'balance', 'budget': 12884901888, 'total': 17179869184, 'available': 3460300800,"    \
    " 'sum-actual': 11811160064, 'sum-target': 10737418240, 'state': 'calm',"                      \
    " 'reserve': 1073741824, 'non-guest': 536870912, 'reserved': 0, 'free': 1073741824,"           \
    " 'overcommitted': " overcommitted "}"

static char *status_text(const char *host_json, const TextStyle *style)
{
    g_autoptr(json_t) status =
        parse("{'version': '0.1.0', 'pid': 4242, 'uptime-us': 12345678901, 'mode': 'balance',"
              " 'guests': 6, 'connected': 5, 'reporting': 2, 'config-path': '/etc/a.conf'}");
    g_autoptr(json_t) host = parse(host_json);
    GString *out = g_string_new(NULL);
    render_status(status, host, style, out);
    return g_string_free(out, FALSE);
}

static void test_status_shows_controller_and_host(void **state)
{
    (void)state;
    g_autofree char *text = status_text(HOST("false"), &plain);
    assert_string_equal(text, "Controller\n"
                              "  version               0.1.0, process 4242, up for 3 h 25 min\n"
                              "  mode                  balance\n"
                              "  configuration         /etc/a.conf\n"
                              "  guests                6 known, 5 connected, 2 reporting\n"
                              "Host\n"
                              "  state                 calm\n"
                              "  memory                16 GiB\n"
                              "  available             3300 MiB\n"
                              "  to stay available     1024 MiB\n"
                              "  used by others        512 MiB\n"
                              "  budget for guests     12 GiB\n"
                              "  guests have           11 GiB\n"
                              "  guests are to have    10 GiB\n"
                              "  reserved for a start  0 B\n"
                              "  free                  1024 MiB\n");
}

static void test_an_overcommitted_host_is_said_in_words(void **state)
{
    const TextStyle narrow = {.width = 40};
    (void)state;
    g_autofree char *text = status_text(HOST("true"), &narrow);
    assert_contains(text, "Overcommitted: the guests'");
    assert_lines_within(text, 40);
}

static void test_durations_are_as_precise_as_a_person_can_use(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "0.0 ms"},
        {1234, "1.2 ms"},
        {999999, "1000.0 ms"},
        {1000000, "1.00 s"},
        {59990000, "59.99 s"},
        {61000000, "1 min 1 s"},
        {3661000000, "1 h 1 min"},
        {90000000000, "1 d 1 h"},
        {INT64_MAX, "106751991 d 4 h"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = render_duration(cases[i].us);
        assert_string_equal(text, cases[i].text);
    }
}

// --- events -----------------------------------------------------------------------------------

#define EVENT(name, data)                                                                          \
    "{'event': '" name "', 'data': " data                                                          \
    ", 'timestamp': {'seconds': 1795289110, 'microseconds': 48436}}"

static void test_each_event_is_one_line_with_its_time(void **state)
{
    static const struct {
        const char *json;
        const char *text;
    } cases[] = {
        {EVENT("GUEST_ADDED", "{'name': 'web1'}"), "web1  added"},
        {EVENT("GUEST_REMOVED", "{'name': 'web1'}"), "web1  removed"},
        {EVENT("GUEST_AGENT_CONNECTED", "{'name': 'web1'}"), "web1  agent connected"},
        {EVENT("GUEST_AGENT_LOST", "{'name': 'web1'}"), "web1  agent lost"},
        {EVENT("GUEST_TARGET_CHANGED",
               "{'name': 'web1', 'target': 1048576, 'from': 2097152, 'bound-by': 'demand'}"),
         "web1  target 2 MiB -> 1 MiB (demand)"},
        {EVENT("GUEST_TARGET_CHANGED", "{'name': 'web1', 'target': 1048576, 'bound-by': 'pinned'}"),
         "web1  target 1 MiB (pinned)"},
        {EVENT("GUEST_TARGET_REACHED",
               "{'name': 'web1', 'target': 1048576, 'actual': 1048576, 'elapsed-us': 1500000}"),
         "web1  has its 1 MiB after 1.50 s"},
        {EVENT("GUEST_PRESSURE",
               "{'name': 'web1', 'under-pressure': true, 'actual': 1048576, 'target': 1048576}"),
         "web1  under pressure, has 1 MiB"},
        {EVENT("GUEST_PRESSURE",
               "{'name': 'web1', 'under-pressure': false, 'actual': 1048576, 'target': 1048576}"),
         "web1  no longer under pressure, has 1 MiB"},
        {EVENT("EVENTS_LOST", "{'count': 7}"), "host  7 events were lost"},
        {EVENT("GUEST_STALLED", "{'name': 'web1', 'target': 1048576, 'actual': 2097152}"),
         "web1  stalled at 2 MiB on its way to 1 MiB"},
        {EVENT("GUEST_AUTO_DEFLATED", "{'name': 'web1', 'target': 1048576, 'actual': 2097152}"),
         "web1  took memory back by itself: has 2 MiB, was to have 1 MiB"},
        {EVENT("GUEST_RECLAIM_INEFFECTIVE",
               "{'name': 'web1', 'actual': 1048576, 'resident': 2097152}"),
         "web1  ballooning frees nothing: has 1 MiB, its QEMU holds 2 MiB"},
        {EVENT("HOST_OVERCOMMITTED", "{'needed': 2097152, 'budget': 1048576}"),
         "host  overcommitted: guests need at least 2 MiB, the budget is 1 MiB"},
        {EVENT("HOST_OVERCOMMITTED",
               "{'needed': 2097152, 'budget': 1048576, 'best-moved': 'web2'}"),
         "host  overcommitted: guests need at least 2 MiB, the budget is 1 MiB; best moved away: "
         "web2"},
        {EVENT("HOST_PRESSURE", "{'state': 'scarce', 'available': 2097152, 'budget': 1048576}"),
         "host  scarce: 2 MiB available, the budget is 1 MiB"},
        {EVENT("HOST_PRESSURE",
               "{'state': 'critical', 'available': 2097152, 'budget': 1048576, 'group': '/x'}"),
         "host  control group /x is critical: the budget is 1 MiB"},
        {EVENT("CLAIM_EXPIRED", "{'id': 3, 'kind': 'reservation', 'bytes': 1048576}"),
         "host  reservation of 1 MiB has expired: nobody released it"},
        {EVENT("GUEST_FORCED_RECLAIM", "{'name': 'web1', 'bytes': 1048576, 'group': '/x'}"),
         "web1  gives nothing: the host takes 1 MiB from its QEMU"},
        {EVENT("NEWS", "{'a': 1}"), "host  NEWS {\"a\":1}"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = render(render_event, cases[i].json, &plain);
        g_autofree char *expected = g_strdup_printf("19:25:10.048  %s\n", cases[i].text);
        assert_string_equal(text, expected);
    }
}

static void test_a_long_event_is_cut_at_the_terminal(void **state)
{
    const TextStyle narrow = {.width = 40};
    (void)state;
    g_autofree char *text =
        render(render_event, EVENT("HOST_OVERCOMMITTED", "{'needed': 1, 'budget': 2}"), &narrow);
    assert_string_equal(text, "19:25:10.048  host  overcommitted: gues~\n");
}

static void test_an_event_without_a_clock_has_no_time(void **state)
{
    (void)state;
    g_autofree char *text =
        render(render_event,
               "{'event': 'GUEST_ADDED', 'data': {'name': 'w'}, 'timestamp': {'seconds': -1,"
               " 'microseconds': -1}}",
               &plain);
    assert_string_equal(text, "              w  added\n");
}

// --- anything ---------------------------------------------------------------------------------

static void test_members_of_the_wrong_type_are_survived(void **state)
{
    static Render *const functions[] = {render_guests, render_guest, render_event};
    static const char *const values[] = {
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "{'name': 1, 'report': [], 'reason': 7, 'event': {}}",
        "{'report': {'memory': 1, 'pressure': {'some': []}}, 'data': [], 'timestamp': 1}",
        "{'event': 'GUEST_TARGET_CHANGED'}",
        "{'size': 'x', 'report': {'sequence': null}}",
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(functions); j++) {
            g_autofree char *text = render(functions[j], values[i], &plain);
            assert_non_null(strchr(text, '\n'));
        }
    }
}

int main(void)
{
    g_setenv("TZ", "UTC", TRUE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_list_shows_what_is_known_and_dashes),
        cmocka_unit_test(test_a_narrow_list_keeps_what_matters_most),
        cmocka_unit_test(test_no_guests_is_said_in_words),
        cmocka_unit_test(test_a_guest_known_by_its_statistics_is_listed_as_such),
        cmocka_unit_test(test_the_statistics_of_a_guest_are_shown_as_such),
        cmocka_unit_test(test_used_memory_comes_from_the_report_when_there_is_no_reason),
        cmocka_unit_test(test_a_guest_is_shown_with_every_number_and_its_unit),
        cmocka_unit_test(test_a_guest_that_is_absent_has_neither_report_nor_reason),
        cmocka_unit_test(test_a_guest_is_wrapped_on_a_narrow_terminal),
        cmocka_unit_test(test_words_of_a_newer_controller_are_shown_as_they_are),
        cmocka_unit_test(test_text_of_a_peer_cannot_steer_the_terminal),
        cmocka_unit_test(test_status_shows_controller_and_host),
        cmocka_unit_test(test_an_overcommitted_host_is_said_in_words),
        cmocka_unit_test(test_durations_are_as_precise_as_a_person_can_use),
        cmocka_unit_test(test_each_event_is_one_line_with_its_time),
        cmocka_unit_test(test_a_long_event_is_cut_at_the_terminal),
        cmocka_unit_test(test_an_event_without_a_clock_has_no_time),
        cmocka_unit_test(test_members_of_the_wrong_type_are_survived),
    };
    return run_test_table(tests);
}
