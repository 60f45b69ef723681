// SPDX-License-Identifier: Apache-2.0
//
// What the bridge to libvirt takes from a domain's XML, and what it calls the domain.
#include "tests/test.h"

#include "host-controller/libvirt/domain-xml.h"
#include "host-controller/libvirt/guest-files.h"
#include "host-controller/libvirt/domain-name.h"
#include "host-controller/libvirt/qemu-pid.h"
#include "protocol/error.h"
#include "protocol/transport/unix-socket.h"
#include "tests/support/deadline.h"
#include "tests/support/scratch.h"

#include <string.h>
#include <unistd.h>

#define UUID "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"

// --- XML --------------------------------------------------------------------------------------

// As libvirt 9.0 writes it, shortened.
static const char live_xml[] =
    "<domain type='qemu' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>a &amp; b</name>\n"
    "  <metadata><x:memory xmlns:x='http://x'>9</x:memory></metadata>\n"
    "  <memory unit='KiB'>1048576</memory>\n"
    "  <currentMemory unit='KiB'>524288</currentMemory>\n"
    "  <devices>\n"
    "    <channel type='unix'>\n"
    "      <source mode='bind' path='/run/other.sock'/>\n"
    "      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>\n"
    "    </channel>\n"
    "    <channel type='unix'>\n"
    "      <source mode='bind' path='/run/a&amp;b.sock'/>\n"
    "      <target type='virtio' name='org.aerostat.memory.0' state='disconnected'/>\n"
    "      <alias name='channel1'/>\n"
    "    </channel>\n"
    "    <memballoon model='virtio-transitional' autodeflate='on'><stats period='5'/>"
    "<alias name='balloon0'/></memballoon>\n"
    "  </devices>\n"
    "</domain>\n";

static void test_size_balloon_and_channel_are_read(void **state)
{
    (void)state;
    DomainXml domain = {0};
    g_autoptr(GError) error = NULL;
    assert_true(domain_xml_parse(live_xml, &domain, &error));
    assert_int_equal(domain.base_bytes, 1024 * MIB);
    assert_int_equal(domain.plugged_bytes, 0);
    assert_true(domain.has_balloon);
    assert_int_equal(domain.stats_period_s, 5);
    assert_string_equal(domain.agent_path, "/run/a&b.sock");
    domain_xml_clear(&domain);
}

static void test_only_plugged_memory_a_guest_has_counts(void **state)
{
    static const char xml[] =
        "<domain><memory unit='KiB'>4194304</memory><devices>"
        "<memory model='dimm'><target><size unit='KiB'>524288</size></target></memory>"
        "<memory model='nvdimm'><target><size unit='KiB'>262144</size></target></memory>"
        "<memory model='virtio-mem'><target><size unit='KiB'>1048576</size>"
        "<requested unit='KiB'>131072</requested><current unit='KiB'>65536</current>"
        "</target></memory></devices></domain>";
    (void)state;
    DomainXml domain = {0};
    assert_true(domain_xml_parse(xml, &domain, NULL));
    assert_int_equal(domain.base_bytes, (4096 - 512 - 256 - 1024) * MIB);
    assert_int_equal(domain.plugged_bytes, (512 + 64) * MIB);
    domain_xml_clear(&domain);
}

static void test_a_channel_that_cannot_be_connected_to_is_none(void **state)
{
    static const char *const channels[] = {
        "",
        "<channel type='unix'><source mode='connect' path='/run/x'/>"
        "<target type='virtio' name='org.aerostat.memory.0'/></channel>",
        "<channel type='pty'><target type='virtio' name='org.aerostat.memory.0'/></channel>",
        // The path is another channel's.
        "<channel><source mode='bind' path='/run/x'/></channel>"
        "<channel><target type='virtio' name='org.aerostat.memory.0'/></channel>",
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(channels); i++) {
        DomainXml domain = {0};
        g_autofree char *xml = g_strdup_printf("<domain><memory unit='KiB'>1024</memory><devices>"
                                               "%s<memballoon model='none'/></devices></domain>",
                                               channels[i]);
        assert_true(domain_xml_parse(xml, &domain, NULL));
        assert_null(domain.agent_path);
        assert_false(domain.has_balloon);
        domain_xml_clear(&domain);
    }
}

static const char more_plugged_than_there_is[] =
    "<domain><memory unit='KiB'>4</memory><devices><memory model='dimm'><target>"
    "<size unit='KiB'>8</size></target></memory></devices></domain>";

static void test_what_makes_no_sense_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "no xml",
        "<domain/>",
        "<domain><memory>0</memory></domain>",
        "<domain><memory unit='KiB'>-1</memory></domain>",
        "<domain><memory unit='KiB'>99999999999999999999</memory></domain>",
        "<domain><memory unit='KiB'>4611686018427387904</memory></domain>",
        "<domain><memory unit='MiB'>4</memory></domain>",
        more_plugged_than_there_is,
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        DomainXml domain = {0};
        g_autoptr(GError) error = NULL;
        assert_false(domain_xml_parse(texts[i], &domain, &error));
        assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_SYNTAX, "the domain's XML");
        assert_null(domain.agent_path);
    }
}

