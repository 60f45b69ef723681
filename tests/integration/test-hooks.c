// SPDX-License-Identifier: Apache-2.0
//
// The hooks of libvirt and Proxmox VE that make room for a guest about to start, with a fake
// aerostatctl that writes down what it was asked.
#include "tests/test.h"

#include "tests/support/deadline.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

#include <string.h>
#include <sys/stat.h>

#define LIBVIRT "contrib/libvirt/reserve-hook"
#define PROXMOX "contrib/proxmox/reserve-hookscript"
#define DOMAIN_XML                                                                                 \
    "<domain type='kvm'>\n  <name>web</name>\n"                                                    \
    "  <memory unit='KiB'>2097152</memory>\n"                                                      \
    "  <currentMemory unit='KiB'>1048576</currentMemory>\n</domain>\n"

// A program in the scratch folder that is found before any other of its name.
static void write_program(const Scratch *scratch, const char *name, const char *text)
{
    g_autofree char *path = scratch_write(scratch, name, text, -1);
    assert_int_equal(chmod(path, 0755), 0);
}

static int set_up(void **state)
{
    scratch_set_up(state);
    const Scratch *scratch = *state;
    g_autofree char *path = g_strconcat(scratch->folder, ":", g_getenv("PATH"), NULL);
    g_setenv("PATH", path, TRUE);
    g_setenv("SCRATCH", scratch->folder, TRUE);
    write_program(scratch, "aerostatctl",
                  "#!/bin/sh\necho \"$*\" >>\"$SCRATCH/asked\"\nexit \"${FAKE_EXIT:-0}\"\n");
    write_program(scratch, "qm",
                  "#!/bin/sh\necho \"$*\" >>\"$SCRATCH/qm\"\n"
                  "printf 'name: web\\nmemory: %s\\n' \"${FAKE_MEMORY:-4096}\"\n");
    g_free(scratch_write(scratch, "xml", DOMAIN_XML, -1));
    return 0;
}

static int tear_down(void **state)
{
    static const char *const variables[] = {"FAKE_EXIT", "FAKE_MEMORY", "AEROSTAT_REQUIRED",
                                            "AEROSTAT_PREFIX", "SCRATCH"};
    for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
        g_unsetenv(variables[i]);
    }
    return scratch_tear_down(state);
}

// Runs a shell command; its exit status.
static int run(const char *command)
{
    const char *const arguments[] = {"sh", "-c", command, NULL};
    g_autoptr(GError) error = NULL;
    int status = process_run(arguments, 20 * SECOND_US, NULL, NULL, &error);
    assert_no_error(error);
    return status;
}

static void assert_asked(const Scratch *scratch, const char *expected)
{
    g_autofree char *path = scratch_path(scratch, "asked");
    g_autofree char *asked = NULL;
    g_file_get_contents(path, &asked, NULL, NULL);
    assert_string_equal(asked ? asked : "", expected);
}

static void test_libvirt_reserves_a_domains_memory_before_it_starts(void **state)
{
    assert_int_equal(run(LIBVIRT " web prepare begin - <\"$SCRATCH/xml\""), 0);
    assert_asked(*state, "reserve 2097152K --name web --wait --timeout 30s\n");
}

static void test_libvirt_lets_other_stages_pass(void **state)
{
    assert_int_equal(run(LIBVIRT " web start begin - <\"$SCRATCH/xml\""), 0);
    assert_int_equal(run(LIBVIRT " web started begin - <\"$SCRATCH/xml\""), 0);
    assert_int_equal(run(LIBVIRT), 0);
    assert_asked(*state, "");
}

static void test_libvirt_gives_back_what_an_ended_domain_had_reserved(void **state)
{
    // Nothing is reserved as a rule, and that is no failure.
    g_setenv("FAKE_EXIT", "1", TRUE);
    assert_int_equal(run(LIBVIRT " web release end - <\"$SCRATCH/xml\""), 0);
    assert_asked(*state, "release web\n");
}

static void test_memory_that_cannot_be_had_keeps_a_domain_from_starting(void **state)
{
    (void)state;
    g_setenv("FAKE_EXIT", "4", TRUE);
    assert_int_not_equal(run(LIBVIRT " web prepare begin - <\"$SCRATCH/xml\""), 0);
    g_setenv("AEROSTAT_REQUIRED", "no", TRUE);
    assert_int_equal(run(LIBVIRT " web prepare begin - <\"$SCRATCH/xml\""), 0);
}

static void test_without_a_controller_everything_starts(void **state)
{
    (void)state;
    g_setenv("FAKE_EXIT", "3", TRUE);
    assert_int_equal(run(LIBVIRT " web prepare begin - <\"$SCRATCH/xml\""), 0);
    assert_int_equal(run(PROXMOX " 101 pre-start"), 0);
}

static void test_a_domain_that_does_not_tell_its_memory_starts(void **state)
{
    assert_int_equal(run("echo '<domain/>' | " LIBVIRT " web prepare begin -"), 0);
    assert_asked(*state, "");
}

static void test_proxmox_reserves_a_machines_memory_before_it_starts(void **state)
{
    assert_int_equal(run(PROXMOX " 101 pre-start"), 0);
    g_setenv("AEROSTAT_PREFIX", "vm", TRUE);
    g_setenv("FAKE_MEMORY", "current=8192,max=16384", TRUE);
    assert_int_equal(run(PROXMOX " 102 pre-start"), 0);
    assert_asked(*state, "reserve 4096M --name 101 --wait --timeout 30s\n"
                         "reserve 8192M --name vm102 --wait --timeout 30s\n");
}

static void test_proxmox_gives_back_when_the_machine_has_stopped(void **state)
{
    assert_int_equal(run(PROXMOX " 101 post-start"), 0);
    assert_int_equal(run(PROXMOX " 101 pre-stop"), 0);
    assert_int_equal(run(PROXMOX " 101 post-stop"), 0);
    assert_asked(*state, "release 101\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_libvirt_reserves_a_domains_memory_before_it_starts),
        TEST(test_libvirt_lets_other_stages_pass),
        TEST(test_libvirt_gives_back_what_an_ended_domain_had_reserved),
        TEST(test_memory_that_cannot_be_had_keeps_a_domain_from_starting),
        TEST(test_without_a_controller_everything_starts),
        TEST(test_a_domain_that_does_not_tell_its_memory_starts),
        TEST(test_proxmox_reserves_a_machines_memory_before_it_starts),
        TEST(test_proxmox_gives_back_when_the_machine_has_stopped),
    };
    return run_test_table(tests);
}
