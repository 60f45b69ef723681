// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/config.h"
#include "protocol/limits.h"
#include "tests/support/scratch.h"

#include <glib/gstdio.h>
#include <string.h>

#define QMP "qmp=/run/vm/a.qmp\n"

// --- helpers ----------------------------------------------------------------------------------

static Config *load_text(Scratch *scratch, const char *text, gssize length, GError **error)
{
    g_autofree char *path = scratch_write(scratch, "a.conf", text, length);
    return config_load(path, false, error);
}

// The error's message without the folder in front of file names.
static char *message_of(const Scratch *scratch, const GError *error)
{
    assert_non_null(error);
    g_autofree char *prefix = g_strconcat(scratch->folder, "/", NULL);
    g_auto(GStrv) parts = g_strsplit(error->message, prefix, -1);
    return g_strjoinv("", parts);
}

static void assert_mistake(Scratch *scratch, const char *text, gssize length, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(scratch, text, length, &error);
    if (config) {
        fail_msg("accepted: %s", text);
    }
    g_autofree char *message = message_of(scratch, error);
    assert_true(g_error_matches(error, CONFIG_ERROR, CONFIG_ERROR_VALUE));
    assert_string_equal(message, expected);
}

// --- mistakes ---------------------------------------------------------------------------------

static const struct {
    const char *text;
    const char *message;
} mistakes[] = {
    // Lines.
    {"rubbish\n", "a.conf:1: is neither [group] nor key=value nor # comment"},
    {"\n\n; no comment\n", "a.conf:3: is neither [group] nor key=value nor # comment"},
    {"=5\n", "a.conf:1: is neither [group] nor key=value nor # comment"},
    {"\xEF\xBB\xBF[host]\n", "a.conf:1: is neither [group] nor key=value nor # comment"},
    {"mode=balance\nsocket=/x\n", "a.conf:1: mode: stands before any [group]\n"
                                  "a.conf:2: socket: stands before any [group]"},
    {"[host\nreserve=x\n", "a.conf:1: a group is written as [name], with nothing after it"},
    {"[host] # all\n", "a.conf:1: a group is written as [name], with nothing after it"},
    {"[]\n", "a.conf:1: a group is written as [name], with nothing after it"},
    {"[\n", "a.conf:1: a group is written as [name], with nothing after it"},
    {"[guest a[1]]\n", "a.conf:1: a group's name has no brackets in it"},
    {"[host]\n# \xff\nreserve=\xc3\n",
     "a.conf:2: is not valid UTF-8\na.conf:3: is not valid UTF-8"},
    {"[host]\nreserve=1\\q\n",
     "a.conf:2: [host] reserve: has a backslash that is none of \\s \\n \\t \\r \\\\"},
    {"[host]\nreserve=1G\\\n",
     "a.conf:2: [host] reserve: has a backslash that is none of \\s \\n \\t \\r \\\\"},
    // Groups and keys.
    {"[hots]\nrubbish=1\n", "a.conf:1: [hots]: unknown group, did you mean 'host'?"},
    {"[Guest a]\n", "a.conf:1: [Guest a]: unknown group, did you mean 'guest NAME'?"},
    {"[defaults a]\n", "a.conf:1: [defaults a]: unknown group, did you mean 'defaults'?"},
    {"[discovery libvrit]\nuri=x\n",
     "a.conf:1: [discovery libvrit]: unknown group, did you mean 'discovery libvirt'?"},
    {"[discovery libvirt]\nuri=system\n",
     "a.conf:2: [discovery libvirt] uri: 'system' is not a uri such as qemu:///system"},
    {"[host]\npath=/x\n",
     "a.conf:2: [host] path: unknown key here, it belongs in [discovery directory]"},
    {"[discovery directory]\npath=run\n",
     "a.conf:2: [discovery directory] path: 'run' is not an absolute path, nor empty"},
    {"[\x1b[31m]\n", "a.conf:1: a group's name has no brackets in it"},
    {"[a\x1b]\n", "a.conf:1: [a ]: unknown group"},
    {"[host]\nreserv=1\n", "a.conf:2: [host] reserv: unknown key, did you mean 'reserve'?"},
    {"[host]\nBudget=1\n", "a.conf:2: [host] Budget: unknown key, did you mean 'budget'?"},
    {"[host]\ncores=1\n", "a.conf:2: [host] cores: unknown key"},
    {"[host]\nmode=1\n", "a.conf:2: [host] mode: unknown key here, it belongs in [controller]"},
    {"[host]\nqmp=/a\n", "a.conf:2: [host] qmp: unknown key here, it belongs in [guest NAME]"},
    {"[defaults]\nqmp=/a\n",
     "a.conf:2: [defaults] qmp: unknown key here, it belongs in [guest NAME]"},
    {"[host]\nreserve[de]=1\n", "a.conf:2: [host] reserve[de]: unknown key"},
    {"[host]\na\x07=1\n", "a.conf:2: [host] a : unknown key"},
    {"[host]\n[controller]\n[host]\nx=1\n", "a.conf:3: [host]: is already in line 1"},
    {"[host]\nreserve=1\nreserve=2\n", "a.conf:3: [host] reserve: is already in line 2"},
    // Values.
    {"[host]\nreserve=\n", "a.conf:2: [host] reserve: has no value"},
    {"[host]\nreserve=a\\tb\n",
     "a.conf:2: [host] reserve: has a value with unprintable characters"},
    {"[controller]\nmode=Balance\n",
     "a.conf:2: [controller] mode: 'Balance' is not observe, balance or reclaim"},
    {"[controller]\nmode=balance # calm\n",
     "a.conf:2: [controller] mode: 'balance # calm' is not observe, balance or reclaim; "
     "a comment has a line of its own"},
    {"[controller]\non-exit=free\n",
     "a.conf:2: [controller] on-exit: 'free' is not keep or release"},
    {"[controller]\nsocket=run/x\n",
     "a.conf:2: [controller] socket: 'run/x' is not an absolute path"},
    {"[controller]\nreadonly-socket=ro\n",
     "a.conf:2: [controller] readonly-socket: 'ro' is not an absolute path"},
    {"[controller]\nsocket-group=no such group\n",
     "a.conf:2: [controller] socket-group: 'no such group' is not a group of this host"},
    {"[controller]\nreadonly-socket=/run/ro\n[guest a]\nqmp=/run/ro\n",
     "a.conf:4: [guest a] qmp: '/run/ro' is already readonly-socket of [controller]"},
    {"[host]\nreserve=ten\n", "a.conf:2: [host] reserve: 'ten' is not a size such as 512M or 4G"},
    {"[host]\nreserve=-5%\n",
     "a.conf:2: [host] reserve: '-5%' is not a percentage from 0% to 100%"},
    {"[host]\nreserve=100%\n", "a.conf:2: [host] reserve: '100%' is not below 100%, so that "
                               "something is left for guests"},
    {"[host]\nbudget=some\n",
     "a.conf:2: [host] budget: 'some' is not a size such as 512M or 4G, nor auto or cgroup:/PATH"},
    {"[host]\nbudget=cgroup:machine.slice\n",
     "a.conf:2: [host] budget: 'cgroup:machine.slice' is not the path of a control group such as "
     "cgroup:/machine.slice"},
    {"[host]\nbudget=cgroup:/../etc\n",
     "a.conf:2: [host] budget: 'cgroup:/../etc' is not the path of a control group such as "
     "cgroup:/machine.slice"},
    {"[host]\nksm=on\n", "a.conf:2: [host] ksm: 'on' is not auto or off"},
    {"[host]\nksm-time=0%\n",
     "a.conf:2: [host] ksm-time: '0%' is not a percentage of a processor above 0%"},
    {"[host]\nlast-resort=kill\n",
     "a.conf:2: [host] last-resort: 'kill' is not off or memory.reclaim"},
    {"[host]\nbudget=0\n", "a.conf:2: [host] budget: '0' is not above 0"},
    {"[defaults]\nmin=101%\n",
     "a.conf:2: [defaults] min: '101%' is not a percentage from 0% to 100%"},
    {"[defaults]\nmin=1P\n", "a.conf:2: [defaults] min: '1P' is not a size such as 512M or 4G"},
    {"[defaults]\nmax=0%\n", "a.conf:2: [defaults] max: '0%' is not above 0"},
    {"[defaults]\nmax=9999999T\n",
     "a.conf:2: [defaults] max: '9999999T' is not a size below 1 EiB"},
    {"[defaults]\nweight=0\n",
     "a.conf:2: [defaults] weight: '0' is not a whole number from 1 to 10000"},
    {"[defaults]\nweight=10001\n",
     "a.conf:2: [defaults] weight: '10001' is not a whole number from 1 to 10000"},
    {"[defaults]\nweight=1.5\n",
     "a.conf:2: [defaults] weight: '1.5' is not a whole number from 1 to 10000"},
    {"[defaults]\nmanage=true\n", "a.conf:2: [defaults] manage: 'true' is not yes or no"},
    // Ranges.
    {"[guest a]\n" QMP "min=2G\nmax=1G\n",
     "a.conf:3: [guest a] min: 2048 MiB is above max, which is 1024 MiB"},
    {"[defaults]\nmax=20%\n", "a.conf:2: [defaults] max: 20% is below min, which is 25%"},
    {"[defaults]\nmax=50.5%\n[guest a]\n" QMP "min=60%\n",
     "a.conf:5: [guest a] min: 60% is above max, which is 50.5%"},
    {"[defaults]\nmin=60%\n[guest a]\n" QMP "max=50%\n",
     "a.conf:5: [guest a] max: 50% is below min, which is 60%"},
    {"[defaults]\nmin=60%\nmax=50%\n[guest a]\n" QMP,
     "a.conf:2: [defaults] min: 60% is above max, which is 50%"},
    {"[guest a]\n" QMP "min=2G\nmax=1X\n",
     "a.conf:4: [guest a] max: '1X' is not a size such as 512M or 4G"},
    // Guests.
    {"[guest]\n", "a.conf:1: [guest]: a guest's group is written as [guest NAME]"},
    {"[guest ]\n", "a.conf:1: [guest ]: a guest's group is written as [guest NAME]"},
    {"[guest  a]\n", "a.conf:1: [guest  a]: a guest's name neither begins nor ends with a blank"},
    {"[guest a ]\n", "a.conf:1: [guest a ]: a guest's name neither begins nor ends with a blank"},
    {"[guest a\x7f]\n", "a.conf:1: [guest a ]: a guest's name has only printable characters"},
    {"[guest a]\nagent=/run/vm/a.agent\n",
     "a.conf:2: [guest a] agent: is of no use without qmp, the guest's monitor socket"},
    {"[guest web*]\n" QMP, "a.conf:2: [guest web*] qmp: is of one guest, this group is for many"},
    {"[guest web?]\nagent=/a\n",
     "a.conf:2: [guest web?] agent: is of one guest, this group is for many"},
    {"[guest web*]\nmin=2G\nmax=1G\n",
     "a.conf:2: [guest web*] min: 2048 MiB is above max, which is 1024 MiB"},
    {"[guest web*]\nmin=2G\n[guest web1]\nmax=1G\n",
     "a.conf:4: [guest web1] max: 1024 MiB is below min, which is 2048 MiB"},
    {"[guest a]\nqmp=a.qmp\n", "a.conf:2: [guest a] qmp: 'a.qmp' is not an absolute path"},
    {"[guest a]\n" QMP "[guest b]\n" QMP,
     "a.conf:4: [guest b] qmp: '/run/vm/a.qmp' is already qmp of [guest a]"},
    {"[guest a]\n" QMP "[guest b]\nqmp=/run//vm/./a.qmp\n",
     "a.conf:4: [guest b] qmp: '/run//vm/./a.qmp' is already qmp of [guest a]"},
    {"[guest a]\n" QMP "agent=/run/vm/a.qmp\n",
     "a.conf:3: [guest a] agent: '/run/vm/a.qmp' is already qmp of [guest a]"},
    {"[guest a]\nqmp=/run/aerostat/controller.sock\n",
     "a.conf:2: [guest a] qmp: '/run/aerostat/controller.sock' is already socket of [controller]"},
};

