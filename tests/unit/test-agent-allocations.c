// SPDX-License-Identifier: Apache-2.0
//
// A report takes no memory: every allocation of this process is counted while the agent's server
// makes reports and sends them to a client that reads.
#include "tests/test.h"

#include "agent/server.h"
#include "tests/support/deadline.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPORTS 100
#define REGION_BYTES ((size_t)32 << 20)

static unsigned long allocations;
static bool counting;

static void count(void)
{
    allocations += counting;
}

#ifdef __SANITIZE_ADDRESS__

// The sanitizer has replaced malloc() already, and tells.
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                              void (*)(const volatile void *));

static void on_malloc(const volatile void *memory, size_t size)
{
    (void)memory;
    (void)size;
    count();
}

static void on_free(const volatile void *memory)
{
    (void)memory;
}

static void install(void)
{
    assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
}

#else

// glibc's own, behind the names that everybody calls.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count();
    return __libc_realloc(memory, size);
}

static void install(void)
{
}

#endif

static void on_ended(void *context, LineChannelEnd end, const char *message)
{
    (void)context;
    (void)end;
    fail_msg("the agent dropped its client: %s", message);
}

// Runs the agent until the client has got something, and takes it; what it says is in `text`.
static void receive(int fd, char *text, size_t size)
{
    int64_t deadline_us = deadline_after(60 * SECOND_US);
    ssize_t length;
    while ((length = read(fd, text, size - 1)) < 0 && deadline_left_us(deadline_us) > 0) {
        counting = true;
        g_main_context_iteration(NULL, TRUE);
        counting = false;
    }
    assert_true(length > 0);
    text[length] = '\0';
}

// Takes memory, now less and now more of it, so that something goes on and there is something to
// report.
static void move_memory(char *region, unsigned turn)
{
    assert_int_equal(madvise(region, REGION_BYTES, MADV_DONTNEED), 0);
    memset(region, 1, turn % 2 ? REGION_BYTES : REGION_BYTES / 2);
}

static void test_a_report_takes_no_memory(void **state)
{
    (void)state;
    static const char subscribe[] =
        "{\"execute\":\"guest-memory-subscribe\",\"arguments\":"
        "{\"interval-ms\":10,\"heartbeat-ms\":100,\"change-bytes\":4096}}\n";
    const AgentServerSettings settings = {
        .root = "", .interval_ms = AGENT_INTERVAL_MIN_MS, .heartbeat_ms = AGENT_HEARTBEAT_MIN_MS};
    char text[8192];
    int fds[2];
    install();
    char *region =
        mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(region != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    g_autoptr(Sampler) sampler = sampler_new("", NULL);
    g_autoptr(AgentServer) server = agent_server_new(sampler, &settings);
    agent_server_serve(server, fds[1], on_ended, NULL);
    assert_int_equal(write(fds[0], subscribe, strlen(subscribe)), strlen(subscribe));
    // The answer takes memory. With the first report the main loop's own arrays have their size.
    while (!strstr((receive(fds[0], text, sizeof(text)), text), "\"start\"")) {
    }
    assert_int_not_equal(allocations, 0);
    allocations = 0;
    for (unsigned i = 0; i < REPORTS; i++) {
        move_memory(region, i);
        receive(fds[0], text, sizeof(text));
        assert_non_null(strstr(text, "GUEST_MEMORY_REPORT"));
    }
    assert_int_equal(allocations, 0);
    munmap(region, REGION_BYTES);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_takes_no_memory),
    };
    return run_test_table(tests);
}
