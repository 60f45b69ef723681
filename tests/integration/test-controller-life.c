// SPDX-License-Identifier: Apache-2.0
//
// Moments in a guest's life at which the controller must keep its hands off: paused on its way,
// known by its agent before its QEMU, stalled.
#include "tests/support/rig.h"
#include "tests/support/wait.h"
#include "tests/test.h"

#include <string.h>

#define PATIENCE_US (20 * SECOND_US)
#define BUDGET (1300 * MIB)
// Longer than a guest may go without progress before it counts as stalled.
#define LONGER_THAN_A_STALL_US (6500 * MS_US)

static void test_a_guest_paused_on_its_way_is_sent_nothing_and_not_called_stalled(void **state)
{
    Rig *rig = *state;
    RigGuest *giver = rig_add(rig, "giver", 1000 * MIB, NULL);
    RigGuest *taker = rig_add(rig, "taker", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(giver->qemu, 20 * MIB);
    fake_agent_grow(taker->agent, 800 * MIB, GIB);
    wait_for(fake_qemu_actual_bytes(giver->qemu) < 1000 * MIB, PATIENCE_US);
    fake_qemu_set_running(giver->qemu, false);
    wait_for(strcmp(rig_guest_text(rig, giver, "state"), "paused") == 0, PATIENCE_US);
    unsigned commands = fake_qemu_count(giver->qemu, "balloon");
    wait_while(LONGER_THAN_A_STALL_US);
    assert_int_equal(fake_qemu_count(giver->qemu, "balloon"), commands);
    assert_false(rig_had_event(rig, "GUEST_STALLED", giver));
    fake_qemu_set_running(giver->qemu, true);
    wait_for(strcmp(rig_guest_text(rig, giver, "state"), "paused") != 0, PATIENCE_US);
    assert_string_not_equal(rig_guest_text(rig, giver, "state"), "stalled");
}

static void test_a_guest_that_cannot_grow_is_called_stalled_and_never_arrived(void **state)
{
    Rig *rig = *state;
    RigGuest *guest = rig_add(rig, "guest", 300 * MIB, NULL);
    rig_run(rig, BUDGET);
    fake_qemu_set_rate(guest->qemu, 0);
    fake_agent_grow(guest->agent, 800 * MIB, GIB);
    wait_for(rig_had_event(rig, "GUEST_STALLED", guest), PATIENCE_US);
    wait_while(500 * MS_US);
    assert_false(rig_had_event(rig, "GUEST_TARGET_REACHED", guest));
    assert_string_equal(rig_guest_text(rig, guest, "state"), "stalled");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_guest_paused_on_its_way_is_sent_nothing_and_not_called_stalled),
        TEST(test_a_guest_that_cannot_grow_is_called_stalled_and_never_arrived),
    };
    return run_test_table(tests);
}
