/* SPDX-License-Identifier: MIT
 *
 * Whether work grows with what it is given, or with its square: done for some and for four times as many, it may take
 * up to twice four times the CPU time of this process; a square would be sixteen times. The clock on the wall would say
 * what else the machine does. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

enum { SCALING_TRIES = 4, SCALING_MOST = 8 };

/* Does the work for `count`, and returns the seconds of CPU that the part in question took. */
typedef double scaling_fn(void *context, size_t count);

static inline double scaling_cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Small figures are hidden by what it costs at all: `few` has to take some milliseconds, by doing it often where four
 * times as many would not stay in the cache. One good try of several is
 * enough, as a neighbour on the core costs CPU time too, by the caches. */
static inline void assert_scales(scaling_fn *work, void *context, size_t few) {
  double ratio = 0;
  for (int i = 0; i < SCALING_TRIES; i++) {
    double one = work(context, few), four = work(context, 4 * few);
    ratio = four / (one > 1e-6 ? one : 1e-6);
    if (ratio <= SCALING_MOST)
      return;
    print_message("for %zu: %.1f ms, for %zu: %.1f ms\n", few, one * 1e3, 4 * few, four * 1e3);
  }
  fail_msg("four times as much takes %.1f times as long", ratio);
}
