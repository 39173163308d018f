/* SPDX-License-Identifier: MIT
 *
 * A hierarchical timing wheel: setting, moving and cancelling a timer take constant time whatever the
 * number of timers. Resolution one millisecond. One thread owns a wheel. (Varghese and Lauck, "Hashed and
 * Hierarchical Timing Wheels", 1987.) */
#pragma once

#include "core/clock.h"

#include <stdbool.h>
#include <stddef.h>

struct wheel_timer;
typedef void wheel_expired_fn(struct wheel_timer *timer);

/* Embedded in what waits. Zeroed means: not set. */
struct wheel_timer {
  struct wheel_timer *next;
  struct wheel_timer **link; /* what points to us; NULL when not set */
  clock_ms deadline;
  wheel_expired_fn *on_expired; /* the timer is no longer set when this is called; it may set it again or free it */
};

enum { WHEEL_SLOTS = 64, WHEEL_LEVELS = 7, WHEEL_NEXT_UNKNOWN = 0 };

struct wheel {
  clock_ms now;
  clock_ms next; /* when the first occupied slot starts; CLOCK_NEVER: there is none; UNKNOWN: it has to be looked for */
  uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot */
  struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
  struct wheel_timer *due; /* set for a time that has passed, or being expired */
};

void wheel_init(struct wheel *wheel, clock_ms now);

/* Sets, or moves, a timer. A deadline that has passed expires at the next wheel_advance(). */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, clock_ms deadline);

/* Does nothing to a timer that is not set. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);

static inline bool wheel_is_set(const struct wheel_timer *timer) { return timer->link != NULL; }

/* Calls on_expired for every timer whose deadline is at or before `now`, in the order of the deadlines (in any order
 * among equal ones, and among those that were set for a time that had passed). Callbacks may set and cancel any timer;
 * what they set for a time up to `now` expires at the next call. A `now` before the last one counts as the last one. */
void wheel_advance(struct wheel *wheel, clock_ms now);

/* The time by which wheel_advance() should be called again: never later than the earliest deadline, possibly
 * earlier (when timers have to move down a level). CLOCK_NEVER when no timer is set. */
clock_ms wheel_next(struct wheel *wheel);
