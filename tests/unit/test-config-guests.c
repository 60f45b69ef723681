// SPDX-License-Identifier: Apache-2.0
//
// The settings of guests that are told of elsewhere than in the configuration.
#include "tests/test.h"

#include "host-controller/config.h"
#include "tests/support/scratch.h"

static Config *load_text(Scratch *scratch, const char *text)
{
    g_autofree char *path = scratch_write(scratch, "a.conf", text, -1);
    g_autoptr(GError) error = NULL;
    Config *config = config_load(path, false, &error);
    assert_no_error(error);
    return config;
}

// What a guest found under that name would have.
static GuestConfig *settings_of(const Config *config, const char *name)
{
    GuestConfig plain = {.name = (char *)name};
    GuestConfig *guest = guest_config_copy(&plain);
    config_complete_guest(config, guest);
    return guest;
}

static int64_t weight_of(const Config *config, const char *name)
{
    g_autoptr(GuestConfig) guest = settings_of(config, name);
    return guest->weight;
}

static void test_a_guest_nobody_speaks_of_has_the_defaults(void **state)
{
    g_autoptr(Config) config = load_text(*state, "[defaults]\nmin=1G\n[guest web*]\nweight=7\n");
    g_autoptr(GuestConfig) guest = settings_of(config, "db1");
    assert_int_equal(guest->min.bytes, INT64_C(1) << 30);
    assert_int_equal(guest->max.permyriad, 10000);
    assert_int_equal(guest->weight, 100);
    assert_true(guest->managed);
}

static void test_a_group_without_a_monitor_gives_settings_and_is_no_guest(void **state)
{
    g_autoptr(Config) config = load_text(*state, "[guest web1]\nweight=7\nmanage=no\n");
    assert_int_equal(config->guests->len, 0);
    g_autoptr(GuestConfig) guest = settings_of(config, "web1");
    assert_int_equal(guest->weight, 7);
    assert_false(guest->managed);
    assert_int_equal(weight_of(config, "web2"), 100);
}

static void test_the_more_specific_pattern_stands_before_the_wider_one(void **state)
{
    g_autoptr(Config) config =
        load_text(*state, "[guest web-db*]\nweight=3\n[guest web*]\nweight=2\nmin=1G\n"
                          "[guest *]\nweight=1\nmanage=no\n[guest web-db7]\nweight=4\n");
    assert_int_equal(weight_of(config, "mail"), 1);
    assert_int_equal(weight_of(config, "web1"), 2);
    assert_int_equal(weight_of(config, "web-db1"), 3);
    assert_int_equal(weight_of(config, "web-db7"), 4);
    // Key by key: what the specific one does not give, the wider ones do.
    g_autoptr(GuestConfig) guest = settings_of(config, "web-db7");
    assert_int_equal(guest->min.bytes, INT64_C(1) << 30);
    assert_false(guest->managed);
}

static void test_of_two_equally_specific_patterns_the_later_holds(void **state)
{
    g_autoptr(Config) config =
        load_text(*state, "[guest web*]\nweight=1\n[guest *web]\nweight=2\n");
    assert_int_equal(weight_of(config, "web"), 2);
    assert_int_equal(weight_of(config, "web1"), 1);
}

static void test_a_question_mark_stands_for_one_character(void **state)
{
    g_autoptr(Config) config = load_text(*state, "[guest 10?]\nweight=5\n");
    assert_int_equal(weight_of(config, "101"), 5);
    assert_int_equal(weight_of(config, "10"), 100);
    assert_int_equal(weight_of(config, "1010"), 100);
}

static void test_patterns_hold_for_configured_guests_too(void **state)
{
    g_autoptr(Config) config =
        load_text(*state, "[guest web1]\nqmp=/run/web1\nmin=1G\n[guest web*]\nweight=9\nmin=2G\n");
    assert_int_equal(config->guests->len, 1);
    const GuestConfig *guest = g_ptr_array_index(config->guests, 0);
    assert_int_equal(guest->weight, 9);
    assert_int_equal(guest->min.bytes, INT64_C(1) << 30);
}

static void test_the_watched_directory_is_what_is_said_or_none(void **state)
{
    g_autoptr(Config) unsaid = load_text(*state, "");
    assert_string_equal(unsaid->discovery_path, CONFIG_DEFAULT_DIRECTORY);
    g_autoptr(Config) other = load_text(*state, "[discovery directory]\npath=/run/vm\n");
    assert_string_equal(other->discovery_path, "/run/vm");
    g_autoptr(Config) none = load_text(*state, "[discovery directory]\npath=\n");
    assert_null(none->discovery_path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_guest_nobody_speaks_of_has_the_defaults),
        TEST(test_a_group_without_a_monitor_gives_settings_and_is_no_guest),
        TEST(test_the_more_specific_pattern_stands_before_the_wider_one),
        TEST(test_of_two_equally_specific_patterns_the_later_holds),
        TEST(test_a_question_mark_stands_for_one_character),
        TEST(test_patterns_hold_for_configured_guests_too),
        TEST(test_the_watched_directory_is_what_is_said_or_none),
    };
    return run_test_table(tests);
}
