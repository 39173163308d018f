/* SPDX-License-Identifier: MIT
 *
 * The one clock. All waits and ages are measured on it, so that a spec can move time forward for
 * Lua and the C core alike. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* Milliseconds on the monotonic clock. */
typedef uint64_t clock_ms;

#define CLOCK_NEVER UINT64_MAX

struct clock {
  _Atomic uint64_t advanced_ns; /* how far a spec has moved it; shared by all threads */
};

/* CLOCK_MONOTONIC plus what it was advanced by. */
uint64_t clock_ns(const struct clock *clock);
clock_ms clock_now(const struct clock *clock);

/* As clock_now() from CLOCK_MONOTONIC_COARSE: a few milliseconds late, and four times cheaper. Never
 * compare with a time of clock_now() where a few milliseconds matter. */
clock_ms clock_coarse(const struct clock *clock);

/* CLOCK_MONOTONIC as it is: for what the kernel, or a person, is waited for, which no spec can move. */
uint64_t clock_real_ns(void);

/* Seconds since the epoch, for logs and answers; moved as well. */
double clock_wall(const struct clock *clock);

void clock_advance(struct clock *clock, uint64_t ns);
