// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/config.h"
#include "tests/support/scratch.h"

#include <string.h>

#define QMP "qmp=/run/vm/a.qmp\n"

// --- helpers ----------------------------------------------------------------------------------

// Loads a file of this text.
static Config *load_text(Scratch *scratch, const char *text, GError **error)
{
    g_autofree char *path = scratch_write(scratch, "a.conf", text, -1);
    return config_load(path, false, error);
}

static const GuestConfig *guest_at(const Config *config, unsigned index)
{
    assert_true(index < config->guests->len);
    return g_ptr_array_index(config->guests, index);
}

static void assert_percent(const RelativeSize *size, int64_t percent)
{
    assert_true(size->relative);
    assert_int_equal(size->permyriad, percent * 100);
}

static void assert_bytes(const RelativeSize *size, int64_t bytes)
{
    assert_false(size->relative);
    assert_int_equal(size->bytes, bytes);
}

// --- what is understood -----------------------------------------------------------------------

static void test_an_empty_file_means_the_defaults(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "", &error);
    assert_no_error(error);
    assert_int_equal(config->mode, CONTROLLER_MODE_BALANCE);
    assert_string_equal(config->socket_path, CONFIG_DEFAULT_SOCKET);
    assert_null(config->socket_group);
    assert_null(config->readonly_path);
    assert_percent(&config->reserve, 10);
    assert_true(config->budget_auto);
    assert_null(config->budget_group);
    assert_false(config->ksm_auto);
    assert_int_equal(config->ksm_permyriad, 1000);
    assert_false(config->last_resort);
    assert_int_equal(config->guests->len, 0);
}

static void test_a_control_group_can_limit_the_budget(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[host]\nbudget=cgroup:/machine.slice\n", &error);
    assert_no_error(error);
    assert_true(config->budget_auto);
    assert_string_equal(config->budget_group, "/machine.slice");
}

static void test_a_missing_file_means_the_defaults_when_it_is_optional(void **state)
{
    g_autofree char *path = scratch_path(*state, "none.conf");
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_load(path, true, &error);
    assert_no_error(error);
    assert_non_null(config);
}

static void test_every_key_is_taken_over(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state,
                                         "[controller]\nmode=reclaim\nsocket=/run/c.sock\n"
                                         "socket-group=root\nreadonly-socket=/run/ro.sock\n"
                                         "readonly-group=daemon\n"
                                         "on-exit=release\n"
                                         "[host]\nreserve=2G\nbudget=80%\n"
                                         "ksm=auto\nksm-time=2.5%\nlast-resort=memory.reclaim\n"
                                         "[guest web 1]\nqmp=/run/w.qmp\nagent=/run/w.agent\n"
                                         "min=512M\nmax=75%\nweight=10000\nmanage=no\n",
                                         &error);
    assert_no_error(error);
    assert_int_equal(config->mode, CONTROLLER_MODE_RECLAIM);
    assert_string_equal(config->socket_path, "/run/c.sock");
    assert_string_equal(config->socket_group, "root");
    assert_string_equal(config->readonly_path, "/run/ro.sock");
    assert_string_equal(config->readonly_group, "daemon");
    assert_true(config->release_on_exit);
    assert_bytes(&config->reserve, INT64_C(2) << 30);
    assert_false(config->budget_auto);
    assert_percent(&config->budget, 80);
    assert_null(config->budget_group);
    assert_true(config->ksm_auto);
    assert_int_equal(config->ksm_permyriad, 250);
    assert_true(config->last_resort);
    const GuestConfig *guest = guest_at(config, 0);
    assert_string_equal(guest->name, "web 1");
    assert_string_equal(guest->qmp_path, "/run/w.qmp");
    assert_string_equal(guest->agent_path, "/run/w.agent");
    assert_bytes(&guest->min, INT64_C(512) << 20);
    assert_percent(&guest->max, 75);
    assert_int_equal(guest->weight, 10000);
    assert_false(guest->managed);
}

