/* SPDX-License-Identifier: MIT
 *
 * A stretch is measured by the clock on the wall: one during which the others have had the core already ends early,
 * which costs little. */
#include "core/pace.h"

#include "core/clock.h"

#include <stddef.h>
#include <time.h>

uint64_t pace_breathe(struct pace *pace) {
  if (!pace)
    return 0;
  uint64_t now = clock_real_ns();
  if (pace->began_ns == 0)
    pace->began_ns = now;
  if (now - pace->began_ns < PACE_WORK_US * 1000u)
    return 0;
  const struct timespec rest = {.tv_nsec = PACE_REST_US * 1000};
  nanosleep(&rest, NULL);
  uint64_t woken = clock_real_ns();
  pace->began_ns = woken;
  uint64_t most = PACE_REST_US * 1000u;
  return woken - now < most ? woken - now : most;
}

void pace_restart(struct pace *pace) {
  if (pace)
    pace->began_ns = 0;
}
