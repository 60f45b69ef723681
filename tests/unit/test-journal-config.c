// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/config.h"
#include "tests/support/scratch.h"

#include <string.h>

static Config *load(Scratch *scratch, const char *text, GError **error)
{
    g_autofree char *path = scratch_write(scratch, "a.conf", text, -1);
    return config_load(path, false, error);
}

static void test_a_service_has_a_journal_in_its_log_folder_and_others_have_none(void **state)
{
    g_autoptr(Config) plain = load(*state, "", NULL);
    assert_null(plain->journal_path);
    g_setenv("LOGS_DIRECTORY", "/var/log/aerostat", TRUE);
    g_autoptr(Config) service = load(*state, "", NULL);
    g_autoptr(Config) off = load(*state, "[controller]\njournal=\n", NULL);
    g_unsetenv("LOGS_DIRECTORY");
    assert_string_equal(service->journal_path, "/var/log/aerostat/decisions.jsonl");
    assert_null(off->journal_path);
}

static void test_path_and_size_are_taken_over(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config =
        load(*state, "[controller]\njournal=/srv/why.jsonl\njournal-size=2G\n", &error);
    assert_no_error(error);
    assert_string_equal(config->journal_path, "/srv/why.jsonl");
    assert_int_equal(config->journal_size_bytes, INT64_C(2) << 30);
}

static void test_what_makes_no_sense_is_told_with_its_place(void **state)
{
    static const struct {
        const char *setting;
        const char *told;
    } mistakes[] = {
        {"journal=why.jsonl",
         "a.conf:2: [controller] journal: 'why.jsonl' is not an absolute path"},
        {"journal=/var/log/aerostat/", "journal: '/var/log/aerostat/' is not the path of a file"},
        {"journal-size=10K", "journal-size: '10K' is not 1M or more"},
        {"journal-size=10%", "journal-size: '10%' is not a size"},
        {"journal-size=", "journal-size: has no value"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autofree char *text = g_strdup_printf("[controller]\n%s\n", mistakes[i].setting);
        g_autoptr(GError) error = NULL;
        assert_null(load(*state, text, &error));
        assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, mistakes[i].told);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_service_has_a_journal_in_its_log_folder_and_others_have_none),
        TEST(test_path_and_size_are_taken_over),
        TEST(test_what_makes_no_sense_is_told_with_its_place),
    };
    return run_test_table(tests);
}