static void test_a_guest_has_the_built_in_values_for_what_nobody_says(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[guest a]\n" QMP, &error);
    assert_no_error(error);
    const GuestConfig *guest = guest_at(config, 0);
    assert_null(guest->agent_path);
    assert_percent(&guest->min, 25);
    assert_percent(&guest->max, 100);
    assert_int_equal(guest->weight, 100);
    assert_true(guest->managed);
}

static void test_defaults_hold_for_guests_before_and_after_them(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state,
                                         "[guest a]\nqmp=/a\n"
                                         "[defaults]\nmin=1G\nmax=90%\nweight=7\nmanage=no\n"
                                         "[guest b]\nqmp=/b\nweight=8\nmanage=yes\n",
                                         &error);
    assert_no_error(error);
    const GuestConfig *a = guest_at(config, 0);
    const GuestConfig *b = guest_at(config, 1);
    assert_bytes(&a->min, INT64_C(1) << 30);
    assert_percent(&a->max, 90);
    assert_int_equal(a->weight, 7);
    assert_false(a->managed);
    assert_bytes(&b->min, INT64_C(1) << 30);
    assert_int_equal(b->weight, 8);
    assert_true(b->managed);
}

static void test_blanks_comments_and_carriage_returns_do_not_matter(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state,
                                         "# comment\r\n\r\n  # another\n"
                                         "  [controller]  \r\n\tmode = observe \t\r\n"
                                         "[guest a]\nqmp=/run/a\\sb=c # d",
                                         &error);
    assert_no_error(error);
    assert_int_equal(config->mode, CONTROLLER_MODE_OBSERVE);
    assert_string_equal(guest_at(config, 0)->qmp_path, "/run/a b=c # d");
}

static void test_a_name_may_have_any_printable_letter(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[guest büro/ä=1]\n" QMP, &error);
    assert_no_error(error);
    assert_string_equal(guest_at(config, 0)->name, "büro/ä=1");
}

static void test_a_mixed_min_and_max_wait_for_the_size(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[guest a]\n" QMP "min=500G\nmax=1%\n", &error);
    assert_no_error(error);
    assert_non_null(config);
}

static void test_min_may_equal_max(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[guest a]\n" QMP "min=1G\nmax=1024M\n", &error);
    assert_no_error(error);
    assert_non_null(config);
}

static void test_later_files_override_key_by_key(void **state)
{
    g_free(scratch_write(*state, "a.conf.d/20-last.conf", "[guest a]\nmax=3G\n[guest c]\nqmp=/c\n",
                         -1));
    g_free(scratch_write(*state, "a.conf.d/10-first.conf",
                         "[guest b]\nqmp=/b\n[guest a]\nmax=2G\nweight=5\n", -1));
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "[guest a]\nqmp=/a\nmin=1G\nmax=1G\n", &error);
    assert_no_error(error);
    const GuestConfig *a = guest_at(config, 0);
    assert_bytes(&a->min, INT64_C(1) << 30);
    assert_bytes(&a->max, INT64_C(3) << 30);
    assert_int_equal(a->weight, 5);
    assert_string_equal(guest_at(config, 1)->name, "b");
    assert_string_equal(guest_at(config, 2)->name, "c");
}

static void test_files_are_read_in_the_order_of_their_names(void **state)
{
    for (int i = 0; i < 10; i++) {
        int number = i * 7 % 10;
        g_autofree char *name = g_strdup_printf("a.conf.d/%d.conf", number);
        g_autofree char *text = g_strdup_printf("[guest %d]\nqmp=/%d\n", number, number);
        g_free(scratch_write(*state, name, text, -1));
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "", &error);
    assert_no_error(error);
    for (unsigned i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("%u", i);
        assert_string_equal(guest_at(config, i)->name, name);
    }
}

static void test_only_visible_files_named_conf_count_in_the_folder(void **state)
{
    g_free(scratch_write(*state, "a.conf.d/x.conf.bak", "rubbish", -1));
    g_free(scratch_write(*state, "a.conf.d/.x.conf", "rubbish", -1));
    g_free(scratch_write(*state, "a.conf.d/README", "rubbish", -1));
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, "", &error);
    assert_no_error(error);
    assert_non_null(config);
}

