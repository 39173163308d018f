/* SPDX-License-Identifier: MIT
 *
 * Working in short stretches: a thread whose work may wait sleeps for a moment after each, so that threads that can't
 * wait and share its core have their turn. The scheduler alone would let it run to the end of a slice, milliseconds
 * during which no connection is served. */
#pragma once

#include <stdint.h>

enum {
  PACE_WORK_US = 200, /* at a stretch */
  PACE_REST_US = 200, /* after it */
};

/* Zeroed: the first pace_breathe() begins a stretch. One thread at a time uses it. */
struct pace {
  uint64_t began_ns; /* of CLOCK_MONOTONIC; the stretch. 0: none */
};

/* Called often while working, from where nobody else waits for the caller (no lock is held). Sleeps when the stretch
 * has lasted long enough; how many ns of rest that was, mostly 0, and PACE_REST_US at most: what the scheduler made it
 * wait beyond is not rest. `pace` NULL: 0. */
uint64_t pace_breathe(struct pace *pace);

/* After a wait of another kind: the next call begins a stretch. `pace` may be NULL. */
void pace_restart(struct pace *pace);
