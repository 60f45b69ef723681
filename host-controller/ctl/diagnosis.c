// SPDX-License-Identifier: Apache-2.0
#include "host-controller/ctl/diagnosis.h"

#include "host-controller/ctl/render.h"
#include "protocol/error.h"

#include <grp.h>
#include <string.h>
#include <sys/stat.h>

#define RELOAD "systemctl reload aerostat-controller"
#define KIB INT64_C(1024)

static void free_finding(void *data)
{
    Finding *finding = data;
    g_free(finding->subject);
    g_free(finding->what);
    g_free(finding->remedy);
    g_free(finding);
}

GPtrArray *findings_new(void)
{
    return g_ptr_array_new_with_free_func(free_finding);
}

// Takes over `what` and `remedy`.
static void add(GPtrArray *findings, const char *subject, const char *code, char *what,
                char *remedy)
{
    Finding *finding = g_new(Finding, 1);
    *finding =
        (Finding){.subject = g_strdup(subject), .code = code, .what = what, .remedy = remedy};
    g_ptr_array_add(findings, finding);
}

static bool word_is(const json_t *object, const char *name, const char *word)
{
    return g_strcmp0(json_string_value(json_object_get(object, name)), word) == 0;
}

// --- processes --------------------------------------------------------------------------------

static bool has_vfio_open(const char *root, pid_t pid)
{
    g_autofree char *folder = g_strdup_printf("%s/proc/%d/fd", root, (int)pid);
    g_autoptr(GDir) directory = g_dir_open(folder, 0, NULL);
    const char *name;
    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);
        if (target && g_str_has_prefix(target, "/dev/vfio/")) {
            return true;
        }
    }
    return false;
}

static int64_t read_hugetlb_bytes(const char *root, pid_t pid)
{
    static const char label[] = "\nHugetlbPages:";
    g_autofree char *path = g_strdup_printf("%s/proc/%d/status", root, (int)pid);
    g_autofree char *text = NULL;
    g_file_get_contents(path, &text, NULL, NULL);
    const char *line = text ? strstr(text, label) : NULL;
    return line ? g_ascii_strtoll(line + strlen(label), NULL, 10) * KIB : 0;
}

ProcessFacts process_facts_read(const char *root, pid_t pid)
{
    if (pid <= 0) {
        return (ProcessFacts){0};
    }
    return (ProcessFacts){.vfio = has_vfio_open(root, pid),
                          .hugetlb_bytes = read_hugetlb_bytes(root, pid)};
}

// --- the connection ---------------------------------------------------------------------------

// The group that the socket at `path` is open to. New string.
static char *socket_group(const char *path)
{
    struct stat status;
    const struct group *group = stat(path, &status) == 0 ? getgrgid(status.st_gid) : NULL;
    return g_strdup(group ? group->gr_name : "aerostat");
}

void diagnose_connection(const char *path, const GError *error, GPtrArray *findings)
{
    g_autofree char *message = json_text_for_people(error->message);
    if (g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES)) {
        g_autofree char *group = socket_group(path);
        add(findings, "host", "no-permission",
            g_strdup_printf("you may not use the control socket: %s", message),
            g_strdup_printf("usermod -aG %s %s, and log in again", group, g_get_user_name()));
    } else if (error->domain == G_FILE_ERROR) {
        add(findings, "host", "no-controller",
            g_strdup_printf("the controller does not run: %s", message),
            g_strdup("systemctl enable --now aerostat-controller; its log: journalctl -u "
                     "aerostat-controller"));
    } else {
        add(findings, "host", "no-answer",
            g_strdup_printf("%s does not answer as a controller: %s", path, message),
            g_strdup("systemctl restart aerostat-controller"));
    }
}

// --- the host ---------------------------------------------------------------------------------

// The managed guest with the largest minimum, or NULL.
static const json_t *find_largest_min(const json_t *guests)
{
    const json_t *largest = NULL;
    json_int_t most_bytes = 0;
    size_t index;
    json_t *guest;
    json_array_foreach (guests, index, guest) {
        json_int_t min_bytes = json_integer_value(json_object_get(guest, "min"));
        if (json_is_true(json_object_get(guest, "managed")) && min_bytes > most_bytes) {
            largest = guest;
            most_bytes = min_bytes;
        }
    }
    return largest;
}

void diagnose_host(const json_t *host, const json_t *guests, GPtrArray *findings)
{
    if (json_array_size(guests) == 0) {
        add(findings, "host", "no-guests", g_strdup("no guest is configured"),
            g_strdup("add a [guest NAME] to controller.conf(5), then: " RELOAD));
    }
    if (json_is_true(json_object_get(host, "overcommitted"))) {
        const json_t *largest = find_largest_min(guests);
        g_autofree char *budget = render_size(host, "budget");
        g_autofree char *name = largest ? render_word(largest, "name") : g_strdup("GUEST");
        g_autofree char *min = render_size(largest, "min");
        add(findings, "host", "overcommitted",
            g_strdup_printf(
                "the least that the guests can be brought to is more than the budget, %s", budget),
            g_strdup_printf("aerostatctl policy '%s' min=SIZE (it has the largest, %s), or move a "
                            "guest to another host",
                            name, min));
    }
}

// --- a guest's sockets ------------------------------------------------------------------------

// The path that an error of a connection to a socket begins with. New string.
static char *socket_path_of(const char *why)
{
    return g_strndup(why, strcspn(why, ":"));
}

// What mends a socket that the controller may not use; NULL when that is not what is wrong.
static char *remedy_of_permission(const char *why)
{
    g_autofree char *path = socket_path_of(why);
    return strstr(why, "ermission") ? g_strdup_printf("setfacl -m u:aerostat:rw %s", path) : NULL;
}

