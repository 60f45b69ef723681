// SPDX-License-Identifier: Apache-2.0
#include "host-controller/claims.h"
#include "host-controller/ksm.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/test.h"

#include <string.h>

#define MIB (INT64_C(1) << 20)
#define SECOND_US INT64_C(1000000)

// What an owner was told.
typedef struct Told {
    unsigned times;
    bool granted;
    int64_t bytes;
    int64_t elapsed_us;
    bool failed;
} Told;

static void hear(json_t *value, const GError *error, void *context)
{
    Told *told = context;
    told->times++;
    told->granted = json_is_true(json_object_get(value, "granted"));
    told->bytes = json_integer_value(json_object_get(value, "bytes"));
    told->elapsed_us = json_integer_value(json_object_get(value, "elapsed-us"));
    told->failed = error != NULL;
    json_decref(value);
}

static Claim *add(Claims *claims, const char *name, int64_t bytes, Told *told)
{
    g_autoptr(GError) error = NULL;
    const ClaimRequest request = {
        .kind = CLAIM_RESERVATION,
        .name = name,
        .bytes = bytes,
        .timeout_us = 10 * SECOND_US,
        .hold_us = 60 * SECOND_US,
        .answer = hear,
        .context = told,
    };
    Claim *claim = claims_add(claims, &request, SECOND_US, &error);
    assert_no_error(error);
    return claim;
}

static int set_up(void **state)
{
    Claims *claims = g_new0(Claims, 1);
    claims_init(claims);
    *state = claims;
    return 0;
}

static int tear_down(void **state)
{
    claims_clear(*state);
    g_free(*state);
    return 0;
}

static void test_what_is_granted_and_what_waits_are_counted_apart(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    Claim *first = add(claims, NULL, 100 * MIB, &told);
    add(claims, NULL, 30 * MIB, &told);
    assert_int_equal(claims_reserved_bytes(claims), 0);
    assert_int_equal(claims_wanted_bytes(claims), 130 * MIB);
    claims_grant(first, 100 * MIB, 3 * SECOND_US);
    assert_int_equal(claims_reserved_bytes(claims), 100 * MIB);
    assert_int_equal(claims_wanted_bytes(claims), 30 * MIB);
}

static void test_who_does_not_wait_has_nobody_moved(void **state)
{
    Claims *claims = *state;
    const ClaimRequest request = {.kind = CLAIM_RESERVATION, .bytes = MIB};
    assert_non_null(claims_add(claims, &request, SECOND_US, NULL));
    assert_int_equal(claims_wanted_bytes(claims), 0);
}

static void test_an_owner_is_told_once(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    Claim *claim = add(claims, "web", 100 * MIB, &told);
    claims_grant(claim, 100 * MIB, 4 * SECOND_US);
    assert_true(told.granted);
    assert_int_equal(told.bytes, 100 * MIB);
    assert_int_equal(told.elapsed_us, 3 * SECOND_US);
    g_autoptr(GError) error =
        g_error_new_literal(PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "released");
    claims_fail(claims, claim, error);
    assert_int_equal(told.times, 1);
    assert_int_equal(claims->list->len, 0);
}

static void test_what_is_denied_is_gone(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    claims_deny(claims, add(claims, NULL, 100 * MIB, &told), 40 * MIB, 2 * SECOND_US);
    assert_false(told.granted);
    assert_int_equal(told.bytes, 40 * MIB);
    assert_int_equal(claims->list->len, 0);
}

static void test_who_goes_loses_only_what_it_still_waited_for(void **state)
{
    Claims *claims = *state;
    Told one = {0};
    Told other = {0};
    claims_grant(add(claims, NULL, MIB, &one), MIB, SECOND_US);
    add(claims, NULL, 2 * MIB, &one);
    add(claims, NULL, 4 * MIB, &other);
    claims_abandon(claims, &one);
    assert_int_equal(claims_reserved_bytes(claims), MIB);
    assert_int_equal(claims_wanted_bytes(claims), 4 * MIB);
}

static void test_the_next_moment_that_matters_is_known(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    assert_int_equal(claims_deadline_us(claims), INT64_MAX);
    Claim *claim = add(claims, NULL, MIB, &told);
    assert_int_equal(claims_deadline_us(claims), 11 * SECOND_US);
    claims_grant(claim, MIB, 5 * SECOND_US);
    assert_int_equal(claims_deadline_us(claims), 65 * SECOND_US);
}

static void test_a_guest_finds_the_reservation_that_is_for_it(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    Claim *waiting = add(claims, NULL, MIB, &told);
    Claim *unnamed = add(claims, NULL, MIB, &told);
    Claim *named = add(claims, "web", MIB, &told);
    assert_ptr_equal(claims_find_for_guest(claims, "web"), named);
    // One that is not granted yet is nobody's.
    assert_null(claims_find_for_guest(claims, "database"));
    claims_grant(unnamed, MIB, SECOND_US);
    assert_ptr_equal(claims_find_for_guest(claims, "database"), unnamed);
    claims_grant(waiting, MIB, SECOND_US);
    assert_ptr_equal(claims_find_for_guest(claims, "database"), waiting);
}

static void test_there_are_only_so_many(void **state)
{
    Claims *claims = *state;
    Told told = {0};
    for (int i = 0; i < LIMIT_CLAIMS; i++) {
        add(claims, NULL, MIB, &told);
    }
    g_autoptr(GError) error = NULL;
    const ClaimRequest request = {.kind = CLAIM_RESERVATION, .bytes = MIB};
    assert_null(claims_add(claims, &request, 0, &error));
    assert_error_contains(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED, "already");
}

// --- page sharing -----------------------------------------------------------------------------

static void test_page_sharing_stays_within_its_time(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int64_t pages;
        int64_t busy_us;
        int64_t next;
    } cases[] = {
        {"above the limit", 1000, 150000, 500},     {"at the limit", 1000, 100000, 1000},
        {"hardly below", 1000, 60000, 1000},        {"far below", 1000, 10000, 2000},
        {"as slow as can be", 16, 900000, 16},      {"as fast as can be", 16384, 0, 16384},
        {"a clock that went back", 1000, -5, 2000},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        int64_t next = ksm_next_pages(cases[i].pages, cases[i].busy_us, SECOND_US, 1000);
        if (next != cases[i].next) {
            fail_msg("%s: %d pages", cases[i].what, (int)next);
        }
    }
    assert_int_equal(ksm_next_pages(100, 5, 0, 1000), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_granted_and_what_waits_are_counted_apart),
        TEST(test_who_does_not_wait_has_nobody_moved),
        TEST(test_an_owner_is_told_once),
        TEST(test_what_is_denied_is_gone),
        TEST(test_who_goes_loses_only_what_it_still_waited_for),
        TEST(test_the_next_moment_that_matters_is_known),
        TEST(test_a_guest_finds_the_reservation_that_is_for_it),
        TEST(test_there_are_only_so_many),
        cmocka_unit_test(test_page_sharing_stays_within_its_time),
    };
    return run_test_table(tests);
}
