/* SPDX-License-Identifier: MIT
 *
 * Reading the clocks of the system, and adding what a spec has moved them by. */
#include "core/clock.h"

#include <assert.h>
#include <time.h>

static const uint64_t NS_PER_SECOND = 1000000000, NS_PER_MS = 1000000;

static uint64_t read_real(clockid_t id) {
  struct timespec time;
  int failed = clock_gettime(id, &time);
  assert(!failed);
  (void)failed;
  return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t read_clock(const struct clock *clock, clockid_t id) {
  return read_real(id) + atomic_load_explicit(&clock->advanced_ns, memory_order_relaxed);
}

uint64_t clock_real_ns(void) { return read_real(CLOCK_MONOTONIC); }

uint64_t clock_ns(const struct clock *clock) { return read_clock(clock, CLOCK_MONOTONIC); }

clock_ms clock_now(const struct clock *clock) { return read_clock(clock, CLOCK_MONOTONIC) / NS_PER_MS; }

clock_ms clock_coarse(const struct clock *clock) { return read_clock(clock, CLOCK_MONOTONIC_COARSE) / NS_PER_MS; }

double clock_wall(const struct clock *clock) {
  uint64_t ns = read_clock(clock, CLOCK_REALTIME);
  return (double)ns / (double)NS_PER_SECOND;
}

void clock_advance(struct clock *clock, uint64_t ns) {
  atomic_fetch_add_explicit(&clock->advanced_ns, ns, memory_order_relaxed);
}
