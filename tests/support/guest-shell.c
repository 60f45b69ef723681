// SPDX-License-Identifier: Apache-2.0
#include "tests/support/guest-shell.h"

#include "protocol/error.h"
#include "tests/support/deadline.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Starts the two lines that frame a command's output.
#define RECORD_SEPARATOR "\x1e"

struct GuestShell {
    int fd;
    unsigned commands;
    char *token; // of the command begun last
    GString *received;
};

GuestShell *guest_shell_new(int fd)
{
    GuestShell *shell = g_new0(GuestShell, 1);
    shell->fd = fd;
    shell->received = g_string_new(NULL);
    return shell;
}

void guest_shell_free(GuestShell *shell)
{
    if (!shell) {
        return;
    }
    close(shell->fd);
    g_string_free(shell->received, TRUE);
    g_free(shell->token);
    g_free(shell);
}

static bool fail_closed(GError **error)
{
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_CLOSED, "the machine is gone");
    return false;
}

bool guest_shell_begin(GuestShell *shell, const char *command, GError **error)
{
    g_assert(!strchr(command, '\n'));
    g_free(shell->token);
    shell->token = g_strdup_printf("%08x-%u", g_random_int(), ++shell->commands);
    g_string_truncate(shell->received, 0);
    g_autofree char *line = g_strdup_printf("%s %s\n", shell->token, command);
    // Far below what a socket takes at once: it does not block.
    ssize_t length = (ssize_t)strlen(line);
    return send(shell->fd, line, (size_t)length, MSG_NOSIGNAL) == length || fail_closed(error);
}

// Finds the whole answer to `token` in `text`: its status, and where its output begins and ends.
static bool find_answer(const char *text, const char *token, int *status, const char **begin,
                        const char **end)
{
    g_autofree char *head = g_strdup_printf(RECORD_SEPARATOR "%s\n", token);
    g_autofree char *tail = g_strdup_printf(RECORD_SEPARATOR "%s ", token);
    *begin = strstr(text, head);
    *end = *begin ? strstr(*begin, tail) : NULL;
    if (!*end || !strchr(*end, '\n')) {
        return false;
    }
    *begin += strlen(head);
    *status = (int)g_ascii_strtoll(*end + strlen(tail), NULL, 10);
    return true;
}

// Takes in what has come, waiting for it until the deadline.
static GuestShellResult receive(GuestShell *shell, int64_t deadline_us, GError **error)
{
    char buffer[4096];
    struct pollfd pollfd = {.fd = shell->fd, .events = POLLIN};
    if (poll(&pollfd, 1, deadline_left_ms(deadline_us)) <= 0) {
        return GUEST_SHELL_RUNNING;
    }
    ssize_t received = recv(shell->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (received > 0) {
        g_string_append_len(shell->received, buffer, received);
    } else if (received == 0 || (errno != EAGAIN && errno != EINTR)) {
        fail_closed(error);
        return GUEST_SHELL_FAILED;
    }
    return GUEST_SHELL_RUNNING;
}

GuestShellResult guest_shell_poll(GuestShell *shell, int64_t timeout_us, int *status, char **output,
                                  GError **error)
{
    int64_t deadline_us = deadline_after(timeout_us);
    const char *begin;
    const char *end;
    bool last_look = false;
    while (!find_answer(shell->received->str, shell->token, status, &begin, &end)) {
        if (last_look) {
            return GUEST_SHELL_RUNNING;
        }
        last_look = deadline_left_us(deadline_us) == 0;
        if (receive(shell, deadline_us, error) == GUEST_SHELL_FAILED) {
            return GUEST_SHELL_FAILED;
        }
    }
    if (output) {
        *output = g_strndup(begin, (gsize)(end - begin));
    }
    return GUEST_SHELL_ENDED;
}

int guest_shell_run(GuestShell *shell, const char *command, int64_t timeout_us, char **output,
                    GError **error)
{
    int status;
    if (!guest_shell_begin(shell, command, error)) {
        return -1;
    }
    switch (guest_shell_poll(shell, timeout_us, &status, output, error)) {
    case GUEST_SHELL_ENDED:
        return status;
    case GUEST_SHELL_RUNNING:
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_TIMEOUT,
                    "the guest did not answer in time");
        break;
    case GUEST_SHELL_FAILED:
        break;
    }
    return -1;
}
