/* SPDX-License-Identifier: MIT
 *
 * A thread that works on what others need, and now and then calls what may not come back: user code, the kernel for a
 * file. While it is away there, another thread may give it up and take over all that is not the away thread's own; it
 * learns that when it does come back. Nobody can be given up in the midst of its work. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { BLOCKING_SUBJECT_SIZE = 256 };

struct blocking;

/* One reference, the thread's. NULL without memory. */
struct blocking *blocking_new(void);
struct blocking *blocking_ref(struct blocking *blocking);
void blocking_unref(struct blocking *blocking); /* NULL is nothing */

/* By the thread; with NULL they do nothing, and nobody gives it up. */

/* It begins with another file, or whatever else it may be away in: `subject` for people (copied, cut). */
void blocking_enter(struct blocking *blocking, const char *subject);

/* It is away until blocking_end(). Meanwhile it touches only what is its own. */
void blocking_begin(struct blocking *blocking);

/* False: it has been given up, for good. It may use and free what is its own, and has to go. */
bool blocking_end(struct blocking *blocking);

/* Whether it has been asked to come to an end. */
bool blocking_is_hurried(const struct blocking *blocking);

/* It has been given up, and is gone. */
void blocking_retire(struct blocking *blocking);

/* By others. */

struct blocking_view {
  bool away;
  uint64_t serial; /* counts the subjects */
  char subject[BLOCKING_SUBJECT_SIZE];
};
void blocking_look(struct blocking *blocking, struct blocking_view *view);

/* Gives it up when it is away in that subject: true. `take` is called before, when it can't come back yet. */
bool blocking_give_up(struct blocking *blocking, uint64_t serial, void (*take)(void *context), void *context);

/* Asks it to come to an end. */
void blocking_hurry(struct blocking *blocking);

/* Given up, and not gone yet. */
bool blocking_is_lost(struct blocking *blocking);
