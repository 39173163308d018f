/* SPDX-License-Identifier: MIT
 *
 * The timing wheel. A timer stands on the level of the highest group of six bits in which its deadline differs from
 * the wheel's time, in the slot that this group names. So every timer of a level is due before every timer of
 * the levels above it, the slots of a level never wrap (but those of the top one), and moving the time forward
 * moves no timer as long as it passes the start of no occupied slot. */
#include "core/wheel.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { SLOT_BITS = 6, TOP = WHEEL_LEVELS - 1 };
_Static_assert(WHEEL_SLOTS == 1 << SLOT_BITS, "a bit of `occupied` a slot");

void wheel_init(struct wheel *wheel, clock_ms now) {
  assert(now < CLOCK_NEVER / 2);
  memset(wheel, 0, sizeof *wheel);
  wheel->now = now;
  wheel->next = CLOCK_NEVER;
}

static void push(struct wheel_timer **head, struct wheel_timer *timer) {
  timer->next = *head;
  timer->link = head;
  if (timer->next)
    timer->next->link = &timer->next;
  *head = timer;
}

static unsigned slot_of(clock_ms time, unsigned level) {
  return (unsigned)(time >> (level * SLOT_BITS)) & (WHEEL_SLOTS - 1);
}

static clock_ms start_of_slot(clock_ms time, unsigned level) {
  return time >> (level * SLOT_BITS) << (level * SLOT_BITS);
}

/* Puts a timer that is due after the wheel's time where it belongs. */
static void place(struct wheel *wheel, struct wheel_timer *timer) {
  unsigned level = (63u - (unsigned)__builtin_clzll(timer->deadline ^ wheel->now)) / SLOT_BITS;
  unsigned slot;
  if (level < TOP) {
    slot = slot_of(timer->deadline, level);
    clock_ms start = start_of_slot(timer->deadline, level);
    wheel->next = start < wheel->next ? start : wheel->next;
  } else {
    /* The top level goes round. What lies beyond a turn waits in the farthest slot and is placed anew from there. */
    level = TOP;
    clock_ms distance = (timer->deadline >> (TOP * SLOT_BITS)) - (wheel->now >> (TOP * SLOT_BITS));
    if (distance > WHEEL_SLOTS - 1)
      distance = WHEEL_SLOTS - 1;
    slot = (slot_of(wheel->now, TOP) + (unsigned)distance) & (WHEEL_SLOTS - 1);
    wheel->next = WHEEL_NEXT_UNKNOWN;
  }
  push(&wheel->slots[level][slot], timer);
  wheel->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, clock_ms deadline) {
  assert(timer->on_expired);
  wheel_cancel(wheel, timer);
  timer->deadline = deadline;
  if (deadline <= wheel->now)
    push(&wheel->due, timer);
  else
    place(wheel, timer);
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer) {
  struct wheel_timer **link = timer->link;
  if (!link)
    return;
  *link = timer->next;
  if (timer->next)
    timer->next->link = link;
  timer->next = NULL;
  timer->link = NULL;
  /* `link` is a slot, `due`, another timer, or the list of what wheel_advance() is expiring. */
  uintptr_t offset = (uintptr_t)link - (uintptr_t)&wheel->slots;
  if (!*link && offset < sizeof wheel->slots) {
    size_t index = (size_t)(link - &wheel->slots[0][0]);
    unsigned level = (unsigned)(index / WHEEL_SLOTS);
    wheel->occupied[level] &= ~(UINT64_C(1) << (index % WHEEL_SLOTS));
    if (level == TOP || start_of_slot(timer->deadline, level) <= wheel->next)
      wheel->next = WHEEL_NEXT_UNKNOWN;
  }
}

/* The occupied slot that starts first, and when. False when there is none. */
static bool first_slot(const struct wheel *wheel, unsigned *level, unsigned *slot, clock_ms *start) {
  for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
    uint64_t occupied = wheel->occupied[l];
    if (!occupied)
      continue;
    unsigned shift = l * SLOT_BITS, current = slot_of(wheel->now, l);
    if (l == TOP)
      occupied = current ? occupied >> current | occupied << (WHEEL_SLOTS - current) : occupied;
    else
      occupied >>= current;
    unsigned distance = (unsigned)__builtin_ctzll(occupied);
    assert(distance > 0);
    *level = l;
    *slot = (current + distance) & (WHEEL_SLOTS - 1);
    *start = ((wheel->now >> shift) + distance) << shift;
    return true;
  }
  return false;
}

/* Moves the time forward, and whatever is due by then into `due`, in the order of the deadlines. */
static void wheel_collect(struct wheel *wheel, clock_ms now) {
  struct wheel_timer **last = &wheel->due;
  while (*last)
    last = &(*last)->next;

  unsigned level, slot;
  clock_ms start;
  bool found;
  while ((found = first_slot(wheel, &level, &slot, &start)) && start <= now) {
    wheel->now = start;
    struct wheel_timer *timer = wheel->slots[level][slot], *next;
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    for (; timer; timer = next) {
      next = timer->next;
      if (timer->deadline > start) {
        place(wheel, timer);
        continue;
      }
      push(last, timer);
      last = &timer->next;
    }
  }
  wheel->now = now;
  wheel->next = found ? start : CLOCK_NEVER;
}

void wheel_advance(struct wheel *wheel, clock_ms now) {
  assert(now < CLOCK_NEVER / 2);
  if (now > wheel->now && now < wheel->next)
    wheel->now = now;
  else if (now > wheel->now)
    wheel_collect(wheel, now);

  /* A list of its own: what callbacks set for a time that has passed is for the next call, or this one might never
   * end. */
  struct wheel_timer *expiring = wheel->due;
  wheel->due = NULL;
  if (expiring)
    expiring->link = &expiring;
  while (expiring) {
    struct wheel_timer *timer = expiring;
    wheel_cancel(wheel, timer);
    timer->on_expired(timer);
  }
}

clock_ms wheel_next(struct wheel *wheel) {
  if (wheel->due)
    return wheel->now;
  if (wheel->next == WHEEL_NEXT_UNKNOWN) {
    unsigned level, slot;
    clock_ms start;
    wheel->next = first_slot(wheel, &level, &slot, &start) ? start : CLOCK_NEVER;
  }
  return wheel->next;
}
