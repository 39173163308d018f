/* SPDX-License-Identifier: MIT
 *
 * One look of the watcher at its directories, on the loader thread: inotify is told by their paths, and a disk may take
 * its time to look them up, or not answer. */
#pragma once

#include "threads/loading.h"

#include <stdbool.h>
#include <stddef.h>

struct watcher_look;

/* All of it is copied. */
struct watcher_places {
  int fd;     /* of inotify */
  int newest; /* of its watches so far */
  const char *directory, *parent;
  char *const *others;
  size_t other_count;
};

/* In a later event one of both is called. `newest`: as in watcher_places, then. `is_new`: a directory is watched that
 * was not. `blocking`: of the thread that did not come back. NULL without memory, or descriptors. */
struct watcher_look *watcher_look_begin(struct loading *loading, const struct watcher_places *places,
                                        void (*on_looked)(void *context, int newest, bool is_new),
                                        void (*on_lost)(void *context, struct blocking *blocking), void *context);

/* Nobody waits for it any more. NULL is nothing. */
void watcher_look_leave(struct watcher_look *look);