static void test_each_mistake_is_told_with_its_line(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        assert_mistake(*state, mistakes[i].text, -1, mistakes[i].message);
    }
}

static void test_a_nul_byte_is_a_mistake(void **state)
{
    assert_mistake(*state, "[host]\nres\0erve=1\n", 18, "a.conf:2: holds a NUL byte");
}

static void test_all_mistakes_are_told_at_once(void **state)
{
    assert_mistake(*state, "[host]\nreserve=x\nbudgt=1\n[guest a]\nmanage=1\n", -1,
                   "a.conf:2: [host] reserve: 'x' is not a size such as 512M or 4G\n"
                   "a.conf:3: [host] budgt: unknown key, did you mean 'budget'?\n"
                   "a.conf:5: [guest a] manage: '1' is not yes or no");
}

static void test_a_mistake_in_the_folder_names_its_file(void **state)
{
    g_free(scratch_write(*state, "a.conf.d/b.conf", "[guest a]\nmin=3G\n", -1));
    assert_mistake(*state, "[guest a]\n" QMP "max=2G\n", -1,
                   "a.conf.d/b.conf:2: [guest a] min: 3072 MiB is above max, which is 2048 MiB");
}

static void test_a_mistake_counts_even_where_a_later_file_overrides_it(void **state)
{
    g_free(scratch_write(*state, "a.conf.d/b.conf", "[guest a]\nweight=1\n", -1));
    assert_mistake(*state, "[guest a]\n" QMP "weight=x\n", -1,
                   "a.conf:3: [guest a] weight: 'x' is not a whole number from 1 to 10000");
}

