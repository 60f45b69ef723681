// SPDX-License-Identifier: Apache-2.0
//
// What is there is always looked up in the directory itself; inotify only says which name to look
// at. So an event that is late, doubled or lost in an overflow leads to nothing wrong.
#include "host-controller/discovery.h"

#include "host-controller/guest-name.h"
#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/transport/fd-watch.h"
#include "protocol/transport/timer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// How often a directory is looked for that is not there, or is not to be trusted.
#define RETRY_US INT64_C(1000000)
#define WATCHED_EVENTS                                                                             \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
// After one of these a name may be that of another file.
#define REPLACING_EVENTS (IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define EVENT_BUFFER_BYTES 16384
#define MAX_PATH_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define PID_TEXT_BYTES 32

#define QMP_SUFFIX ".qmp"
#define AGENT_SUFFIX ".agent"
#define PID_SUFFIX ".pid"

// A guest that was told of.
typedef struct Entry {
    GuestConfig *guest;
    dev_t device; // of NAME.qmp itself, which may be a link: another one is another guest
    ino_t inode;
    unsigned round; // of the last scan that saw it
} Entry;

struct Discovery {
    char *path;
    const DiscoveryHandlers *handlers;
    void *context;
    int fd;            // inotify's; -1: the directory is not being watched
    FdWatch *watch;    // of it
    Timer *retry;      // while it is not
    char *complaint;   // why not, as it was told last; NULL: nothing to complain of
    GHashTable *found; // name to Entry*
    unsigned round;
    bool too_many; // told of
};

// --- the files --------------------------------------------------------------------------------

static char *path_of(const Discovery *discovery, const char *name, const char *suffix)
{
    return g_strdup_printf("%s/%s%s", discovery->path, name, suffix);
}

// Whether a socket, or a link to whatever it may be, lies there; `status` is that of itself.
static bool is_socket(const char *path, struct stat *status)
{
    return lstat(path, status) == 0 && (S_ISSOCK(status->st_mode) || S_ISLNK(status->st_mode));
}

// The number in a file; 0 when there is none that can be a process id.
static pid_t read_pid(const char *path)
{
    char text[PID_TEXT_BYTES] = "";
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    bool readable =
        fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && read(fd, text, sizeof(text) - 1) > 0;
    close(fd);
    guint64 number;
    bool valid =
        readable && g_ascii_string_to_unsigned(g_strstrip(text), 10, 1, G_MAXINT32, &number, NULL);
    return valid ? (pid_t)number : 0;
}

// --- the guests -------------------------------------------------------------------------------

static void free_entry(void *data)
{
    Entry *entry = data;
    guest_config_free(entry->guest);
    g_free(entry);
}

static void lose(Discovery *discovery, const char *name)
{
    void *data;
    if (g_hash_table_steal_extended(discovery->found, name, NULL, &data)) {
        Entry *entry = data;
        discovery->handlers->lost(entry->guest->name, discovery->context);
        free_entry(entry);
    }
}

// Loses the guests that the latest scan has not seen; with `all` every one.
static void lose_unseen(Discovery *discovery, bool all)
{
    g_autoptr(GList) entries = g_hash_table_get_values(discovery->found);
    for (GList *link = entries; link; link = link->next) {
        const Entry *entry = link->data;
        if (all || entry->round != discovery->round) {
            lose(discovery, entry->guest->name);
        }
    }
}

// The agent's port is another one, or gone: whoever is connected to the former is to leave it.
static void lose_agent(Discovery *discovery, const char *name)
{
    Entry *entry = g_hash_table_lookup(discovery->found, name);
    if (entry && entry->guest->agent_path) {
        g_clear_pointer(&entry->guest->agent_path, g_free);
        discovery->handlers->found(entry->guest, discovery->context);
    }
}