static void test_a_copy_of_a_guest_is_its_own(void **state)
{
    g_autoptr(Config) config = load_text(*state, "[guest a]\n" QMP "min=1G\n", NULL);
    g_autoptr(GuestConfig) copy = guest_config_copy(guest_at(config, 0));
    g_clear_pointer(&config, config_free);
    assert_string_equal(copy->name, "a");
    assert_string_equal(copy->qmp_path, "/run/vm/a.qmp");
    assert_null(copy->agent_path);
    assert_bytes(&copy->min, INT64_C(1) << 30);
}

static void test_the_sample_says_the_defaults_when_its_comments_are_removed(void **state)
{
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents("packaging/controller.conf", &text, NULL, NULL));
    // Keys and groups are commented out without a blank, sentences with one.
    g_autoptr(GRegex) commented = g_regex_new("^#(?=[[a-z])", G_REGEX_MULTILINE, 0, NULL);
    g_autofree char *opened = g_regex_replace_literal(commented, text, -1, 0, "", 0, NULL);
    assert_string_not_equal(text, opened);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_text(*state, opened, &error);
    assert_no_error(error);
    assert_int_equal(config->mode, CONTROLLER_MODE_BALANCE);
    assert_string_equal(config->socket_path, CONFIG_DEFAULT_SOCKET);
    assert_percent(&config->reserve, 10);
    assert_true(config->budget_auto);
    assert_int_equal(config->journal_size_bytes, INT64_C(256) << 20);
    const GuestConfig *guest = guest_at(config, 0);
    assert_percent(&guest->min, 25);
    assert_percent(&guest->max, 100);
    assert_int_equal(guest->weight, 100);
    assert_true(guest->managed);
}

static void test_the_read_only_socket_is_beside_the_other(void **state)
{
    static const char *const paths[][2] = {
        {CONFIG_DEFAULT_SOCKET, CONFIG_DEFAULT_READONLY_SOCKET},
        {"/run/c", "/run/c-ro"},
        {"/run/c.sock.d/c", "/run/c.sock.d/c-ro"},
    };
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *path = config_readonly_path(paths[i][0]);
        assert_string_equal(path, paths[i][1]);
    }
}

static void test_modes_are_read_as_they_are_written(void **state)
{
    (void)state;
    for (ControllerMode mode = 0; mode < CONTROLLER_MODE_COUNT; mode++) {
        ControllerMode again;
        assert_true(controller_mode_parse(controller_mode_name(mode), &again));
        assert_int_equal(again, mode);
    }
    ControllerMode none;
    assert_false(controller_mode_parse("", &none));
    assert_false(controller_mode_parse("balance ", &none));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_file_means_the_defaults),
        TEST(test_a_control_group_can_limit_the_budget),
        TEST(test_a_missing_file_means_the_defaults_when_it_is_optional),
        TEST(test_every_key_is_taken_over),
        TEST(test_a_guest_has_the_built_in_values_for_what_nobody_says),
        TEST(test_defaults_hold_for_guests_before_and_after_them),
        TEST(test_blanks_comments_and_carriage_returns_do_not_matter),
        TEST(test_a_name_may_have_any_printable_letter),
        TEST(test_a_mixed_min_and_max_wait_for_the_size),
        TEST(test_min_may_equal_max),
        TEST(test_later_files_override_key_by_key),
        TEST(test_files_are_read_in_the_order_of_their_names),
        TEST(test_only_visible_files_named_conf_count_in_the_folder),
        TEST(test_a_copy_of_a_guest_is_its_own),
        TEST(test_the_sample_says_the_defaults_when_its_comments_are_removed),
        TEST(test_the_read_only_socket_is_beside_the_other),
        TEST(test_modes_are_read_as_they_are_written),
    };
    return run_test_table(tests);
}