static void test_a_key_before_any_group_is_told_in_every_file(void **state)
{
    g_free(scratch_write(*state, "a.conf.d/b.conf", "mode=observe\n", -1));
    assert_mistake(*state, "[controller]\n", -1,
                   "a.conf.d/b.conf:1: mode: stands before any [group]");
}

static void test_a_long_path_is_a_mistake_past_what_a_socket_can_have(void **state)
{
    g_autofree char *longest = g_strnfill(107, 'x');
    longest[0] = '/';
    g_autofree char *fits = g_strdup_printf("[guest a]\nqmp=%s\n", longest);
    g_autofree char *too_long = g_strdup_printf("[guest a]\nqmp=%sx\n", longest);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, fits, -1, &error);
    assert_no_error(error);
    assert_non_null(config);
    assert_mistake(
        *state, too_long, -1,
        "a.conf:2: [guest a] qmp: a socket's path has at most 107 bytes, this one has 108");
}

static void test_a_long_name_is_a_mistake_past_the_limit(void **state)
{
    g_autofree char *name = g_strnfill(LIMIT_NAME_BYTES, 'x');
    g_autofree char *fits = g_strdup_printf("[guest %s]\n" QMP, name);
    g_autofree char *too_long = g_strdup_printf("[guest %sy]\n" QMP, name);
    g_autofree char *message =
        g_strdup_printf("a.conf:1: [guest %sy]: a guest's name has at most 128 bytes", name);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, fits, -1, &error);
    assert_no_error(error);
    assert_non_null(config);
    assert_mistake(*state, too_long, -1, message);
}

