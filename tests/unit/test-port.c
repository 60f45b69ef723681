// SPDX-License-Identifier: Apache-2.0
#include "tests/test.h"

#include "agent/port.h"
#include "tests/support/scratch.h"

static void write_file(const Scratch *scratch, const char *name, const char *text)
{
    g_free(scratch_write(scratch, name, text, -1));
}

static void test_a_port_is_found_by_the_name_udev_gave_it(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, "dev/virtio-ports/org.aerostat.memory.0", "");
    g_autofree char *expected = scratch_path(scratch, "dev/virtio-ports/org.aerostat.memory.0");
    g_autofree char *path = port_find(scratch->folder, "org.aerostat.memory.0");
    assert_string_equal(path, expected);
}

static void test_without_udev_a_port_is_found_through_sysfs(void **state)
{
    const Scratch *scratch = *state;
    write_file(scratch, "sys/class/virtio-ports/vport1p1/name", "org.qemu.guest_agent.0\n");
    write_file(scratch, "sys/class/virtio-ports/vport1p2/name", "org.aerostat.memory.0\n");
    write_file(scratch, "sys/class/virtio-ports/vport1p3/name", "org.aerostat.memory.00\n");
    g_autofree char *expected = scratch_path(scratch, "dev/vport1p2");
    g_autofree char *path = port_find(scratch->folder, "org.aerostat.memory.0");
    assert_string_equal(path, expected);
}

static void test_a_port_that_is_not_there_is_not_found(void **state)
{
    const Scratch *scratch = *state;
    assert_null(port_find(scratch->folder, "org.aerostat.memory.0"));
    write_file(scratch, "sys/class/virtio-ports/vport1p1/name", "org.aerostat.memory.00\n");
    assert_null(port_find(scratch->folder, "org.aerostat.memory.0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_set_up, scratch_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_port_is_found_by_the_name_udev_gave_it),
        TEST(test_without_udev_a_port_is_found_through_sysfs),
        TEST(test_a_port_that_is_not_there_is_not_found),
    };
    return run_test_table(tests);
}
