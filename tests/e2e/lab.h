// SPDX-License-Identifier: Apache-2.0
//
// What the tests on real guests share: a lab for each test, and waiting for the controller to
// settle.
#pragma once

#include "tests/support/deadline.h"
#include "tests/support/vm-lab.h"
#include "tests/test.h"

#include <string.h>

// For a machine on which guests are ten times slower than usual: what takes longer hangs.
#define CONTROL_TIMEOUT_US (60 * SECOND_US)
#define SETTLE_TIMEOUT_US (240 * SECOND_US)

static inline int lab_set_up(void **state)
{
    g_autoptr(GError) error = NULL;
    *state = vm_lab_new(&error);
    if (error) {
        print_error("%s\n", error->message);
    }
    return *state ? 0 : -1;
}

static inline int lab_tear_down(void **state)
{
    vm_lab_free(*state);
    return 0;
}

#define LAB_TEST(function) cmocka_unit_test_setup_teardown(function, lab_set_up, lab_tear_down)

// Starts guests of `bytes` each, named alpha, beta, ..., and waits until they run commands.
static inline void lab_boot(VmLab *lab, Vm **vms, size_t count, int64_t bytes)
{
    static const char *const names[] = {"alpha", "beta", "gamma", "delta"};
    g_autoptr(GError) error = NULL;
    for (size_t i = 0; i < count; i++) {
        VmOptions options = {.name = names[i], .memory_bytes = bytes};
        vms[i] = vm_lab_add(lab, &options, &error);
        assert_no_error(error);
    }
    vm_lab_wait_ready(lab, &error);
    assert_no_error(error);
}

// Starts the controller over all guests of the lab; `*control` is the caller's.
static inline Process *lab_control(VmLab *lab, int64_t budget_bytes, QmpSession **control)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *config = vm_lab_write_configuration(lab, budget_bytes, NULL, &error);
    assert_no_error(error);
    Process *controller = vm_lab_start_controller(lab, config, control, &error);
    assert_no_error(error);
    return controller;
}

// Asks the controller and wants an answer. New reference.
static inline json_t *lab_query(QmpSession *control, const char *command)
{
    g_autoptr(GError) error = NULL;
    json_t *value = qmp_session_execute(control, command, NULL, CONTROL_TIMEOUT_US, &error);
    assert_no_error(error);
    return value;
}

static inline const char *json_word(const json_t *object, const char *name)
{
    const char *word = json_string_value(json_object_get(object, name));
    return word ? word : "";
}

// The guest among the list that query-guests returned; borrowed.
static inline json_t *lab_find_guest(const json_t *guests, const char *name)
{
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        if (strcmp(json_word(guest, "name"), name) == 0) {
            return guest;
        }
    }
    fail_msg("no guest %s", name);
    return NULL;
}

// Waits for the next event, or a moment: what is awaited need not come with one.
static inline void lab_await_event(QmpSession *control)
{
    g_autoptr(GError) error = NULL;
    json_decref(qmp_session_next_event(control, 100 * MS_US, &error));
    assert_no_error(error);
}

typedef bool LabCondition(const json_t *guests, void *context);

// Waits, event by event, until `condition` holds of the answer to query-guests.
static inline void lab_wait_guests(QmpSession *control, LabCondition *condition, void *context)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    for (;;) {
        g_autoptr(json_t) guests = lab_query(control, "query-guests");
        if (condition(guests, context)) {
            return;
        }
        if (deadline_left_us(deadline_us) == 0) {
            g_autofree char *text = json_dumps(guests, JSON_INDENT(1));
            fail_msg("the guests did not get there: %s", text);
        }
        lab_await_event(control);
    }
}

// A plan that did not know a guest's report yet knows of no demand.
static inline bool all_report_and_rest(const json_t *guests, void *context)
{
    (void)context;
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        const json_t *demand = json_object_get(json_object_get(guest, "reason"), "demand");
        if (strcmp(json_word(guest, "state"), "settled") != 0 ||
            strcmp(json_word(guest, "agent"), "connected") != 0 ||
            json_integer_value(demand) == 0) {
            return false;
        }
    }
    return true;
}

static inline int64_t lab_host_number(QmpSession *control, const char *name)
{
    g_autoptr(json_t) host = lab_query(control, "query-host");
    return json_integer_value(json_object_get(host, name));
}

// Waits until every guest reports, none moves, and the budget is kept.
static inline void lab_wait_settled(QmpSession *control)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    lab_wait_guests(control, all_report_and_rest, NULL);
    while (lab_host_number(control, "sum-actual") > lab_host_number(control, "budget")) {
        assert_true(deadline_left_us(deadline_us) > 0);
        lab_await_event(control);
        lab_wait_guests(control, all_report_and_rest, NULL);
    }
}

// Sets a target as an operator does. False when it is refused because the guest's last report is
// too old to shrink it by.
static inline bool lab_try_target(QmpSession *control, const char *name, int64_t bytes)
{
    g_autoptr(GError) error = NULL;
    json_t *arguments = json_pack("{s:s, s:I}", "name", name, "bytes", (json_int_t)bytes);
    json_decref(qmp_session_execute(control, "set-target", arguments, CONTROL_TIMEOUT_US, &error));
    if (error && strstr(error->message, "does not report")) {
        return false;
    }
    assert_no_error(error);
    return true;
}

// The same, as soon as the guest reports.
static inline void lab_set_target(QmpSession *control, const char *name, int64_t bytes)
{
    int64_t deadline_us = deadline_after(SETTLE_TIMEOUT_US);
    while (!lab_try_target(control, name, bytes)) {
        assert_true(deadline_left_us(deadline_us) > 0);
        lab_await_event(control);
    }
}

static inline int64_t lab_actual(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    int64_t actual_bytes = vm_actual_bytes(vm, &error);
    assert_no_error(error);
    return actual_bytes;
}

// What the guests have together at one moment, at least: they are asked one after the other, and
// what goes from one to another meanwhile would count with both.
static inline int64_t lab_sum_actual(Vm **vms, size_t count)
{
    g_autofree int64_t *first_bytes = g_new(int64_t, count);
    int64_t sum_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        first_bytes[i] = lab_actual(vms[i]);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t then_bytes = lab_actual(vms[i]);
        sum_bytes += MIN(first_bytes[i], then_bytes);
    }
    return sum_bytes;
}