static void test_a_long_value_is_not_repeated(void **state)
{
    g_autofree char *value = g_strnfill(100000, '1');
    g_autofree char *text = g_strdup_printf("[host]\nreserve=%s\n", value);
    assert_mistake(*state, text, -1, "a.conf:2: [host] reserve: has a value longer than 256 bytes");
}

static void test_one_guest_too_many_is_told_once(void **state)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < LIMIT_GUESTS; i++) {
        g_string_append_printf(text, "[guest %d]\nqmp=/%d\n", i, i);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, text->str, -1, &error);
    assert_no_error(error);
    assert_int_equal(config->guests->len, LIMIT_GUESTS);
    g_string_append(text, "[guest more]\nqmp=/m\n[guest even more]\nqmp=/n\n");
    assert_mistake(*state, text->str, -1, "a.conf:20001: [guest more]: more than 10000 guests");
}

static void test_many_mistakes_are_counted_past_the_first_fifty(void **state)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 1000; i++) {
        g_string_append(text, "rubbish\n");
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, text->str, -1, &error);
    assert_null(config);
    assert_true(g_str_has_suffix(error->message, "# comment\nand 950 more mistakes"));
}

static void test_a_file_too_large_is_a_mistake(void **state)
{
    g_autofree char *text = g_strnfill(4 * 1024 * 1024 + 1, '\n');
    assert_mistake(*state, text, -1, "a.conf: is larger than 4 MiB");
    text[4 * 1024 * 1024] = '\0';
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, text, -1, &error);
    assert_no_error(error);
    assert_non_null(config);
}

static void test_an_endless_file_is_a_mistake(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_load("/dev/zero", false, &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                          "/dev/zero: is larger than 4 MiB");
}

static void test_a_missing_file_is_an_error(void **state)
{
    g_autofree char *path = scratch_path(*state, "a.conf");
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_load(path, false, &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_FILE,
                          "a.conf: cannot be read: No such file or directory");
}

static void test_a_folder_in_place_of_a_file_is_an_error(void **state)
{
    g_autofree char *path = scratch_path(*state, "a.conf.d/b.conf");
    g_mkdir_with_parents(path, 0700);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "", -1, &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_FILE,
                          "b.conf: cannot be read: Is a directory");
}

static void test_a_file_in_place_of_the_folder_is_an_error(void **state)
{
    g_free(scratch_write(*state, "a.conf.d", "", -1));
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "", -1, &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_FILE, "a.conf.d: ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_mistake_is_told_with_its_line),
        TEST(test_a_nul_byte_is_a_mistake),
        TEST(test_all_mistakes_are_told_at_once),
        TEST(test_a_mistake_in_the_folder_names_its_file),
        TEST(test_a_mistake_counts_even_where_a_later_file_overrides_it),
        TEST(test_a_key_before_any_group_is_told_in_every_file),
        TEST(test_a_long_path_is_a_mistake_past_what_a_socket_can_have),
        TEST(test_a_long_name_is_a_mistake_past_the_limit),
        TEST(test_a_long_value_is_not_repeated),
        TEST(test_one_guest_too_many_is_told_once),
        TEST(test_many_mistakes_are_counted_past_the_first_fifty),
        TEST(test_a_file_too_large_is_a_mistake),
        TEST(test_an_endless_file_is_a_mistake),
        TEST(test_a_missing_file_is_an_error),
        TEST(test_a_folder_in_place_of_a_file_is_an_error),
        TEST(test_a_file_in_place_of_the_folder_is_an_error),
    };
    return run_test_table(tests);
}
