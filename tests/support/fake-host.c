// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake-host.h"

#include "tests/test.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define KSM "/sys/kernel/mm/ksm"
#define KIB 1024

void fake_host_write_file(const FakeHost *host, const char *path, const char *text)
{
    g_autofree char *full = g_strconcat(host->root, path, NULL);
    g_autofree char *folder = g_path_get_dirname(full);
    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    // Whole at once, but without a word to the disk.
    g_autofree char *made = g_strconcat(full, ".new", NULL);
    assert_true(g_file_set_contents_full(made, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    assert_int_equal(g_rename(made, full), 0);
}

static void write_format(const FakeHost *host, const char *path, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void write_format(const FakeHost *host, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fake_host_write_file(host, path, text);
}

int64_t fake_host_read_number(const FakeHost *host, const char *path)
{
    g_autofree char *full = g_strconcat(host->root, path, NULL);
    g_autofree char *text = NULL;
    return g_file_get_contents(full, &text, NULL, NULL) ? g_ascii_strtoll(text, NULL, 10) : -1;
}

void fake_host_init(FakeHost *host, const Scratch *scratch, int64_t total_bytes)
{
    *host = (FakeHost){
        .root = scratch_path(scratch, "host"),
        .total_bytes = total_bytes,
        .available_bytes = total_bytes / 10 * 9,
    };
    fake_host_write(host);
}

void fake_host_clear(FakeHost *host)
{
    g_free(host->root);
}

static void write_pressure(const FakeHost *host, const char *path)
{
    write_format(host, path,
                 "some avg10=%d.00 avg60=0.00 avg300=0.00 total=1000\n"
                 "full avg10=%d.00 avg60=0.00 avg300=0.00 total=500\n",
                 host->some_percent, host->full_percent);
}

static void write_group(const FakeHost *host)
{
#define GROUP_FILE(name) "/sys/fs/cgroup" FAKE_HOST_GROUP "/memory." name
    write_format(host, GROUP_FILE("max"), "max\n");
    write_format(host, GROUP_FILE("high"), "%" G_GINT64_FORMAT "\n", host->group_limit_bytes);
    write_format(host, GROUP_FILE("current"), "%" G_GINT64_FORMAT "\n", host->group_used_bytes);
    write_format(host, GROUP_FILE("stat"),
                 "anon 4096\ninactive_file %" G_GINT64_FORMAT "\nactive_file 0\n",
                 host->group_cache_bytes);
    write_pressure(host, GROUP_FILE("pressure"));
}

void fake_host_write(const FakeHost *host)
{
    // What is read last is written first: a reading in between sees less, never more.
    if (host->qemu_pid > 0) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)host->qemu_pid);
        write_format(host, path,
                     "Name:\tqemu-system-x86\nVmSize:\t99999999999 kB\nRssAnon:\t%" G_GINT64_FORMAT
                     " kB\n",
                     host->qemu_bytes / KIB);
    }
    write_format(host, "/proc/vmstat", "pswpout %" G_GINT64_FORMAT "\n",
                 host->swapped_out_bytes / sysconf(_SC_PAGESIZE));
    write_pressure(host, "/proc/pressure/memory");
    if (host->group_limit_bytes > 0) {
        write_group(host);
    }
    write_format(host, "/proc/meminfo",
                 "MemTotal:       %" G_GINT64_FORMAT " kB\nMemFree:        4 kB\n"
                 "MemAvailable:   %" G_GINT64_FORMAT " kB\n",
                 host->total_bytes / KIB, host->available_bytes / KIB);
}

void fake_host_write_ksm(const FakeHost *host, int64_t busy_us)
{
    g_autofree char *comm = g_strdup_printf("/proc/%d/comm", FAKE_HOST_KSMD);
    g_autofree char *stat = g_strdup_printf("/proc/%d/stat", FAKE_HOST_KSMD);
    fake_host_write_file(host, KSM "/run", "0\n");
    fake_host_write_file(host, KSM "/pages_to_scan", "100\n");
    fake_host_write_file(host, KSM "/pages_sharing", "0\n");
    fake_host_write_file(host, comm, "ksmd\n");
    write_format(host, stat, "%d (ksmd) S 2 0 0 0 -1 2129984 0 0 0 0 0 %" G_GINT64_FORMAT " 0 0\n",
                 FAKE_HOST_KSMD, busy_us * sysconf(_SC_CLK_TCK) / G_USEC_PER_SEC);
}
