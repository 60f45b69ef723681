// SPDX-License-Identifier: Apache-2.0
#include "tests/support/accelerator.h"

#include "tests/support/deadline.h"
#include "tests/support/vm.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// With KVM the guest boots in well under two seconds.
#define TRIAL_TIMEOUT_US (8 * SECOND_US)
#define VERDICT_VALID_S (60 * 60)

#define KVM "kvm"
#define TCG "tcg"

static const char *known_accelerator(const char *text)
{
    if (g_strcmp0(text, KVM) == 0) {
        return KVM;
    }
    return g_strcmp0(text, TCG) == 0 ? TCG : NULL;
}

static char *boot_id(void)
{
    char *text = NULL;
    g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL);
    return text ? g_strstrip(text) : g_strdup("unknown");
}

// The verdict of an earlier program, or NULL. The file holds the host's boot id and the verdict.
static const char *read_verdict(const char *path)
{
    struct stat status;
    g_autofree char *text = NULL;
    if (stat(path, &status) < 0 || time(NULL) - status.st_mtime > VERDICT_VALID_S ||
        !g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    g_autofree char *boot = boot_id();
    g_auto(GStrv) words = g_strsplit(g_strstrip(text), " ", 2);
    return g_strv_length(words) == 2 && strcmp(words[0], boot) == 0 ? known_accelerator(words[1])
                                                                    : NULL;
}

static void write_verdict(const char *path, const char *verdict)
{
    g_autofree char *boot = boot_id();
    g_autofree char *text = g_strdup_printf("%s %s\n", boot, verdict);
    // Without it the next program makes its own trial.
    g_file_set_contents(path, text, -1, NULL);
}

static bool kvm_boots_a_guest(const char *directory, const char *image_dir)
{
    VmPlace place = {.directory = directory, .image_dir = image_dir, .accelerator = KVM};
    VmOptions options = {.name = "kvm-trial", .without_agent = true};
    g_autoptr(Vm) vm = vm_new(&place, &options, NULL);
    return vm && vm_wait_ready(vm, TRIAL_TIMEOUT_US, NULL);
}

const char *accelerator_choose(const char *directory, const char *image_dir)
{
    const char *wanted = known_accelerator(g_getenv("AEROSTAT_ACCEL"));
    if (wanted) {
        return wanted;
    }
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        return TCG;
    }
    g_autofree char *path = g_build_filename(image_dir, "accelerator", NULL);
    const char *verdict = read_verdict(path);
    if (!verdict) {
        verdict = kvm_boots_a_guest(directory, image_dir) ? KVM : TCG;
        write_verdict(path, verdict);
    }
    return verdict;
}
