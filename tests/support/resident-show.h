// SPDX-License-Identifier: Apache-2.0
//
// Makes the test's own process, which is what fake QEMUs live in, look as large as a QEMU with a
// guest in it: the same few pages are mapped again and again, and each mapping counts as resident.
#pragma once

#include <stdint.h>

typedef struct ResidentShow ResidentShow;

// From now on `bytes` more than before count as resident. Fails the test when that cannot be had.
ResidentShow *resident_show_new(int64_t bytes);
// No longer. NULL does nothing.
void resident_show_free(ResidentShow *show);
