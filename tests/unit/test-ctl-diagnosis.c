// SPDX-License-Identifier: Apache-2.0
//
// What aerostatctl doctor finds, a host broken in one way a case.
#include "tests/test.h"

#include "host-controller/ctl/diagnosis.h"
#include "protocol/error.h"
#include "tests/support/scratch.h"

#include <string.h>
#include <unistd.h>

#define WELL                                                                                       \
    "'name': 'web1', 'managed': true, 'agent': 'connected',"                                       \
    " 'report': {'deflate-on-oom': true, 'pressure': {'some': {}}}"

// JSON with ' for ".
static json_t *parse(const char *text)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
    json_t *value = json_loads(quoted, 0, NULL);
    assert_non_null(value);
    return value;
}

// That there is one finding, of this code, about `subject`, with `remedy` in its remedy. With a
// NULL code: that there is none.
static void assert_one(const GPtrArray *findings, const char *subject, const char *code,
                       const char *remedy)
{
    if (!code) {
        assert_int_equal(findings->len, 0);
        return;
    }
    if (findings->len != 1) {
        fail_msg("%s: %u findings", code, findings->len);
    }
    const Finding *finding = g_ptr_array_index(findings, 0);
    assert_string_equal(finding->subject, subject);
    assert_string_equal(finding->code, code);
    if (!strstr(finding->remedy, remedy)) {
        fail_msg("'%s' is not in: %s", remedy, finding->remedy);
    }
}

static void test_each_ailment_of_a_guest_is_found_with_what_mends_it(void **state)
{
    static const struct {
        const char *guest;
        ProcessFacts process;
        const char *code;
        const char *remedy;
    } cases[] = {
        {"{" WELL ", 'state': 'settled'}", {0}, NULL, NULL},
        {"{" WELL ", 'state': 'growing'}", {0}, NULL, NULL},
        {"{" WELL ", 'state': 'unmanageable'}", {0}, "no-balloon", "-device virtio-balloon"},
        {"{" WELL ", 'state': 'stalled'}", {0}, "stalled", "modprobe virtio_balloon"},
        {"{" WELL ", 'state': 'ineffective'}", {0}, "ineffective", "manage=no in [guest web1]"},
        {"{" WELL ", 'state': 'settled'}", {.vfio = true}, "vfio", "manage=no"},
        {"{" WELL ", 'state': 'settled'}", {.hugetlb_bytes = 1}, "hugepages", "manage=no"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'none'}",
         {0},
         "no-agent",
         "org.aerostat.memory.0"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'stale'}",
         {0},
         "agent-silent",
         "systemctl status aerostat-agent"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'connecting',"
         " 'agent-error': 'the agent does not answer'}",
         {0},
         "agent-silent",
         "systemctl status aerostat-agent"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'connecting',"
         " 'agent-error': '/run/vm/web1.agent: connect: No such file or directory'}",
         {0},
         "no-agent-port",
         "mend agent= in [guest web1]"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'connecting',"
         " 'agent-error': '/run/vm/web1.agent: connect: Permission denied'}",
         {0},
         "no-agent-port",
         "setfacl -m u:aerostat:rw /run/vm/web1.agent"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'connected',"
         " 'report': {'deflate-on-oom': false, 'pressure': {}}}",
         {0},
         "no-deflate-on-oom",
         "deflate-on-oom=on"},
        {"{'name': 'web1', 'state': 'settled', 'agent': 'connected',"
         " 'report': {'deflate-on-oom': true}}",
         {0},
         "no-psi",
         "psi=1"},
        {"{'name': 'web1', 'state': 'connecting', 'agent': 'connecting',"
         " 'qmp-error': '/run/vm/web1.qmp: connect: No such file or directory'}",
         {0},
         "qemu-unreachable",
         "-qmp unix:/run/vm/web1.qmp,server=on"},
        {"{'name': 'web1', 'state': 'connecting', 'agent': 'none',"
         " 'qmp-error': '/run/vm/web1.qmp: connect: Permission denied'}",
         {0},
         "qemu-unreachable",
         "setfacl -m u:aerostat:rw /run/vm/web1.qmp"},
        {"{'name': 'web1', 'state': 'connecting', 'agent': 'none',"
         " 'qmp-error': 'no greeting in time'}",
         {0},
         "qemu-unreachable",
         "ss -xp"},
        // Nothing is wrong with these.
        {"{'name': 'web1', 'state': 'paused', 'agent': 'stale'}", {0}, NULL, NULL},
        {"{'name': 'web1', 'state': 'migrating', 'agent': 'stale'}", {0}, NULL, NULL},
        {"{'name': 'web1', 'state': 'unmanaged', 'agent': 'none', 'managed': false}",
         {.vfio = true},
         NULL,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_t) guest = parse(cases[i].guest);
        g_autoptr(GPtrArray) findings = findings_new();
        diagnose_guest(guest, &cases[i].process, findings);
        assert_one(findings, "web1", cases[i].code, cases[i].remedy);
    }
}