// Whether the guest may be told of at all; says why not.
static bool is_acceptable(Discovery *discovery, const char *name, const char *qmp_path)
{
    const char *fault = guest_name_fault(name);
    g_autofree char *shown = json_text_for_people(qmp_path);
    if (fault) {
        g_warning("%s is ignored: %s", shown, fault);
    } else if (strlen(qmp_path) > MAX_PATH_BYTES - strlen(AGENT_SUFFIX)) {
        g_warning("%s is ignored: its path is too long for a socket's", shown);
    } else if (g_hash_table_size(discovery->found) >= LIMIT_GUESTS) {
        if (!discovery->too_many) {
            g_warning("%s is ignored: there are more than %d guests", shown, LIMIT_GUESTS);
        }
        discovery->too_many = true;
    } else {
        return true;
    }
    return false;
}

// Takes note of a guest's other two files. Whether they are other than they were.
static bool look_beside(const Discovery *discovery, GuestConfig *guest)
{
    g_autofree char *agent_path = path_of(discovery, guest->name, AGENT_SUFFIX);
    g_autofree char *pid_path = path_of(discovery, guest->name, PID_SUFFIX);
    struct stat status;
    if (!is_socket(agent_path, &status)) {
        g_clear_pointer(&agent_path, g_free);
    }
    pid_t pid = read_pid(pid_path);
    bool same = g_strcmp0(agent_path, guest->agent_path) == 0 && pid == guest->pid;
    g_free(guest->agent_path);
    guest->agent_path = g_steal_pointer(&agent_path);
    guest->pid = pid;
    return !same;
}

static Entry *new_entry(const char *name, const char *qmp_path)
{
    GuestConfig guest = {
        .name = (char *)name, .origin = GUEST_ORIGIN_FOUND, .qmp_path = (char *)qmp_path};
    Entry *entry = g_new0(Entry, 1);
    entry->guest = guest_config_copy(&guest);
    return entry;
}

// Brings what was told of one guest in line with what lies in the directory.
static void look_at(Discovery *discovery, const char *name)
{
    g_autofree char *qmp_path = path_of(discovery, name, QMP_SUFFIX);
    struct stat status = {0};
    bool there = is_socket(qmp_path, &status);
    Entry *entry = g_hash_table_lookup(discovery->found, name);
    if (entry && (!there || entry->device != status.st_dev || entry->inode != status.st_ino)) {
        lose(discovery, name);
        entry = NULL;
    }
    if (!there || (!entry && !is_acceptable(discovery, name, qmp_path))) {
        return;
    }
    bool is_new = !entry;
    if (is_new) {
        entry = new_entry(name, qmp_path);
        entry->device = status.st_dev;
        entry->inode = status.st_ino;
        g_hash_table_insert(discovery->found, entry->guest->name, entry);
    }
    entry->round = discovery->round;
    if (look_beside(discovery, entry->guest) || is_new) {
        discovery->handlers->found(entry->guest, discovery->context);
    }
}

// The name of the guest that a file belongs to, and how the file's goes on; or NULL.
static char *guest_of_file(const char *file, const char **suffix)
{
    static const char *const suffixes[] = {QMP_SUFFIX, AGENT_SUFFIX, PID_SUFFIX};
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        if (file[0] != '.' && g_str_has_suffix(file, suffixes[i])) {
            *suffix = suffixes[i];
            return g_strndup(file, strlen(file) - strlen(suffixes[i]));
        }
    }
    return NULL;
}

// --- the directory ----------------------------------------------------------------------------

static void stop_watching(Discovery *discovery)
{
    g_clear_pointer(&discovery->watch, fd_watch_free);
    if (discovery->fd >= 0) {
        close(discovery->fd);
        discovery->fd = -1;
    }
}

// The directory cannot be watched, for now; NULL: it is not there, which is nothing to complain of.
static void give_up(Discovery *discovery, const char *why)
{
    stop_watching(discovery);
    lose_unseen(discovery, true);
    if (why && g_strcmp0(why, discovery->complaint) != 0) {
        g_warning("no guests are looked for in %s: %s", discovery->path, why);
    }
    g_free(discovery->complaint);
    discovery->complaint = g_strdup(why);
    timer_arm(discovery->retry, g_get_monotonic_time() + RETRY_US);
}

