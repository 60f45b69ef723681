// SPDX-License-Identifier: Apache-2.0
//
// Tells the service manager how this process is: sd_notify(3)'s protocol, one datagram a message.
//
// Written here because libsystemd is more than it takes: its protocol is a documented, stable line
// of text, and not every guest has the library.
//
// Source: systemd, man sd_notify(3) and sd_watchdog_enabled(3).
#pragma once

#include <stdint.h>

// Sends `state`, such as "READY=1" or "STATUS=text". Without a service manager that wants to know
// ($NOTIFY_SOCKET) it does nothing; a message the manager does not take at once is lost.
void service_notify(const char *state);

// How often "WATCHDOG=1" is to be sent: half the time after which the manager gives this process up
// ($WATCHDOG_USEC, $WATCHDOG_PID). 0: it does not watch.
int64_t service_watchdog_interval_us(void);