static void test_what_is_known_of_a_guest_without_an_agent_is_told(void **state)
{
    static const char *const cases[][2] = {
        {"guest-stats", "only its balloon's statistics tell of it, which are coarser"},
        {"none", "nothing tells what it needs, and it is not shrunk"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_t) guest = json_pack("{s:s, s:s, s:s, s:s}", "name", "web1", "state",
                                            "settled", "agent", "none", "source", cases[i][0]);
        g_autoptr(GPtrArray) findings = findings_new();
        diagnose_guest(guest, &(ProcessFacts){0}, findings);
        assert_one(findings, "web1", "no-agent", "agent= in [guest web1]");
        const Finding *finding = g_ptr_array_index(findings, 0);
        assert_non_null(strstr(finding->what, cases[i][1]));
    }
}

static void test_a_guest_cannot_write_on_the_terminal(void **state)
{
    (void)state;
    g_autoptr(json_t) guest = parse("{'name': 'web\\u001b[2J', 'state': 'unmanageable'}");
    g_autoptr(GPtrArray) findings = findings_new();
    diagnose_guest(guest, &(ProcessFacts){0}, findings);
    const Finding *finding = g_ptr_array_index(findings, 0);
    assert_string_equal(finding->subject, "web [2J");
}

static void test_an_overcommitted_host_is_found_with_the_guest_to_begin_with(void **state)
{
    (void)state;
    g_autoptr(json_t) host = parse("{'budget': 1073741824, 'overcommitted': true}");
    g_autoptr(json_t) guests = parse("[{'name': 'a', 'min': 268435456, 'managed': true},"
                                     " {'name': 'b', 'min': 805306368, 'managed': true},"
                                     " {'name': 'c', 'min': 999999999, 'managed': false}]");
    g_autoptr(GPtrArray) findings = findings_new();
    diagnose_host(host, guests, findings);
    assert_one(findings, "host", "overcommitted", "aerostatctl policy 'b' min=SIZE");
}

static void test_a_host_without_guests_is_told_where_to_add_them(void **state)
{
    (void)state;
    g_autoptr(json_t) host = parse("{'overcommitted': false}");
    g_autoptr(json_t) guests = parse("[]");
    g_autoptr(GPtrArray) findings = findings_new();
    diagnose_host(host, guests, findings);
    assert_one(findings, "host", "no-guests", "controller.conf(5)");
}

static void test_why_the_controller_cannot_be_asked_decides_what_mends_it(void **state)
{
    static const struct {
        bool file; // a G_FILE_ERROR
        int code;
        const char *expected;
        const char *remedy;
    } cases[] = {
        {true, G_FILE_ERROR_NOENT, "no-controller", "systemctl enable --now aerostat-controller"},
        {true, G_FILE_ERROR_FAILED, "no-controller", "journalctl -u aerostat-controller"},
        {true, G_FILE_ERROR_ACCES, "no-permission", "usermod -aG aerostat "},
        {false, PROTOCOL_ERROR_TIMEOUT, "no-answer", "systemctl restart aerostat-controller"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error =
            g_error_new(cases[i].file ? G_FILE_ERROR : PROTOCOL_ERROR, cases[i].code, "it is so");
        g_autoptr(GPtrArray) findings = findings_new();
        diagnose_connection("/nonexistent/c.sock", error, findings);
        assert_one(findings, "host", cases[i].expected, cases[i].remedy);
    }
}

static void test_a_process_shows_its_devices_and_huge_pages(void **state)
{
    Scratch *scratch = *state;
    g_free(scratch_write(scratch, "proc/7/status",
                         "Name:\tqemu\nVmRSS:\t  100 kB\nHugetlbPages:\t  2048 kB\n", -1));
    g_free(scratch_write(scratch, "proc/7/fd/readme", "", -1));
    g_autofree char *path = scratch_path(scratch, "proc/7/fd/12");
    ProcessFacts without = process_facts_read(scratch->folder, 7);
    assert_false(without.vfio);
    assert_int_equal(without.hugetlb_bytes, 2048 * 1024);
    assert_int_equal(symlink("/dev/vfio/18", path), 0);
    assert_true(process_facts_read(scratch->folder, 7).vfio);
    assert_false(process_facts_read(scratch->folder, 8).vfio);
    assert_int_equal(process_facts_read(scratch->folder, 0).hugetlb_bytes, 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_ailment_of_a_guest_is_found_with_what_mends_it),
        cmocka_unit_test(test_what_is_known_of_a_guest_without_an_agent_is_told),
        cmocka_unit_test(test_a_guest_cannot_write_on_the_terminal),
        cmocka_unit_test(test_an_overcommitted_host_is_found_with_the_guest_to_begin_with),
        cmocka_unit_test(test_a_host_without_guests_is_told_where_to_add_them),
        cmocka_unit_test(test_why_the_controller_cannot_be_asked_decides_what_mends_it),
        cmocka_unit_test_setup_teardown(test_a_process_shows_its_devices_and_huge_pages,
                                        scratch_set_up, scratch_tear_down),
    };
    return run_test_table(tests);
}
