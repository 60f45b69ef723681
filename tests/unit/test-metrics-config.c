// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "host-controller/config.h"
#include "tests/support/scratch.h"

#include <string.h>

static Config *load_metrics(Scratch *scratch, const char *value, GError **error)
{
    g_autofree char *text = g_strdup_printf("[controller]\nmetrics=%s\n", value);
    g_autofree char *path = scratch_write(scratch, "a.conf", text, -1);
    return config_load(path, false, error);
}

static void test_metrics_are_off_when_nothing_or_an_empty_value_is_said(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = scratch_write(*state, "none.conf", "", 0);
    g_autoptr(Config) silent = config_load(path, false, &error);
    assert_no_error(error);
    assert_null(silent->metrics_address);
    g_autoptr(Config) empty = load_metrics(*state, "", &error);
    assert_no_error(error);
    assert_null(empty->metrics_address);
}

#ifdef HAVE_MICROHTTPD

static void test_an_address_is_taken_over(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_metrics(*state, "[::1]:9786", &error);
    assert_no_error(error);
    assert_string_equal(config->metrics_address, "[::1]:9786");
}

static void test_a_bad_address_is_told_with_its_place(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_metrics(*state, "localhost:9786", &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                          "a.conf:2: [controller] metrics: 'localhost' is not a numeric address");
}

#else

static void test_an_address_is_an_error_without_the_library(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = load_metrics(*state, "127.0.0.1:9786", &error);
    assert_null(config);
    assert_error_contains(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "without libmicrohttpd");
}

#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_metrics_are_off_when_nothing_or_an_empty_value_is_said),
#ifdef HAVE_MICROHTTPD
        TEST(test_an_address_is_taken_over),
        TEST(test_a_bad_address_is_told_with_its_place),
#else
        TEST(test_an_address_is_an_error_without_the_library),
#endif
    };
    return run_test_table(tests);
}
