// SPDX-License-Identifier: Apache-2.0
//
// Runs inside test guests, linked statically: takes memory the way a busy program does and tells
// when, by the guest's monotonic clock.
//
//   load touch SIZE [--rate SIZE] [--hold SECONDS]
//       Touches SIZE bytes page by page (as fast as it can, or --rate bytes a second), prints
//           {"bytes": N, "began-us": T, "ended-us": T}
//       and holds the memory until killed, or for --hold seconds.
//   load clock
//       Prints the monotonic clock in microseconds, so that a host can align its own with it.
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// Small enough that the kernel's overcommit heuristic never refuses a piece, however far the
// balloon has shrunk MemTotal.
#define CHUNK_BYTES (INT64_C(4) << 20)
#define PAGE_BYTES 4096
#define HOLD_FOREVER (-1)

typedef struct Options {
    int64_t size_bytes;
    int64_t rate_bytes_per_s; // 0: as fast as possible
    int64_t hold_s;
} Options;

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void wait_until_us(int64_t when_us)
{
    struct timespec when = {.tv_sec = when_us / 1000000, .tv_nsec = when_us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static bool parse_size(const char *text, int64_t *bytes)
{
    static const char suffixes[] = "KMGT";
    char *end;
    *bytes = strtoll(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    if (suffix) {
        *bytes <<= 10 * (suffix - suffixes + 1);
        end++;
    }
    return end != text && *end == '\0' && *bytes >= 0;
}

static void touch_chunk(int64_t length_bytes)
{
    char *chunk = mmap(NULL, (size_t)length_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED) {
        perror("load: mmap");
        exit(1);
    }
    for (int64_t offset = 0; offset < length_bytes; offset += PAGE_BYTES) {
        chunk[offset] = 1;
    }
}

static int touch(const Options *options)
{
    int64_t began_us = monotonic_us();
    for (int64_t done = 0; done < options->size_bytes;) {
        int64_t left = options->size_bytes - done;
        int64_t length = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        touch_chunk(length);
        done += length;
        if (options->rate_bytes_per_s > 0) {
            double due_s = (double)done / (double)options->rate_bytes_per_s;
            wait_until_us(began_us + (int64_t)(due_s * 1e6));
        }
    }
    printf("{\"bytes\": %" PRId64 ", \"began-us\": %" PRId64 ", \"ended-us\": %" PRId64 "}\n",
           options->size_bytes, began_us, monotonic_us());
    fflush(stdout);
    if (options->hold_s == HOLD_FOREVER) {
        for (;;) {
            pause();
        }
    }
    wait_until_us(monotonic_us() + options->hold_s * 1000000);
    return 0;
}

static bool parse_touch(int argc, char **argv, Options *options)
{
    if (argc < 1 || !parse_size(argv[0], &options->size_bytes)) {
        return false;
    }
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            return false;
        }
        if (strcmp(argv[i], "--rate") == 0) {
            if (!parse_size(argv[i + 1], &options->rate_bytes_per_s)) {
                return false;
            }
        } else if (strcmp(argv[i], "--hold") == 0) {
            options->hold_s = atoll(argv[i + 1]);
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    Options options = {.hold_s = HOLD_FOREVER};
    if (argc >= 3 && strcmp(argv[1], "touch") == 0 && parse_touch(argc - 2, argv + 2, &options)) {
        return touch(&options);
    }
    if (argc == 2 && strcmp(argv[1], "clock") == 0) {
        printf("%" PRId64 "\n", monotonic_us());
        return 0;
    }
    fprintf(stderr, "usage: load touch SIZE [--rate SIZE] [--hold SECONDS] | load clock\n");
    return 2;
}
