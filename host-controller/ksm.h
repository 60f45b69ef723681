// SPDX-License-Identifier: Apache-2.0
//
// Page sharing: switches the kernel's KSM on while it is wanted, and keeps its thread within a part
// of one processor's time.
//
// Only a KSM that is off is taken over, and it is given back as it was found. Switching it off
// stops the search (run=0) and leaves what is shared as it is: to undo the sharing (run=2) would
// take all that was saved from the host at once.
//
// Source: Linux Documentation/admin-guide/mm/ksm.rst.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Ksm Ksm;

// Files are those below `root`; `root` must outlive it.
Ksm *ksm_new(const char *root);
// Switches it off if it was switched on here. NULL does nothing.
void ksm_free(Ksm *ksm);

// Switches it on or off. When the kernel does not let us that is said once.
void ksm_want(Ksm *ksm, bool wanted, int64_t limit_permyriad);
// Whether it was switched on here, and the processor time its thread has spent since.
bool ksm_is_on(const Ksm *ksm);
int64_t ksm_spent_us(const Ksm *ksm);

// How many pages KSM is to look at between two pauses, having spent `busy_us` of `elapsed_us` with
// `pages`: half as many above the limit, twice as many below half of it, within what makes sense.
int64_t ksm_next_pages(int64_t pages, int64_t busy_us, int64_t elapsed_us, int64_t limit_permyriad);