// Whether nobody but those whom its owner trusts may write to it. Sets what is wrong otherwise, or
// NULL when there is no directory.
static bool is_trustworthy(const char *path, const char **why)
{
    struct stat status;
    *why = NULL;
    if (stat(path, &status) != 0) {
        *why = errno == ENOENT ? NULL : g_strerror(errno);
        return false;
    }
    if (!S_ISDIR(status.st_mode)) {
        *why = "it is no directory";
    } else if (status.st_mode & S_IWOTH) {
        *why = "everybody may write to it";
    }
    return !*why;
}

// Looks at everything there is, and at what was told of and is gone.
static void scan(Discovery *discovery)
{
    const char *why;
    DIR *directory = is_trustworthy(discovery->path, &why) ? opendir(discovery->path) : NULL;
    if (!directory) {
        give_up(discovery, why ? why : errno == ENOENT ? NULL : g_strerror(errno));
        return;
    }
    discovery->round++;
    discovery->too_many = false;
    const struct dirent *file;
    while ((file = readdir(directory))) {
        const char *suffix;
        g_autofree char *name = guest_of_file(file->d_name, &suffix);
        if (name && strcmp(suffix, QMP_SUFFIX) == 0) {
            look_at(discovery, name);
        }
    }
    closedir(directory);
    lose_unseen(discovery, false);
}

// What one event tells. False when the directory is not watched any more.
static bool on_event(Discovery *discovery, const struct inotify_event *event)
{
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        give_up(discovery, NULL);
        return false;
    }
    if (event->len == 0) {
        scan(discovery); // events were lost (IN_Q_OVERFLOW), or the directory's permissions changed
        return discovery->fd >= 0;
    }
    const char *suffix;
    g_autofree char *name = guest_of_file(event->name, &suffix);
    if (!name || (event->mask & IN_ATTRIB)) {
        return true;
    }
    // A new file may even have the former one's inode number.
    if (strcmp(suffix, QMP_SUFFIX) == 0 && (event->mask & (IN_DELETE | IN_MOVED_FROM))) {
        lose(discovery, name);
    } else if (strcmp(suffix, AGENT_SUFFIX) == 0 && (event->mask & REPLACING_EVENTS)) {
        lose_agent(discovery, name);
    }
    look_at(discovery, name);
    return true;
}

static void on_readable(uint32_t events, void *context)
{
    (void)events;
    Discovery *discovery = context;
    char buffer[EVENT_BUFFER_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t length = read(discovery->fd, buffer, sizeof(buffer));
    const struct inotify_event *event;
    for (ssize_t i = 0; i < length; i += (ssize_t)(sizeof(*event) + event->len)) {
        event = (const struct inotify_event *)&buffer[i];
        if (!on_event(discovery, event)) {
            return;
        }
    }
}

void discovery_start(Discovery *discovery)
{
    discovery->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (discovery->fd < 0 ||
        inotify_add_watch(discovery->fd, discovery->path, WATCHED_EVENTS) < 0) {
        give_up(discovery, errno == ENOENT ? NULL : g_strerror(errno));
        return;
    }
    discovery->watch = fd_watch_new(discovery->fd, on_readable, discovery);
    fd_watch_set(discovery->watch, EPOLLIN);
    scan(discovery);
    if (discovery->fd >= 0) {
        g_clear_pointer(&discovery->complaint, g_free);
    }
}

// --- life -------------------------------------------------------------------------------------

static void on_retry(void *context)
{
    discovery_start(context);
}

Discovery *discovery_new(const char *path, const DiscoveryHandlers *handlers, void *context)
{
    Discovery *discovery = g_new0(Discovery, 1);
    discovery->path = g_strdup(path);
    discovery->handlers = handlers;
    discovery->context = context;
    discovery->fd = -1;
    discovery->retry = timer_new(on_retry, discovery);
    discovery->found = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_entry);
    return discovery;
}

void discovery_free(Discovery *discovery)
{
    if (!discovery) {
        return;
    }
    stop_watching(discovery);
    timer_free(discovery->retry);
    g_hash_table_unref(discovery->found);
    g_free(discovery->complaint);
    g_free(discovery->path);
    g_free(discovery);
}

const char *discovery_path(const Discovery *discovery)
{
    return discovery->path;
}