static void test_xml_cut_off_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length + 2 < strlen(live_xml); length++) {
        DomainXml domain = {0};
        g_autofree char *part = g_strndup(live_xml, length);
        assert_false(domain_xml_parse(part, &domain, NULL));
    }
}

// --- names ------------------------------------------------------------------------------------

static void test_names_are_kept_where_they_can_be(void **state)
{
    static const struct {
        const char *domain;
        const char *guest;
    } names[] = {
        {"web1", "web1"},
        {"db.example.org_2+a@b-c", "db.example.org_2+a@b-c"},
        {"my db: one", "my_db__one-4dea22b3"},
        {".hidden", "_hidden-4dea22b3"},
        {"-rf", "_rf-4dea22b3"},
        {"gr\xc3\xbc\xc3\x9f", "gr____-4dea22b3"},
        {"a\nb", "a_b-4dea22b3"},
        {"[x]", "_x_-4dea22b3"},
        {"", "-4dea22b3"},
        {"0123456789012345678901234567890123456789012345678901234567890123",
         "0123456789012345678901234567890123456789012345678901234567890123"},
        {"01234567890123456789012345678901234567890123456789012345678901234",
         "0123456789012345678901234567890123456789-4dea22b3"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name = domain_guest_name(names[i].domain, UUID);
        assert_string_equal(name, names[i].guest);
    }
}

// --- files ------------------------------------------------------------------------------------

static void test_the_agents_link_follows_the_channel(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *path = scratch_path(scratch, "web.agent");
    g_autoptr(GError) error = NULL;
    assert_true(guest_files_set_agent(scratch->folder, "web", "/run/a", &error));
    assert_true(guest_files_set_agent(scratch->folder, "web", "/run/b", &error));
    g_autofree char *target = g_file_read_link(path, NULL);
    assert_string_equal(target, "/run/b");
    assert_true(guest_files_set_agent(scratch->folder, "web", NULL, &error));
    assert_true(guest_files_set_agent(scratch->folder, "web", NULL, &error));
    assert_false(g_file_test(path, G_FILE_TEST_IS_SYMLINK));
}

static void test_the_pid_is_that_of_a_process(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *own = g_strdup_printf("%d", (int)getpid());
    g_free(scratch_write(scratch, "alive.pid", own, -1));
    g_free(scratch_write(scratch, "ended.pid", "4194303", -1));
    g_free(scratch_write(scratch, "wrong.pid", "12x", -1));
    assert_int_equal(qemu_pid_read(scratch->folder, "alive"), getpid());
    assert_int_equal(qemu_pid_read(scratch->folder, "ended"), 0);
    assert_int_equal(qemu_pid_read(scratch->folder, "wrong"), 0);
    assert_int_equal(qemu_pid_read(scratch->folder, "none"), 0);

    g_autofree char *path = scratch_path(scratch, "web.pid");
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    assert_true(guest_files_set_pid(scratch->folder, "web", 4711, &error));
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, "4711\n");
    assert_true(guest_files_set_pid(scratch->folder, "web", 0, &error));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static bool is_wanted(const char *name, const void *context)
{
    return strcmp(name, context) == 0;
}

// Leaves a socket behind on which nobody listens.
static void abandon(const Scratch *scratch, const char *file)
{
    g_autofree char *path = scratch_path(scratch, file);
    int fd = unix_socket_listen(path, 0600, NULL);
    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const Scratch *scratch, const char *file)
{
    g_autofree char *path = scratch_path(scratch, file);
    return access(path, F_OK) == 0;
}

static void test_only_what_nobody_serves_is_removed(void **state)
{
    const Scratch *scratch = *state;
    g_autofree char *served = scratch_path(scratch, "served.qmp");
    int fd = unix_socket_listen(served, 0600, NULL);
    abandon(scratch, "ended.qmp");
    abandon(scratch, "wanted.qmp");
    abandon(scratch, "other");
    g_free(scratch_write(scratch, "ended.pid", "1", -1));
    g_free(scratch_write(scratch, "wanted.pid", "1", -1));
    g_free(scratch_write(scratch, "file.qmp", "not a socket", -1));
    guest_files_remove_stale(scratch->folder, is_wanted, "wanted");
    assert_false(is_there(scratch, "ended.qmp"));
    assert_false(is_there(scratch, "ended.pid"));
    assert_true(is_there(scratch, "wanted.qmp"));
    assert_true(is_there(scratch, "wanted.pid"));
    assert_true(is_there(scratch, "served.qmp"));
    assert_true(is_there(scratch, "file.qmp"));
    assert_true(is_there(scratch, "other"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_balloon_and_channel_are_read),
        cmocka_unit_test(test_only_plugged_memory_a_guest_has_counts),
        cmocka_unit_test(test_a_channel_that_cannot_be_connected_to_is_none),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_xml_cut_off_anywhere_is_refused),
        cmocka_unit_test(test_names_are_kept_where_they_can_be),
        cmocka_unit_test_setup_teardown(test_the_agents_link_follows_the_channel, scratch_set_up,
                                        scratch_tear_down),
        cmocka_unit_test_setup_teardown(test_the_pid_is_that_of_a_process, scratch_set_up,
                                        scratch_tear_down),
        cmocka_unit_test_setup_teardown(test_only_what_nobody_serves_is_removed, scratch_set_up,
                                        scratch_tear_down),
    };
    return run_test_table(tests);
}
