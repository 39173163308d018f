/* SPDX-License-Identifier: MIT
 *
 * One look of the watcher at its places, on the loader thread: inotify is told by their paths, and a disk may take its
 * time to look them up, or not answer. Along a path every directory is watched for the one name in it that the path
 * goes by, and every link is followed as the kernel does; at its end what the file itself is is watched too, since it
 * may have another name (a hard link, a bind mount) by which it is written. */
#pragma once

#include "threads/loading.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watcher_look;

/* What of a watched inode's events matters. */
enum watch_kind {
  WATCH_NAME,  /* those of one name in it, and its own */
  WATCH_FILES, /* those of route files in it */
  WATCH_SELF,  /* all: it is a file */
};

struct watch_role {
  int number; /* of the watch, as inotify has it */
  enum watch_kind kind;
  uint64_t name; /* watch_hash_name() */
};

/* In the order of their numbers. */
struct watch_roles {
  struct watch_role *roles;
  size_t count;
};

uint64_t watch_hash_name(const char *name);

/* Does that event matter? `name` may be NULL, and `is_directory` is what the name is. */
bool watch_roles_match(const struct watch_roles *roles, int number, const char *name, bool is_directory);
void watch_roles_clear(struct watch_roles *roles);

/* What a path has led to: the sum of both, in order. */
struct watch_places {
  uint64_t *sums;
  size_t count;
};

void watch_places_clear(struct watch_places *places);

/* All of it is copied. */
struct watcher_paths {
  int fd;                          /* of inotify */
  const struct watch_roles *roles; /* so far: those that are no one's any more are watched no more */
  const char *directory;
  char *const *files; /* others */
  size_t file_count;
};

struct watcher_seen {
  struct watch_roles roles;
  struct watch_places places;
  bool is_short; /* the kernel has no further watch for us (fs.inotify.max_user_watches) */
};

/* In a later event one of both is called: `seen` is the callee's to take, or is cleared. `blocking`: of the thread that
 * did not come back. NULL without memory, or descriptors. */
struct watcher_look *watcher_look_begin(struct loading *loading, const struct watcher_paths *paths,
                                        void (*on_looked)(void *context, struct watcher_seen *seen),
                                        void (*on_lost)(void *context, struct blocking *blocking), void *context);

/* Is there a path in `now` that leads elsewhere than in `before`, or was not there? */
bool watch_places_differ(const struct watch_places *before, const struct watch_places *now);

/* Nobody waits for it any more. NULL is nothing. */
void watcher_look_leave(struct watcher_look *look);