// --- a guest's QEMU ---------------------------------------------------------------------------

static void diagnose_monitor(const json_t *guest, const char *name, GPtrArray *findings)
{
    if (!word_is(guest, "state", "connecting")) {
        return;
    }
    g_autofree char *why = render_word(guest, "qmp-error");
    char *remedy = remedy_of_permission(why);
    if (!remedy && (strstr(why, "No such file") || strstr(why, "refused"))) {
        g_autofree char *path = socket_path_of(why);
        remedy = g_strdup_printf("start it with -qmp unix:%s,server=on,wait=off, or mend qmp= in "
                                 "[guest %s]",
                                 path, name);
    } else if (!remedy) {
        remedy =
            g_strdup("QEMU serves one client a monitor, so end the other one (ss -xp shows it); "
                     "or QEMU hangs");
    }
    add(findings, name, "qemu-unreachable", g_strdup_printf("its QEMU cannot be reached: %s", why),
        remedy);
}

static void diagnose_balloon(const json_t *guest, const char *name, GPtrArray *findings)
{
    const json_t *deflate = json_object_get(json_object_get(guest, "report"), "deflate-on-oom");
    if (word_is(guest, "state", "unmanageable")) {
        add(findings, name, "no-balloon",
            g_strdup("it has no balloon device, and counts with its whole size"),
            g_strdup("start it with -device virtio-balloon-pci,deflate-on-oom=on (libvirt: "
                     "<memballoon model='virtio' autodeflate='on'/>)"));
    } else if (word_is(guest, "state", "stalled")) {
        add(findings, name, "stalled", g_strdup("its balloon makes no progress"),
            g_strdup(
                "in the guest: modprobe virtio_balloon; aerostatctl explain says what it was to "
                "have"));
    } else if (json_is_false(deflate)) {
        add(findings, name, "no-deflate-on-oom",
            g_strdup("its balloon gives nothing back when the guest runs out of memory"),
            g_strdup("restart it with deflate-on-oom=on on its balloon device (libvirt: "
                     "autodeflate='on')"));
    }
}

static void diagnose_backing(const json_t *guest, const char *name, const ProcessFacts *process,
                             GPtrArray *findings)
{
    const char *code = NULL;
    const char *what = NULL;
    if (process->vfio) {
        code = "vfio";
        what = "a passed-through device (VFIO) keeps all its memory: ballooning it frees nothing";
    } else if (process->hugetlb_bytes > 0) {
        code = "hugepages";
        what = "it lies in huge pages: ballooning it frees nothing";
    } else if (word_is(guest, "state", "ineffective")) {
        code = "ineffective";
        what = "it gave memory back, and its QEMU holds it all the same";
    }
    if (code) {
        add(findings, name, code, g_strdup(what),
            g_strdup_printf(
                "set manage=no in [guest %s], or back its memory otherwise; then: " RELOAD, name));
    }
}

// --- a guest's agent --------------------------------------------------------------------------

static void diagnose_agent(const json_t *guest, const char *name, GPtrArray *findings)
{
    g_autofree char *why = render_word(guest, "agent-error");
    if (word_is(guest, "agent", "none")) {
        bool by_stats = word_is(guest, "source", "guest-stats");
        add(findings, name, "no-agent",
            g_strdup_printf("no agent is configured: %s",
                            by_stats ? "only its balloon's statistics tell of it, which are coarser"
                                     : "nothing tells what it needs, and it is not shrunk"),
            g_strdup_printf(
                "give it a port named org.aerostat.memory.0 and set agent= in [guest %s]; "
                "then: " RELOAD,
                name));
    } else if (word_is(guest, "agent", "connecting") && why[0] == '/') {
        char *remedy = remedy_of_permission(why);
        add(findings, name, "no-agent-port",
            g_strdup_printf("the socket of its agent's port cannot be reached: %s", why),
            remedy ? remedy
                   : g_strdup_printf("start it with a virtserialport named org.aerostat.memory.0 "
                                     "on that socket, or mend agent= in [guest %s]",
                                     name));
    } else if (word_is(guest, "agent", "connecting") || word_is(guest, "agent", "stale")) {
        add(findings, name, "agent-silent",
            g_strdup_printf("its agent does not report%s%s", why[0] == '-' ? "" : ": ",
                            why[0] == '-' ? "" : why),
            g_strdup("in the guest: systemctl status aerostat-agent"));
    }
}

static void diagnose_report(const json_t *guest, const char *name, GPtrArray *findings)
{
    const json_t *report = json_object_get(guest, "report");
    if (report && !json_object_get(report, "pressure")) {
        add(findings, name, "no-psi", g_strdup("its kernel does not measure memory pressure (PSI)"),
            g_strdup("in the guest: add psi=1 to the kernel's command line and reboot"));
    }
}

void diagnose_guest(const json_t *guest, const ProcessFacts *process, GPtrArray *findings)
{
    g_autofree char *name = render_word(guest, "name");
    if (json_is_false(json_object_get(guest, "managed"))) {
        return;
    }
    diagnose_monitor(guest, name, findings);
    diagnose_balloon(guest, name, findings);
    diagnose_backing(guest, name, process, findings);
    // A guest that does not run says nothing, and nothing is wrong with that.
    bool runs = !word_is(guest, "state", "connecting") && !word_is(guest, "state", "paused") &&
                !word_is(guest, "state", "migrating");
    if (runs) {
        diagnose_agent(guest, name, findings);
    }
    diagnose_report(guest, name, findings);
}
