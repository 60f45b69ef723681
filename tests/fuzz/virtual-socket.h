// SPDX-License-Identifier: Apache-2.0
//
// Connected pairs of stream sockets in memory: what a fuzzed program and its peers say to each
// other costs no system call.
//
// Their descriptors are no kernel's. read(), write(), send(), recv(), fstat() and close() take them
// all the same: the fuzzers are linked with those wrapped (the Makefile's FUZZ_WRAPPED). They do
// what unix sockets of Linux do that are non-blocking, with their default buffers.
#pragma once

#include <stdint.h>

// Two ends of a new connection.
void virtual_socket_pair(int fds[2]);

// Which of `events` (EPOLLIN, EPOLLOUT) are there now, and EPOLLHUP and EPOLLERR; 0: none.
uint32_t virtual_socket_ready(int fd, uint32_t events);
